"""Single memories in SQLite, their earlier states, and what happened lately."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from core.once import Once
from core.ports import Statement
from memories.model import (
    Activity,
    Author,
    Changes,
    Memory,
    MemoryType,
    Mismatch,
    Revision,
    Statistics,
    project_of,
)
from memories.ports import OtherProject
from memories.relationship_types import RESOLVING
from memories.stores.rows import (
    AUTHOR_COLUMNS,
    MEMORY_COLUMNS,
    PAGE_BYTES,
    author_values,
    changed_values,
    columns,
    memory_values,
    to_memory,
    to_micros,
)
from memories.stores.sqlite.base import (
    ABOUT,
    MEMORY,
    MEMORY_SIZE,
    Operations,
    answer_of,
    answered,
    expects,
    json,
    led_to,
    marks,
    revision,
    set_,
)
from memories.stores.sqlite.sight import GONE

# ruff: noqa: S608 - what is put into SQL here are names of our own columns and numbers of arguments, never values

_COLUMNS = columns((*MEMORY_COLUMNS, *AUTHOR_COLUMNS))
_GET = f"SELECT {_COLUMNS} FROM memories WHERE id = ?"
_AS_OF = f"""
  SELECT {_COLUMNS} FROM memories WHERE id = ?1 AND updated_at <= ?2
  UNION ALL
  SELECT * FROM (
    SELECT {_COLUMNS} FROM memory_versions
    WHERE id = ?1 AND updated_at <= ?2 AND EXISTS (SELECT 1 FROM memories WHERE id = ?1)
    ORDER BY version DESC LIMIT 1
  )"""
"""The state of now, if it was reached by then, and the last earlier one that was; in whichever project it was then."""

_ANSWER = answer_of("memories", MEMORY_COLUMNS, "importance")

_KEPT = ("id", "created_at", "created_by_key", "created_by_account", "created_by_agent")

# ?1 created at or after, ?2 project (null: all), then ?3 limit, ?4 bytes.
_WINDOW = "m.created_at >= ?1 AND (?2 IS NULL OR m.project_path = ?2)"
_RECENT_COUNTS = f"SELECT m.type, count(*) FROM memories m WHERE {_WINDOW} GROUP BY m.type ORDER BY 2 DESC, 1"


def _of_window(condition: str, order: str) -> str:
    return f"""
      SELECT {MEMORY}
      FROM (
        SELECT id, place, sum(size) OVER (ORDER BY place) - size AS before
        FROM (
          SELECT m.id, {MEMORY_SIZE} AS size, row_number() OVER (ORDER BY {order}) AS place
          FROM memories m WHERE {_WINDOW} AND {condition} ORDER BY place LIMIT ?3
        )
      ) page
      JOIN memories m ON m.id = page.id AND page.before < ?4
      ORDER BY page.place"""


_NEWEST = _of_window("TRUE", "m.created_at DESC, m.id")

# ?5 types of problems, ?6 types of relationships that resolve them (JSON both).
_UNRESOLVED = _of_window(
    """m.type IN (SELECT value FROM json_each(?5)) AND NOT EXISTS (
        SELECT 1 FROM relationships r
        WHERE r.to_id = m.id AND r.valid_until IS NULL AND r.type IN (SELECT value FROM json_each(?6)))""",
    "m.importance DESC, m.created_at DESC, m.id",
)

_COUNTS = "SELECT type, count(*) FROM memories GROUP BY type ORDER BY 2 DESC, 1"
_TOTALS = """
  SELECT (SELECT count(*) FROM relationships WHERE valid_until IS NULL), avg(importance), avg(confidence)
  FROM memories"""


def put_sql(names: Sequence[str], returning: Sequence[str], rows: int = 1, bound: str = "") -> str:
    """Store so many memories, whole; the arguments are the values of `names`, row after row.

    `bound`: which of those that are there already may be replaced (`Sight.replaced`).
    """
    # A batch that is sent twice stores the same at the same moment: that is no change after it.
    held, sent = "memories.updated_at", "excluded.updated_at"
    given = {"updated_at": f"CASE WHEN {held} > {sent} THEN {held} + 1 ELSE {sent} END"}
    replaced = ", ".join(f"{name} = {given.get(name, f'excluded.{name}')}" for name in names if name not in _KEPT)
    values = ", ".join(f"({marks(names, 1 + row * len(names))})" for row in range(rows))
    return (
        f"INSERT INTO memories ({', '.join(names)}) VALUES {values} "
        f"ON CONFLICT (id) DO UPDATE SET {replaced}, version = version + 1 {bound} RETURNING {columns(returning)}"
    )


class MemoryOperations(Operations):
    """See `ports.MemoryStore`."""

    async def put(self, memory: Memory, author: Author, once: Once | None = None) -> Memory:
        values = {**memory_values(memory), **author_values(author, "created", "updated")}
        self._sight.check(memory.context)
        store = Statement(put_sql(tuple(values), MEMORY_COLUMNS, bound=self._sight.replaced), tuple(values.values()))
        try:
            done = await self._write_once(once, [*self._sight.guards([memory.id]), store], _ANSWER, memory.id)
        except OtherProject:
            raise OtherProject(memory.id) from None
        if isinstance(done, tuple):
            return to_memory(answered(done, MEMORY_COLUMNS, "importance"))
        return to_memory(done[-1].rows[0])

    async def get(self, memory_id: str) -> Memory | None:
        [found] = await self._read(Statement(_GET, (memory_id,)))
        return to_memory(found.rows[0]) if found.rows else None

    async def get_as_of(self, memory_id: str, at: datetime) -> Memory | None:
        [found] = await self._read(Statement(_AS_OF, (memory_id, to_micros(at))))
        memory = max(map(to_memory, found.rows), key=lambda one: one.version, default=None)
        own = self._sight.project
        return None if memory is None or (own is not None and project_of(memory.context) != own) else memory

    async def update(
        self,
        memory_id: str,
        changes: Changes,
        at: datetime,
        author: Author,
        expected: Sequence[Revision] | None = None,
    ) -> Memory | Mismatch | None:
        if "context" in changes.values:
            self._sight.check(changes.values["context"])
        values = {**changed_values(changes.values), "updated_at": to_micros(at), **author_values(author, "updated")}
        condition, revisions = expects(expected)
        changed, found = await self._write(
            Statement(
                f"UPDATE memories SET {set_(values)}, version = version + 1 "
                f"WHERE id = ? AND {condition} AND {self._sight.own('memories')}",
                (*values.values(), memory_id, *revisions),
            ),
            Statement(_GET, (memory_id,)),
        )
        if not found.rows:
            return None
        memory = to_memory(found.rows[0])
        # A batch that was sent twice has missed only itself when the memory is where it leads to.
        reached = Revision(memory.version, memory.updated_at)
        if changed.changed or (changed.repeated and led_to(reached, at, expected)):
            return memory
        return Mismatch(reached)

    async def delete(self, memory_id: str, expected: Sequence[Revision] | None = None) -> bool | Mismatch:
        condition, revisions = expects(expected)
        own = self._sight.own("memories")
        gone = GONE.format("memories")
        its_own = "from_id = ?1 OR to_id = ?1"
        # `+`: compared as a column, the id would keep the index of the expression from being used.
        about = f"{ABOUT} IN (SELECT ?1 UNION ALL SELECT +id FROM main.relationships WHERE {its_own})"
        deleted, _, _, _, left = await self._write(
            Statement(f"DELETE FROM memories WHERE id = ? AND {condition} AND {own}", (memory_id, *revisions)),
            Statement(f"DELETE FROM idempotency WHERE {about} AND {gone}", (memory_id,)),
            Statement(f"DELETE FROM relationships WHERE ({its_own}) AND {gone}", (memory_id,)),
            Statement(f"DELETE FROM memory_versions WHERE id = ?1 AND {gone}", (memory_id,)),
            Statement("SELECT version, updated_at FROM memories WHERE id = ?", (memory_id,)),
        )
        if left.rows:
            return Mismatch(revision(*left.rows[0]))
        return deleted.changed > 0 or deleted.repeated  # then the first time may have deleted it

    async def recent(self, since: datetime, project: str | None, *, newest: int, unresolved: int) -> Activity:
        window = (to_micros(since), project)
        open_types = json([MemoryType.PROBLEM, MemoryType.ERROR])
        counts, latest, problems = await self._read(
            Statement(_RECENT_COUNTS, window),
            Statement(_NEWEST, (*window, newest, PAGE_BYTES)),
            Statement(_UNRESOLVED, (*window, unresolved, PAGE_BYTES, open_types, json(list(RESOLVING)))),
        )
        return Activity(
            {cast(str, type_): cast(int, count) for type_, count in counts.rows},
            [to_memory(row) for row in latest.rows],
            [to_memory(row) for row in problems.rows],
        )

    async def statistics(self) -> Statistics:
        kinds, totals = await self._read(Statement(_COUNTS), Statement(_TOTALS))
        relationships, importance, confidence = totals.rows[0]
        return Statistics(
            {cast(str, type_): cast(int, count) for type_, count in kinds.rows},
            cast(int, relationships),
            cast("float | None", importance),
            cast("float | None", confidence),
        )
