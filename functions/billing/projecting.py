"""What a customer's state at Stripe means for its workspace. Pure: the same state gives the same answer, whichever
events told of it, and in whichever order.

    trialing, active                       has the plan of its price
    past_due, for less than GRACE_DAYS     has it, and its owner is told
    past_due, unpaid, for longer           has nothing, and is to be ended
    past_due, and never paid for           has nothing, and is to be ended: there is no plan that could go on
    everything else                        has nothing

The plan is that of the price's lookup key; a price that is none of ours grants nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from billing.model import Customer, Projection, Status, Subscription
from declarations import FREE, GRACE_DAYS, PLANS_BY_PRICE, Plan

GRACE = timedelta(days=GRACE_DAYS)

_RUNNING = (Status.TRIALING, Status.ACTIVE)
_COUNTING = (*_RUNNING, Status.PAST_DUE)
_DUE = (Status.PAST_DUE, Status.UNPAID)


def project(customer: Customer, now: datetime) -> Projection:
    """What the workspace has from now on, and what is left to do at Stripe."""
    if customer.deleted:
        return Projection(plan=FREE)
    subscriptions = sorted(customer.subscriptions, key=lambda one: (one.created, one.id))
    ours = [one for one in subscriptions if plan_of(one) is not None]
    overdue = tuple(one for one in ours if _is_overdue(one, now))
    counting = [one for one in ours if one.status in _COUNTING and one not in overdue]
    counting.sort(key=lambda one: one.status not in _RUNNING)  # who pays anew for what is due keeps what is paid
    unknown = [one for one in subscriptions if plan_of(one) is None and one.status in _COUNTING]
    names = tuple(f"{one.id} ({one.lookup_key or 'without a lookup key'})" for one in unknown)
    if counting:
        counts, *others = counting
        next_plan, next_at = _next(counts)
        return Projection(
            plan=plan_of(counts),
            subscription=counts,
            next_plan=next_plan,
            next_at=next_at,
            grace_until=grace_until(counts),
            duplicates=tuple(others),
            overdue=overdue,
            unknown_prices=names,
        )
    if any(one.status in _RUNNING for one in unknown):
        return Projection(plan=None, overdue=overdue, unknown_prices=names)
    last = overdue[0] if overdue else None
    return Projection(
        plan=FREE,
        subscription=last,
        grace_until=grace_until(last) if last else None,
        overdue=overdue,
        unknown_prices=names,
    )


def plan_of(subscription: Subscription) -> Plan | None:
    """The plan that its price is for; None: it is none of ours."""
    return PLANS_BY_PRICE.get(subscription.lookup_key or "")


def grace_until(subscription: Subscription) -> datetime | None:
    """Until when the plan goes on while its payment is due; None: nothing is due."""
    if subscription.status not in _DUE or subscription.unpaid_since is None:
        return None
    return subscription.unpaid_since + (GRACE if subscription.ever_paid else timedelta())


def _is_overdue(subscription: Subscription, now: datetime) -> bool:
    until = grace_until(subscription)
    return until is not None and until <= now


def _next(subscription: Subscription) -> tuple[Plan | None, datetime | None]:
    """What comes when the period ends, and when. A price that is none of ours is told of when it comes."""
    if subscription.cancel_at is not None:
        return FREE, subscription.cancel_at
    planned = PLANS_BY_PRICE.get(subscription.next_lookup_key or "")
    return planned, subscription.next_at if planned else None
