"""Jobs `drop_database {epoch}` and `drop_memories {epoch}`: what nobody uses any more, at Turso or in PostgreSQL.

Left by an attempt to open a store that Turso had given up to PostgreSQL meanwhile, or by a move, whose source is kept
for a week. A workspace that has moved since is at another epoch: then that move's own job does it.

A database is deleted by its name, which a later move back gives to what it makes, and a runner may be frozen before any
call and go on much later. So a move protects its database at Turso before anything is in it; here the protection is
taken away first, and then it is looked again whether nobody has begun to move: who begins after that protects it anew,
and the deletion is refused. In PostgreSQL the epoch of the fence does the same.
"""

from __future__ import annotations

from declarations import Store
from provisioning.closings import erase_in_postgres
from provisioning.jobs import subject
from provisioning.outbox import Job
from provisioning.parts import Parts
from provisioning.placements import Placement
from provisioning.stores import database_name

KINDS = {Store.SQLITE: "drop_database", Store.POSTGRES: "drop_memories"}
LATER_SECONDS = 86_400.0
"""After which it is looked again at what a move may be about to use."""


async def drop_later(parts: Parts, workspace: str, store: Store, seconds: float, *, epoch: int | None = None) -> None:
    """Make the job that drops what a workspace has in `store`, where it is not at this epoch (by default: now)."""
    if epoch is None:
        placement = await parts.stores.placements.read(workspace)
        epoch = placement.epoch if placement else None
    await parts.outbox.enqueue(
        KINDS[store], workspace, {"epoch": epoch}, dedupe=f"{workspace} {epoch}", delay_seconds=seconds
    )


async def drop_database(parts: Parts, job: Job) -> None:
    turso, name = parts.stores.turso, database_name(subject(job))
    if await _is_needed(parts, job):
        return
    await turso.protect_database(name, protected=False)
    if await _is_needed(parts, job):
        await turso.protect_database(name, protected=True)  # whoever uses it by now had done so
        return
    await turso.delete_database(name)


async def drop_memories(parts: Parts, job: Job) -> None:
    if _is_unused(await parts.stores.placements.read(subject(job)), job, Store.POSTGRES):
        await erase_in_postgres(parts, subject(job), job.payload.get("epoch"))


async def _is_needed(parts: Parts, job: Job) -> bool:
    """Whether the database is in use; or may soon be, and then another job looks again."""
    placement = await parts.stores.placements.read(subject(job))
    if placement is not None and placement.move_epoch is not None:
        dedupe = f"{job.subject} after {job.id}"
        await parts.outbox.enqueue(job.kind, job.subject, job.payload, dedupe=dedupe, delay_seconds=LATER_SECONDS)
        return True
    return not _is_unused(placement, job, Store.SQLITE)


def _is_unused(placement: Placement | None, job: Job, store: Store) -> bool:
    if placement is None or placement.url is None:
        return True
    return placement.kind != store and placement.epoch == job.payload.get("epoch", placement.epoch)
