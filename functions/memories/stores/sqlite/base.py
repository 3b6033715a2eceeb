"""What the operations of the SQLite store share: the database, batches that happen once, conditions, and cut pages.

One method is one batch, which `_read` and `_write` send through the gate (gate.py), each statement as its caller may
have it (sight.py). What a batch may not do is a condition of its statement; a statement after it reads back what
happened, and why.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Any, cast

import orjson

from core.once import Once
from core.ports import Database, Result, SqlValue, Statement, StatementFailed
from core.problems import Unavailable
from memories.model import Revision
from memories.ports import KeyReused, OtherProject
from memories.quotas import QuotaReached, Resource, StoreLimits, Usage, reached
from memories.stores.rows import (
    MEMORY_COLUMNS,
    MICROSECOND,
    RELATIONSHIP_COLUMNS,
    RELATIONSHIP_COST,
    Row,
    columns,
    from_micros,
    to_micros,
)
from memories.stores.sqlite.gate import Gate, NoRoomLeft, OldSchemas
from memories.stores.sqlite.sight import Guard, Sight

# ruff: noqa: S608 - what is put into SQL here are names of our own columns and numbers of arguments, never values

MEMORY = columns(MEMORY_COLUMNS, "m")
RELATIONSHIP = columns(RELATIONSHIP_COLUMNS, "r")
WIDTH = len(MEMORY_COLUMNS)

MEMORY_SIZE = (
    "length(CAST(m.title || m.content || coalesce(m.summary, '') || m.tags || coalesce(m.context, '') AS BLOB))"
)
"""Bytes of text in a row of `memories m`."""
RELATIONSHIP_SIZE = (
    f"({RELATIONSHIP_COST} + length(CAST(coalesce(r.context, '') || coalesce(r.invalidation_reason, '') AS BLOB)))"
)

ABOUT = "json_extract(answer, '$[0]')"
"""The id of what a kept answer is about: a memory or a relationship. Answers to batches begin with a list."""

CURRENT = "r.valid_until IS NULL"

_FORGET = "DELETE FROM idempotency WHERE at < ?"
_ANSWER = "SELECT fingerprint, answer, weight, confidence FROM idempotency WHERE key = ? AND at >= ?"
_REMEMBER = "INSERT INTO idempotency (answer, weight, confidence, key, fingerprint, at) "
_ONCE = "{once}"

_USAGE = "SELECT memories, relationships, bytes FROM _usage"
_COUNTED = f"""
  SELECT (SELECT count(*) FROM main.memories), (SELECT count(*) FROM main.relationships),
    (SELECT coalesce(sum({MEMORY_SIZE}), 0) FROM main.memories m)
    + (SELECT coalesce(sum({MEMORY_SIZE}), 0) FROM main.memory_versions m)
    + (SELECT coalesce(sum({RELATIONSHIP_SIZE}), 0) FROM main.relationships r)"""
"""The same where it is not kept yet, which is in no database of the newest schema."""


class Operations:
    """The database of one workspace, at an epoch, for a caller whose plan has these limits (None: no limits) and who is
    bound to a project (None: to none).

    `url` and `old`: by what the database is known, and which of them are known to be of the schema before.
    """

    def __init__(
        self,
        database: Database,
        *,
        epoch: int = 1,
        limits: StoreLimits | None = None,
        url: str = "",
        old: OldSchemas | None = None,
        project: str | None = None,
    ) -> None:
        self._database = database
        self._sight = Sight(project)
        self._gate = Gate(database, epoch=epoch, limits=limits, url=url, old=old)

    async def _read(self, *statements: Statement) -> list[Result]:
        """Raises: Fenced."""
        return await self._gate.read([self._sight.of(one) for one in statements])

    async def _write(self, *statements: Statement) -> list[Result]:
        """Raises: Fenced, QuotaReached, OtherProject."""
        try:
            return await self._gate.write([self._sight.of(one) for one in statements])
        except NoRoomLeft as full:
            raise await self._reached(full) from None
        except StatementFailed as failure:
            if 0 <= failure.index < len(statements) and isinstance(statements[failure.index], Guard):
                raise OtherProject from None
            raise

    async def _write_each(
        self, *statements: Statement, old: Sequence[Statement] | None = None
    ) -> tuple[list[Result], dict[str, Resource]]:
        """See `Gate.write_each`. Raises: Fenced."""
        sight = self._sight
        return await self._gate.write_each(
            [sight.of(one) for one in statements], old=None if old is None else [sight.of(one) for one in old]
        )

    async def _reached(self, full: NoRoomLeft) -> QuotaReached:
        limits = self._gate.limits
        assert limits is not None, "only limits are reached"
        return reached(limits, None if self._sight.project is not None else await self.read_usage(), full.resource)

    async def read_usage(self) -> Usage:
        """See `ports.MemoryStore`."""
        try:
            [found] = await self._read(Statement(_USAGE))
        except StatementFailed:  # the schema before does not keep it
            [found] = await self._read(Statement(_COUNTED))
        return Usage(*cast("tuple[int, int, int]", found.rows[0]))

    async def _write_once(
        self,
        once: Once | None,
        statements: Sequence[Statement],
        answer: str,
        *args: SqlValue,
        send: Callable[..., Awaitable[list[Result]]] | None = None,
    ) -> list[Result] | tuple[SqlValue, ...]:
        """The results of `statements`, unless `once` was used before for the same thing: then what was answered then.

        `answer` selects it when they have run: JSON and two numbers, then _ONCE, with `args` in numbered places. No row
        means that nothing was done, and the key is not used up. A key that is used up fails the batch. `send` is what
        writes, `_write` unless it is given.

        Raises:
            KeyReused: for another thing.
        """
        write = send or self._write
        if once is None:
            return await write(*statements)
        forget, seen, remember = once_statements(once, answer, args)
        try:
            _, before, *results, _ = await write(forget, seen, *statements, remember)
        except (QuotaReached, OtherProject):
            [before] = await self._read(seen)  # what is done already needs no room, nor the id
            if not before.rows:
                raise
        except StatementFailed as failure:
            if failure.index != len(statements) + 2:
                raise
            [before] = await self._read(seen)
            if not before.rows:  # somebody else forgot it in this moment
                raise Unavailable(
                    "The memory store is busy. Please try again in a few seconds.", part="store"
                ) from None
        else:
            if not before.rows:
                return results
        return remembered(once, before)


def once_statements(once: Once, answer: str, args: Sequence[SqlValue]) -> tuple[Statement, Statement, Statement]:
    """What surrounds a write that happens once: forgets old keys, reads this one, remembers it. See `_write_once`."""
    own = (once.key, once.fingerprint, to_micros(once.at))
    forget_before = to_micros(once.forget_before)
    return (
        Statement(_FORGET, (forget_before,)),
        Statement(_ANSWER, (once.key, forget_before)),
        Statement(_REMEMBER + answer.replace(_ONCE, marks(own, len(args) + 1)), (*args, *own)),
    )


def remembered(once: Once, before: Result) -> tuple[SqlValue, ...]:
    """What was answered then. Raises: KeyReused: to another thing."""
    fingerprint, text, weight, confidence = before.rows[0]
    if fingerprint != once.fingerprint:
        raise KeyReused
    return (*orjson.loads(cast(str, text)), weight, confidence)


def answer_of(table: str, names: Sequence[str], weight: str, id_: str = "?1") -> str:
    """For `_write_once`: one row of a table, all its columns in order."""
    plain = ", ".join("NULL" if name in (weight, "confidence") else name for name in names)
    return f"SELECT json_array({plain}), {weight}, confidence, {_ONCE} FROM {table} WHERE id = {id_}"


def answered(row: Row, names: Sequence[str], weight: str) -> Row:
    """The columns again."""
    *values, weight_value, confidence = row
    exact = {weight: weight_value, "confidence": confidence}
    return [exact.get(name, value) for name, value in zip(names, values, strict=True)]


def expects(expected: Sequence[Revision] | None) -> tuple[str, tuple[SqlValue, ...]]:
    """A condition on one row, with unnumbered arguments: it is at one of these revisions."""
    if expected is None:
        return "TRUE", ()
    if not expected:
        return "FALSE", ()
    condition = " OR ".join(["(version = ? AND updated_at = ?)"] * len(expected))
    return f"({condition})", tuple(value for one in expected for value in (one.version, to_micros(one.updated_at)))


def revision(version: SqlValue, updated_at: SqlValue) -> Revision:
    return Revision(cast(int, version), from_micros(updated_at))


def edges(condition: str, order: str, limit: str, bytes_: str, offset: str = "0") -> str:
    """A page of relationships: for each that was picked its columns, or nulls when those before it fill the page.

    `limit`, `bytes_` and `offset` are arguments. Ask for one more than are wanted: it tells whether more follow.
    """
    return f"""
      SELECT page.id, {RELATIONSHIP}
      FROM (
        SELECT id, place, sum(size) OVER (ORDER BY place) - size AS before
        FROM (
          SELECT r.id, {RELATIONSHIP_SIZE} AS size, row_number() OVER (ORDER BY {order}) AS place
          FROM relationships r WHERE {condition} ORDER BY place LIMIT {limit} OFFSET {offset}
        )
      ) page
      LEFT JOIN relationships r ON r.id = page.id AND page.before < {bytes_}
      ORDER BY page.place"""


def levels(start: str, depth: str, followed: str, goal: str | None = None) -> str:
    """For WITH RECURSIVE: a row for each depth, of which `ids` are the memories (JSON) whose least depth that is.

    A relationship `r` is followed in either direction when `followed` holds; the walk ends where `goal` is. Each memory
    is visited once: from one level relationships lead to it, to the one before, or to new memories only. (A row for
    each memory and depth would have every memory once more at every further depth.)
    """
    reached = """
        SELECT r.{far} AS id FROM json_each(levels.ids) here CROSS JOIN relationships r ON r.{near} = here.value
        WHERE {followed}"""
    arrived = f"EXISTS (SELECT 1 FROM json_each(levels.ids) WHERE value = {goal})" if goal else "FALSE"
    return f"""levels (depth, ids, before) AS (
    SELECT 0, json_array({start}), '[]'
    UNION ALL
    SELECT levels.depth + 1, (
      SELECT json_group_array(id) FROM ({reached.format(near="from_id", far="to_id", followed=followed)}
        UNION {reached.format(near="to_id", far="from_id", followed=followed)}
        EXCEPT SELECT value FROM json_each(levels.ids)
        EXCEPT SELECT value FROM json_each(levels.before)
      )
    ), levels.ids
    FROM levels WHERE levels.depth < {depth} AND levels.ids <> '[]' AND NOT {arrived}
  )"""


def taken(rows: Sequence[Row], limit: int) -> tuple[list[Row], bool]:
    """The rows of a page, without the column that says what was picked, and whether more follow."""
    fitting = [row[1:] for row in rows[:limit] if row[1] is not None]
    return fitting, len(rows) > len(fitting)


def set_(values: Collection[str]) -> str:
    """For UPDATE, with the values as unnumbered arguments."""
    given = {"updated_at": later("updated_at", "?")}
    return ", ".join(f"{name} = {given.get(name, '?')}" for name in values)


def later(stored: str, at: str) -> str:
    """When a row is changed at `at`: after its last change, which may have come from a clock that is ahead."""
    return f"max({at}, {stored} + 1)"


def led_to(reached: Revision, at: datetime, expected: Sequence[Revision] | None) -> bool:
    """Whether a row is where a change at `at` of one of the revisions `expected` leads to."""
    return any(reached == Revision(one.version + 1, max(at, one.updated_at + MICROSECOND)) for one in expected or ())


def marks(values: Collection[Any], start: int = 1) -> str:
    return ", ".join(f"?{place}" for place in range(start, start + len(values)))


def json(value: object) -> str:
    return orjson.dumps(value).decode()
