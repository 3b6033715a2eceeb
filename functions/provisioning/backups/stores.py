"""Everything that one workspace remembers, as it was at one moment: rows as a move carries them
(memories/stores/raw.py), which either kind of store takes back.

PostgreSQL: one repeatable-read transaction, by the role `backup`. A database of its own: one batch, which is one
transaction; one that is too large for an answer is read page by page, and again when it changed meanwhile.

A `mark` is what is compared to know whether a store changed: counts, and sums of versions and times, which every write
changes. Left out of it: idempotency keys and parts of imports, which come with a write and end by themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from core.adapters import bulk
from core.ports import Database, SqlValue, Statement, StoreAddress
from core.problems import Unavailable
from core.settings import Secret
from core.urls import workspace_of_url
from declarations import Store
from memories.stores.ports_move import Digest, Kind, MovableStore, Raw, key_of
from memories.stores.raw import COLUMNS, FLOATS, SUMMED, answer_from_list, summed
from memories.stores.sqlite.moves import TABLES

# ruff: noqa: S608 - what is put into SQL here are names of our own tables and columns, never values

WHOLE_BYTES = 8_000_000
"""Of texts: a database that holds no more is read in one answer, of which the client takes 32 MiB."""
TRIES = 3

Take = Callable[[Kind, Raw], Awaitable[None]]
_MOD = 4_294_967_291
_SUMS = {
    "memories": f"count(*), coalesce(sum(version), 0), coalesce(sum(updated_at % {_MOD}), 0)",
    "memory_versions": "count(*), coalesce(sum(version), 0), 0",
    "relationships": f"count(*), coalesce(sum(version), 0), coalesce(sum(updated_at % {_MOD}), 0)",
}
_FENCE = Statement("SELECT epoch, mode FROM _fence")
_USAGE = Statement("SELECT bytes FROM _usage")


@dataclass(slots=True)
class Tally:
    """Counts and sums up rows as `MovableStore.digest` does."""

    counts: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    checksum: int = 0

    def add(self, kind: Kind, row: Raw) -> None:
        self.counts[kind] += 1
        if kind in SUMMED:
            self.checksum = (self.checksum + summed(kind, row)) % 2**64

    def digest(self) -> Digest:
        counts = self.counts
        return Digest(counts[Kind.MEMORY], counts[Kind.VERSION], counts[Kind.RELATIONSHIP], self.checksum)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a store found. `digest` is None when it is as it was, and was not read."""

    mark: str
    digest: Digest | None


class Changing(Unavailable):
    """The store changed while it was read, each time; or a move has it."""

    def __init__(self) -> None:
        super().__init__("The store changes faster than it can be read, or is being moved.", part="store")


async def look(
    address: StoreAddress,
    known: str | None,
    begin: Callable[[], Take],
    *,
    url: Secret,
    open_database: Callable[[StoreAddress], Database],
    movable: MovableStore,
    closed: bool = False,
) -> Seen:
    """Read a store, unless its mark is `known`.

    Args:
        begin: called when it is read (again): who takes its rows from then on.
        url: of the database, for the role `backup`.
        closed: it may be closed, because the workspace is suspended.

    Raises:
        Changing: see there; StatementFailed, Internal: it refuses; Unavailable: no answer in time.
    """
    if address.kind == Store.POSTGRES:
        return await _look_in_postgres(address, known, begin, url, closed=closed)
    return await _look_in_sqlite(address, known, begin, open_database(address), movable, closed=closed)


# PostgreSQL


async def _look_in_postgres(
    address: StoreAddress, known: str | None, begin: Callable[[], Take], url: Secret, *, closed: bool
) -> Seen:
    here = [workspace_of_url(address.url)]
    async with bulk.snapshot(url) as database:
        fence = await database.fetch("SELECT epoch, mode FROM memory.fences WHERE workspace_id = %s", here)
        _check_fence(address, *(fence[0] if fence else (1, "open")), closed=closed)
        sums = [
            (
                await database.fetch(
                    f"SELECT {sums.replace('%', '%%')} FROM memory.{table} WHERE workspace_id = %s", here
                )
            )[0]
            for table, sums in _SUMS.items()
        ]
        mark = _mark(address, sums)
        if mark == known:
            return Seen(mark, None)
        take, tally = begin(), Tally()
        for kind in Kind:
            columns = ", ".join(COLUMNS[kind])
            query = (
                f"SELECT to_jsonb(r)::text FROM (SELECT {columns} FROM memory.{TABLES[kind]} WHERE workspace_id = %s) r"
            )
            async with aclosing(database.copy(query, here)) as texts:
                async for text in texts:
                    row = _with_floats(orjson.loads(text))
                    tally.add(kind, row)
                    await take(kind, row)
        return Seen(mark, tally.digest())


def _with_floats(row: Raw) -> Raw:
    """JSON has whole numbers where SQLite has 1.0."""
    return {name: float(value) if name in FLOATS and value is not None else value for name, value in row.items()}


# a database of its own


async def _look_in_sqlite(
    address: StoreAddress,
    known: str | None,
    begin: Callable[[], Take],
    database: Database,
    movable: MovableStore,
    *,
    closed: bool,
) -> Seen:
    mark, size = await _marked(address, database, closed=closed)
    if mark == known:
        return Seen(mark, None)
    if size <= WHOLE_BYTES:
        tally, take = Tally(), begin()
        statements = [*_asked(), *(_whole(kind) for kind in Kind)]
        results = await database.batch(statements, write=False)
        mark = _read_marks(address, [one.rows for one in results], closed=closed)
        for kind, result in zip(Kind, results[len(_asked()) :], strict=True):
            for values in result.rows:
                row = _named(kind, values)
                tally.add(kind, row)
                await take(kind, row)
        return Seen(mark, tally.digest())
    for _ in range(TRIES):
        tally, take = Tally(), begin()
        async for kind, row in _pages(movable):
            tally.add(kind, row)
            await take(kind, row)
        now, _ = await _marked(address, database, closed=closed)
        if now == mark:
            return Seen(mark, tally.digest())
        mark = now
    raise Changing


async def _pages(movable: MovableStore) -> AsyncIterator[tuple[Kind, Raw]]:
    for kind in Kind:
        after: tuple[str, int] | None = None
        while rows := await movable.raw_page(kind, after):
            for row in rows:
                yield kind, row
            after = key_of(kind, rows[-1])


def _asked() -> list[Statement]:
    return [_FENCE, *(Statement(f"SELECT {sums} FROM {table}") for table, sums in _SUMS.items())]


async def _marked(address: StoreAddress, database: Database, *, closed: bool) -> tuple[str, int]:
    results = await database.batch([*_asked(), _USAGE], write=False)
    return _read_marks(address, [one.rows for one in results], closed=closed), cast(int, results[-1].rows[0][0])


def _read_marks(address: StoreAddress, rows: Sequence[Sequence[tuple[SqlValue, ...]]], *, closed: bool) -> str:
    epoch, mode = rows[0][0]
    _check_fence(address, cast(int, epoch), cast(str, mode), closed=closed)
    return _mark(address, [one[0] for one in rows[1 : 1 + len(_SUMS)]])


def _whole(kind: Kind) -> Statement:
    return Statement(f"SELECT {', '.join(_columns(kind))} FROM {TABLES[kind]}")


def _columns(kind: Kind) -> Sequence[str]:
    return (*COLUMNS[kind], "weight", "confidence") if kind is Kind.KEY else COLUMNS[kind]


def _named(kind: Kind, values: tuple[SqlValue, ...]) -> Raw:
    row: dict[str, Any] = dict(zip(_columns(kind), values, strict=True))
    if kind is not Kind.KEY:
        return row
    weight, confidence = row.pop("weight"), row.pop("confidence")
    return {**row, "answer": answer_from_list(cast(str, row["answer"]), weight, confidence)}


# both


def _check_fence(address: StoreAddress, epoch: int, mode: str, *, closed: bool) -> None:
    """Raises: Changing: the workspace is not here, or not served."""
    if epoch != address.epoch or (mode == "closed" and not closed):
        raise Changing


def _mark(address: StoreAddress, sums: Sequence[Sequence[object]]) -> str:
    return " ".join([address.kind, str(address.epoch), *("/".join(str(n) for n in one) for one in sums)])
