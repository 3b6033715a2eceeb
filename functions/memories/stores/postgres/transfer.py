"""Many memories and relationships at once (0007_transfer_operations.sql)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from core.once import Once
from memories.graph.model import Relationship
from memories.model import Author, Memory
from memories.stores.postgres import base
from memories.stores.postgres.base import memory_columns, once_json, relationship_columns, to_json
from memories.stores.rows import (
    MEMORY_COLUMNS,
    PAGE_BYTES,
    from_micros,
    to_memory,
    to_micros,
    to_relationship,
)
from memories.transfer.model import ExportPage, Kind, Outcome, Part, Place, Stored, Totals

_PUT_MANY = "SELECT * FROM memory.put_many(%s, %s::jsonb, %s::jsonb)"
_EXPORT_PAGE = "SELECT following, (hit).*, (edge).* FROM memory.export_page(%s, %s, %s, %s, %s, %s)"
_TOTALS = "SELECT * FROM memory.totals(%s)"
_IMPORT_MEMORIES = "SELECT * FROM memory.import_memories(%s, %s::jsonb)"
_IMPORT_RELATIONSHIPS = "SELECT memory.import_relationships(%s, %s::jsonb, %s)"
_PARTS = "SELECT * FROM memory.parts(%s, %s, %s)"
_FINISH_PART = "SELECT memory.finish_part(%s, %s, %s, %s, %s, %s, %s)"

_WIDTH = len(MEMORY_COLUMNS)


class Transfers(base.Part):
    """`memories.transfer.ports.TransferStore`."""

    async def put_many(self, memories: Sequence[Memory], author: Author, once: Once | None = None) -> list[Stored]:
        rows = to_json([memory_columns(memory, author) for memory in memories])
        answer = await self._ask(_PUT_MANY, rows, once_json(once))
        return [Stored(row[0], row[1], from_micros(row[2]), from_micros(row[3])) for row in answer.rows]

    async def export_page(self, place: Place, *, limit: int, current: bool) -> ExportPage:
        first = place.id if place.kind is Kind.MEMORY else None
        behind = place.id if place.kind is Kind.RELATIONSHIP else ""
        answer = await self._ask(_EXPORT_PAGE, first, behind, limit, current, PAGE_BYTES)
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
        return Totals(*(await self._ask(_TOTALS)).rows[0])

    async def import_memories(self, memories: Sequence[Memory], author: Author) -> list[Outcome]:
        rows = [{**memory_columns(memory, author), "version": memory.version} for memory in memories]
        stored = dict((await self._ask(_IMPORT_MEMORIES, to_json(rows))).rows)
        outcomes = {None: Outcome.UNCHANGED, True: Outcome.CREATED, False: Outcome.UPDATED}
        return [outcomes[stored.get(memory.id)] for memory in memories]

    async def import_relationships(
        self, relationships: Sequence[Relationship], author: Author, *, timeless: bool
    ) -> list[Outcome]:
        rows = to_json([relationship_columns(relationship, author) for relationship in relationships])
        [(outcomes,)] = (await self._ask(_IMPORT_RELATIONSHIPS, rows, timeless)).rows
        return [Outcome(outcome) for outcome in outcomes]

    async def part(self, import_id: str, number: int) -> Part | None:
        rows = (await self._ask(_PARTS, import_id, number)).rows
        return _part(rows[0]) if rows else None

    async def finish_part(self, import_id: str, part: Part, *, forget_before: datetime) -> None:
        values = (part.number, part.fingerprint, part.answer, to_micros(part.at))
        await self._ask(_FINISH_PART, import_id, *values, to_micros(forget_before))

    async def parts(self, import_id: str) -> list[Part]:
        return [_part(row) for row in (await self._ask(_PARTS, import_id, None)).rows]


def _part(row: tuple[Any, ...]) -> Part:
    number, fingerprint, answer, at = row
    return Part(number, fingerprint, answer, from_micros(at))
