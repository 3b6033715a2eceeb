"""Job `move_store {to}`: a workspace's memories from one store to the other, while they are read and written.

Each attempt leads to an epoch of its own, and begins anew. The target stands at that epoch, closed, and takes rows only
while it does, so a runner that was overtaken can neither spoil what another has copied nor what is live by then.

    1  target: (attempt, closed), empty           6  the control plane says: there, at the attempt's epoch
    2  source: writes down what changes           7  source: (attempt, closed), for good
    3  everything is copied                       8  what was still written down is carried over
    4  so are the changes, until few are left     9  the source is dropped in a week
    5  source: read only; the rest; same digest  10  target: (attempt, open)

Before 6 the workspace is in the source, after 6 in the target: an attempt that finds 6 done goes on with 7. A workspace
that does not fit the plan that it should move for stays where it is, with a note; its quotas let it shrink.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

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
from provisioning.stores import CLOSED, database_name

KEPT_SECONDS = 7 * 86_400.0
TOO_LARGE = "too large for its plan"
"""`store_note` of a workspace that should move and does not fit."""


async def move_store(parts: Parts, job: Job) -> None:
    workspace, to = subject(job), _target(job)
    placement = await parts.stores.placements.read(workspace)
    if placement is None or placement.url is None or placement.note == CLOSED:
        return
    if placement.kind != to:
        if not await _fits(parts, workspace, placement, to):
            await parts.stores.placements.note(workspace, TOO_LARGE)
            return
        placement = await _copy(parts, workspace, placement, to)
    if placement.move_epoch == placement.epoch:
        await _finish(parts, workspace, placement)


async def _copy(parts: Parts, workspace: str, placement: Placement, to: Store) -> Placement:
    """Steps 1 to 6; where the workspace is then."""
    stores = parts.stores
    source = parts.movable(stores.address(workspace, placement))
    if placement.move_epoch is None and (await source.read_fence()).mode is not Mode.OPEN:
        raise GaveUp("The workspace is suspended. Lift that first, then move it.")
    attempt = await stores.placements.begin_move(workspace, placement.epoch)
    if attempt is None:
        raise _overtaken()
    opened = await stores.open_at(workspace, PLANS[placement.plan], to)
    address = replace(opened.address, epoch=attempt)
    target = parts.movable(address)
    await _set(target, Fence(attempt, Mode.CLOSED))
    while not await target.erase():
        pass
    await source.begin_journal()
    await _set(source, Fence(placement.epoch, Mode.OPEN))  # an attempt that was killed may have left it read only
    await copy_all(source, target)
    carried = await _carry(source, target, 0, few=CHANGES // 4)
    await _set(source, Fence(placement.epoch, Mode.READ_ONLY))
    try:
        await _carry(source, target, carried, few=0)
        one, other = await asyncio.gather(source.digest(), target.digest())
        if one != other:
            raise Internal("The copy is not what was copied. Nothing was changed; it is tried again.")
        sealed = stores.sealer.seal_text(address.token.reveal(), workspace)
        if not await stores.placements.flip(
            workspace, placement.epoch, address, sealed, token_ends=opened.token_ends, schema=opened.schema
        ):
            raise _overtaken()
    except Exception:
        await source.fence(Fence(placement.epoch, Mode.OPEN))  # in vain when it has been closed for good
        raise
    flipped = await stores.placements.read(workspace)
    if flipped is None:
        raise _overtaken()
    return flipped


async def _finish(parts: Parts, workspace: str, placement: Placement) -> None:
    """Steps 7 to 10, of the move that led to where the workspace is."""
    target = parts.movable(parts.stores.address(workspace, placement))
    left = Store.SQLITE if placement.kind == Store.POSTGRES else Store.POSTGRES
    if (await target.read_fence()).mode is Mode.CLOSED:
        source = parts.movable(await _address(parts, workspace, left, placement.epoch))
        await _set(source, Fence(placement.epoch, Mode.CLOSED))
        await _carry(source, target, 0, few=0)
        await drop_later(parts, workspace, left, KEPT_SECONDS)
        await source.end_journal()
        await _set(target, Fence(placement.epoch, Mode.OPEN))
    await parts.stores.placements.end_move(workspace, placement.epoch)


async def _carry(source: MovableStore, target: MovableStore, after: int, *, few: int) -> int:
    """Carry changes over until no more than `few` come at once; behind which one it goes on."""
    while True:
        after, count = await copy_changes(source, target, after)
        if count <= few:
            return after


async def _set(store: MovableStore, fence: Fence) -> None:
    if await store.fence(fence) != fence:
        raise _overtaken()


async def _address(parts: Parts, workspace: str, store: Store, epoch: int) -> StoreAddress:
    """Where a workspace's memories were before it moved."""
    if store is Store.POSTGRES:
        return StoreAddress(store.value, workspace_url(workspace), Secret(""), epoch)
    turso, name = parts.stores.turso, database_name(workspace)
    return StoreAddress(store.value, base_url(await turso.find_database(name)), await turso.make_token(name), epoch)


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
