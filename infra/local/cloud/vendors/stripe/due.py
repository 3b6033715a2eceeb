"""What time brings: ends of periods, retries, ends of sessions and schedules, one after another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from infra.local.cloud.vendors.stripe import buying, invoices, lifecycle, phases
from infra.local.cloud.vendors.stripe.errors import StripeError
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
Deed = Callable[[World, Json], None]
Due = tuple[int, int, str, Deed]
"""When, in which order at that time, on which object, what."""
RENEWED = ("active", "past_due", "unpaid", "trialing")
MOST_STEPS = 10_000
log = logging.getLogger(__name__)


def catch_up(world: World, goal: int | None = None) -> int:
    """Do everything that is due by `goal` (None: now), each at its own time; gives how much was done."""
    limit = world.clock.limit() if goal is None else goal
    for count in range(MOST_STEPS):
        found = min((due for due in _all(world) if due[0] <= limit), default=None, key=lambda due: due[:3])
        if found is None:
            return count
        moment, _, id, deed = found
        with world.clock.at(moment), world.step():
            deed(world, world.known(id))
    raise StripeError(400, f"More than {MOST_STEPS} things are due until then: advance in smaller steps.")


def advance(world: World, seconds: int) -> int:
    """Move the clock on, and do what is due on the way; gives how much was done."""
    goal = world.clock.limit() + seconds
    world.clock.frozen = goal
    try:
        done = catch_up(world, goal)
    finally:
        world.clock.frozen = None
    with world.step():
        world.clock.move(seconds)
    return done


def _all(world: World) -> Iterator[Due]:
    for session in world.store.all("checkout.session"):
        if session["status"] == "open":
            yield session["expires_at"], 0, session["id"], buying.close
    for schedule in world.store.all("subscription_schedule"):
        moment = phases.next_change(schedule)
        if moment is not None:
            yield moment, 1, schedule["id"], phases.enter
    ends = _period_ends(world)
    for subscription in world.store.all("subscription"):
        status = subscription["status"]
        if status == "incomplete":
            yield subscription["created"] + lifecycle.INCOMPLETE_SECONDS, 2, subscription["id"], _end
        if status in RENEWED:
            if subscription["cancel_at"] is not None and not subscription["cancel_at_period_end"]:
                yield subscription["cancel_at"], 3, subscription["id"], _end
            yield ends[subscription["id"]], 4, subscription["id"], lifecycle.renew
        pause = subscription["pause_collection"]
        if pause and pause.get("resumes_at"):
            yield pause["resumes_at"], 3, subscription["id"], _unpause
    for invoice in world.store.all("invoice"):
        if invoice["status"] == "open" and invoice["next_payment_attempt"] is not None:
            yield invoice["next_payment_attempt"], 5, invoice["id"], _retry


def _period_ends(world: World) -> dict[str, int]:
    """By subscription."""
    found: dict[str, int] = {}
    for item in world.store.all("subscription_item"):
        end = item["current_period_end"]
        found[item["subscription"]] = min(end, found.get(item["subscription"], end))
    return found


def _end(world: World, subscription: Json) -> None:
    lifecycle.cancel(world, subscription, subscription["cancellation_details"]["reason"] or "payment_failed")


def _unpause(world: World, subscription: Json) -> None:
    subscription["pause_collection"] = None
    world.emit(lifecycle.UPDATED, subscription)


def _retry(world: World, invoice: Json) -> None:
    subscription = invoices.subscription_of(world, invoice)
    if subscription is None or subscription["status"] in lifecycle.ENDED:
        invoice["next_payment_attempt"] = None
        return
    lifecycle.pay(world, subscription, invoice)
