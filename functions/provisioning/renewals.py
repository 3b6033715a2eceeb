"""Jobs `renew_token` and `upgrade_schema`: what databases need in the course of time. The sweep makes them.

A token is renewed half of its life before its end, so that two weeks of trouble pass unnoticed. Schemas are upgraded
one database at a time; the control plane knows who has which, so it goes on where it was stopped.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from core import migrations
from core.ports import Clock
from declarations import Store
from provisioning.jobs import subject
from provisioning.outbox import Job
from provisioning.parts import Parts
from provisioning.turso import TOKEN_WEEKS

RENEWED_BEFORE = timedelta(weeks=TOKEN_WEEKS) / 2
PAGE = 200
"""Databases that one sweep takes up of each kind of work: more come with the next."""


async def renew_token(parts: Parts, job: Job) -> None:
    workspace = subject(job)
    placement = await parts.stores.placements.read(workspace)
    if placement is None or placement.url is None or placement.kind != Store.SQLITE:
        return
    if placement.token_ends is not None and placement.token_ends >= _due(parts.clock):
        return
    await parts.stores.renew_token(workspace, placement.url)


async def upgrade_schema(parts: Parts, job: Job) -> None:
    """Of one workspace; without a subject: of all that need it."""
    if job.subject is None:
        await enqueue_upgrades(parts)
        return
    placement = await parts.stores.placements.read(job.subject)
    if placement is None or placement.url is None or placement.kind != Store.SQLITE:
        return
    await parts.stores.upgrade(job.subject, placement)


async def enqueue_renewals(parts: Parts) -> int:
    """A job for each token that ends soon; how many."""
    found = await parts.stores.placements.list_databases(None, PAGE, ending=_due(parts.clock))
    for workspace in found:
        await parts.outbox.enqueue("renew_token", workspace, dedupe=workspace)
    return len(found)


async def enqueue_upgrades(parts: Parts) -> int:
    """A job for each database with an older schema; how many."""
    newest = migrations.load(Store.SQLITE)[-1].version
    found = await parts.stores.placements.list_databases(None, PAGE, below=newest)
    for workspace in found:
        await parts.outbox.enqueue("upgrade_schema", workspace, dedupe=workspace)
    return len(found)


def _due(clock: Clock) -> datetime:
    """A token that ends before this is renewed now."""
    return clock.now() + RENEWED_BEFORE
