"""Reading relationships in SQLite: what is related, the way between two memories, history and changes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import cast

from core.ports import SqlValue, Statement
from memories.graph.model import (
    ChangesPosition,
    ContextSearch,
    EdgeChangesSince,
    EdgePosition,
    History,
    Path,
    Related,
    Relationship,
)
from memories.graph.ports import UnknownEnds
from memories.model import Author, Memory, Version
from memories.stores.rows import PAGE_BYTES, Row, from_micros, to_memory, to_micros, to_relationship
from memories.stores.sqlite.base import (
    CURRENT,
    MEMORY,
    MEMORY_SIZE,
    RELATIONSHIP,
    RELATIONSHIP_SIZE,
    WIDTH,
    Operations,
    edges,
    json,
    levels,
    taken,
)
from memories.stores.sqlite.sight import KNOWN

# ruff: noqa: S608 - what is put into SQL here are names of our own columns and numbers of arguments, never values

_HELD = "r.valid_from <= ?4 AND (r.valid_until IS NULL OR r.valid_until > ?4)"
_OTHER_END = "CASE r.from_id WHEN {0}.id THEN r.to_id ELSE r.from_id END"
_BEST = "r.strength DESC, r.created_at DESC, r.id"


def _walk(followed: str, goal: str | None = None) -> str:
    """?1 start, ?2 depth, ?3 types (JSON, or null for all), ?4 as of (or null): who is how near to the start."""
    return f"""
  WITH RECURSIVE {levels("?1", "?2", followed, goal)}, nearest (id, depth) AS MATERIALIZED (
    SELECT reached.value, levels.depth FROM levels CROSS JOIN json_each(levels.ids) reached
  )"""


def _followed(types: Collection[str], as_of: datetime | None) -> str:
    held = f"?4 IS NULL AND {CURRENT}" if as_of is None else _HELD
    chosen = "r.type IN (SELECT value FROM json_each(?3))" if types else "?3 IS NULL"
    return f"{held} AND {chosen}"


def _related(followed: str) -> str:
    """Further arguments: ?5 limit, ?6 bytes. Relationships are looked for at the nearer of two memories: most memories
    are often on the last level, from which none leads on."""
    crossing = f"""
    SELECT r.{{far}} AS id, here.depth + 1 AS depth, r.id AS edge, r.strength, r.created_at
    FROM nearest here CROSS JOIN relationships r ON r.{{near}} = here.id
    WHERE here.depth < (SELECT max(depth) FROM nearest) AND {followed}"""
    return f"""{_walk(followed)}, crossing AS ({crossing.format(near="from_id", far="to_id")}
    UNION ALL {crossing.format(near="to_id", far="from_id")}
  ), edges AS (
    SELECT r.id, r.depth, r.edge, r.strength,
           row_number() OVER (PARTITION BY r.id ORDER BY r.strength DESC, r.created_at DESC, r.edge) AS choice
    FROM crossing r JOIN nearest ON nearest.id = r.id AND nearest.depth = r.depth
  ), picked AS (
    SELECT edges.id, edges.depth, edges.edge,
           row_number() OVER (ORDER BY edges.strength DESC, m.importance DESC, m.created_at DESC, m.id) AS place
    FROM edges JOIN memories m ON m.id = edges.id
    WHERE edges.choice = 1
    ORDER BY place LIMIT ?5
  ), sized AS (
    SELECT picked.*, {RELATIONSHIP_SIZE} + {MEMORY_SIZE} AS size
    FROM picked JOIN memories m ON m.id = picked.id JOIN relationships r ON r.id = picked.edge
  )
  SELECT start.known, reached.depth, {MEMORY}, {RELATIONSHIP}
  FROM (SELECT {KNOWN.format("?1")} AS known) start
  LEFT JOIN (SELECT *, sum(size) OVER (ORDER BY place) - size AS before FROM sized) reached ON reached.before < ?6
  LEFT JOIN memories m ON m.id = reached.id
  LEFT JOIN relationships r ON r.id = reached.edge
  ORDER BY reached.place"""


def _path(followed: str) -> str:
    """Further arguments: ?5 end, ?6 bytes. Walks from the start until it is there, then back from the end. Of a memory
    for which the others leave no room, the id alone is given."""
    return f"""{_walk(followed, goal="?5")}, back (id, depth, edge) AS (
    SELECT id, depth, NULL FROM nearest WHERE id = ?5
    UNION ALL
    SELECT {_OTHER_END.format("back")}, back.depth - 1, r.id
    FROM back JOIN relationships r ON r.id = (
      SELECT r.id FROM relationships r
      JOIN nearest earlier ON earlier.id = {_OTHER_END.format("back")} AND earlier.depth = back.depth - 1
      WHERE (r.from_id = back.id OR r.to_id = back.id) AND {followed}
      ORDER BY {_BEST} LIMIT 1
    )
  )
  SELECT ends.start_known, ends.end_known, way.id, {MEMORY}, {RELATIONSHIP}
  FROM (SELECT {KNOWN.format("?1")} AS start_known, {KNOWN.format("?5")} AS end_known) ends
  LEFT JOIN (
    SELECT back.*, sum({MEMORY_SIZE}) OVER (ORDER BY back.depth) - {MEMORY_SIZE} AS before
    FROM back JOIN memories m ON m.id = back.id
  ) way
  LEFT JOIN memories m ON m.id = way.id AND way.before < ?6
  LEFT JOIN relationships r ON r.id = way.edge
  ORDER BY way.depth"""


_STATE = "version, title, updated_at, updated_by_key, updated_by_account, updated_by_agent"
_STATES = f"""
  SELECT {_STATE}, TRUE FROM memories WHERE id = ?1
  UNION ALL
  SELECT * FROM (
    SELECT {_STATE}, ?2 IS NULL OR coalesce(json_extract(context, '$.project_path') = ?2, FALSE) FROM memory_versions
    WHERE id = ?1 AND {KNOWN.format("?1")} ORDER BY version DESC
  )"""
"""And whether each was of project ?2 (null: of any)."""

_OF_ONE = "(r.from_id = ?1 OR r.to_id = ?1) AND (?2 IS NULL OR r.type IN (SELECT value FROM json_each(?2)))"
_HISTORY = edges(_OF_ONE, "r.valid_from, r.created_at, r.id", "?3", "?4", "?5")
_HISTORY_TOTAL = f"SELECT count(*) FROM relationships r WHERE {_OF_ONE}"


def _changed(since: datetime, limit: int, moment: str, after: EdgePosition | None) -> Statement:
    """A page of the relationships whose `moment` (a column) is `since` or later."""
    args: tuple[SqlValue, ...] = (to_micros(since), limit + 1, PAGE_BYTES)
    condition = f"r.{moment} >= ?1"
    if after is not None:
        condition += f" AND (r.{moment} < ?4 OR (r.{moment} = ?4 AND r.id > ?5))"
        args = (*args, to_micros(after.at), after.id)
    return Statement(edges(condition, f"r.{moment} DESC, r.id", "?2", "?3"), args)


class WalkOperations(Operations):
    """See `graph.ports.GraphStore`."""

    async def related(
        self, memory_id: str, types: Collection[str], depth: int, limit: int, as_of: datetime | None = None
    ) -> list[Related] | None:
        args = (*_walk_arguments(memory_id, types, depth, as_of), limit, PAGE_BYTES)
        [found] = await self._read(Statement(_related(_followed(types, as_of)), args))
        if not found.rows[0][0]:
            return None
        return [
            Related(to_memory(row[2 : 2 + WIDTH]), to_relationship(row[2 + WIDTH :]), cast(int, row[1]))
            for row in found.rows
            if row[1] is not None
        ]

    async def path(
        self, start: str, end: str, types: Collection[str], depth: int, as_of: datetime | None = None
    ) -> Path | UnknownEnds | None:
        args = (*_walk_arguments(start, types, depth, as_of), end, PAGE_BYTES)
        [found] = await self._read(Statement(_path(_followed(types, as_of)), args))
        unknown = [one for one, known in zip((start, end), found.rows[0][:2], strict=True) if not known]
        if unknown:
            return UnknownEnds(tuple(dict.fromkeys(unknown)))
        if found.rows[0][2] is None:
            return None
        memories = []
        for row in found.rows:
            # Each that the answer had no room for by itself: few are so large.
            memory = to_memory(row[3 : 3 + WIDTH]) if row[3] is not None else await self._one(cast(str, row[2]))
            if memory is None:  # it was removed in this moment
                return None
            memories.append(memory)
        return Path(memories, [to_relationship(row[3 + WIDTH :]) for row in found.rows[:-1]])

    async def _one(self, memory_id: str) -> Memory | None:
        [found] = await self._read(Statement(f"SELECT {MEMORY} FROM memories m WHERE m.id = ?", (memory_id,)))
        return to_memory(found.rows[0]) if found.rows else None

    async def history(self, memory_id: str, types: Collection[str], *, limit: int, offset: int) -> History | None:
        chosen = (memory_id, _json_or_none(types))
        states, page, total = await self._read(
            Statement(_STATES, (memory_id, self._sight.project)),
            Statement(_HISTORY, (*chosen, limit, PAGE_BYTES, offset)),
            Statement(_HISTORY_TOTAL, chosen),
        )
        if not states.rows:
            return None
        relationships, _ = taken(page.rows, limit)
        return History(
            _versions(states.rows), [to_relationship(row) for row in relationships], cast(int, total.rows[0][0])
        )

    async def changes(self, since: datetime, limit: int, after: ChangesPosition | None = None) -> EdgeChangesSince:
        # Both may fill an answer, which has room for twice a page.
        asked = []
        if after is None or after.recorded:
            asked.append(_changed(since, limit, "recorded_at", after.recorded if after else None))
        if after is None or after.invalidated:
            asked.append(_changed(since, limit, "valid_until", after.invalidated if after else None))
        pages = [taken(page.rows, limit) for page in (await self._read(*asked) if asked else ())]
        at_end: tuple[list[Row], bool] = [], False
        recorded, more_recorded = pages.pop(0) if after is None or after.recorded else at_end
        invalidated, more_invalidated = pages.pop(0) if pages else at_end
        return EdgeChangesSince(
            [to_relationship(row) for row in recorded],
            [to_relationship(row) for row in invalidated],
            more_recorded,
            more_invalidated,
        )

    async def search_context(self, search: ContextSearch) -> list[Relationship]:
        args: list[SqlValue] = [search.limit, PAGE_BYTES]
        conditions = [CURRENT]

        def add(condition: str, value: SqlValue) -> None:
            args.append(value)
            conditions.append(condition.format(f"?{len(args)}"))

        if search.types:
            add("r.type IN (SELECT value FROM json_each({}))", json(search.types))
        if search.scope is not None:
            add("json_extract(r.structure, '$.scope') = {}", search.scope)
        if search.temporal is not None:
            add("instr(json_extract(r.structure, '$.temporal'), {})", search.temporal)
        for name in ("components", "conditions", "evidence", "exceptions"):
            wanted: tuple[str, ...] = getattr(search, name)
            if wanted:
                had = f"json_each(r.structure, '$.{name}') had"
                add(
                    f"EXISTS (SELECT 1 FROM {had}, json_each({{}}) wanted WHERE instr(had.value, wanted.value))",
                    json(wanted),
                )
        if search.has_evidence is not None:
            add("(json_array_length(r.structure, '$.evidence') > 0) = {}", search.has_evidence)
        [found] = await self._read(Statement(edges(" AND ".join(conditions), _BEST, "?1", "?2"), tuple(args)))
        return [to_relationship(row) for row in taken(found.rows, search.limit)[0]]


def _walk_arguments(
    start: str, types: Collection[str], depth: int, as_of: datetime | None
) -> tuple[SqlValue, SqlValue, SqlValue, SqlValue]:
    return start, depth, _json_or_none(types), None if as_of is None else to_micros(as_of)


def _json_or_none(types: Collection[str]) -> str | None:
    return json(list(types)) if types else None


def _versions(rows: list[tuple[SqlValue, ...]]) -> list[Version]:
    """From the newest state to the oldest: each holds until the next one began. Some are not shown."""
    begun = [from_micros(row[2]) for row in rows]
    ends = [None, *begun]
    return [
        Version(
            cast(int, row[0]),
            cast(str, row[1]),
            valid_from,
            valid_until,
            Author(*cast("tuple[str, str, str]", row[3:6])),
        )
        for row, valid_from, valid_until in zip(rows, begun, ends[:-1], strict=True)
        if row[6]
    ]
