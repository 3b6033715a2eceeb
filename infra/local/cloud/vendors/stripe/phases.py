"""The phases of subscription schedules: how they follow one another, and what they make of a subscription."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe import changes, lifecycle, periods, starting
from infra.local.cloud.vendors.stripe.errors import invalid
from infra.local.cloud.vendors.stripe.lifecycle import items_of, period_of
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]


def next_change(schedule: Json) -> int | None:
    """When its current phase ends, or its first one begins."""
    if schedule["status"] == "active":
        return int(schedule["current_phase"]["end_date"])
    return int(schedule["phases"][0]["start_date"]) if schedule["status"] == "not_started" else None


def enter(world: World, schedule: Json) -> None:
    """Begin the next phase; after the last one do what `end_behavior` says."""
    now = world.now()
    following = [phase for phase in schedule["phases"] if phase["end_date"] > now]
    if not following:
        if schedule["end_behavior"] == "release":
            let_go(world, schedule)
        else:
            _end(world, schedule)
        return
    phase = following[0]
    schedule["status"] = "active"
    schedule["current_phase"] = {"start_date": phase["start_date"], "end_date": phase["end_date"]}
    if schedule["subscription"] is None:
        customer = world.known(schedule["customer"])
        subscription = starting.start(world, customer, phase["items"], metadata=phase["metadata"])
        subscription["schedule"], schedule["subscription"] = schedule["id"], subscription["id"]
        world.emit(lifecycle.UPDATED, subscription)
    else:
        _put_on(world, world.known(schedule["subscription"]), phase, phase["proration_behavior"])
    world.emit("subscription_schedule.updated", schedule)


def let_go(world: World, schedule: Json) -> None:
    """The subscription goes on as it is, without the schedule."""
    subscription = world.store.get(schedule["subscription"] or "")
    schedule.update(
        status="released",
        released_at=world.now(),
        released_subscription=schedule["subscription"],
        subscription=None,
        current_phase=None,
    )
    if subscription is not None:
        subscription["schedule"] = None
        world.emit(lifecycle.UPDATED, subscription)
    world.emit("subscription_schedule.released", schedule)


def apply_current(world: World, schedule: Json, proration: str) -> None:
    """Put the subscription of an active schedule on its current phase. Raises StripeError (400): there is none."""
    now = world.now()
    if schedule["status"] != "active":
        return
    current = next((phase for phase in schedule["phases"] if phase["start_date"] <= now < phase["end_date"]), None)
    if current is None:
        raise invalid("The phases of an active schedule must include the present.", "phases")
    schedule["current_phase"] = {"start_date": current["start_date"], "end_date": current["end_date"]}
    _put_on(world, world.known(schedule["subscription"]), current, proration)


def dated(world: World, asked: list[Json], start: int) -> list[Json]:
    """The phases with their dates: each begins where the one before it ends."""
    found = []
    for number, phase in enumerate(asked):
        spot = f"phases[{number}]"
        if number and phase.get("start_date", start) not in (start, "now"):
            raise invalid("The start date of a phase must be the end date of the one before it.", f"{spot}[start_date]")
        prices = [changes.recurring_price(world, item["price"], f"{spot}[items][price]") for item in phase["items"]]
        end = _end_of(world, phase, start, prices[0]["recurring"])
        if end <= start:
            raise invalid("The end date of a phase must be after its start date.", f"{spot}[end_date]")
        found.append(_phase(phase, prices[0]["currency"], start, end))
        start = end
    return found


def _end_of(world: World, phase: Json, start: int, recurring: Json) -> int:
    if phase.get("end_date") == "now":
        return world.now()
    if "end_date" in phase:
        return int(phase["end_date"])
    if "duration" in phase:
        duration = phase["duration"]
        return periods.later(start, duration["interval"], duration.get("interval_count", 1))
    return periods.later(start, recurring["interval"], recurring["interval_count"])


def _phase(asked: Json, currency: str, start: int, end: int) -> Json:
    nothing = (
        "application_fee_percent", "automatic_tax", "billing_cycle_anchor", "billing_thresholds", "collection_method",
        "description", "invoice_settings", "on_behalf_of", "transfer_data", "trial_end",
    )  # fmt: skip
    items = [
        {
            "billing_thresholds": None,
            "discounts": [],
            "metadata": item.get("metadata", {}),
            "plan": item["price"],
            "price": item["price"],
            "quantity": item.get("quantity", 1),
            "tax_rates": [],
        }
        for item in asked["items"]
    ]
    return {
        **dict.fromkeys(nothing),
        "add_invoice_items": [],
        "currency": currency,
        "default_payment_method": asked.get("default_payment_method"),
        "default_tax_rates": [],
        "discounts": [],
        "end_date": end,
        "items": items,
        "metadata": asked.get("metadata") or {},
        "proration_behavior": asked.get("proration_behavior", "create_prorations"),
        "start_date": start,
        "trial": False,
    }


def _put_on(world: World, subscription: Json, phase: Json, proration: str) -> None:
    """Make the subscription what a phase says."""
    held = items_of(world, subscription)
    wanted = {item["price"]: item["quantity"] for item in phase["items"]}
    spare = [item for item in held if item["price"] not in wanted]
    asked: list[Json] = []
    for price, quantity in wanted.items():
        same = next((item for item in held if item["price"] == price), None)
        if same is not None:
            if same["quantity"] != quantity:
                asked.append({"id": same["id"], "quantity": quantity})
        elif spare:
            asked.append({"id": spare.pop(0)["id"], "price": price, "quantity": quantity})
        else:
            asked.append({"price": price, "quantity": quantity})
    asked += [{"id": item["id"], "deleted": True} for item in spare]
    boundary = world.now() >= period_of(world, subscription)[1]
    if asked:
        changes.change_items(
            world,
            subscription,
            asked,
            proration="none" if boundary else proration,
            payment="allow_incomplete",
        )
    subscription["metadata"] = {**subscription["metadata"], **phase["metadata"]}
    subscription["default_payment_method"] = phase["default_payment_method"]
    if asked:
        world.emit(lifecycle.UPDATED, subscription)


def _end(world: World, schedule: Json) -> None:
    subscription = world.known(schedule["subscription"])
    subscription["schedule"] = None
    schedule.update(status="completed", completed_at=world.now(), current_phase=None)
    lifecycle.cancel(world, subscription, "cancellation_requested")
    world.emit("subscription_schedule.completed", schedule)
