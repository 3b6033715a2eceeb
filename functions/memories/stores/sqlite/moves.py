"""A SQLite database as a move sees it. See `stores.ports_move`.

The journal is written by triggers that exist only while a move copies: every statement that writes prepares all
triggers of its table.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import cast

from core.ports import Database, Databases, Result, SqlValue, Statement, StatementFailed, StoreAddress
from memories.stores.fence import Fenced
from memories.stores.ports_move import PAUSE_MOST, Change, Digest, Fence, Kind, Mode, Raw, key_of
from memories.stores.raw import COLUMNS, FLOATS, SUMMED, answer_from_list, answer_to_list, following, summed
from memories.stores.rows import PAGE_BYTES
from memories.stores.sqlite.base import json, marks

# ruff: noqa: S608 - what is put into SQL here are names of our own tables and columns, never values

TABLES = {
    Kind.MEMORY: "memories",
    Kind.VERSION: "memory_versions",
    Kind.RELATIONSHIP: "relationships",
    Kind.KEY: "idempotency",
    Kind.PART: "import_parts",
}
ROWS_IN_STATEMENT = 40
ERASED_AT_ONCE = 2_000

_THING = {**dict.fromkeys(Kind, "id"), Kind.KEY: "key", Kind.PART: "import_id"}
_PLACE = {**dict.fromkeys(Kind, "0"), Kind.VERSION: "version", Kind.PART: "part"}
_SIZE = {**dict.fromkeys(Kind, "size"), Kind.KEY: "length(answer)", Kind.PART: "length(answer)"}
_JOURNALED = (Kind.MEMORY, Kind.RELATIONSHIP, Kind.KEY, Kind.PART)
_FENCE = Statement("SELECT epoch, mode FROM _fence")
_CLOSED = """
  SELECT CASE
    WHEN NOT EXISTS (SELECT 1 FROM _fence WHERE epoch = ? AND mode = 'closed' AND worker IS ?)
    THEN json('no JSON, so the batch fails')
  END"""
_NOW = "(julianday('now') - 2440587.5) * 86400.0"
_PAUSE = f"UPDATE _fence SET paused_until = {_NOW} + ? WHERE epoch = ? AND mode = 'open'"
_PROLONG = f"{_PAUSE} AND paused_until - {_NOW} BETWEEN 0 AND {PAUSE_MOST}"
_END_PAUSE = "UPDATE _fence SET paused_until = NULL WHERE epoch = ?"
_TAKE_OVER = """
  UPDATE _fence SET epoch = ?1, mode = 'closed', worker = ?2, paused_until = NULL
  WHERE epoch < ?1 OR (epoch = ?1 AND mode = 'closed')"""
_HAND_OVER = "UPDATE _fence SET mode = ?, worker = NULL WHERE epoch = ? AND mode = 'closed' AND worker = ?"
_HANDED_OVER = "SELECT 1 FROM _fence WHERE mode = ? AND epoch = ? AND worker IS NULL"
_NO_LIMITS = Statement("UPDATE _usage SET memories_most = NULL, bytes_most = NULL, each = 0")


def _triggers() -> Iterator[tuple[str, str]]:
    """Name and text of each trigger of the journal."""
    for kind in _JOURNALED:
        for verb in ("INSERT", "UPDATE", "DELETE"):
            name = f"journal_{kind}_{verb.lower()}"
            thing = f"{'old' if verb == 'DELETE' else 'new'}.{_THING[kind]}"
            noted = f"INSERT INTO _journal (kind, id) VALUES ('{kind}', {thing});"
            yield name, f"CREATE TRIGGER IF NOT EXISTS {name} AFTER {verb} ON {TABLES[kind]} BEGIN {noted} END"


_TRIGGERS = dict(_triggers())
_DROPS = [Statement(f"DROP TRIGGER IF EXISTS {name}") for name in _TRIGGERS]
_BEGUN = f"SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = '{next(iter(_TRIGGERS))}'"


class SqliteMovable:
    """`MovableStore` on one database of the newest schema, which is written to at one epoch."""

    def __init__(self, database: Database, *, epoch: int = 1) -> None:
        self._database = database
        self._epoch = epoch
        self._worker: str | None = None

    async def read_fence(self) -> Fence:
        [found] = await self._database.batch([_FENCE], write=False)
        return _fence(found.rows[0])

    async def fence(self, fence: Fence) -> Fence:
        change = "UPDATE _fence SET epoch = ?1, mode = ?2 WHERE epoch <= ?1"
        _, found = await self._database.batch([Statement(change, (fence.epoch, str(fence.mode))), _FENCE], write=True)
        return _fence(found.rows[0])

    async def pause(self, seconds: float) -> bool:
        return await self._change(_PAUSE, seconds, self._epoch)

    async def prolong_pause(self, seconds: float) -> bool:
        return await self._change(_PROLONG, seconds, self._epoch)

    async def end_pause(self) -> None:
        await self._change(_END_PAUSE, self._epoch)

    async def take_over(self) -> bool:
        self._worker = secrets.token_hex(8)
        return await self._change(_TAKE_OVER, self._epoch, self._worker)

    async def hand_over(self, mode: Mode) -> bool:
        change = Statement(_HAND_OVER, (str(mode), self._epoch, self._worker))
        _, found = await self._database.batch([change, Statement(_HANDED_OVER, (str(mode), self._epoch))], write=True)
        return bool(found.rows)

    async def begin_journal(self) -> None:
        forget = Statement(f"DELETE FROM _journal WHERE NOT EXISTS ({_BEGUN})")
        await self._database.batch([forget, *(Statement(sql) for sql in _TRIGGERS.values())], write=True)

    async def read_journal(self, after: int, limit: int) -> list[Change]:
        asked = Statement("SELECT seq, kind, id FROM _journal WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        [found] = await self._database.batch([asked], write=False)
        return [Change(cast(int, seq), Kind(cast(str, kind)), cast(str, id_)) for seq, kind, id_ in found.rows]

    async def end_journal(self) -> None:
        await self._write([*_DROPS, Statement("DELETE FROM _journal")])

    async def raw_page(
        self, kind: Kind, after: tuple[str, int] | None = None, *, ids: Sequence[str] | None = None, limit: int = 500
    ) -> list[Raw]:
        [found] = await self._database.batch([_page(kind, after, ids, limit)], write=False)
        rows = [dict(zip(_columns(kind), row, strict=True)) for row in found.rows]
        return [_with_answer(row) for row in rows] if kind is Kind.KEY else rows

    async def put_raw(self, kind: Kind, rows: Sequence[Raw], *, instead_of: Sequence[str] = ()) -> None:
        thing, place = _THING[kind], _PLACE[kind]
        clear = f"DELETE FROM {TABLES[kind]} WHERE {thing} IN (SELECT value FROM json_each(?))"
        drop = f"DELETE FROM {TABLES[kind]} WHERE {thing} = ? AND {place} = ?"
        statements = [_NO_LIMITS, *(Statement(drop, key_of(kind, row)) for row in rows)]
        if instead_of:
            statements = [_NO_LIMITS, Statement(clear, (json(list(instead_of)),))]
        values = [_values(kind, row) for row in rows]
        for start in range(0, len(values), ROWS_IN_STATEMENT):
            some = values[start : start + ROWS_IN_STATEMENT]
            places = ", ".join(f"({marks(one, 1 + number * len(one))})" for number, one in enumerate(some))
            insert = f"INSERT INTO {TABLES[kind]} ({', '.join(some[0])}) VALUES {places}"
            statements.append(Statement(insert, tuple(value for one in some for value in one.values())))
        await self._write(statements)

    async def digest(self) -> Digest:
        counts, checksum = dict.fromkeys(Kind, 0), 0
        for kind in SUMMED:
            after: tuple[str, int] | None = None
            while rows := await self.raw_page(kind, after):
                counts[kind] += len(rows)
                checksum += sum(summed(kind, row) for row in rows)
                after = key_of(kind, rows[-1])
        return Digest(counts[Kind.MEMORY], counts[Kind.VERSION], counts[Kind.RELATIONSHIP], checksum % 2**64)

    async def erase(self) -> bool:
        tables = (*TABLES.values(), "_journal", "_refused")
        piece = f"WHERE rowid IN (SELECT rowid FROM {{0}} LIMIT {ERASED_AT_ONCE})"
        pieces = [Statement(f"DELETE FROM {table} {piece.format(table)}") for table in tables]
        done = await self._write([*_DROPS, *pieces])
        return all(one.changed < ERASED_AT_ONCE for one in done[len(_DROPS) :])

    async def _write(self, statements: Sequence[Statement]) -> list[Result]:
        try:
            closed = Statement(_CLOSED, (self._epoch, self._worker))
            return (await self._database.batch([closed, *statements], write=True))[1:]
        except StatementFailed as failure:
            if failure.index == 0:
                raise Fenced from failure
            raise

    async def _change(self, sql: str, *args: SqlValue) -> bool:
        """Change the fence; whether it was changed."""
        [done] = await self._database.batch([Statement(sql, args)], write=True)
        return done.changed > 0


class SqliteMovables:
    """`MovableStores` over databases."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    def open(self, address: StoreAddress) -> SqliteMovable:
        return SqliteMovable(self._databases.open(address), epoch=address.epoch)


def _columns(kind: Kind) -> tuple[str, ...]:
    return (*COLUMNS[kind], "weight", "confidence") if kind is Kind.KEY else tuple(COLUMNS[kind])


def _page(kind: Kind, after: tuple[str, int] | None, ids: Sequence[str] | None, limit: int) -> Statement:
    """Arguments: ?1 and ?2 the key before (null: none), ?3 things (JSON; null: all), ?4 limit, ?5 bytes."""
    thing, place = f"t.{_THING[kind]}", _PLACE[kind]
    key, behind = (thing, "?1") if place == "0" else (f"{thing}, t.{place}", "?1, ?2")
    names = ", ".join(f"t.{name}" for name in _columns(kind))
    sql = f"""
      SELECT {names}
      FROM (
        SELECT place, sum(size) OVER (ORDER BY number) - size AS before
        FROM (
          SELECT t.rowid AS place, {_SIZE[kind]} AS size, row_number() OVER (ORDER BY {key}) AS number
          FROM {TABLES[kind]} t
          WHERE (?1 IS NULL OR ({key}) > ({behind}))
            AND (?3 IS NULL OR {thing} IN (SELECT value FROM json_each(?3)))
          ORDER BY {key} LIMIT ?4
        )
      ) page
      JOIN {TABLES[kind]} t ON t.rowid = page.place AND page.before < ?5
      ORDER BY {key}"""
    return Statement(sql, (*(after or (None, None)), None if ids is None else json(list(ids)), limit, PAGE_BYTES))


def _values(kind: Kind, row: Raw) -> dict[str, SqlValue]:
    values: dict[str, SqlValue] = {name: row[name] for name in COLUMNS[kind]}
    values.update({name: float(values[name]) for name in FLOATS if values.get(name) is not None})  # type: ignore[arg-type]  # numbers
    if kind is Kind.KEY:
        values["answer"], values["weight"], values["confidence"] = answer_to_list(row["answer"])
    return {**values, **following(kind, row)}


def _with_answer(row: Raw) -> Raw:
    weight, confidence = row.pop("weight"), row.pop("confidence")
    return {**row, "answer": answer_from_list(row["answer"], weight, confidence)}


def _fence(row: tuple[SqlValue, ...]) -> Fence:
    return Fence(cast(int, row[0]), Mode(cast(str, row[1])))
