"""Which step takes a workspace from the plan that it pays for to the one that it wants. Pure.

Up: at once, and what is left of the period is paid at once. Down, and back to free: when the period ends, which is paid
for. The plan that one has: what was planned is taken back.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum, auto

from billing.model import Customer, Projection, Status, Subscription
from core.problems import Conflict, Invalid
from declarations import FREE, PAID, PLANS_BY_PRICE, Plan

_PAGE = "on the billing page of your dashboard"


class Step(Enum):
    NOTHING = auto()  # it is so, or planned so, already
    CHANGE = auto()  # at once
    SCHEDULE = auto()  # another paid plan, later
    END = auto()  # none, later
    KEEP = auto()  # what was planned is dropped


def step(projection: Projection, wanted: Plan) -> tuple[Step, Subscription]:
    """What to do, and to which subscription.

    Raises:
        Conflict: there is nothing that could be changed, or a payment is due first.
    """
    held, subscription = paid_for(projection)
    if wanted is FREE:
        return (Step.NOTHING if subscription.cancel_at else Step.END), subscription
    if wanted is held:
        return (Step.KEEP if is_planned(subscription) else Step.NOTHING), subscription
    if subscription.status is Status.PAST_DUE:
        raise Conflict(f"A payment for the plan {held.name} is due. Pay it first, {_PAGE}; then change the plan.")
    if PAID.index(wanted) > PAID.index(held):
        return Step.CHANGE, subscription
    return (Step.NOTHING if _comes(subscription, wanted) else Step.SCHEDULE), subscription


def check_done(what: Step, *, ends: bool, planned: bool) -> None:
    """After a step. Stripe answers a key that it knows as it did before, and does nothing.

    Args:
        ends: whether the plan ends with its period now.
        planned: whether that or something else is planned.

    Raises:
        Conflict: it is as if it had not been done.
    """
    if (what is Step.END and not ends) or (what is Step.KEEP and planned):
        raise Conflict("This Idempotency-Key was used for a change that was taken back since. Use a new one.")


def paid_for(projection: Projection) -> tuple[Plan, Subscription]:
    """The plan that a workspace pays for, and how.

    Raises:
        Conflict: it pays for none, or for something that is not known here.
    """
    if projection.plan is None:
        raise unknown()
    if projection.paid is None:
        raise no_plan()
    return projection.plan, projection.paid


def check_unpaid(projection: Projection, customer: Customer) -> None:
    """Before something is sold.

    Raises:
        Conflict: the workspace pays for something already, or has paid by what takes days.
    """
    if any(one.pending for one in customer.subscriptions):
        raise Conflict(
            "A payment for this workspace is on its way, and takes some days, so that nothing else is sold meanwhile. "
            "The plan begins when it arrives."
        )
    if projection.plan is None:
        raise unknown()
    if projection.paid is not None:
        raise Conflict(
            f"This workspace pays for the plan {projection.plan.name} already, and pays only once. Change the plan "
            f"instead: POST /billing/plan, or {_PAGE}."
        )


def is_planned(subscription: Subscription) -> bool:
    """Whether something will change when the period ends."""
    return subscription.cancel_at is not None or subscription.next_at is not None


def seats_of(plan: Plan, members: int) -> int:
    """What is paid for: each member, or the workspace."""
    return max(members, 1) if plan.by_seat else 1


def quantity(plan: Plan, seats: int | None, members: int) -> int:
    """What is sold, when somebody says how many seats they think it takes.

    Raises:
        Invalid: there are more or fewer people, or the plan has no seats.
    """
    if seats is None:
        return seats_of(plan, members)
    if not plan.by_seat:
        raise Invalid.naming({"seats": f"is for plans that are paid by seat, and {plan.name} is not. Leave it out"})
    if seats != max(members, 1):
        words = f"must be {members}: so many people are in this workspace, and seats follow them. Or leave it out"
        raise Invalid.naming({"seats": words})
    return seats


def note(held: Plan, wanted: Plan, members: int, at: datetime) -> str | None:
    """What a change to a smaller plan means for others in the workspace, who may not know; None: nothing."""
    if not held.by_seat or wanted.by_seat or members < 2:
        return None
    others = "the other member" if members == 2 else f"the {members - 1} other members"
    return (
        f"From {at.day} {at:%B %Y} on, {others} of this workspace cannot use it: the plan {wanted.name} is for its "
        f"owner alone. They stay listed, and are back as soon as the workspace has the plan {held.name} again."
    )


def no_plan() -> Conflict:
    """Whoever pays for nothing changes nothing."""
    return Conflict(f"This workspace pays for no plan, so there is none to change. Choose one {_PAGE}.")


def unknown() -> Conflict:
    """Something is paid for that is no plan of ours."""
    return Conflict(
        "This workspace pays for something that is none of our plans, so nothing was changed. Please write to us: we "
        "have to set that right by hand."
    )


def _comes(subscription: Subscription, wanted: Plan) -> bool:
    return subscription.cancel_at is None and PLANS_BY_PRICE.get(subscription.next_lookup_key or "") is wanted
