"""Searching the memories of one SQLite database: one statement, however much is asked for.

Plain scans, one to count and one for the page: for so few memories SQLite takes longer to prepare a statement than to
run it, and what looks cleverer (one scan into a CTE, row numbers) took twice as long in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import orjson

from core.ports import SqlValue, Statement
from memories.model import NEIGHBOURS_MOST, TOTAL_MOST, Hit, Neighbour, Page, Position, Search
from memories.relationship_types import RelationshipType
from memories.stores.rows import PAGE_BYTES, to_memory, to_micros
from memories.stores.sqlite.base import CURRENT, MEMORY, MEMORY_SIZE, Operations, json, levels
from memories.text import fold

# ruff: noqa: S608 - what is put into SQL here are names of our own columns and numbers of arguments, never values

NEEDLES_IN_LINE = 20

_IN_A_MEMORY = "instr(m.folded_title, {0}) OR instr(m.folded_summary, {0}) OR instr(m.folded_content, {0})"
_NEIGHBOURS = f"""(
    SELECT json_group_array(json_array(type, title, outgoing)) FROM (
      SELECT r.type, other.title, r.from_id = m.id AS outgoing
      FROM relationships r JOIN memories other ON other.id = CASE r.from_id WHEN m.id THEN r.to_id ELSE r.from_id END
      WHERE (r.from_id = m.id OR r.to_id = m.id) AND {CURRENT}
      ORDER BY r.strength DESC, r.created_at DESC, r.id LIMIT {NEIGHBOURS_MOST}
    ))"""
"""Of `memories m`. About 3 us for each neighbour; grouping those of the whole page at once took as long."""


class SearchOperations(Operations):
    """See `ports.MemoryStore`."""

    async def search(self, search: Search) -> Page | None:
        [found] = await self._read(statement(search, PAGE_BYTES))
        total, known = found.rows[0][:2]  # this row is there even when there is no memory beside it
        if not known:
            return None
        picked = [row[2:] for row in found.rows if row[2] is not None]
        hits = [
            Hit(to_memory(row[2:]), _neighbours(cast(str, row[1])))
            for row in picked[: search.limit]
            if row[2] is not None  # else those before it fill the page
        ]
        return Page(hits, cast(int, total), more=len(picked) > len(hits))


def statement(search: Search, page_bytes: int) -> Statement:
    """One row for each memory that was picked for the page, and for one more; the total alone when there is none.

    Columns: the total, whether the start is known, id, neighbours, and those of the memory, which are null when the
    memories before it fill the page.
    """
    where = _Where()
    known, near = "TRUE", ""
    if search.near is not None:
        start = where.argument(search.near.memory_id)
        followed = CURRENT
        if search.near.types:
            followed += f" AND r.type IN (SELECT value FROM json_each({where.argument(json(search.near.types))}))"
        walk = levels(start, where.argument(search.near.depth), followed)
        near = f"WITH RECURSIVE {walk}, near (id) AS MATERIALIZED (SELECT value FROM levels, json_each(levels.ids))"
        known = f"EXISTS (SELECT 1 FROM memories WHERE id = {start})"
        where.add(f"m.id IN (SELECT id FROM near) AND m.id <> {start}")
    _filter(where, search)
    exact = f"m.folded_title = {where.argument(search.exact)}" if search.exact else "FALSE"
    counted = f"SELECT 1 FROM memories m WHERE {where.text} LIMIT {TOTAL_MOST}"
    if search.after is not None:
        _begin_after(where, exact, search.after)
    first = "exact DESC, " if search.exact else ""  # without it the index on the rest of the order serves
    order = f"{first}importance DESC, created_at DESC, id"
    offset = 0 if search.after is not None else search.offset
    sql = f"""{near}
      SELECT counted.total, {known}, page.id, page.neighbours, {MEMORY}
      FROM (SELECT count(*) AS total FROM ({counted})) counted
      LEFT JOIN (
        SELECT *, sum(size + length(CAST(neighbours AS BLOB))) OVER (ORDER BY {order}) - size AS before
        FROM (
          SELECT found.*, {MEMORY_SIZE} AS size, {_NEIGHBOURS} AS neighbours
          FROM (
            SELECT m.id, m.importance, m.created_at, {exact} AS exact
            FROM memories m WHERE {where.text}
            ORDER BY {order} LIMIT {where.argument(search.limit + 1)} OFFSET {where.argument(offset)}
          ) found JOIN memories m ON m.id = found.id
        )
      ) page
      LEFT JOIN memories m ON m.id = page.id AND page.before < {where.argument(page_bytes)}
      ORDER BY page.exact DESC, page.importance DESC, page.created_at DESC, page.id"""
    return Statement(sql, tuple(where.arguments))


class _Where:
    """Conditions and their arguments, by place."""

    def __init__(self) -> None:
        self.arguments: list[SqlValue] = []
        self._conditions: list[str] = []

    def argument(self, value: SqlValue) -> str:
        self.arguments.append(value)
        return f"?{len(self.arguments)}"

    def add(self, condition: str, *values: SqlValue) -> None:
        """A condition; each {} in it stands for the next of `values`."""
        self._conditions.append(condition.format(*(self.argument(value) for value in values)))

    def add_any_of(self, needles: Sequence[str]) -> None:
        """One of `needles` occurs in a memory. Many of them are a list in one argument: SQLite bounds expressions."""
        if len(needles) > NEEDLES_IN_LINE:
            found = _IN_A_MEMORY.format("needle.value")
            self.add(f"EXISTS (SELECT 1 FROM json_each({{}}) needle WHERE {found})", json(needles))
        else:
            self.add(f"({' OR '.join(_IN_A_MEMORY.format(self.argument(needle)) for needle in needles)})")

    def add_shared(self, column: str, wanted: Sequence[str]) -> None:
        """A column's list has one of `wanted`."""
        self.add(
            f"EXISTS (SELECT 1 FROM json_each(m.{column}) WHERE value IN (SELECT value FROM json_each({{}})))",
            json(wanted),
        )

    @property
    def text(self) -> str:
        return " AND ".join(self._conditions) or "TRUE"


def _filter(where: _Where, search: Search) -> None:
    for needles in search.needles:
        where.add_any_of(needles)
    if search.types:
        where.add("m.type IN (SELECT value FROM json_each({}))", json(search.types))
    tags = [fold(tag) for tag in search.tags]
    if tags and search.every_tag:
        missing = "SELECT value FROM json_each({}) EXCEPT SELECT value FROM json_each(m.folded_tags)"
        where.add(f"NOT EXISTS ({missing})", json(tags))
    elif tags:
        where.add_shared("folded_tags", tags)
    if search.project is not None:
        where.add("m.project_path = {}", search.project)
    if search.languages:
        where.add_shared("folded_languages", search.languages)
    if search.frameworks:
        where.add_shared("folded_frameworks", search.frameworks)
    if search.relationship_types:
        chosen = (
            f"{CURRENT} AND r.type IN (SELECT value FROM json_each({where.argument(json(search.relationship_types))}))"
        )
        where.add(
            f"m.id IN (SELECT r.from_id FROM relationships r WHERE {chosen} "
            f"UNION ALL SELECT r.to_id FROM relationships r WHERE {chosen})"
        )
    if search.min_importance is not None:
        where.add("m.importance >= {}", float(search.min_importance))
    if search.min_confidence is not None:
        where.add("m.confidence >= {}", float(search.min_confidence))
    if search.created_after is not None:
        where.add("m.created_at >= {}", to_micros(search.created_after))
    if search.created_before is not None:
        where.add("m.created_at <= {}", to_micros(search.created_before))


def _begin_after(where: _Where, exact: str, after: Position) -> None:
    """What comes after a place in the order; `exact` is 1 or 0 for each row."""
    place = [int(after.exact), float(after.importance), to_micros(after.created_at)]
    values = ", ".join(where.argument(value) for value in place)
    ranked = f"({exact}, m.importance, m.created_at)"
    where.add(f"({ranked} < ({values}) OR ({ranked} = ({values}) AND m.id > {where.argument(after.id)}))")


def _neighbours(text: str) -> tuple[Neighbour, ...]:
    found = orjson.loads(text)
    return tuple(Neighbour(RelationshipType(type_), title, bool(outgoing)) for type_, title, outgoing in found)
