"""Job `open_store {plan}`: the store of a new workspace, as its plan says, in `OPEN_SECONDS`.

Making the first key waits for the store, so nothing waits for Turso: when it refuses, or has not done it in time, the
workspace starts in PostgreSQL, marked by `store_note`, and the operator is told once a day. What Turso may have made
meanwhile is dropped later, when nobody can be at it any more.
"""

from __future__ import annotations

import asyncio

from core.problems import Internal, Problem, Unavailable
from declarations import PLANS, Store
from provisioning.jobs import GaveUp, subject
from provisioning.leftovers import drop_later
from provisioning.outbox import Job
from provisioning.parts import Parts
from provisioning.stores import CLOSED

OPEN_SECONDS = 12.0
"""Of the 20 s that somebody waits for their first key at most."""
TRY_PAUSE_SECONDS = 0.5
DROP_AFTER_SECONDS = 900.0
TURSO_REFUSED = "turso refused"
"""`store_note` of a workspace that is in PostgreSQL although its plan says otherwise."""


async def open_store(parts: Parts, job: Job) -> None:
    workspace = subject(job)
    placement = await parts.stores.placements.read(workspace)
    if placement is None or placement.note == CLOSED:
        return  # it was closed before it was open
    refusal = None
    if placement.url is None:
        refusal = await _open(parts, workspace, placement.plan)
        if refusal:
            await parts.stores.place(workspace, await parts.stores.open_in_postgres(workspace), TURSO_REFUSED)
        placement = await parts.stores.placements.read(workspace)
    if placement is not None and placement.note == TURSO_REFUSED:
        await _follow_up(parts, workspace, refusal or "The reason is in the log of its first attempt.")


async def _open(parts: Parts, workspace: str, plan_name: str) -> str | None:
    """Open and place the store of the plan. What Turso refused with, when it did."""
    plan = PLANS.get(plan_name)
    if plan is None:
        raise GaveUp(f"There is no plan {plan_name!r}. Plans: {', '.join(PLANS)}.")
    if parts.stores.kind_for(plan) is Store.POSTGRES:
        await parts.stores.place(workspace, await parts.stores.open_in_postgres(workspace))
        return None
    refusal: Problem | None = None
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            while True:
                try:
                    opened = await parts.stores.open(workspace, plan)
                    break
                except Unavailable as error:
                    refusal = error
                await asyncio.sleep(TRY_PAUSE_SECONDS)
    except TimeoutError:
        return refusal.detail if refusal else f"Turso took more than {OPEN_SECONDS:g} s."
    except Internal as error:
        return error.detail
    if await parts.stores.place(workspace, opened) is not True:  # overtaken: it has a store elsewhere, or is gone
        await drop_later(parts, workspace, Store.SQLITE, DROP_AFTER_SECONDS)
    return None


async def _follow_up(parts: Parts, workspace: str, refusal: str) -> None:
    await drop_later(parts, workspace, Store.SQLITE, DROP_AFTER_SECONDS)
    day = parts.clock.now().date().isoformat()
    lines = [refusal, f"The first such workspace of {day} is {workspace}. It starts in PostgreSQL and can stay there."]
    data = {"headline": "Turso opens no database for a new workspace", "lines": lines}
    await parts.ledger.tell_operator(f"{TURSO_REFUSED} {day}", parts.settings.operator_email, data)
