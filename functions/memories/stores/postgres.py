"""Memories in PostgreSQL, under row-level security: one function of schema `memory` for each operation.

One call is one statement, one round trip and one transaction (functions/migrations/postgres/0002_memories.sql). The
other way, BEGIN, set_config, query and COMMIT in psycopg's pipeline, needs rights on the tables for the login role and
took longer: 0.79 ms against 0.54 for reading one memory, 0.56 ms of this process's time against 0.37.

The order of results, and what an operation answers, is that of the SQLite store: tests/functions/memories compare them.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import orjson

from core.adapters.postgres import Answer, Postgres
from core.ports import StoreAddress
from core.problems import Unavailable
from core.urls import workspace_of_url
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
from memories.stores.rows import (
    MEMORY_COLUMNS,
    author_values,
    changed_values,
    memory_values,
    relationship_values,
    to_memory,
    to_micros,
    to_relationship,
)
from memories.stores.sqlite import PAGE_BYTES
from memories.text import fold

SEPARATOR = "\x1f"
"""Between title, summary and content in the index of texts."""

_WIDTH = len(MEMORY_COLUMNS)

_PUT = "SELECT * FROM memory.put(%s, %s::jsonb)"
_GET = "SELECT * FROM memory.get(%s, %s)"
_CHANGE = "SELECT * FROM memory.change(%s, %s, %s::jsonb)"
_REMOVE = "SELECT memory.remove(%s, %s)"
_SEARCH = """
SELECT total, (hit).*
FROM memory.search(%s, %s::text[], %s::text[], %s, %s::text[], %s::text[], %s::text[], %s, %s, %s, %s, %s, %s, %s, %s)
"""
_RELATE = "SELECT from_known, to_known, (made).* FROM memory.relate(%s, %s::jsonb, %s)"
_RELATED = "SELECT known, depth, (hit).*, (edge).* FROM memory.related(%s, %s, %s::text[], %s, %s, %s)"
_RECENT = "SELECT part, count, (hit).* FROM memory.recent(%s, %s, %s, %s, %s, %s::text[], %s::text[], %s)"
_STATISTICS = "SELECT type, memories, importance, confidence, relationships FROM memory.statistics(%s)"


class PostgresMemoryStores:
    """`ports.MemoryStores` in one database."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def open(self, address: StoreAddress) -> PostgresMemoryStore:
        """Raises: ValueError: the address names no workspace."""
        return PostgresMemoryStore(self._postgres, workspace_of_url(address.url))


class PostgresMemoryStore:
    """`ports.MemoryStore` of one workspace."""

    def __init__(self, postgres: Postgres, workspace: uuid.UUID) -> None:
        self._postgres = postgres
        self._workspace = str(workspace)

    async def put(self, memory: Memory, author: Author) -> Memory:
        values = {**memory_values(memory), **_folded_tags(memory.tags), **author_values(author, "created", "updated")}
        return to_memory((await self._ask(_PUT, _json(values))).rows[0])

    async def get(self, memory_id: str) -> Memory | None:
        rows = (await self._ask(_GET, memory_id)).rows
        return to_memory(rows[0]) if rows else None

    async def update(self, memory_id: str, changes: Changes, at: datetime, author: Author) -> Memory | None:
        values: dict[str, object] = {**changed_values(changes.values), "updated_at": to_micros(at)}
        if "tags" in changes.values:
            values.update(_folded_tags(changes.values["tags"]))
        values.update(author_values(author, "updated"))
        rows = (await self._ask(_CHANGE, memory_id, _json(values))).rows
        return to_memory(rows[0]) if rows else None

    async def delete(self, memory_id: str) -> bool:
        answer = await self._ask(_REMOVE, memory_id)
        return bool(answer.rows[0][0]) or answer.repeated  # then the first time may have deleted it

    async def search(self, search: Search) -> Page:
        # The index of texts serves one group of needles: the longest ones, which are the rarest.
        groups = sorted(search.needles, key=lambda needles: min(map(len, needles)), reverse=True)
        first, others = (groups[0], groups[1:]) if groups else (None, [])
        if first and any(SEPARATOR in needle for needle in first):
            others.append(first)  # it may have been found across two texts
        wanted = [fold(tag) for tag in search.tags]
        answer = await self._ask(
            _SEARCH,
            _patterns(first) if first else None,
            [_array(_patterns(needles)) for needles in others],
            search.exact,
            list(search.types) or None,
            wanted if wanted and not search.every_tag else None,
            wanted if wanted and search.every_tag else None,
            search.project,
            search.min_importance,
            search.min_confidence,
            None if search.created_after is None else to_micros(search.created_after),
            None if search.created_before is None else to_micros(search.created_before),
            search.limit,
            search.offset,
            PAGE_BYTES,
        )
        return Page([to_memory(row[1:]) for row in answer.rows if row[1] is not None], answer.rows[0][0])

    async def relate(
        self, relationship: Relationship, *, same_since: datetime, author: Author
    ) -> Relationship | UnknownEnds | Cycle:
        values = {**relationship_values(relationship), **author_values(author, "created")}
        from_known, to_known, *row = (await self._ask(_RELATE, _json(values), to_micros(same_since))).rows[0]
        if row[0] is not None:
            return to_relationship(row)
        ends = ((relationship.from_id, from_known), (relationship.to_id, to_known))
        unknown = tuple(dict.fromkeys(end for end, known in ends if not known))
        return UnknownEnds(unknown) if unknown else Cycle()

    async def related(self, memory_id: str, types: Collection[str], depth: int, limit: int) -> list[Related] | None:
        rows = (await self._ask(_RELATED, memory_id, list(types) or None, depth, limit, PAGE_BYTES)).rows
        if not rows[0][0]:
            return None
        return [
            Related(to_memory(row[2 : 2 + _WIDTH]), to_relationship(row[2 + _WIDTH :]), row[1])
            for row in rows
            if row[1] is not None
        ]

    async def recent(self, since: datetime, project: str | None, *, newest: int, unresolved: int) -> Activity:
        problems = [str(MemoryType.PROBLEM), str(MemoryType.ERROR)]
        answer = await self._ask(
            _RECENT,
            to_micros(since),
            project,
            newest,
            unresolved,
            problems,
            [str(one) for one in RESOLVING],
            PAGE_BYTES,
        )
        parts: tuple[list[tuple[Any, ...]], ...] = ([], [], [])
        for part, *row in answer.rows:
            parts[part].append(tuple(row))
        counts, latest, open_ones = parts
        return Activity(
            {row[2]: row[0] for row in counts},
            [to_memory(row[1:]) for row in latest],
            [to_memory(row[1:]) for row in open_ones],
        )

    async def statistics(self) -> Statistics:
        (_, _, importance, confidence, relationships), *kinds = (await self._ask(_STATISTICS)).rows
        return Statistics({row[0]: row[1] for row in kinds}, relationships, importance, confidence)

    async def _ask(self, statement: str, *args: object) -> Answer:
        try:
            return await self._postgres.ask(statement, (self._workspace, *args))
        except Unavailable as error:  # it speaks of the control plane, which is in the same database
            detail = "The memory store does not answer. Please try again in a few seconds."
            raise Unavailable(detail, part="store") from error


def _folded_tags(tags: Sequence[str]) -> dict[str, list[str]]:
    return {"folded_tags": [fold(tag) for tag in tags]}


def _patterns(needles: Sequence[str]) -> list[str]:
    """LIKE patterns of texts that contain `needles`, in which `%` and `_` mean themselves."""
    escaped = (needle.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for needle in needles)
    return [f"%{needle}%" for needle in escaped]


def _array(texts: Sequence[str]) -> str:
    """An array as PostgreSQL writes it: it has no arrays of arrays of different lengths."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
