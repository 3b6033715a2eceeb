"""Single memories, and figures over all of them (0003_memory_operations.sql)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from core.once import Once
from memories.model import (
    Activity,
    Author,
    Changes,
    Memory,
    MemoryType,
    Mismatch,
    Revision,
    Statistics,
)
from memories.ports import OtherProject
from memories.relationship_types import RESOLVING
from memories.stores.postgres.base import (
    READ,
    WRITE,
    Part,
    changed_columns,
    changed_from,
    expected_arrays,
    memory_columns,
    mismatch,
    once_json,
    to_json,
)
from memories.stores.rows import PAGE_BYTES, author_values, to_memory, to_micros

# ruff: noqa: S608 - what is put into SQL here are calls of our own, never values

_PUT = f"SELECT * FROM memory.put({WRITE}, %s::jsonb, %s::jsonb)"
_READ = f"SELECT (hit).*, by_key, by_account, by_agent FROM memory.read({READ}, %s, %s)"
_CHANGE = f"""
SELECT current_version, current_at, (changed).* FROM memory.change({WRITE}, %s, %s::jsonb, %s::bigint[], %s::bigint[])
"""
_REMOVE = f"SELECT * FROM memory.remove({WRITE}, %s, %s::bigint[], %s::bigint[])"
_RECENT = f"SELECT part, count, (hit).* FROM memory.recent({READ}, %s, %s, %s, %s, %s::text[], %s::text[], %s)"
_STATISTICS = f"SELECT type, memories, importance, confidence, relationships FROM memory.statistics({READ})"

_PROBLEMS = [str(MemoryType.PROBLEM), str(MemoryType.ERROR)]
_RESOLVING = [str(one) for one in RESOLVING]


class Memories(Part):
    """`memories.ports.MemoryStore` without `search`."""

    async def put(self, memory: Memory, author: Author, once: Once | None = None) -> Memory:
        self._check_project(memory.context)
        try:
            answer = await self._write(_PUT, to_json(memory_columns(memory, author)), once_json(once))
        except OtherProject:
            raise OtherProject(memory.id) from None
        return to_memory(answer.rows[0])

    async def get(self, memory_id: str) -> Memory | None:
        rows = (await self._read(_READ, memory_id, None)).rows
        return to_memory(rows[0]) if rows else None

    async def get_as_of(self, memory_id: str, at: datetime) -> Memory | None:
        rows = (await self._read(_READ, memory_id, to_micros(at))).rows
        return to_memory(rows[0]) if rows else None

    async def update(
        self,
        memory_id: str,
        changes: Changes,
        at: datetime,
        author: Author,
        expected: Sequence[Revision] | None = None,
    ) -> Memory | Mismatch | None:
        if "context" in changes.values:
            self._check_project(changes.values["context"])
        values = {
            **changed_columns(changes.values),
            "updated_at": to_micros(at),
            **author_values(author, "updated"),
        }
        answer = await self._write(_CHANGE, memory_id, to_json(values), *expected_arrays(expected))
        if not answer.rows:
            return None
        version, updated_at, *row = answer.rows[0]
        if row[0] is not None:
            return to_memory(row)
        if answer.repeated and changed_from(expected, at, version, updated_at):  # the first time has changed it
            return await self.get(memory_id)
        return mismatch(version, updated_at)

    async def delete(self, memory_id: str, expected: Sequence[Revision] | None = None) -> bool | Mismatch:
        answer = await self._write(_REMOVE, memory_id, *expected_arrays(expected))
        known, version, updated_at = answer.rows[0]
        if version is not None:
            return mismatch(version, updated_at)
        return bool(known) or answer.repeated  # then the first time may have deleted it

    async def recent(self, since: datetime, project: str | None, *, newest: int, unresolved: int) -> Activity:
        answer = await self._read(
            _RECENT, to_micros(since), project, newest, unresolved, _PROBLEMS, _RESOLVING, PAGE_BYTES
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
        (_, _, importance, confidence, relationships), *kinds = (await self._read(_STATISTICS)).rows
        return Statistics({row[0]: row[1] for row in kinds}, relationships, importance, confidence)
