"""The weekly check: the newest backup is restored, and what comes out compared with what went in.

The control plane whole, into tables of schema `scratch` that are like those of `app`, with their keys and references,
in a transaction that is rolled back: nothing is left of it, were it killed. A sample of workspaces, one after another,
into a workspace of PostgreSQL that nobody has, by the very steps of a real restore; it is emptied again. Each time the
database itself sums up what it holds.
"""

from __future__ import annotations

import random
import uuid
from typing import Any

from core import logs
from core.adapters.bulk import Bulk, change
from core.adapters.postgres import StatementRefused
from core.ports import StoreAddress
from core.problems import Internal, Problem
from core.settings import Secret
from core.urls import workspace_url
from declarations import Store
from provisioning.backups import archive, control, restoring
from provisioning.backups.archive import Corrupted, Index
from provisioning.backups.bucket import Bucket
from provisioning.backups.ledger import Newest
from provisioning.backups.tools import Backups
from provisioning.jobs import GaveUp
from provisioning.parts import Parts

SAMPLE = 5
NOBODY = str(uuid.uuid5(uuid.NAMESPACE_URL, "memorygraph: where restores are tried"))
FAILED = "restore check failed"


async def check_backups(parts: Parts, sample: int = SAMPLE) -> dict[str, Any]:
    """Restore the newest backup on trial; what was compared. What is wrong is told to the operator.

    Raises:
        Unavailable: the control plane does not answer.
    """
    backups = parts.backups
    if backups is None:
        return {"kept": False}
    newest = await backups.ledger.newest()
    if newest is None:
        await _tell(parts, "there is no backup yet")
        return {"kept": True, "error": "there is no backup yet"}
    error: str | None = None
    checked: dict[str, Any] = {}
    try:
        checked = await _check(parts, backups, newest, sample)
    except (Problem, StatementRefused, GaveUp, TimeoutError) as failure:
        error = failure.detail if isinstance(failure, Problem) else f"{type(failure).__name__}: {failure}"
    await backups.ledger.record_check(newest.run, error)
    if error is None:
        await parts.ledger.untell_operator(FAILED)
        logs.LOGGER.info("The newest backup was restored and compared.", extra={"fields": checked})
    else:
        await _tell(parts, error)
    return {"kept": True, "error": error, **checked}


async def _check(parts: Parts, backups: Backups, newest: Newest, sample: int) -> dict[str, Any]:
    manifest = archive.opened(newest.manifest, await backups.bucket.read(newest.manifest))
    index = await archive.read_index(backups.bucket, manifest["control"])
    await archive.verify(backups.bucket, index)
    rows = await check_control(backups.url, backups.bucket, index)
    workspaces: dict[str, str] = manifest["workspaces"]
    chosen = random.sample(sorted(workspaces), min(sample, len(workspaces)))
    for workspace in chosen:
        await _check_workspace(parts, backups.bucket, workspace, workspaces[workspace])
    return {"tables": len(index.about["digests"]), "rows": rows, "workspaces": len(chosen)}


async def check_control(url: Secret, bucket: Bucket, index: Index) -> int:
    """Restore a control plane into `scratch`, and compare; how many rows it has.

    Raises:
        Corrupted: a table holds something else afterwards, or its references lead nowhere.
    """
    digests: dict[str, list[Any]] = index.about["digests"]
    async with change(url, keep=False) as database:
        for table in digests:
            await database.fetch(f"CREATE TABLE scratch.{table} (LIKE app.{table} INCLUDING ALL EXCLUDING STATISTICS)")
        await put_all(database, bucket, index, "scratch")
        for table, before in digests.items():
            if await control.digest(database, f"scratch.{table}") != before:
                raise Corrupted(f"The table {table}, restored from {index.name}, is not what was backed up.")
        for one, _, text in await control.references(database):
            if one.removeprefix("app.") in digests:
                changed = text.replace("REFERENCES app.", "REFERENCES scratch.")
                await database.fetch(f"ALTER TABLE scratch.{one.removeprefix('app.')} ADD {changed}")
    return sum(index.counts.values())


async def put_all(database: Bulk, bucket: Bucket, index: Index, schema: str) -> None:
    """Put every row of the control plane into the tables of a schema; they come table by table."""
    some: list[dict[str, Any]] = []
    kind = ""
    async for one, row in archive.read_rows(bucket, index):
        if one.startswith("auth."):
            continue
        if some and (one != kind or len(some) >= control.ROWS):
            await control.put(database, f"{schema}.{kind}", some)
            some = []
        kind = one
        some.append(row)
    if some:
        await control.put(database, f"{schema}.{kind}", some)


async def _check_workspace(parts: Parts, bucket: Bucket, workspace: str, name: str) -> None:
    index = await restoring.read_workspace(bucket, name, workspace)
    here = StoreAddress(Store.POSTGRES.value, workspace_url(NOBODY), Secret(""))
    epoch = (await parts.movable(here).read_fence()).epoch + 1
    target = parts.movable(StoreAddress(here.kind, here.url, here.token, epoch))
    if not await target.take_over():
        raise Internal("Another check is under way.")
    try:
        await restoring.fill(target, bucket, index)
    finally:
        while not await target.erase():
            pass


async def _tell(parts: Parts, error: str) -> None:
    logs.LOGGER.error("The check of backups failed: %s", error)
    lines = [error, "Restore by hand from another day to see whether it is one backup or all: docs/backups.md."]
    data = {"headline": "A backup could not be restored", "lines": lines}
    await parts.ledger.tell_operator(FAILED, parts.settings.operator_email, data)
