"""The SQL of the SQLite store that is more than one line. Arguments are named by place (?1) and listed with each.

A page of memories is cut by `_cut`: it ends when the texts before a row already reach so many bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from core.ports import SqlValue, Statement
from memories.model import Search
from memories.stores.rows import MEMORY_COLUMNS, RELATIONSHIP_COLUMNS, columns, to_micros
from memories.text import fold

# ruff: noqa: S608 - what is put into SQL here are names of our own columns and numbers of arguments, never values

_MEMORY = columns(MEMORY_COLUMNS, "m")
_RELATIONSHIP = columns(RELATIONSHIP_COLUMNS, "r")
_SIZE = "length(CAST(m.content AS BLOB)) + coalesce(length(CAST(m.context AS BLOB)), 0)"

_IN_A_MEMORY = "instr(m.folded_title, {0}) OR instr(m.folded_summary, {0}) OR instr(m.folded_content, {0})"
NEEDLES_IN_LINE = 20

GET = f"SELECT {columns(MEMORY_COLUMNS)} FROM memories WHERE id = ?"


def _cut(picked: str, limit: str) -> str:
    """`picked` (a query of `id` and `place`, in order) with `before`: the bytes of the memories before each."""
    return f"""
      SELECT picked.*, sum({_SIZE}) OVER (ORDER BY place) - ({_SIZE}) < {limit} AS fits
      FROM ({picked}) picked JOIN memories m ON m.id = picked.id"""


def search(search: Search, page_bytes: int) -> Statement:
    """One row for each memory of the page, headed by the total; one row with the total alone when the page is empty.

    Two plain scans, one to count and one for the page: for so few memories SQLite takes longer to prepare a statement
    than to run it, and what looks cleverer (one scan into a CTE, row numbers) took twice as long in all.
    """
    where = _Where()
    for needles in search.needles:
        where.add_any_of(needles)
    if search.types:
        where.add("m.type IN (SELECT value FROM json_each({}))", _json(search.types))
    if search.tags:
        wanted = _json([fold(tag) for tag in search.tags])
        if search.every_tag:
            missing = "SELECT value FROM json_each({}) EXCEPT SELECT value FROM json_each(m.folded_tags)"
            where.add(f"NOT EXISTS ({missing})", wanted)
        else:
            where.add(
                "EXISTS (SELECT 1 FROM json_each(m.folded_tags) WHERE value IN (SELECT value FROM json_each({})))",
                wanted,
            )
    if search.project is not None:
        where.add("m.project_path = {}", search.project)
    if search.min_importance is not None:
        where.add("m.importance >= {}", float(search.min_importance))
    if search.min_confidence is not None:
        where.add("m.confidence >= {}", float(search.min_confidence))
    if search.created_after is not None:
        where.add("m.created_at >= {}", to_micros(search.created_after))
    if search.created_before is not None:
        where.add("m.created_at <= {}", to_micros(search.created_before))
    order = "m.exact DESC, m.importance DESC, m.created_at DESC, m.id"
    sql = f"""
      SELECT counted.total, {_MEMORY}
      FROM (SELECT count(*) AS total FROM memories m WHERE {where.text}) counted
      LEFT JOIN (
        SELECT m.*, sum({_SIZE}) OVER (ORDER BY {order}) - ({_SIZE}) AS before
        FROM (
          SELECT {_MEMORY}, m.folded_title = {where.argument(search.exact)} AS exact
          FROM memories m WHERE {where.text}
          ORDER BY exact DESC, m.importance DESC, m.created_at DESC, m.id
          LIMIT {where.argument(search.limit)} OFFSET {where.argument(search.offset)}
        ) m
      ) m ON m.before < {where.argument(page_bytes)}
      ORDER BY {order}"""
    return Statement(sql, tuple(where.arguments))


class _Where:
    """Conditions and their arguments, by place."""

    def __init__(self) -> None:
        self.arguments: list[SqlValue] = []
        self._conditions = ["TRUE"]

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
            self.add(f"EXISTS (SELECT 1 FROM json_each({{}}) needle WHERE {found})", _json(needles))
        else:
            self.add(f"({' OR '.join(_IN_A_MEMORY.format(self.argument(needle)) for needle in needles)})")

    @property
    def text(self) -> str:
        return " AND ".join(self._conditions)


# ?1 from, ?2 to, ?3 type, ?4 strength, ?5 confidence, ?6 context, ?7 recorded at or after.
_SAME = """
    SELECT r.* FROM relationships r
    WHERE r.from_id = ?1 AND r.to_id = ?2 AND r.type = ?3 AND r.strength = ?4 AND r.confidence = ?5
      AND r.context IS ?6 AND r.recorded_at >= ?7 AND r.valid_until IS NULL"""


def relate(names: tuple[str, ...]) -> str:
    """Make a relationship between known memories, unless there is the same or it would close a cycle of its type.

    Arguments: those of _SAME, then the values of `names`.
    """
    values = ", ".join(f"?{place}" for place in range(8, 8 + len(names)))
    return f"""
      INSERT INTO relationships ({", ".join(names)})
      SELECT {values}
      WHERE EXISTS (SELECT 1 FROM memories WHERE id = ?1) AND EXISTS (SELECT 1 FROM memories WHERE id = ?2)
        AND NOT EXISTS ({_SAME})
        AND NOT EXISTS (
          WITH RECURSIVE reached (id) AS (
            SELECT ?2
            UNION
            SELECT r.to_id FROM reached JOIN relationships r ON r.from_id = reached.id
            WHERE r.type = ?3 AND r.valid_until IS NULL
          )
          SELECT 1 FROM reached WHERE id = ?1
        )"""


RELATED_OR_WHY = f"""
  SELECT EXISTS (SELECT 1 FROM memories WHERE id = ?1), EXISTS (SELECT 1 FROM memories WHERE id = ?2), {_RELATIONSHIP}
  FROM (SELECT 1) LEFT JOIN ({_SAME} ORDER BY r.recorded_at, r.id LIMIT 1) r"""
"""After `relate`, with the arguments of _SAME: which ends are known, and the relationship that is there, or nulls."""

# ?1 start, ?2 depth, ?3 types (JSON, or null for all), ?4 limit, ?5 bytes.
_CURRENT = "r.valid_until IS NULL AND (?3 IS NULL OR r.type IN (SELECT value FROM json_each(?3)))"
_OTHER_END = "CASE r.from_id WHEN {0}.id THEN r.to_id ELSE r.from_id END"
_REACHED = """
    SELECT edges.id, edges.depth, edges.edge,
           row_number() OVER (ORDER BY edges.strength DESC, m.importance DESC, m.created_at DESC, m.id) AS place
    FROM edges JOIN memories m ON m.id = edges.id
    WHERE edges.choice = 1
    ORDER BY place LIMIT ?4"""
RELATED = f"""
  WITH RECURSIVE walk (id, depth) AS (
    SELECT ?1, 0
    UNION
    SELECT {_OTHER_END.format("walk")}, walk.depth + 1
    FROM walk JOIN relationships r ON (r.from_id = walk.id OR r.to_id = walk.id)
    WHERE walk.depth < ?2 AND {_CURRENT}
  ), nearest (id, depth) AS MATERIALIZED (
    SELECT id, min(depth) FROM walk GROUP BY id
  ), edges AS (
    SELECT nearest.id, nearest.depth, r.id AS edge, r.strength,
           row_number() OVER (PARTITION BY nearest.id ORDER BY r.strength DESC, r.created_at DESC, r.id) AS choice
    FROM nearest
    JOIN relationships r ON (r.from_id = nearest.id OR r.to_id = nearest.id)
    JOIN nearest earlier ON earlier.id = {_OTHER_END.format("nearest")} AND earlier.depth = nearest.depth - 1
    WHERE {_CURRENT}
  )
  SELECT start.known, reached.depth, {_MEMORY}, {_RELATIONSHIP}
  FROM (SELECT EXISTS (SELECT 1 FROM memories WHERE id = ?1) AS known) start
  LEFT JOIN ({_cut(_REACHED, "?5")}) reached ON reached.fits
  LEFT JOIN memories m ON m.id = reached.id
  LEFT JOIN relationships r ON r.id = reached.edge
  ORDER BY reached.place"""

# ?1 created at or after, ?2 project (null: all), then ?3 limit, ?4 bytes.
_WINDOW = "m.created_at >= ?1 AND (?2 IS NULL OR m.project_path = ?2)"
RECENT_COUNTS = f"SELECT m.type, count(*) FROM memories m WHERE {_WINDOW} GROUP BY m.type ORDER BY 2 DESC, 1"


def _of_window(condition: str, order: str) -> str:
    picked = f"""
      SELECT m.id, row_number() OVER (ORDER BY {order}) AS place
      FROM memories m WHERE {_WINDOW} AND {condition}
      ORDER BY place LIMIT ?3"""
    return f"""
      SELECT {_MEMORY} FROM ({_cut(picked, "?4")}) page JOIN memories m ON m.id = page.id
      WHERE page.fits ORDER BY page.place"""


NEWEST = _of_window("TRUE", "m.created_at DESC, m.id")

# ?5 types of problems, ?6 types of relationships that resolve them (JSON both).
UNRESOLVED = _of_window(
    """m.type IN (SELECT value FROM json_each(?5)) AND NOT EXISTS (
        SELECT 1 FROM relationships r
        WHERE r.to_id = m.id AND r.valid_until IS NULL AND r.type IN (SELECT value FROM json_each(?6)))""",
    "m.importance DESC, m.created_at DESC, m.id",
)

COUNTS = "SELECT type, count(*) FROM memories GROUP BY type ORDER BY 2 DESC, 1"
TOTALS = """
  SELECT (SELECT count(*) FROM relationships WHERE valid_until IS NULL), avg(importance), avg(confidence)
  FROM memories"""


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
