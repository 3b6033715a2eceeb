"""A workspace in PostgreSQL as a move sees it (0015_store_moves.sql). See `stores.ports_move`."""

from __future__ import annotations

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
_END_JOURNAL = "SELECT memory.end_journal(%s)"
_RAW_PAGE = "SELECT * FROM memory.raw_page(%s, %s, %s, %s, %s::text[], %s, %s)"
_PUT_RAW = "SELECT memory.put_raw(%s, %s, %s, %s::jsonb)"
_DROP_RAW = "SELECT memory.drop_raw(%s, %s, %s, %s::text[])"
_DIGEST = "SELECT memories, versions, relationships, checksum::text FROM memory.digest(%s)"
_ERASE = "SELECT memory.erase(%s, %s, %s)"


class PostgresMovable:
    """`MovableStore` of one workspace, which is written to at one epoch; for the role `provisioning`."""

    def __init__(self, postgres: Postgres, workspace: uuid.UUID, *, epoch: int = 1) -> None:
        self._postgres = postgres
        self._workspace = str(workspace)
        self._epoch = epoch

    async def read_fence(self) -> Fence:
        return _fence(await self._ask(_READ_FENCE))

    async def fence(self, fence: Fence) -> Fence:
        return _fence(await self._ask(_FENCE, fence.epoch, str(fence.mode)))

    async def begin_journal(self) -> None:
        await self._ask(_BEGIN_JOURNAL)

    async def read_journal(self, after: int, limit: int) -> list[Change]:
        rows = (await self._ask(_READ_JOURNAL, after, limit)).rows
        return [Change(seq, Kind(kind), id_) for seq, kind, id_ in rows]

    async def end_journal(self) -> None:
        await self._ask(_END_JOURNAL)

    async def raw_page(
        self, kind: Kind, after: tuple[str, int] | None = None, *, ids: Sequence[str] | None = None, limit: int = 500
    ) -> list[Raw]:
        behind = after or (None, None)
        some = None if ids is None else list(ids)
        answer = await self._ask(_RAW_PAGE, str(kind), *behind, some, limit, PAGE_BYTES)
        return [_raw(kind, row) for (row,) in answer.rows]

    async def put_raw(self, kind: Kind, rows: Sequence[Raw]) -> None:
        columns = [stored_columns({**row, **following(kind, row)}) for row in rows]
        await self._ask(_PUT_RAW, self._epoch, str(kind), to_json(columns))

    async def drop_raw(self, kind: Kind, ids: Sequence[str]) -> None:
        await self._ask(_DROP_RAW, self._epoch, str(kind), list(ids))

    async def digest(self) -> Digest:
        memories, versions, relationships, checksum = (await self._ask(_DIGEST)).rows[0]
        return Digest(memories, versions, relationships, int(checksum))

    async def erase(self) -> bool:
        [(done,)] = (await self._ask(_ERASE, self._epoch, ERASED_AT_ONCE)).rows
        return bool(done)

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
