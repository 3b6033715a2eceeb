"""The rules of batches, exports and imports: how much goes into one call of a store, and what is done only once.

Knows ports only. Left out: what rows look like (formats.py, readers.py, writers.py, schemas.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import cast

from core.once import Once
from core.ports import Clock, Principal
from core.problems import Conflict, Unavailable
from memories.graph.model import Relationship
from memories.model import Author, Memory
from memories.ports import KeyReused, OtherProject, Store, Stores
from memories.projects import OutsideProject, import_name, memory_of, taken
from memories.quotas import Resource, limits_of, reached
from memories.service import author, reused
from memories.transfer.model import OVER, ExportPage, Kind, NoRoom, Outcome, Part, Place, Stored, Taken, Totals
from memories.transfer.ports import TransferStore

EXPORT_PAGE = 500
EXPORT_SECONDS = 45.0
"""An export stops between two pages after so long, before the function's timeout cuts it off."""
CHUNK_ROWS = 200
CHUNK_BYTES = 256 << 10
"""Rows for one call of a store, which holds a transaction open: a quarter of a second at most."""
IMPORTS_AT_ONCE = 2
"""Of one process: each holds its part, and what is made of it, in memory."""
BAD_ROWS_TOLD = 1_000
REMEMBERED_FOR = timedelta(days=7)

_REFUSALS = {
    Outcome.UNKNOWN_END: {"from_memory_id": "this, or to_memory_id, is not the id of a memory in this workspace"},
    Outcome.TAKEN: {"id": "is that of something outside of the project that this API key is bound to"},
    Outcome.CYCLE: {"to_memory_id": "would close a cycle of this type"},
    Outcome.OVER_MEMORIES: {"": "has no room: the plan's number of memories is reached"},
    Outcome.OVER_BYTES: {"": "has no room: the plan's storage is full"},
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of an import that can be stored. `size`: its bytes. `timeless`: it came without an id and times."""

    number: int
    thing: Memory | Relationship
    size: int
    timeless: bool = False

    @property
    def kind(self) -> Kind:
        return Kind.MEMORY if isinstance(self.thing, Memory) else Kind.RELATIONSHIP


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was refused. `kind` and `id` when they could be told; `errors`: messages by field."""

    number: int
    kind: Kind | None
    id: str | None
    errors: dict[str, str]


@dataclass(slots=True)
class Counts:
    """What became of the rows of one kind."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0


@dataclass(slots=True)
class Summary:
    """What became of a part. `bad` counts all that were refused, `bad_rows` holds up to `BAD_ROWS_TOLD` of them.

    `quota`: which limit of the plan some of them had no room for, and the way up; of both, that of memories.
    """

    rows: int = 0
    counts: dict[Kind, Counts] = field(default_factory=lambda: {kind: Counts() for kind in Kind})
    unreadable: int = 0
    bad: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    quota: str | None = None

    def refuse(self, row: BadRow) -> None:
        if row.kind is None:
            self.unreadable += 1
        else:
            self.counts[row.kind].refused += 1
        self.bad += 1
        if len(self.bad_rows) < BAD_ROWS_TOLD:
            self.bad_rows.append(row)


class TransferService:
    """One for the process; each call says whose memories it is about."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock
        self._imports = 0

    def now(self) -> datetime:
        return self._clock.now()

    async def store(
        self, caller: Principal, memories: Sequence[Memory], agent: str, once: Once | None = None
    ) -> list[Stored]:
        """Create or replace all of them, or none; their ids differ.

        Raises:
            Conflict: the key of `once` was used for something else, or an id is that of a memory out of sight.
        """
        try:
            return await self._store(caller).put_many(memories, author(caller, agent), once)
        except KeyReused:
            raise reused() from None
        except OtherProject as refused:
            raise taken(*refused.ids) from None

    async def store_some(
        self, caller: Principal, memories: Sequence[Memory], agent: str, once: Once | None = None
    ) -> tuple[list[Stored | NoRoom | Taken], Mapping[Resource, str]]:
        """Create or replace those that the plan has room for; what is to be said of the others, by what they lack.
        Those whose ids are taken out of the caller's sight are left out as well.

        Raises:
            Conflict: the key of `once` was used for something else.
        """
        store = self._store(caller)
        try:
            stored = await store.put_some(memories, author(caller, agent), once)
        except KeyReused:
            raise reused() from None
        except OtherProject as refused:
            raise taken(*refused.ids) from None
        return stored, await _said(store, caller, {one.resource for one in stored if isinstance(one, NoRoom)})

    async def export(
        self, caller: Principal, place: Place, limit: int | None, *, current: bool
    ) -> tuple[Totals, AsyncGenerator[ExportPage]]:
        """What there is, and the pages that follow `place`, at least one. Where the last one says that something
        follows, the limit was reached or the time was up.

        Raises:
            Unavailable: before the first page; later the pages do.
        """
        stop_at = time.monotonic() + EXPORT_SECONDS
        store = self._store(caller)

        async def fetch(start: Place, left: int | None) -> ExportPage:
            most = EXPORT_PAGE if left is None else min(left, EXPORT_PAGE)
            return await store.export_page(start, limit=most, current=current)

        async def pages(page: ExportPage, left: int | None) -> AsyncGenerator[ExportPage]:
            while True:
                if left is not None:
                    left -= len(page.memories) + len(page.relationships)
                if page.next is None or left == 0 or time.monotonic() >= stop_at:
                    yield page
                    return
                following = asyncio.create_task(fetch(page.next, left))  # while this one is being sent
                try:
                    yield page
                    page = await following
                finally:
                    following.cancel()
                    await asyncio.gather(following, return_exceptions=True)

        totals, first = await asyncio.gather(store.totals(), fetch(place, limit))
        return totals, pages(first, limit)

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Have one of the few places of this process.

        Raises:
            Unavailable: they are taken.
        """
        if self._imports >= IMPORTS_AT_ONCE:
            raise Unavailable("Other imports are at work. Please try again in a few seconds.", part="import")
        self._imports += 1
        try:
            yield
        finally:
            self._imports -= 1

    async def take(self, caller: Principal, rows: Iterable[Row | BadRow | None], agent: str) -> Summary:
        """Store the rows, each unless what is there is the same or newer. What was stored before a failure stays.

        A None among the rows lets other requests have their turn.

        Raises:
            Unavailable: in the middle; the rows may be sent again.
        """
        store, who, summary = self._store(caller), author(caller, agent), Summary()
        lacking: set[Resource] = set()
        for chunk in _chunks(rows):
            chunk = [_placed(caller, row) for row in chunk]
            for row in chunk:
                summary.rows += 1
                if isinstance(row, BadRow):
                    summary.refuse(row)
            good = [row for row in chunk if isinstance(row, Row)]
            await asyncio.sleep(0)
            if not good:
                continue
            for row, outcome in zip(good, await _import(store, good, who), strict=True):
                lacking.update(resource for resource, over in OVER.items() if over is outcome)
                if outcome in _REFUSALS:
                    named = None if row.timeless else row.thing.id
                    summary.refuse(BadRow(row.number, row.kind, named, _REFUSALS[outcome]))
                else:
                    counts = summary.counts[row.kind]
                    setattr(counts, outcome.value, getattr(counts, outcome.value) + 1)
        summary.bad_rows.sort(key=lambda row: (row.kind is Kind.RELATIONSHIP, row.number))
        said = await _said(store, caller, lacking)
        summary.quota = next((said[resource] for resource in Resource if resource in said), None)
        return summary

    async def answered(self, caller: Principal, import_id: str, number: int, fingerprint: str) -> str | None:
        """What the sender of this part was told when it was done; None when it was not, or was forgotten.

        Raises:
            Conflict: it held something else then.
        """
        part = await self._store(caller).part(import_name(caller, import_id), number)
        if part is None or part.at < self.now() - REMEMBERED_FOR:
            return None
        if part.fingerprint != fingerprint:
            raise Conflict(
                f"Part {number} of this import was done before, with other contents. Send a changed file under another "
                "import_id."
            )
        return part.answer

    async def finish(self, caller: Principal, import_id: str, number: int, fingerprint: str, answer: str) -> None:
        """Remember a part that was done."""
        now = self.now()
        part = Part(number, fingerprint, answer, now)
        named = import_name(caller, import_id)
        await self._store(caller).finish_part(named, part, forget_before=now - REMEMBERED_FOR)

    async def parts(self, caller: Principal, import_id: str) -> list[Part]:
        """Those that were done and are remembered, by number."""
        since = self.now() - REMEMBERED_FOR
        parts = await self._store(caller).parts(import_name(caller, import_id))
        return [part for part in parts if part.at >= since]

    def _store(self, caller: Principal) -> Store:
        return self._stores.open(caller.store, limits_of(caller.plan), caller.project)


async def _said(store: Store, caller: Principal, lacking: Set[Resource]) -> Mapping[Resource, str]:
    """What to say of what a full store lacks."""
    if not lacking:
        return {}
    usage, limits = None if caller.project is not None else await store.read_usage(), limits_of(caller.plan)
    return {resource: reached(limits, usage, resource).detail for resource in lacking}


def _placed(caller: Principal, row: Row | BadRow) -> Row | BadRow:
    """The row as the caller may store it."""
    if not isinstance(row, Row) or not isinstance(row.thing, Memory):
        return row
    try:
        return replace(row, thing=memory_of(caller, row.thing))
    except OutsideProject as refused:
        return BadRow(row.number, row.kind, row.thing.id, {"context.project_path": refused.detail})


async def _import(store: TransferStore, rows: Sequence[Row], who: Author) -> list[Outcome]:
    """Rows of one kind."""
    if rows[0].kind is Kind.MEMORY:
        return await store.import_memories([cast(Memory, row.thing) for row in rows], who)
    edges = [cast(Relationship, row.thing) for row in rows]
    return await store.import_relationships(edges, who, timeless=rows[0].timeless)


def _chunks(rows: Iterable[Row | BadRow | None]) -> Iterator[list[Row | BadRow]]:
    """Rows for one call each: of one kind, no id twice, few enough. Bad rows come along; an empty chunk is a pause."""
    chunk: list[Row | BadRow] = []
    kind: tuple[Kind, bool] | None = None
    ids: set[str] = set()
    size = 0
    for row in rows:
        if row is None:
            yield []
            continue
        if isinstance(row, Row):
            unlike = row.thing.id in ids or kind != (row.kind, row.timeless) or size + row.size > CHUNK_BYTES
            if ids and unlike:
                yield chunk
                chunk, ids, size = [], set(), 0
            kind = (row.kind, row.timeless)
            ids.add(row.thing.id)
            size += row.size
        chunk.append(row)
        if len(chunk) >= CHUNK_ROWS:
            yield chunk
            chunk, ids, size = [], set(), 0
    if chunk:
        yield chunk
