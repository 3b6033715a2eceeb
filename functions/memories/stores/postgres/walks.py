"""Relationships: what is related, the way between two memories, history, changes (0006_relationship_reading.sql)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from memories.graph.model import (
    ChangesPosition,
    ContextSearch,
    EdgeChangesSince,
    History,
    Path,
    Related,
    Relationship,
)
from memories.graph.ports import UnknownEnds
from memories.model import Author, Version
from memories.stores.postgres.base import READ, Part, like_patterns, micros_or_none, to_json
from memories.stores.rows import MEMORY_COLUMNS, PAGE_BYTES, from_micros, to_memory, to_micros, to_relationship

# ruff: noqa: S608 - what is put into SQL here are calls of our own, never values

_RELATED = f"SELECT known, depth, (hit).*, (edge).* FROM memory.related({READ}, %s, %s::text[], %s, %s, %s, %s)"
_PATH = f"SELECT start_known, finish_known, (step).*, (edge).* FROM memory.path({READ}, %s, %s, %s::text[], %s, %s)"
_HISTORY = f"""
SELECT part, count, title, at, by_key, by_account, by_agent, (edge).*
FROM memory.history({READ}, %s, %s::text[], %s, %s, %s)
"""
_CHANGES = f"SELECT part, (edge).* FROM memory.changes({READ}, %s, %s, %s::jsonb, %s)"
_SEARCH_CONTEXT = f"SELECT * FROM memory.search_context({READ}, %s::jsonb, %s)"

_WIDTH = len(MEMORY_COLUMNS)


class Walks(Part):
    """The other part of `memories.graph.ports.GraphStore`."""

    async def related(
        self, memory_id: str, types: Collection[str], depth: int, limit: int, as_of: datetime | None = None
    ) -> list[Related] | None:
        answer = await self._read(_RELATED, memory_id, _chosen(types), depth, limit, micros_or_none(as_of), PAGE_BYTES)
        if not answer.rows[0][0]:
            return None
        return [
            Related(to_memory(row[2 : 2 + _WIDTH]), to_relationship(row[2 + _WIDTH :]), row[1])
            for row in answer.rows
            if row[1] is not None
        ]

    async def path(
        self, start: str, end: str, types: Collection[str], depth: int, as_of: datetime | None = None
    ) -> Path | UnknownEnds | None:
        rows = (await self._read(_PATH, start, end, _chosen(types), depth, micros_or_none(as_of))).rows
        unknown = [one for one, known in zip((start, end), rows[0][:2], strict=True) if not known]
        if unknown:
            return UnknownEnds(tuple(dict.fromkeys(unknown)))
        if rows[0][2] is None:
            return None
        memories = [to_memory(row[2 : 2 + _WIDTH]) for row in rows]
        return Path(memories, [to_relationship(row[2 + _WIDTH :]) for row in rows[:-1]])

    async def history(self, memory_id: str, types: Collection[str], *, limit: int, offset: int) -> History | None:
        rows = (await self._read(_HISTORY, memory_id, _chosen(types), limit, offset, PAGE_BYTES)).rows
        if not rows:
            return None
        parts: tuple[list[tuple[Any, ...]], ...] = ([], [], [])
        for part, *row in rows:
            parts[part].append(tuple(row))
        [(total, *_)], states, edges = parts
        return History(_versions(states), [to_relationship(row[6:]) for row in edges if row[6] is not None], total)

    async def changes(self, since: datetime, limit: int, after: ChangesPosition | None = None) -> EdgeChangesSince:
        rows = (await self._read(_CHANGES, to_micros(since), limit, _after(after), PAGE_BYTES)).rows
        recorded, invalidated = ([row[1:] for row in rows if row[0] == part] for part in (0, 1))
        first, second = _fitting(recorded[:limit]), _fitting(invalidated[:limit])
        return EdgeChangesSince(first, second, len(recorded) > len(first), len(invalidated) > len(second))

    async def search_context(self, search: ContextSearch) -> list[Relationship]:
        wanted: dict[str, object] = {
            "scope": search.scope,
            "temporal": None if search.temporal is None else like_patterns([search.temporal])[0],
            "has_evidence": search.has_evidence,
            "types": _chosen(search.types),
            "most": search.limit,
        }
        for name in ("components", "conditions", "evidence", "exceptions"):
            wanted[name] = like_patterns(getattr(search, name)) or None
        return _fitting((await self._read(_SEARCH_CONTEXT, to_json(wanted), PAGE_BYTES)).rows)


def _chosen(types: Collection[str]) -> list[str] | None:
    return list(types) or None


def _after(position: ChangesPosition | None) -> str | None:
    """JSON that names only the lists that go on."""
    if position is None:
        return None
    parts = {"recorded": position.recorded, "ended": position.invalidated}
    return to_json({part: {"at": to_micros(one.at), "id": one.id} for part, one in parts.items() if one is not None})


def _fitting(rows: Sequence[tuple[Any, ...]]) -> list[Relationship]:
    """Without those for which the page has no room."""
    return [to_relationship(row) for row in rows if row[0] is not None]


def _versions(rows: Sequence[tuple[Any, ...]]) -> list[Version]:
    """From the newest state to the oldest: each holds until the next one began. Those without a title are not shown."""
    begun = [from_micros(row[2]) for row in rows]
    return [
        Version(row[0], row[1], valid_from, valid_until, Author(*row[3:6]))
        for row, valid_from, valid_until in zip(rows, begun, [None, *begun[:-1]], strict=True)
        if row[1] is not None
    ]
