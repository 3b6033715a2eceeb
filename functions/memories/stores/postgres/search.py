"""Search (0004_search.sql)."""

from __future__ import annotations

import orjson

from memories.model import NEIGHBOURS_MOST, TOTAL_MOST, Hit, Neighbour, Page, Position, Search
from memories.relationship_types import RelationshipType
from memories.stores.postgres.base import READ, Part, array, like_patterns, micros_or_none, title_key, to_json
from memories.stores.rows import PAGE_BYTES, to_memory, to_micros
from memories.text import fold

# ruff: noqa: S608 - what is put into SQL here are calls of our own, never values

_SEARCH = f"SELECT total, picked, neighbours, (hit).* FROM memory.search({READ}, %s::jsonb, %s, %s)"

_TYPES = {type_.value: type_ for type_ in RelationshipType}
"""Sooner than to ask the enumeration, of which a page has a thousand."""


class Searches(Part):
    """`memories.ports.MemoryStore.search`."""

    async def search(self, search: Search) -> Page | None:
        rows = (await self._read(_SEARCH, to_json(wanted(search)), PAGE_BYTES, NEIGHBOURS_MOST)).rows
        if not rows:
            return None
        total, picked = rows[0][:2]
        hits = [Hit(to_memory(row[3:]), _neighbours(row[2])) for row in rows if row[3] is not None]
        return Page(hits, total, more=picked > len(hits))


def wanted(search: Search) -> dict[str, object]:
    """`memory.wanted`, without the fields that filter nothing."""
    # The index of texts serves one group of needles: the longest ones, which are the rarest.
    groups = sorted(search.needles, key=lambda needles: min(map(len, needles)), reverse=True)
    tags = [fold(tag) for tag in search.tags]
    found: dict[str, object] = {
        "needles": like_patterns(groups[0]) if groups else None,
        "texts": [array(like_patterns(needles)) for needles in groups[1:]],
        "types": search.types,
        "every_tag" if search.every_tag else "any_tag": tags,
        "project": search.project,
        "languages": search.languages,
        "frameworks": search.frameworks,
        "edges": search.relationship_types,
        "min_importance": search.min_importance,
        "min_confidence": search.min_confidence,
        "created_after": micros_or_none(search.created_after),
        "created_before": micros_or_none(search.created_before),
    }
    found = {name: value for name, value in found.items() if value not in (None, [], ())}
    found |= {"exact": search.exact, "most": search.limit + 1, "skipped": search.offset, "count_most": TOTAL_MOST}
    if search.exact:
        found["exact_key"] = title_key(search.exact)
    if search.near is not None:
        found |= {"near": search.near.memory_id, "depth": search.near.depth}
        found |= {"near_edges": search.near.types} if search.near.types else {}
    if search.after is not None:
        found |= _after(search.after)
    return found


def _after(position: Position) -> dict[str, object]:
    return {
        "skipped": 0,
        "after_exact": position.exact,
        "after_importance": position.importance,
        "after_at": to_micros(position.created_at),
        "after_id": position.id,
    }


def _neighbours(listed: str | None) -> tuple[Neighbour, ...]:
    if listed is None:
        return ()
    return tuple(Neighbour(_TYPES[type_], title, outgoing) for type_, title, outgoing in orjson.loads(listed))
