"""A workspace in PostgreSQL as a move sees it (0015_store_moves.sql, 0017). See `stores.ports_move`."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence

import orjson

from core import timing
from core.adapters.postgres import Answer, Postgres, StatementRefused
from core.ports import SqlValue, StoreAddress
from core.urls import workspace_of_url
from memories.stores.fence import Fenced
from memories.stores.ports_move import Change, Digest, Fence, Kind, Mode, Raw
from memories.stores.postgres.base import FENCED, stored_columns, to_json
from memories.stores.raw import COLUMNS, FLOATS, following
from memories.stores.rows import PAGE_BYTES

ERASED_AT_ONCE = 2_000

_READ_FENCE = "SELECT * FROM memory.read_fence(%s)"
_FENCE = "SELECT * FROM memory.fence(%s, %s, %s)"
_BEGIN_JOURNAL = "SELECT memory.begin_journal(%s)"
_READ_JOURNAL = "SELECT * FROM memory.read_journal(%s, %s, %s)"
_END_JOURNAL = "SELECT memory.end_journal(memory.working(%s, %s), %s)"
_PAUSE = "SELECT memory.pause(%s, %s, %s::float8)"
_PROLONG_PAUSE = "SELECT memory.prolong_pause(%s, %s, %s::float8)"
_END_PAUSE = "SELECT memory.end_pause(%s, %s)"
_TAKE_OVER = "SELECT memory.take_over(%s, %s, %s)"
_HAND_OVER = "SELECT memory.hand_over(%s, %s, %s, %s)"
_RAW_PAGE = "SELECT * FROM memory.raw_page(%s, %s, %s, %s, %s::text[], %s, %s)"
_PUT_RAW = "SELECT memory.put_raw(memory.working(%s, %s), %s, %s, %s::jsonb)"
_REPLACE_RAW = """
  WITH gone AS MATERIALIZED (SELECT 1 FROM memory.drop_raw(memory.working(%s, %s), %s, %s, %s::text[]))
  SELECT memory.put_raw(memory.working(%s, %s), %s, %s, %s::jsonb) FROM gone"""
_DIGEST = "SELECT memories, versions, relationships, checksum::text FROM memory.digest(%s)"
_ERASE = "SELECT memory.erase(memory.working(%s, %s), %s, %s)"


class PostgresMovable:
    """`MovableStore` of one workspace, which is written to at one epoch; for the role `provisioning`."""

    def __init__(self, postgres: Postgres, workspace: uuid.UUID, *, epoch: int = 1) -> None:
        self._postgres = postgres
        self._workspace = str(workspace)
        self._epoch = epoch
        self._worker: str | None = None

    async def read_fence(self) -> Fence:
        return _fence(await self._ask(_READ_FENCE))

    async def fence(self, fence: Fence) -> Fence:
        return _fence(await self._ask(_FENCE, fence.epoch, str(fence.mode)))

    async def pause(self, seconds: float) -> bool:
        return bool(await self._one(_PAUSE, self._epoch, seconds))

    async def prolong_pause(self, seconds: float) -> bool:
        return bool(await self._one(_PROLONG_PAUSE, self._epoch, seconds))

    async def end_pause(self) -> None:
        await self._ask(_END_PAUSE, self._epoch)

    async def take_over(self) -> bool:
        self._worker = secrets.token_hex(8)
        return bool(await self._one(_TAKE_OVER, self._epoch, self._worker))

    async def hand_over(self, mode: Mode) -> bool:
        return bool(await self._one(_HAND_OVER, self._epoch, self._worker, str(mode)))

    async def begin_journal(self) -> None:
        await self._ask(_BEGIN_JOURNAL)

    async def read_journal(self, after: int, limit: int) -> list[Change]:
        rows = (await self._ask(_READ_JOURNAL, after, limit)).rows
        return [Change(seq, Kind(kind), id_) for seq, kind, id_ in rows]

    async def end_journal(self) -> None:
        await self._ask(_END_JOURNAL, self._worker, self._epoch)

    async def raw_page(
        self, kind: Kind, after: tuple[str, int] | None = None, *, ids: Sequence[str] | None = None, limit: int = 500
    ) -> list[Raw]:
        behind = after or (None, None)
        some = None if ids is None else list(ids)
        answer = await self._ask(_RAW_PAGE, str(kind), *behind, some, limit, PAGE_BYTES)
        return [_raw(kind, row) for (row,) in answer.rows]

    async def put_raw(self, kind: Kind, rows: Sequence[Raw], *, instead_of: Sequence[str] = ()) -> None:
        columns = to_json([stored_columns({**row, **following(kind, row)}) for row in rows])
        at = (self._worker, self._epoch, str(kind))
        if instead_of:
            await self._ask(_REPLACE_RAW, *at, list(instead_of), self._workspace, *at, columns)
        else:
            await self._ask(_PUT_RAW, *at, columns)

    async def digest(self) -> Digest:
        memories, versions, relationships, checksum = (await self._ask(_DIGEST)).rows[0]
        return Digest(memories, versions, relationships, int(checksum))

    async def erase(self) -> bool:
        return bool(await self._one(_ERASE, self._worker, self._epoch, ERASED_AT_ONCE))

    async def _one(self, statement: str, *args: object) -> object:
        [(value,)] = (await self._ask(statement, *args)).rows
        return value

    async def _ask(self, statement: str, *args: object) -> Answer:
        try:
            with timing.storing():
                return await self._postgres.ask(statement, (self._workspace, *args))
        except StatementRefused as error:
            if error.sqlstate == FENCED:
                raise Fenced from None
            raise


class PostgresMovables:
    """`MovableStores` in one database."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def open(self, address: StoreAddress) -> PostgresMovable:
        """Raises: ValueError: the address names no workspace."""
        return PostgresMovable(self._postgres, workspace_of_url(address.url), epoch=address.epoch)


def _raw(kind: Kind, text: str) -> Raw:
    """JSON has whole numbers where SQLite has 1.0."""
    found = orjson.loads(text)
    values: dict[str, SqlValue] = {name: found[name] for name in COLUMNS[kind]}
    return {name: float(value) if name in FLOATS and value is not None else value for name, value in values.items()}


def _fence(answer: Answer) -> Fence:
    epoch, mode = answer.rows[0]
    return Fence(epoch, Mode(mode))
