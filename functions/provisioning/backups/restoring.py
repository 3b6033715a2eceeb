"""Job `restore_store {object}`: a workspace is again what a backup of it holds. As in `moves`, a store is filled:

    1  the whole backup is read and checked              5  rows are put back; same digest as in the backup
    2  what the store holds now is backed up             6  the control plane says: here, at the attempt's epoch
    3  the store, made anew where it is missing          7  open, or as suspended as it was
    4  taken over at an epoch of its own, and emptied

Before 3 nothing is touched: a backup that is not whole, of another workspace or of one that was erased is refused. From
4 on nobody is served, whoever was admitted before finds the fence, and what others had begun comes too late. Killed
anywhere, it begins anew at another epoch. What is erased is not restored: the ledger app.erased says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

from core import logs
from core.problems import Internal, NotFound, Problem, Unavailable
from declarations import PLANS, Store
from memories.stores.ports_move import Kind, Mode, MovableStore, Raw
from provisioning.backups import archive
from provisioning.backups.archive import Corrupted, Index
from provisioning.backups.bucket import Bucket
from provisioning.backups.stores import Tally
from provisioning.backups.taking import back_up_store, digest_told
from provisioning.jobs import GaveUp, subject
from provisioning.leftovers import drop_later
from provisioning.moves import KEPT_SECONDS
from provisioning.outbox import Job
from provisioning.parts import Parts
from provisioning.placements import Placement
from provisioning.stores import CLOSED, Opened, database_name

FLIP_SECONDS = 30.0
ROWS = 500
ROWS_BYTES = 1_000_000
"""Of texts, put in by one call."""
MODES = {None: Mode.OPEN, "writes": Mode.READ_ONLY, "all": Mode.CLOSED}


async def restore_store(parts: Parts, job: Job) -> None:
    workspace, name = subject(job), job.payload.get("object")
    if parts.backups is None or not isinstance(name, str):
        raise GaveUp("It must name an `object`: the index of a backup. And this stack must keep backups.")
    standing = await parts.watch.standing(workspace)
    if standing == "erased":
        logs.LOGGER.warning("A restore passed over what was erased.", extra={"fields": {"workspace": workspace}})
        return
    placement = await parts.stores.placements.read(workspace)
    if placement is None or standing != "open" or placement.note == CLOSED:
        raise GaveUp("There is no such workspace, or it is closed. Restore the control plane first.")
    try:
        index = await read_workspace(parts.backups.bucket, name, workspace)
    except (Corrupted, NotFound) as error:
        raise GaveUp(error.detail) from None
    await _keep_what_is_there(parts, workspace)
    await _restore(parts, workspace, placement, index)


async def read_workspace(bucket: Bucket, name: str, workspace: str) -> Index:
    """The index of a backup, once all of it was read and found to be whole.

    Raises:
        Corrupted: it is not, or it is another workspace's.
        NotFound: there is none of this name.
    """
    index = await archive.read_index(bucket, name)
    if index.about.get("what") != "workspace" or index.about.get("workspace") != workspace:
        raise Corrupted(f"The backup {name} is not one of the workspace {workspace}. Nothing was changed.")
    await archive.verify(bucket, index)
    tally = Tally()
    async for kind, row in rows_of(bucket, index):
        tally.add(kind, row)
    if digest_told(tally.digest()) != index.about.get("digest"):
        raise Corrupted(
            f"The backup {name} does not hold what was backed up. Nothing was changed. Restore another one."
        )
    return index


async def rows_of(bucket: Bucket, index: Index) -> AsyncIterator[tuple[Kind, Raw]]:
    async for kind, row in archive.read_rows(bucket, index):
        yield Kind(kind), row


async def fill(store: MovableStore, bucket: Bucket, index: Index) -> None:
    """Put all rows into a store that was taken over, in the place of what it holds, and compare.

    Raises:
        Fenced: another one has taken it over.
        Internal: it does not hold the same afterwards.
    """
    while not await store.erase():
        pass
    some: list[Raw] = []
    kind: Kind | None = None
    size = 0
    async for one, row in rows_of(bucket, index):
        if kind is not None and (one is not kind or len(some) >= ROWS or size >= ROWS_BYTES):
            await store.put_raw(kind, some)
            some, size = [], 0
        kind = one
        some.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str))
    if kind is not None and some:
        await store.put_raw(kind, some)
    if digest_told(await store.digest()) != index.about.get("digest"):
        raise Internal("What was restored is not what was backed up. It is tried again.")


async def _keep_what_is_there(parts: Parts, workspace: str) -> None:
    """So that the restore can be taken back. A store that is lost cannot be read: that is why it is restored."""
    try:
        kept = await back_up_store(parts, workspace)
    except (Problem, TimeoutError) as error:
        logs.LOGGER.warning("Restoring over a store that cannot be backed up: %s", error)
        return
    if kept is not None and kept[2] is not None:
        logs.LOGGER.warning("Before a restore, backed up as %s", kept[2], extra={"fields": {"workspace": workspace}})


async def _restore(parts: Parts, workspace: str, left: Placement, index: Index) -> None:
    backups, stores = parts.backups, parts.stores
    assert backups is not None, "looked at before"
    to = Store(left.kind)
    attempt = await stores.placements.begin_move(workspace, left.epoch)
    if attempt is None:
        raise _overtaken()
    opened = await stores.open_at(workspace, PLANS[left.plan], to)
    if to is Store.SQLITE:
        await stores.turso.protect_database(database_name(workspace), protected=True)  # leftovers.py
    opened = replace(opened, address=replace(opened.address, epoch=attempt))
    target = parts.movable(opened.address)
    if not await target.take_over():
        raise _overtaken()
    await fill(target, backups.bucket, index)
    await _flip(parts, workspace, left, opened)
    suspended = await stores.placements.read_suspended(workspace)
    if not await target.hand_over(MODES.get(suspended, Mode.CLOSED)):
        raise _overtaken()
    await stores.placements.end_move(workspace, attempt)
    other = Store.SQLITE if to is Store.POSTGRES else Store.POSTGRES
    await drop_later(
        parts, workspace, other, KEPT_SECONDS, epoch=attempt
    )  # what a move left: its job knows another epoch


async def _flip(parts: Parts, workspace: str, left: Placement, opened: Opened) -> None:
    placements, address = parts.stores.placements, opened.address
    before = await placements.read_clock() + timedelta(seconds=FLIP_SECONDS)
    flipped = await placements.flip(
        workspace,
        left.epoch,
        address,
        parts.stores.sealer.seal_text(address.token.reveal(), workspace),
        token_ends=opened.token_ends,
        schema=opened.schema,
        before=before,
    )
    if not flipped:
        raise _overtaken()


def _overtaken() -> Unavailable:
    return Unavailable("Another attempt at this restore, or a move, has begun meanwhile.", part="restore")
