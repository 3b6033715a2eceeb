"""The daily backup: the control plane, then every store that may have changed, and last a manifest of what belongs
together.

Each store is a task of its own, whose end is a row in app.backup_stores; whoever goes on with a run that was cut off
does what has no row yet, so nothing is done twice but the one store at which it was killed. A store that nobody called
is passed over without a look; one that was called and holds what it held is looked at and not read. Objects end after
30 days, so each store is written anew after seven: the manifests of the last three weeks are whole. What fails is tried
three times in a run, then told, and the manifest names the backup before.

    control/STAMP/...      workspaces/ID/STAMP/...      runs/STAMP.json, the manifest      erased/ACCOUNT-STAMP.json
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from typing import Any

from core import logs, migrations
from core.adapters.postgres import StatementRefused
from core.ports import StatementFailed
from core.problems import Problem
from core.seal import SealBroken
from declarations import VERSION, Store
from memories.stores.ports_move import Digest, Kind, Raw
from provisioning.backups import stores
from provisioning.backups.archive import FORMAT, Writer, sealed, stamp
from provisioning.backups.control import write_control
from provisioning.backups.ledger import Due, Run
from provisioning.backups.tools import Backups
from provisioning.parts import Parts

RUN_SECONDS = 1500.0
"""The platform ends a call after 1800."""
LEASE_SECONDS = 900.0
STORE_SECONDS = 600.0
"""For one store or for the control plane, shorter than the lease."""
PAGE = 50
FAILED = "backup failed"
OVERDUE = "backup overdue"
OVERDUE_SECONDS = 30 * 3600.0


async def back_up(parts: Parts, seconds: float = RUN_SECONDS, *, fresh: bool = True) -> dict[str, Any]:
    """Begin a backup, or go on with the one that is under way (without `fresh`: only that); what was done.

    Raises:
        Unavailable: the control plane or the bucket does not answer. The sweep goes on with it.
    """
    backups = parts.backups
    if backups is None:
        return {"kept": False}
    claim = str(uuid.uuid4())
    run = await backups.ledger.hold(claim, LEASE_SECONDS, fresh=fresh)
    if run is None:
        return {"kept": True, "under_way": False}
    try:
        return await _go_on(parts, backups, run, claim, time.monotonic() + seconds)
    finally:
        await backups.ledger.release(claim)


async def go_on(parts: Parts, seconds: float) -> int | None:
    """For the sweep: stores that it looked at, of a run that was cut off. And tells when none has ended for long."""
    if parts.backups is None:
        return None
    done = await back_up(parts, seconds, fresh=False)
    newest = await parts.backups.ledger.newest()
    if newest is not None and newest.age > OVERDUE_SECONDS:
        lines = [f"The newest backup that is whole began {newest.age / 3600:.0f} hours ago; there is one a day."]
        await _tell(parts, OVERDUE, "No backup for more than a day", lines)
    elif newest is not None:
        await parts.ledger.untell_operator(OVERDUE)
    return int(done.get("looked", 0))


async def _go_on(parts: Parts, backups: Backups, run: Run, claim: str, ends: float) -> dict[str, Any]:
    looked = written = 0
    control = run.control
    if control is None:
        writer = Writer(backups.bucket, "control", parts.clock.now())
        async with asyncio.timeout(STORE_SECONDS):
            control = await write_control(backups.url, writer, about(parts))
        await backups.ledger.record_control(run.id, control)
    while due := await backups.ledger.list_due(run.id, PAGE):
        for one in due:
            if time.monotonic() >= ends or await backups.ledger.hold(claim, LEASE_SECONDS, fresh=False) is None:
                return {"kept": True, "under_way": True, "looked": looked, "written": written}
            written += await _back_up_one(parts, backups, run.id, one)
            looked += 1
    failed = await _finish(parts, backups, run, control)
    return {"kept": True, "under_way": False, "looked": looked, "written": written, "failed": failed}


async def _back_up_one(parts: Parts, backups: Backups, run: str, due: Due) -> bool:
    """Whether it was written anew."""
    try:
        found = await back_up_store(parts, due.workspace, known=due.mark)
    except (Problem, StatementFailed, StatementRefused, SealBroken, TimeoutError) as error:
        reason = error.detail if isinstance(error, Problem) else type(error).__name__
        logs.LOGGER.warning(
            "A store could not be backed up: %s", reason, extra={"fields": {"workspace": due.workspace}}
        )
        await backups.ledger.record_failure(run, due.workspace, reason)
        return False
    if found is not None:
        epoch, mark, object_ = found
        await backups.ledger.record(run, due.workspace, epoch=epoch, mark=mark, object_=object_)
    return found is not None and found[2] is not None


async def back_up_store(
    parts: Parts, workspace: str, *, known: str | None = None
) -> tuple[int, str, str | None] | None:
    """Back one store up, unless its mark is `known`.

    Returns:
        Epoch, mark, and the index of the backup (None: it is as it was); None: the workspace has no store any more.

    Raises:
        TimeoutError, Unavailable, Internal, StatementFailed, SealBroken: it could not be read, or not be written.
    """
    backups = parts.backups
    assert backups is not None, "whoever calls this has looked"
    placement = await parts.stores.placements.read(workspace)
    if placement is None or placement.url is None:
        return None
    if placement.kind == Store.SQLITE and placement.schema < migrations.load(Store.SQLITE)[-1].version:
        await parts.stores.upgrade(workspace, placement)
    address = parts.stores.address(workspace, placement)
    writer: Writer | None = None

    def begin() -> stores.Take:
        nonlocal writer
        writer = begun = Writer(backups.bucket, f"workspaces/{workspace}", parts.clock.now())

        async def take(kind: Kind, row: Raw) -> None:
            await begun.add(kind.value, row)

        return take

    suspended = await parts.stores.placements.read_suspended(workspace)
    async with asyncio.timeout(STORE_SECONDS):
        seen = await stores.look(
            address,
            known,
            begin,
            url=backups.url,
            open_database=parts.tools.databases.open,
            movable=parts.movable(address),
            closed=suspended == "all" and placement.move_epoch is None,
        )
        if seen.digest is None:
            return placement.epoch, seen.mark, None
        assert writer is not None, "it was read"
        told = {"what": "workspace", "workspace": workspace, "kind": placement.kind, "epoch": placement.epoch}
        more = {
            "plan": placement.plan,
            "schema": placement.schema,
            "mark": seen.mark,
            "digest": digest_told(seen.digest),
        }
        return placement.epoch, seen.mark, await writer.finish({**about(parts), **told, **more})


def about(parts: Parts) -> dict[str, Any]:
    return {"release": VERSION, "taken_at": parts.clock.now().isoformat()}


def digest_told(digest: Digest) -> list[Any]:
    return [digest.memories, digest.versions, digest.relationships, str(digest.checksum)]


async def note_erasure(parts: Parts, account: str, workspaces: list[str]) -> None:
    """Keep an erasure beside the backups, so that a restore knows of it whatever became of the control plane."""
    if parts.backups is not None:
        body = {"format": FORMAT, "account": account, "workspaces": workspaces}
        await parts.backups.bucket.write(f"erased/{account}-{stamp(parts.clock.now())}.json", sealed(body))


async def _finish(parts: Parts, backups: Backups, run: Run, control: str) -> int:
    """Write the manifest; how many stores failed."""
    found: dict[str, str] = {}
    failed: dict[str, str] = {}
    after: str | None = None
    while page := await backups.ledger.list_all(after, 500):
        for workspace, object_, error in page:
            if object_ is not None:
                found[workspace] = object_
            if error is not None:
                failed[workspace] = error
        after = page[-1][0]
    name = f"runs/{stamp(parts.clock.now())}.json"
    body = {"format": FORMAT, "about": about(parts), "control": control, "workspaces": found, "failed": sorted(failed)}
    await backups.bucket.write(name, sealed(body))
    await backups.ledger.finish(run.id, name, len(failed))
    if failed:
        lines = [f"{workspace}: {error}" for workspace, error in sorted(failed.items())[:20]]
        more = "The backup before is kept for each; docs/backups.md says what to do."
        await _tell(parts, FAILED, f"{len(failed)} stores could not be backed up", [*lines, more])
    else:
        await parts.ledger.untell_operator(FAILED)
    return len(failed)


async def _tell(parts: Parts, what: str, headline: str, lines: list[str]) -> None:
    logs.LOGGER.error("Backups: %s.", headline)
    data: Mapping[str, Any] = {"headline": headline, "lines": lines}
    await parts.ledger.tell_operator(what, parts.settings.operator_email, data)
