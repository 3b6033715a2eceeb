"""Many memories and relationships at once in SQLite: batches, export, import.

Rows are written by statements of several rows each, with every value an argument of its own: sqld takes at most 4 MB in
one argument, and JSON would round floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

from core.once import Once
from core.ports import Result, SqlValue, Statement
from memories.graph.model import Relationship
from memories.model import Author, Memory
from memories.ports import OtherProject
from memories.quotas import Resource
from memories.stores.rows import (
    PAGE_BYTES,
    Row,
    author_values,
    columns,
    from_micros,
    memory_values,
    relationship_values,
    to_memory,
    to_micros,
    to_relationship,
)
from memories.stores.sqlite import arrivals
from memories.stores.sqlite.base import (
    CURRENT,
    MEMORY,
    MEMORY_SIZE,
    RELATIONSHIP,
    RELATIONSHIP_SIZE,
    Operations,
    json,
    marks,
    taken,
)
from memories.stores.sqlite.memories import put_sql
from memories.stores.sqlite.sight import SAME_PROJECT
from memories.transfer.model import (
    OVER,
    TAKEN,
    ExportPage,
    Kind,
    NoRoom,
    Outcome,
    Part,
    Place,
    Stored,
    Taken,
    Totals,
    left_out,
)

# ruff: noqa: S608 - what is put into SQL here are names of our own columns and numbers of arguments, never values

ROWS_IN_STATEMENT = 40

_STORED = ("id", "version", "created_at", "updated_at")
_ANSWER = f"""
  SELECT json_group_array(json_array({columns(_STORED, "m")})), NULL, NULL, {{once}}
  FROM json_each(?1) wanted CROSS JOIN memories m ON m.id = wanted.value"""  # CROSS: in the order of the list
_ROW = f"json_array({columns(_STORED, 'm')})"
_TAKEN_OR_ROW = f"CASE WHEN m.id IS NULL THEN json_array(wanted.value, '{TAKEN}') ELSE {_ROW} END"
_ROW_OR_WHY = f"CASE WHEN refused.id IS NULL THEN {_TAKEN_OR_ROW} ELSE json_array(refused.id, refused.what) END"
_REFUSED = "LEFT JOIN _refused refused ON refused.id = wanted.value"
_ANSWER_SOME = f"""
  SELECT json_group_array({_ROW_OR_WHY}), NULL, NULL, {{once}}
  FROM json_each(?1) wanted LEFT JOIN memories m ON m.id = wanted.value {_REFUSED}"""

# ?1 after this memory (null: none is wanted), ?2 limit, ?3 bytes.
_MEMORIES = f"""
  SELECT page.id, {MEMORY}
  FROM (
    SELECT id, sum(size) OVER (ORDER BY id) - size AS before
    FROM (SELECT m.id, {MEMORY_SIZE} AS size FROM memories m WHERE m.id > ?1 ORDER BY m.id LIMIT ?2 + 1)
  ) page
  LEFT JOIN memories m ON m.id = page.id AND page.before < ?3
  ORDER BY page.id"""


def _relationships(condition: str) -> str:
    """Those that fit behind the memories of the page, and one more. Further argument: ?4 after this relationship."""
    return f"""
  WITH ahead (things, bytes) AS MATERIALIZED (
    SELECT count(*), coalesce(sum(size), 0)
    FROM (SELECT {MEMORY_SIZE} AS size FROM memories m WHERE m.id > ?1 ORDER BY m.id LIMIT ?2 + 1)
  )
  SELECT page.id, {RELATIONSHIP}
  FROM (
    SELECT id, sum(size) OVER (ORDER BY id) - size AS before
    FROM (
      SELECT r.id, {RELATIONSHIP_SIZE} AS size FROM relationships r
      WHERE r.id > ?4 AND {condition}
      ORDER BY r.id LIMIT (SELECT ?2 + 1 - things FROM ahead)
    )
  ) page
  LEFT JOIN relationships r ON r.id = page.id AND page.before + (SELECT bytes FROM ahead) < ?3
  ORDER BY page.id"""


_TOTALS = f"""
  SELECT (SELECT count(*) FROM memories), count(*), count(*) FILTER (WHERE {CURRENT}) FROM relationships r"""

_KEPT = ("id", "created_by_key", "created_by_account", "created_by_agent")


class TransferOperations(Operations):
    """See `transfer.ports.TransferStore`."""

    async def put_many(self, memories: Sequence[Memory], author: Author, once: Once | None = None) -> list[Stored]:
        ids = [memory.id for memory in memories]
        self._sight.check(*(memory.context for memory in memories))
        guards = self._sight.guards(ids)
        try:
            done = await self._write_once(once, [*guards, *self._puts(memories, author)], _ANSWER, json(ids))
        except OtherProject:
            [found] = await self._read(self._sight.taken("memories", ids))
            raise OtherProject(*(str(row[0]) for row in found.rows)) from None
        if isinstance(done, tuple):
            *stored, _, _ = done
            return [_stored(cast("list[SqlValue]", row)) for row in stored]
        by_id = {row[0]: _stored(row) for result in done[len(guards) :] for row in result.rows}
        return [by_id[memory_id] for memory_id in ids]

    async def put_some(
        self, memories: Sequence[Memory], author: Author, once: Once | None = None
    ) -> list[Stored | NoRoom | Taken]:
        ids = [memory.id for memory in memories]
        self._sight.check(*(memory.context for memory in memories))
        refused: dict[str, Resource] = {}

        async def send(*statements: Statement) -> list[Result]:
            old = [
                replace(one, sql=one.sql.replace(_ROW_OR_WHY, _TAKEN_OR_ROW).replace(_REFUSED, ""))
                for one in statements
            ]
            results, some = await self._write_each(*statements, old=old)
            refused.update(some)
            return results

        done = await self._write_once(once, self._puts(memories, author), _ANSWER_SOME, json(ids), send=send)
        if isinstance(done, tuple):
            *rows, _, _ = done
            return [_stored_or_not(cast("list[SqlValue]", row)) for row in rows]
        stored = {row[0]: _stored(row) for result in done for row in result.rows}
        return [stored.get(one) or (NoRoom(one, refused[one]) if one in refused else Taken(one)) for one in ids]

    async def export_page(self, place: Place, *, limit: int, current: bool) -> ExportPage:
        first = place.id if place.kind is Kind.MEMORY else None
        behind = place.id if place.kind is Kind.RELATIONSHIP else ""
        page = (first, limit, PAGE_BYTES)
        found, edges_found = await self._read(
            Statement(_MEMORIES, page),
            Statement(_relationships(CURRENT if current else "TRUE"), (*page, behind)),
        )
        rows, more = taken(found.rows, limit)
        memories = [to_memory(row) for row in rows]
        if more:
            return ExportPage(memories, [], Place(Kind.MEMORY, memories[-1].id))
        rows, more = taken(edges_found.rows, limit - len(memories))
        relationships = [to_relationship(row) for row in rows]
        last = relationships[-1].id if relationships else behind
        return ExportPage(memories, relationships, Place(Kind.RELATIONSHIP, last) if more else None)

    async def totals(self) -> Totals:
        [found] = await self._read(Statement(_TOTALS))
        return Totals(*cast("tuple[int, int, int]", found.rows[0]))

    async def import_memories(self, memories: Sequence[Memory], author: Author) -> list[Outcome]:
        self._sight.check(*(memory.context for memory in memories))
        authors = author_values(author, "created", "updated")
        rows = [{**memory_values(memory), "version": memory.version, **authors} for memory in memories]
        bound = "" if self._sight.project is None else f" AND {SAME_PROJECT}"
        statements = []
        for some in _some(rows):
            held = f"SELECT id, updated_at FROM memories WHERE id IN ({marks(some)})"
            statements.append(Statement(held, tuple(row["id"] for row in some)))
            statements.append(Statement(_import_sql(tuple(some[0]), len(some)) + bound, _flat(some)))
        if not statements:
            return []
        named = [self._sight.taken("memories", [memory.id for memory in memories])] if bound else []
        results, refused = await self._write_each(*named, *statements)
        hidden = {row[0] for row in results.pop(0).rows} if named else set()
        before = {cast(str, row[0]): cast(int, row[1]) for result in results[::2] for row in result.rows}

        def outcome(memory: Memory) -> Outcome:
            if memory.id in hidden:
                return Outcome.TAKEN
            if memory.id in refused:
                return OVER[refused[memory.id]]
            if memory.id not in before:
                return Outcome.CREATED
            return Outcome.UPDATED if before[memory.id] < to_micros(memory.updated_at) else Outcome.UNCHANGED

        return [outcome(memory) for memory in memories]

    async def import_relationships(
        self, relationships: Sequence[Relationship], author: Author, *, timeless: bool
    ) -> list[Outcome]:
        authors = author_values(author, "created", "updated")
        rows: list[dict[str, SqlValue]] = [
            {**relationship_values(relationship), **authors, "timeless": timeless, "place": place}
            for place, relationship in enumerate(relationships)
        ]
        if self._sight.project is not None:
            return await self._import_seen(rows)
        clear = Statement("DELETE FROM import_outcomes")
        *_, read, _ = await self._write(
            clear,
            *(Statement(_incoming_sql(tuple(some[0]), len(some)), _flat(some)) for some in _some(rows)),
            Statement("SELECT outcome FROM import_outcomes ORDER BY place"),
            clear,
        )
        return [Outcome(cast(str, outcome)) for (outcome,) in read.rows]

    async def _import_seen(self, rows: Sequence[dict[str, SqlValue]]) -> list[Outcome]:
        """The same for who does not see all: the trigger that judges rows does."""
        clear = Statement("DELETE FROM import_outcomes")
        read = Statement("SELECT outcome FROM import_outcomes ORDER BY place")
        statements = [clear, *(one for row in rows for one in arrivals.statements(row)), read, clear]
        (*_, found, _), _ = await self._write_each(
            *statements, old=[arrivals.without_limits(one) for one in statements]
        )
        return [Outcome(cast(str, outcome)) for (outcome,) in found.rows]

    def _puts(self, memories: Sequence[Memory], author: Author) -> list[Statement]:
        authors = author_values(author, "created", "updated")
        rows = [{**memory_values(memory), **authors} for memory in memories]
        bound = self._sight.replaced
        return [Statement(put_sql(tuple(some[0]), _STORED, len(some), bound), _flat(some)) for some in _some(rows)]

    async def part(self, import_id: str, number: int) -> Part | None:
        [found] = await self._read(Statement(f"{_PARTS} AND part = ?", (import_id, number)))
        return _part(found.rows[0]) if found.rows else None

    async def finish_part(self, import_id: str, part: Part, *, forget_before: datetime) -> None:
        values = (import_id, part.number, part.fingerprint, part.answer, to_micros(part.at))
        await self._write(
            Statement("DELETE FROM import_parts WHERE at < ?", (to_micros(forget_before),)),
            Statement(f"INSERT OR IGNORE INTO import_parts (import_id, {_PART}) VALUES (?, ?, ?, ?, ?)", values),
        )

    async def parts(self, import_id: str) -> list[Part]:
        [found] = await self._read(Statement(f"{_PARTS} ORDER BY part", (import_id,)))
        return [_part(row) for row in found.rows]


_PART = "part, fingerprint, answer, at"
_PARTS = f"SELECT {_PART} FROM import_parts WHERE import_id = ?"


def _import_sql(names: Sequence[str], rows: int) -> str:
    replaced = ", ".join(f"{name} = excluded.{name}" for name in names if name not in (*_KEPT, "version"))
    return (
        f"INSERT INTO memories ({', '.join(names)}) VALUES {_places(names, rows)} ON CONFLICT (id) DO UPDATE "
        f"SET {replaced}, version = max(excluded.version, version + 1) WHERE excluded.updated_at > updated_at"
    )


def _incoming_sql(names: Sequence[str], rows: int) -> str:
    return f"INSERT INTO incoming_relationships ({', '.join(names)}) VALUES {_places(names, rows)}"


def _places(names: Sequence[str], rows: int) -> str:
    return ", ".join(f"({marks(names, 1 + row * len(names))})" for row in range(rows))


def _some(rows: Sequence[dict[str, SqlValue]]) -> Iterator[Sequence[dict[str, SqlValue]]]:
    for start in range(0, len(rows), ROWS_IN_STATEMENT):
        yield rows[start : start + ROWS_IN_STATEMENT]


def _flat(rows: Sequence[dict[str, SqlValue]]) -> tuple[SqlValue, ...]:
    return tuple(value for row in rows for value in row.values())


def _stored(row: Row) -> Stored:
    memory_id, version, created, updated = row
    return Stored(cast(str, memory_id), cast(int, version), from_micros(created), from_micros(updated))


def _stored_or_not(row: Row) -> Stored | NoRoom | Taken:
    if len(row) == len(_STORED):
        return _stored(row)
    memory_id, what = row
    return left_out(cast(str, memory_id), cast(str, what))


def _part(row: Row) -> Part:
    number, fingerprint, answer, at = row
    return Part(cast(int, number), cast(str, fingerprint), cast(str, answer), from_micros(at))
