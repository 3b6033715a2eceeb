"""The grace of payments that failed: steps of the sweep.

The owner is mailed seven days and one day before the plan ends, once each; the mail of its beginning is the
settlement's (`app.settle_billing`). Customers whose grace, or whose period, is over are looked at again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from provisioning.parts import Parts
from provisioning.watch import Grace

PAGE = 200
WARNED_DAYS = (1, 7)


async def look_again(parts: Parts) -> int:
    """A job for each customer for whom something is over; how many."""
    if parts.payments is None:
        return 0
    due = await parts.billing.list_due(parts.clock.now(), PAGE)
    for customer in due:
        await parts.outbox.enqueue("settle_customer", None, {"customer": customer}, dedupe=customer)
    return len(due)


async def warn_owners(parts: Parts) -> int:
    """Look at every grace that ends soon; how many mails it led to."""
    now = parts.clock.now()
    mails, after = 0, None
    while page := await parts.watch.list_graces(now, now + timedelta(days=max(WARNED_DAYS)), after, PAGE):
        for grace in page:
            mails += await _warn(parts, grace, now)
        after = page[-1].workspace
    return mails


async def _warn(parts: Parts, grace: Grace, now: datetime) -> bool:
    left = -((now - grace.until) // timedelta(days=1))  # days, the last one whole
    level = next(days for days in WARNED_DAYS if left <= days)
    day = grace.until.date().isoformat()
    data = {"plan": grace.plan, "grace_until": day, "left": "1 day" if left == 1 else f"{left} days"}
    return await parts.watch.tell_owner(grace.workspace, f"grace {day}", level, "payment_ending", data)
