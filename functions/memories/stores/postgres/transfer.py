"""Many memories and relationships at once (0007_transfer_operations.sql)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from core.once import Once
from memories.graph.model import Relationship
from memories.model import Author, Memory
from memories.ports import OtherProject
from memories.stores.postgres import base
from memories.stores.postgres.base import READ, WRITE, memory_columns, once_json, relationship_columns, to_json
from memories.stores.rows import (
    MEMORY_COLUMNS,
    PAGE_BYTES,
    from_micros,
    to_memory,
    to_micros,
    to_relationship,
)
from memories.transfer.model import ExportPage, Kind, NoRoom, Outcome, Part, Place, Stored, Taken, Totals, left_out

# ruff: noqa: S608 - what is put into SQL here are calls of our own, never values

_PUT_ROWS = f"SELECT * FROM memory.put_rows({WRITE}, %s::jsonb, %s::jsonb, %s)"
_EXPORT_PAGE = f"SELECT following, (hit).*, (edge).* FROM memory.export_page({READ}, %s, %s, %s, %s, %s)"
_TOTALS = f"SELECT * FROM memory.totals({READ})"
_TAKE_MEMORIES = f"SELECT * FROM memory.take_memories({WRITE}, %s::jsonb)"
_IMPORT_RELATIONSHIPS = f"SELECT memory.import_relationships({WRITE}, %s::jsonb, %s)"
_PARTS = f"SELECT * FROM memory.parts({READ}, %s, %s)"
_FINISH_PART = f"SELECT memory.finish_part({WRITE}, %s, %s, %s, %s, %s, %s)"

_WIDTH = len(MEMORY_COLUMNS)


class Transfers(base.Part):
    """`memories.transfer.ports.TransferStore`."""

    async def put_many(self, memories: Sequence[Memory], author: Author, once: Once | None = None) -> list[Stored]:
        self._check_project(*(memory.context for memory in memories))
        rows = to_json([memory_columns(memory, author) for memory in memories])
        answer = await self._write(_PUT_ROWS, rows, once_json(once), True)  # noqa: FBT003 - an argument of SQL
        taken = [row[0] for row in answer.rows if row[4] is not None]
        if taken:
            raise OtherProject(*taken)
        return [_stored(row) for row in answer.rows]

    async def put_some(
        self, memories: Sequence[Memory], author: Author, once: Once | None = None
    ) -> list[Stored | NoRoom | Taken]:
        self._check_project(*(memory.context for memory in memories))
        rows = to_json([memory_columns(memory, author) for memory in memories])
        answer = await self._write(_PUT_ROWS, rows, once_json(once), False)  # noqa: FBT003 - an argument of SQL
        return [_stored_or_not(row) for row in answer.rows]

    async def export_page(self, place: Place, *, limit: int, current: bool) -> ExportPage:
        first = place.id if place.kind is Kind.MEMORY else None
        behind = place.id if place.kind is Kind.RELATIONSHIP else ""
        answer = await self._read(_EXPORT_PAGE, first, behind, limit, current, PAGE_BYTES)
        (following, *_), *rows = answer.rows
        memories = [to_memory(row[1 : 1 + _WIDTH]) for row in rows if row[1] is not None]
        relationships = [to_relationship(row[1 + _WIDTH :]) for row in rows if row[1] is None]
        if following is None:
            return ExportPage(memories, relationships, None)
        if following == Kind.MEMORY:
            return ExportPage(memories, relationships, Place(Kind.MEMORY, memories[-1].id))
        last = relationships[-1].id if relationships else behind
        return ExportPage(memories, relationships, Place(Kind.RELATIONSHIP, last))

    async def totals(self) -> Totals:
        return Totals(*(await self._read(_TOTALS)).rows[0])

    async def import_memories(self, memories: Sequence[Memory], author: Author) -> list[Outcome]:
        self._check_project(*(memory.context for memory in memories))
        rows = [{**memory_columns(memory, author), "version": memory.version} for memory in memories]
        outcomes = dict((await self._write(_TAKE_MEMORIES, to_json(rows))).rows)
        return [Outcome(outcomes.get(memory.id, Outcome.UNCHANGED)) for memory in memories]

    async def import_relationships(
        self, relationships: Sequence[Relationship], author: Author, *, timeless: bool
    ) -> list[Outcome]:
        rows = to_json([relationship_columns(relationship, author) for relationship in relationships])
        [(outcomes,)] = (await self._write(_IMPORT_RELATIONSHIPS, rows, timeless)).rows
        return [Outcome(outcome) for outcome in outcomes]

    async def part(self, import_id: str, number: int) -> Part | None:
        rows = (await self._read(_PARTS, import_id, number)).rows
        return _part(rows[0]) if rows else None

    async def finish_part(self, import_id: str, part: Part, *, forget_before: datetime) -> None:
        values = (part.number, part.fingerprint, part.answer, to_micros(part.at))
        await self._write(_FINISH_PART, import_id, *values, to_micros(forget_before))

    async def parts(self, import_id: str) -> list[Part]:
        return [_part(row) for row in (await self._read(_PARTS, import_id, None)).rows]


def _stored(row: tuple[Any, ...]) -> Stored:
    memory_id, version, created, updated, *_ = row
    return Stored(memory_id, version, from_micros(created), from_micros(updated))


def _stored_or_not(row: tuple[Any, ...]) -> Stored | NoRoom | Taken:
    if row[4] is None:
        return _stored(row)
    return left_out(row[0], row[4])


def _part(row: tuple[Any, ...]) -> Part:
    number, fingerprint, answer, at = row
    return Part(number, fingerprint, answer, from_micros(at))
