"""Jobs `close_store` and `suspend_store`.

    close_store                       everything that a workspace remembers is erased, wherever it is; no way back
    suspend_store {reads, writes}     true: they are refused; false: taken again

The fence inside the store holds at once, for every request that was admitted before; Turso's own block comes on top,
and what the control plane says: whoever meets the fence asks it, and is told that the workspace is suspended.
Closing looks in both stores, whatever the control plane says: a move may have left something in the other one.
"""

from __future__ import annotations

from dataclasses import replace

from core.ports import StoreAddress
from core.problems import Unavailable
from core.settings import Secret
from core.urls import workspace_url
from declarations import Store
from memories.stores.fence import Fenced
from memories.stores.ports_move import Fence, Mode
from provisioning.jobs import GaveUp, subject
from provisioning.outbox import Job
from provisioning.parts import Parts
from provisioning.stores import database_name


async def close_store(parts: Parts, job: Job) -> None:
    await erase_stores(parts, subject(job))


async def suspend_store(parts: Parts, job: Job) -> None:
    workspace = subject(job)
    reads, writes = job.payload.get("reads"), job.payload.get("writes")
    if not isinstance(reads, bool) or not isinstance(writes, bool):
        raise GaveUp("It must say `reads` and `writes`: true to refuse them, false to take them.")
    placement = await parts.stores.placements.read(workspace)
    if placement is None or placement.url is None:
        return
    at_turso, turso, name = placement.kind == Store.SQLITE, parts.stores.turso, database_name(workspace)
    if at_turso:
        await turso.block_database(name, reads=False, writes=False)  # what Turso refuses cannot be fenced
    mode = Mode.CLOSED if reads else Mode.READ_ONLY if writes else Mode.OPEN
    await parts.movable(parts.stores.address(workspace, placement)).fence(Fence(placement.epoch, mode))
    if at_turso and (reads or writes):
        await turso.block_database(name, reads=reads, writes=writes)
    await parts.stores.placements.suspend(workspace, "all" if reads else "writes" if writes else None)


async def erase_stores(parts: Parts, workspace: str) -> None:
    """Erase both stores of a workspace, and see that they are empty.

    Raises:
        Unavailable, TursoRefused: it is not done yet.
    """
    name = database_name(workspace)
    await parts.stores.turso.protect_database(name, protected=False)
    await parts.stores.turso.delete_database(name)
    await erase_in_postgres(parts, workspace)
    if await parts.stores.turso.has_database(name):
        raise Unavailable(f"Turso still has the database {name} that it deleted.", part="turso")
    await parts.ledger.clear_store(workspace)


async def erase_in_postgres(parts: Parts, workspace: str, epoch: int | None = None) -> None:
    """Erase what a workspace has in PostgreSQL; its fence stays, closed, for requests that were admitted before.

    Args:
        epoch: it was left at this one; without, whatever is there is erased.

    Raises:
        Fenced: the workspace came back since.
    """
    here = StoreAddress(Store.POSTGRES.value, workspace_url(workspace), Secret(""))
    if epoch is None:
        placement = await parts.stores.placements.read(workspace)
        found = await parts.movable(here).read_fence()
        known = (placement.epoch, placement.move_epoch or 1) if placement else ()
        epoch = max(found.epoch, *known) + 1  # a runner that was frozen in a move must not go on where it was
    store = parts.movable(replace(here, epoch=epoch))
    if not await store.take_over():
        raise Fenced
    while not await store.erase():
        pass  # a piece each time, so that no statement takes long
