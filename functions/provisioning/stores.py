"""What can be done with the store of a workspace: opened, closed, blocked, given another token, another schema.

Every step has a fixed name or place, so that doing all of it again comes to the same end. The order on the way up:
database, token, schema, and last the control plane, so that a store which a request can find always works. On the way
down: first the fence or the database itself, so that nothing is written any more, then what the control plane says.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from core import migrations
from core.adapters.control import ControlPlane
from core.ports import Clock, Database, Databases, StatementFailed, StoreAddress
from core.problems import Internal, Unavailable
from core.seal import Sealer
from core.settings import Secret
from core.urls import base_url, workspace_url
from declarations import FREE, Plan, Store
from provisioning.placements import Placement, Placements
from provisioning.turso import TOKEN_WEEKS, Turso

CLOSED = "closed"
"""`store_note` of a workspace whose store was erased: it gets no other."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between tries to reach a new database: its name takes a moment to become known."""
SIZE_HEADROOM = 3
"""A database may grow to so many times the plan's storage. The plan counts texts as they were sent; the file also holds
them folded for the search, with the indexes, and free pages: measured 1.2 to 1.7 times the count for what can fill a
plan (large memories, earlier states, relationships). So the quota, which says what to do, is reached before the file is
full, which is a mere "try again"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A store that works, before the control plane knows of it. `token_ends` is None for one without a token."""

    address: StoreAddress
    token_ends: datetime | None = None
    schema: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    turso: Turso
    databases: Databases
    sealer: Sealer
    control: ControlPlane
    placements: Placements
    clock: Clock
    free: Store = Store.SQLITE
    """Where the free plan's workspaces are: the stack says."""

    def kind_for(self, plan: Plan) -> Store:
        """Where a plan's workspaces are."""
        return self.free if plan is FREE else plan.store

    async def open(self, workspace: str, plan: Plan) -> Opened:
        """The store that the plan says, empty or as it was.

        Raises:
            TursoRefused, Internal: Turso or the new database refuses.
            Unavailable: no answer in time.
        """
        return await self.open_at(workspace, plan, self.kind_for(plan))

    async def open_at(self, workspace: str, plan: Plan, store: Store) -> Opened:
        """A store of this kind, whatever the plan says of it. Raises as `open` does."""
        if store is Store.POSTGRES:
            return await self.open_in_postgres(workspace)
        name = database_name(workspace)
        hostname = await self.turso.open_database(name, plan.storage_mb * SIZE_HEADROOM)
        token, ends = await self._new_token(name)
        address = StoreAddress(Store.SQLITE.value, base_url(hostname), token)
        schema = await _apply_schema(self.databases.open(address), patient=True)
        return Opened(address=address, token_ends=ends, schema=schema)

    async def open_in_postgres(self, workspace: str) -> Opened:
        """The workspace's place among the memories in PostgreSQL."""
        await self.control.open_memories(workspace)
        return Opened(address=StoreAddress(Store.POSTGRES.value, workspace_url(workspace), Secret("")))

    async def place(self, workspace: str, opened: Opened, note: str | None = None) -> bool | None:
        """Tell the control plane. False: the workspace has another store. None: there is no such workspace."""
        address = opened.address
        held = await self.placements.place(
            workspace,
            address.kind,
            address.url,
            self.sealer.seal_text(address.token.reveal(), workspace),
            token_ends=opened.token_ends,
            schema=opened.schema,
            note=note,
        )
        return None if held is None else held == (address.kind, address.url)

    async def renew_token(self, workspace: str, url: str) -> bool:
        """Another token for the database at `url`; the one in use goes on to its own end. Raises as `open` does."""
        token, ends = await self._new_token(database_name(workspace))
        sealed = self.sealer.seal_text(token.reveal(), workspace)
        return await self.placements.renew_token(workspace, url, sealed, ends)

    async def upgrade(self, workspace: str, placement: Placement) -> None:
        """Bring the workspace's own database to the newest migration. Raises as `open` does."""
        address = self.address(workspace, placement)
        await self.placements.record_schema(workspace, address.url, await self.apply_schema(address))

    async def apply_schema(self, address: StoreAddress) -> int:
        """Bring a database to the newest migration, whose number it is. Raises as `open` does."""
        return await _apply_schema(self.databases.open(address), patient=False)

    def address(self, workspace: str, placement: Placement) -> StoreAddress:
        """Where a store that was placed is.

        Raises:
            SealBroken: its token was sealed with a key that is not in use any more.
        """
        assert placement.url is not None, "it was placed"
        token = Secret(self.sealer.open_text(placement.token or "", workspace))
        return StoreAddress(placement.kind, placement.url, token, placement.epoch)

    async def _new_token(self, name: str) -> tuple[Secret, datetime]:
        ends = self.clock.now() + timedelta(weeks=TOKEN_WEEKS)  # before Turso's own clock begins
        return await self.turso.make_token(name), ends


def database_name(workspace: str) -> str:
    """Turso's name of a workspace's database: lower-case letters, digits and dashes, 64 at most."""
    return f"ws-{uuid.UUID(workspace).hex}"


async def _apply_schema(database: Database, *, patient: bool) -> int:
    for pause in (*PAUSES, None):
        try:
            return await migrations.apply(database, migrations.load(Store.SQLITE))
        except Unavailable:
            if pause is None or not patient:
                raise
            await asyncio.sleep(pause)
        except StatementFailed as error:
            raise Internal(f"The database refuses its schema: {error.message}.") from None
    raise AssertionError("the last pause is none")
