"""Memories in SQLite: Turso or sqld over Hrana, or a local file. SQL over `ports.Database`, in both alike.

One method is one batch, which `_read` and `_write` send: there it will be fenced (DESIGN, section 4). What a batch may
not do is a condition of its INSERT; a statement after it reads back what happened, and why.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import cast

import orjson

from core.ports import Database, Databases, Result, SqlValue, Statement, StoreAddress
from memories.model import (
    Activity,
    Author,
    Changes,
    Memory,
    MemoryType,
    Page,
    Related,
    Relationship,
    Search,
    Statistics,
)
from memories.ports import Cycle, UnknownEnds
from memories.relationship_types import RESOLVING
from memories.stores import queries
from memories.stores.rows import (
    MEMORY_COLUMNS,
    author_values,
    changed_values,
    columns,
    memory_values,
    relationship_values,
    to_memory,
    to_micros,
    to_relationship,
)

PAGE_BYTES = 4 << 20
"""A page of memories ends after so many bytes of text: sqld and Turso answer with 10 MB at most."""


class SqliteMemoryStores:
    """`ports.MemoryStores` over databases."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    def open(self, address: StoreAddress) -> SqliteMemoryStore:
        return SqliteMemoryStore(self._databases.open(address))


class SqliteMemoryStore:
    """`ports.MemoryStore` on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, memory: Memory, author: Author) -> Memory:
        values = {**memory_values(memory), **author_values(author, "created", "updated")}
        kept = {"id", "created_at", "created_by_key", "created_by_account", "created_by_agent"}
        replaced = ", ".join(f"{name} = excluded.{name}" for name in values if name not in kept)
        sql = (
            f"INSERT INTO memories ({', '.join(values)}) VALUES ({_marks(values)}) "  # noqa: S608 - names are ours
            f"ON CONFLICT (id) DO UPDATE SET {replaced}, version = version + 1 RETURNING {columns(MEMORY_COLUMNS)}"
        )
        [stored] = await self._write(Statement(sql, tuple(values.values())))
        return to_memory(stored.rows[0])

    async def get(self, memory_id: str) -> Memory | None:
        [found] = await self._read(Statement(queries.GET, (memory_id,)))
        return to_memory(found.rows[0]) if found.rows else None

    async def update(self, memory_id: str, changes: Changes, at: datetime, author: Author) -> Memory | None:
        values = {**changed_values(changes.values), "updated_at": to_micros(at), **author_values(author, "updated")}
        sql = (
            f"UPDATE memories SET {', '.join(f'{name} = ?' for name in values)}, version = version + 1 "  # noqa: S608
            f"WHERE id = ? RETURNING {columns(MEMORY_COLUMNS)}"
        )
        [updated] = await self._write(Statement(sql, (*values.values(), memory_id)))
        return to_memory(updated.rows[0]) if updated.rows else None

    async def delete(self, memory_id: str) -> bool:
        _, deleted = await self._write(
            Statement("DELETE FROM relationships WHERE from_id = ?1 OR to_id = ?1", (memory_id,)),
            Statement("DELETE FROM memories WHERE id = ?1", (memory_id,)),
        )
        return deleted.changed > 0 or deleted.repeated  # then the first time may have deleted it

    async def search(self, search: Search) -> Page:
        [found] = await self._read(queries.search(search, PAGE_BYTES))
        total = cast(int, found.rows[0][0])  # this row is there even when there is no memory beside it
        return Page([to_memory(row[1:]) for row in found.rows if row[1] is not None], total)

    async def relate(
        self, relationship: Relationship, *, same_since: datetime, author: Author
    ) -> Relationship | UnknownEnds | Cycle:
        values = {**relationship_values(relationship), **author_values(author, "created")}
        edge = (relationship.from_id, relationship.to_id, values["type"])
        same = (*edge, values["strength"], values["confidence"], values["context"], to_micros(same_since))
        _, read = await self._write(
            Statement(queries.relate(tuple(values)), (*same, *values.values())),
            Statement(queries.RELATED_OR_WHY, same),
        )
        from_known, to_known, *row = read.rows[0]
        if row[0] is not None:
            return to_relationship(row)
        unknown = [end for end, known in zip(edge[:2], (from_known, to_known), strict=True) if not known]
        return UnknownEnds(tuple(dict.fromkeys(unknown))) if unknown else Cycle()

    async def related(self, memory_id: str, types: Collection[str], depth: int, limit: int) -> list[Related] | None:
        chosen = _json(list(types)) if types else None
        [found] = await self._read(Statement(queries.RELATED, (memory_id, depth, chosen, limit, PAGE_BYTES)))
        if not found.rows[0][0]:
            return None
        return [
            Related(
                to_memory(row[2 : 2 + len(MEMORY_COLUMNS)]),
                to_relationship(row[2 + len(MEMORY_COLUMNS) :]),
                cast(int, row[1]),
            )
            for row in found.rows
            if row[1] is not None
        ]

    async def recent(self, since: datetime, project: str | None, *, newest: int, unresolved: int) -> Activity:
        window = (to_micros(since), project)
        open_types = _json([MemoryType.PROBLEM, MemoryType.ERROR])
        counts, latest, problems = await self._read(
            Statement(queries.RECENT_COUNTS, window),
            Statement(queries.NEWEST, (*window, newest, PAGE_BYTES)),
            Statement(queries.UNRESOLVED, (*window, unresolved, PAGE_BYTES, open_types, _json(list(RESOLVING)))),
        )
        return Activity(
            {cast(str, type_): cast(int, count) for type_, count in counts.rows},
            [to_memory(row) for row in latest.rows],
            [to_memory(row) for row in problems.rows],
        )

    async def statistics(self) -> Statistics:
        kinds, totals = await self._read(Statement(queries.COUNTS), Statement(queries.TOTALS))
        relationships, importance, confidence = totals.rows[0]
        return Statistics(
            {cast(str, type_): cast(int, count) for type_, count in kinds.rows},
            cast(int, relationships),
            cast("float | None", importance),
            cast("float | None", confidence),
        )

    async def _read(self, *statements: Statement) -> Sequence[Result]:
        return await self._database.batch(statements, write=False)

    async def _write(self, *statements: Statement) -> Sequence[Result]:
        return await self._database.batch(statements, write=True)


def _marks(values: Collection[SqlValue]) -> str:
    return ", ".join("?" * len(values))


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
