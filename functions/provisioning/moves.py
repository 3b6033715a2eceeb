"""Job `move_store {to}`: a workspace's memories from one store to the other, while they are read and written.

Each attempt leads to an epoch of its own, and begins anew. The target stands at that epoch, closed, and takes rows only
from who took it over last, so a runner that was overtaken can neither spoil what another has copied nor what is live.

    1  target: taken over, empty                  6  the control plane says: there, at the attempt's epoch
    2  source: writes down what changes           7  both are taken over: the source closes for good
    3  everything is copied                       8  what was still written down is carried over
    4  so are the changes, until few are left     9  the source is dropped in a week
    5  source: paused; the rest; same digest     10  target: open

Before 6 the workspace is in the source, after 6 in the target: an attempt that finds 6 done goes on with 7. The pause
ends by itself (`PAUSES`), so that a mover that died keeps nobody out; and 6 is refused to one that was slow or frozen:
the pause is prolonged after the control plane's clock was read, and the control plane flips until `FLIP_SECONDS` after
that reading only. So no two clocks are compared, they only have to run equally fast. Nothing is lost should even that
fail: a write which the source takes before 7 is written down there, and 8 carries it before the target serves anyone.

Between 6 and 10 nobody is served; a mover that dies there is followed when its lease ends (`jobs.LEASES`). A workspace
that does not fit the plan that it should move for stays where it is, with a note; its quotas let it shrink.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.ports import StoreAddress
from core.problems import Internal, Unavailable
from core.settings import Secret
from core.urls import base_url, workspace_url
from declarations import PLANS, Plan, Store
from memories.stores.copying import CHANGES, copy_all, copy_changes
from memories.stores.ports_move import Fence, Mode, MovableStore
from provisioning.jobs import GaveUp, subject
from provisioning.leftovers import drop_later
from provisioning.outbox import Job
from provisioning.parts import Parts
from provisioning.placements import Placement
from provisioning.stores import CLOSED, Opened, database_name

KEPT_SECONDS = 7 * 86_400.0
TOO_LARGE = "too large for its plan"
"""`store_note` of a workspace that should move and does not fit."""
PAUSES = (5.0, 5.0, 10.0)
"""Seconds for which writes wait in each try of step 5: a request waits for ten at most (core/http.py)."""
FLIP_SECONDS = 3.0
"""How long step 6 may take."""
MARGIN_SECONDS = 2.0
"""By how much the pause outlasts that: more than two clocks drift apart meanwhile."""
PAGES = 50
"""Of changes, which are carried over at most before the source is paused, however fast it is written to."""

_SUSPENDED = {None: Mode.OPEN, "writes": Mode.READ_ONLY, "all": Mode.CLOSED}


async def move_store(parts: Parts, job: Job) -> None:
    workspace, to = subject(job), _target(job)
    placement = await parts.stores.placements.read(workspace)
    if placement is None or placement.url is None or placement.note == CLOSED:
        return
    carried = 0
    if placement.kind != to:
        if not await _fits(parts, workspace, placement, to):
            await parts.stores.placements.note(workspace, TOO_LARGE)
            return
        placement, carried = await _copy(parts, workspace, placement, to)
    if placement.move_epoch == placement.epoch:
        await _finish(parts, workspace, placement, carried)


@dataclass(slots=True)
class _Move:
    """One attempt, once everything was copied. `carried`: up to which change."""

    parts: Parts
    workspace: str
    left: Placement
    opened: Opened
    source: MovableStore
    target: MovableStore
    carried: int = 0

    async def flip(self) -> Placement:
        """Steps 5 and 6, again when the pause ends before; where the workspace is then."""
        for seconds in PAUSES:
            self.carried = await _carry(self.source, self.target, self.carried, few=CHANGES // 4, pages=PAGES)
            if not await self.source.pause(seconds):
                raise _overtaken()
            try:
                placement = await self._flip_in_pause()
            except Exception:
                with suppress(Unavailable):  # then it ends by itself
                    await self.source.end_pause()
                raise
            if placement is not None:
                return placement
        raise Unavailable("Writes cannot wait for as long as this move takes.", part="move")

    async def _flip_in_pause(self) -> Placement | None:
        """None: the pause has ended, or would."""
        self.carried = await _carry(self.source, self.target, self.carried, pages=PAGES)
        one, other = await asyncio.gather(self.source.digest(), self.target.digest())
        placements = self.parts.stores.placements
        asked = await placements.read_clock()
        if not await self.source.prolong_pause(FLIP_SECONDS + MARGIN_SECONDS):
            return None
        if one != other:
            raise Internal("The copy is not what was copied. Nothing was changed; it is tried again.")
        flipped = await self._ask_to_flip(asked + timedelta(seconds=FLIP_SECONDS))
        if flipped is None:
            return None
        placement = await placements.read(self.workspace) if flipped else None
        if placement is None:
            raise _overtaken()
        return placement

    async def _ask_to_flip(self, before: datetime) -> bool | None:
        placements, address = self.parts.stores.placements, self.opened.address
        try:
            return await placements.flip(
                self.workspace,
                self.left.epoch,
                address,
                self.parts.stores.sealer.seal_text(address.token.reveal(), self.workspace),
                token_ends=self.opened.token_ends,
                schema=self.opened.schema,
                before=before,
            )
        except Unavailable:  # it may be done; then nobody is served until the rest is, too
            found = await placements.read(self.workspace)
            if found is None or found.epoch != address.epoch:
                raise
            return True


async def _copy(parts: Parts, workspace: str, placement: Placement, to: Store) -> tuple[Placement, int]:
    """Steps 1 to 6; where the workspace is then, and up to which change it has been carried."""
    stores = parts.stores
    if placement.kind == Store.SQLITE:
        await stores.upgrade(workspace, placement)
    source = parts.movable(stores.address(workspace, placement))
    await _see_that_it_is_open(parts, workspace, placement, source)
    attempt = await stores.placements.begin_move(workspace, placement.epoch)
    if attempt is None:
        raise _overtaken()
    opened = await stores.open_at(workspace, PLANS[placement.plan], to)
    if to is Store.SQLITE and not await stores.turso.protect_database(database_name(workspace), protected=True):
        raise Unavailable("The new database was deleted by a job that had been frozen.", part="turso")  # leftovers.py
    opened = replace(opened, address=replace(opened.address, epoch=attempt))
    target = parts.movable(opened.address)
    await _take_over(target)
    while not await target.erase():
        pass
    await source.begin_journal()
    await copy_all(source, target)
    move = _Move(parts, workspace, placement, opened, source, target)
    return await move.flip(), move.carried


async def _finish(parts: Parts, workspace: str, placement: Placement, carried: int) -> None:
    """Steps 7 to 10, of the move that led to where the workspace is."""
    address = parts.stores.address(workspace, placement)
    if placement.kind == Store.SQLITE:
        await parts.stores.apply_schema(address)  # it may have been flipped by the version before
    target = parts.movable(address)
    left = Store.SQLITE if placement.kind == Store.POSTGRES else Store.POSTGRES
    if (await target.read_fence()).mode is Mode.CLOSED:
        await _take_over(target)
        source = parts.movable(await _address(parts, workspace, left, placement.epoch))
        await _take_over(source)
        await _carry(source, target, carried)
        await drop_later(parts, workspace, left, KEPT_SECONDS, epoch=placement.epoch)
        await source.end_journal()
        suspended = await parts.stores.placements.read_suspended(workspace)
        if not await target.hand_over(_SUSPENDED.get(suspended, Mode.CLOSED)):
            raise _overtaken()
    await parts.stores.placements.end_move(workspace, placement.epoch)


async def _see_that_it_is_open(parts: Parts, workspace: str, placement: Placement, source: MovableStore) -> None:
    mode = (await source.read_fence()).mode
    if mode is Mode.OPEN:
        return
    if await parts.stores.placements.read_suspended(workspace) or placement.move_epoch is None:
        raise GaveUp("The workspace is suspended. Lift that first, then move it.")
    if await source.fence(Fence(placement.epoch, Mode.OPEN)) != Fence(placement.epoch, Mode.OPEN):
        raise _overtaken()  # else a mover of the version before had left it read only


async def _carry(
    source: MovableStore, target: MovableStore, after: int, *, few: int = 0, pages: int | None = None
) -> int:
    """Carry changes over until no more than `few` come at once, or so many pages have come; behind which one it goes
    on. Without `pages`, of a source that changes no more: all of them."""
    while pages is None or pages > 0:
        after, count = await copy_changes(source, target, after)
        if count <= few:
            break
        pages = pages and pages - 1
    return after


async def _take_over(store: MovableStore) -> None:
    if not await store.take_over():
        raise _overtaken()


async def _address(parts: Parts, workspace: str, store: Store, epoch: int) -> StoreAddress:
    """Where a workspace's memories were before it moved, and with the newest schema."""
    if store is Store.POSTGRES:
        return StoreAddress(store.value, workspace_url(workspace), Secret(""), epoch)
    turso, name = parts.stores.turso, database_name(workspace)
    address = StoreAddress(store.value, base_url(await turso.find_database(name)), await turso.make_token(name), epoch)
    await parts.stores.apply_schema(address)
    return address


async def _fits(parts: Parts, workspace: str, placement: Placement, to: Store) -> bool:
    """Databases of their own hold what their plan allows and no more; PostgreSQL holds anything."""
    if to is Store.POSTGRES:
        return True
    plan: Plan = PLANS[placement.plan]
    use = await parts.contents.open(parts.stores.address(workspace, placement)).read_usage()
    return (plan.memories is None or use.memories <= plan.memories) and use.bytes <= plan.storage_mb * 1_000_000


def _target(job: Job) -> Store:
    try:
        return Store(str(job.payload.get("to")))
    except ValueError:
        raise GaveUp(f"It must say where `to`: {', '.join(Store)}.") from None


def _overtaken() -> Unavailable:
    return Unavailable("Another attempt at this move has begun meanwhile.", part="move")
