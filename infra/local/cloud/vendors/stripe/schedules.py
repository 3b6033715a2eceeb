"""Subscription schedules: phases that follow one another, and what is after the last."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe import lifecycle, phases
from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, get, get_list, post
from infra.local.cloud.vendors.stripe.errors import invalid
from infra.local.cloud.vendors.stripe.lifecycle import items_of, period_of
from infra.local.cloud.vendors.stripe.listing import page
from infra.local.cloud.vendors.stripe.params import (
    FLAG,
    METADATA,
    RANGE,
    TEXT,
    choice,
    group,
    integer,
    many,
    merged,
    moment_or,
)
from infra.local.cloud.vendors.stripe.subscriptions import PRORATION
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
PATH = "/v1/subscription_schedules"
KIND = "subscription_schedule"
LIVE = ("active", "not_started")


def create(call: Call) -> Json:
    world, params = call.world, call.params
    if "from_subscription" in params:
        if "phases" in params or "customer" in params or "start_date" in params:
            raise invalid(
                "You cannot set `phases`, `customer` or `start_date` when `from_subscription` is set: create the "
                "schedule first, then update it."
            )
        return _from_subscription(call)
    if "customer" not in params or "phases" not in params:
        raise invalid("You must provide either `from_subscription`, or `customer` and `phases`.")
    customer = world.referred("customer", params["customer"], "customer")
    start = params.get("start_date", "now")
    start = world.now() if start == "now" else start
    schedule = _new(world, customer["id"], params, status="not_started")
    schedule["phases"] = phases.dated(world, params["phases"], start)
    world.emit("subscription_schedule.created", schedule)
    if start <= world.now():
        phases.enter(world, schedule)
    return schedule


def read(call: Call) -> Json:
    return call.world.named(KIND, call.id)


def update(call: Call) -> Json:
    world, params = call.world, call.params
    schedule = _live(call, "update")
    if "metadata" in params:
        schedule["metadata"] = merged(schedule["metadata"], params["metadata"])
    if "end_behavior" in params:
        schedule["end_behavior"] = params["end_behavior"]
    if "phases" in params:
        current = schedule["current_phase"]
        first = params["phases"][0].get("start_date")
        if current is not None and first != current["start_date"]:
            raise invalid("You can not modify the start date of the current phase.", "phases[0][start_date]")
        start = first if first not in (None, "now") else world.now()
        schedule["phases"] = phases.dated(world, params["phases"], start)
        phases.apply_current(world, schedule, params.get("proration_behavior", "create_prorations"))
    world.emit("subscription_schedule.updated", schedule)
    return schedule


def release(call: Call) -> Json:
    schedule = _live(call, "release")
    phases.let_go(call.world, schedule)
    return schedule


def cancel(call: Call) -> Json:
    world = call.world
    schedule = _live(call, "cancel")
    subscription = world.store.get(schedule["subscription"] or "")
    if subscription is not None and subscription["status"] not in lifecycle.ENDED:
        lifecycle.cancel(world, subscription, "cancellation_requested")
    else:
        schedule.update(status="canceled", canceled_at=world.now(), current_phase=None)
        world.emit("subscription_schedule.canceled", schedule)
    return schedule


def list_(call: Call) -> Json:
    params = call.params

    def wanted(schedule: Json) -> bool:
        return ("customer" not in params or schedule["customer"] == params["customer"]) and (
            "scheduled" not in params or (schedule["status"] == "not_started") == params["scheduled"]
        )

    return page(call.world, KIND, PATH, params, wanted)


def _from_subscription(call: Call) -> Json:
    world, params = call.world, call.params
    subscription = world.referred("subscription", params["from_subscription"], "from_subscription")
    if subscription["schedule"]:
        message = f"The subscription is already managed by the subscription schedule `{subscription['schedule']}`."
        raise invalid(message + " You cannot create a new one from it.", "from_subscription")
    if subscription["status"] in (*lifecycle.ENDED, "incomplete"):
        raise invalid(f"You cannot migrate a subscription that is {subscription['status']}.", "from_subscription")
    start, end = period_of(world, subscription)
    items = [{"price": item["price"], "quantity": item["quantity"]} for item in items_of(world, subscription)]
    method = subscription["default_payment_method"]
    phase = {"items": items, "end_date": end, "metadata": {}, "default_payment_method": method}
    schedule = _new(world, subscription["customer"], params, status="active")
    schedule["phases"] = phases.dated(world, [phase], start)
    schedule["current_phase"] = {"start_date": start, "end_date": end}
    schedule["subscription"], subscription["schedule"] = subscription["id"], schedule["id"]
    if subscription["cancel_at_period_end"]:
        schedule["end_behavior"] = "cancel"
        subscription.update(cancel_at_period_end=False)
    world.emit("subscription_schedule.created", schedule)
    world.emit(lifecycle.UPDATED, subscription)
    return schedule


def _live(call: Call, doing: str) -> Json:
    schedule = read(call)
    if schedule["status"] not in LIVE:
        raise invalid(
            f"You can not {doing} a subscription schedule that is currently in the `{schedule['status']}` status. "
            "It must be in `active` or `not_started` status."
        )
    return schedule


def _new(world: World, customer: str, params: Json, *, status: str) -> Json:
    return world.add(
        KIND,
        application=None,
        billing_mode={"flexible": None, "type": "classic"},
        canceled_at=None,
        completed_at=None,
        current_phase=None,
        customer=customer,
        customer_account=None,
        default_settings={
            **dict.fromkeys(("application_fee_percent", "billing_thresholds", "default_payment_method", "description")),
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": "automatic",
            "collection_method": "charge_automatically",
            "invoice_settings": {"account_tax_ids": None, "days_until_due": None, "issuer": {"type": "self"}},
            "on_behalf_of": None,
            "transfer_data": None,
        },
        end_behavior=params.get("end_behavior", "release"),
        metadata=merged({}, params.get("metadata", {})),
        pause_schedules=[],
        phases=[],
        released_at=None,
        released_subscription=None,
        status=status,
        subscription=None,
        test_clock=None,
    )


PHASE = group(
    default_payment_method=TEXT,
    duration=group(interval=choice("day", "month", "week", "year").needed, interval_count=integer(1)),
    end_date=moment_or("now"),
    items=many(group(metadata=METADATA, price=TEXT.needed, quantity=integer(0))).needed,
    metadata=METADATA,
    proration_behavior=PRORATION,
    start_date=moment_or("now"),
)
SHARED = {"end_behavior": choice("cancel", "release"), "metadata": METADATA, "phases": many(PHASE)}
ENDPOINTS: tuple[Endpoint, ...] = (
    post(PATH, create, {**SHARED, "customer": TEXT, "from_subscription": TEXT, "start_date": moment_or("now")}),
    get(PATH + "/{id}", read),
    post(PATH + "/{id}", update, {**SHARED, "proration_behavior": PRORATION}),
    post(PATH + "/{id}/release", release, {"preserve_cancel_date": FLAG}),
    post(PATH + "/{id}/cancel", cancel, {"invoice_now": FLAG, "prorate": FLAG}),
    get_list(
        PATH,
        list_,
        {"canceled_at": RANGE, "completed_at": RANGE, "customer": TEXT, "released_at": RANGE, "scheduled": FLAG},
    ),
)
