"""Mails to owners whose workspace comes near a limit of its plan: at 80 and at 100 per cent, once for each crossing
(`app.tell_quota`). Calls are of a day, so each day is its own; memories and bytes are of the store."""

from __future__ import annotations

from declarations import PLANS
from provisioning.ledger import Use
from provisioning.parts import Parts

PAGE = 200
_MEGABYTE = 1_000_000
_UNTIL_TOMORROW = "When they are used up, calls are answered 429 until midnight UTC. Reading your data is calls, too."
_UNTIL_LESS = "When it is full, nothing more is stored. Reading, exporting and deleting go on."


async def tell_owners(parts: Parts) -> int:
    """Look at everybody's use of today; how many mails it led to."""
    day = parts.clock.now().date()
    mails, after = 0, None
    while page := await parts.ledger.list_use(day, after, PAGE):
        for use in page:
            mails += await _tell(parts, use, day.isoformat())
        after = page[-1].workspace
    return mails


async def _tell(parts: Parts, use: Use, day: str) -> int:
    plan = PLANS.get(use.plan)
    if plan is None:
        return 0
    limits = (
        (f"calls {day}", "calls of today", use.calls, plan.calls_per_day, 1, _UNTIL_TOMORROW),
        ("memories", "memories", use.memories, plan.memories, 1, _UNTIL_LESS),
        ("bytes", "megabytes of storage", use.bytes, plan.storage_mb * _MEGABYTE, _MEGABYTE, _UNTIL_LESS),
    )
    mails = 0
    for mark, what, used, most, unit, consequence in limits:
        if used is None or most is None:
            continue
        data = {
            "workspace": use.name,
            "what": what,
            "used": f"{used // unit:,}",
            "most": f"{most // unit:,}",
            "plan": plan.name,
            "consequence": consequence,
        }
        mails += await parts.ledger.tell_quota(use.workspace, mark, used, most, data) is not None
    return mails
