"""Jobs `drop_database {epoch}` and `drop_memories {epoch}`: what nobody uses any more, at Turso or in PostgreSQL.

Left by an attempt to open a store that Turso had given up to PostgreSQL meanwhile, or by a move, whose source is kept
for a week. A workspace that has moved since is at another epoch: then that move's own job does it.
"""

from __future__ import annotations

from declarations import Store
from provisioning.closings import erase_in_postgres
from provisioning.jobs import subject
from provisioning.outbox import Job
from provisioning.parts import Parts
from provisioning.stores import database_name

KINDS = {Store.SQLITE: "drop_database", Store.POSTGRES: "drop_memories"}


async def drop_later(parts: Parts, workspace: str, store: Store, seconds: float) -> None:
    """Make the job that drops what a workspace has in `store`, where it is not now."""
    placement = await parts.stores.placements.read(workspace)
    epoch = placement.epoch if placement else None
    await parts.outbox.enqueue(
        KINDS[store], workspace, {"epoch": epoch}, dedupe=f"{workspace} {epoch}", delay_seconds=seconds
    )


async def drop_database(parts: Parts, job: Job) -> None:
    if await _is_unused(parts, job, Store.SQLITE):
        await parts.stores.turso.delete_database(database_name(subject(job)))


async def drop_memories(parts: Parts, job: Job) -> None:
    if await _is_unused(parts, job, Store.POSTGRES):
        await erase_in_postgres(parts, subject(job), job.payload.get("epoch"))


async def _is_unused(parts: Parts, job: Job, store: Store) -> bool:
    placement = await parts.stores.placements.read(subject(job))
    if placement is None or placement.url is None:
        return True
    return placement.kind != store and placement.epoch == job.payload.get("epoch", placement.epoch)
