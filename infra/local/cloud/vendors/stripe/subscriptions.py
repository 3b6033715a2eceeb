"""The calls for subscriptions."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe import changes, lifecycle, starting, terms
from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, delete, get, get_list, post
from infra.local.cloud.vendors.stripe.clock import DAY
from infra.local.cloud.vendors.stripe.errors import invalid, missing, unsupported
from infra.local.cloud.vendors.stripe.listing import page
from infra.local.cloud.vendors.stripe.params import (
    ANYTHING,
    FLAG,
    METADATA,
    MOMENT,
    TEXT,
    choice,
    group,
    integer,
    many,
    merged,
    moment_or,
)

Json = dict[str, Any]
PATH = "/v1/subscriptions"
STATUSES = ("active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid")
PRORATION = choice("always_invoice", "create_prorations", "none")
PAYMENT = choice("allow_incomplete", "default_incomplete", "error_if_incomplete")
FEEDBACK = choice(
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)
DETAILS = group(comment=TEXT.clearable, feedback=FEEDBACK.clearable)
SHARED = {
    "cancel_at": moment_or("max_period_end", "min_period_end").clearable,
    "cancel_at_period_end": FLAG,
    "default_payment_method": TEXT,
    "description": TEXT.clearable,
    "metadata": METADATA,
    "off_session": FLAG,
    "payment_behavior": PAYMENT,
    "payment_settings": ANYTHING,
    "proration_behavior": PRORATION,
    "trial_end": moment_or("now"),
    "trial_settings": group(
        end_behavior=group(missing_payment_method=choice("cancel", "create_invoice", "pause").needed).needed
    ),
}


def create(call: Call) -> Json:
    world, params = call.world, call.params
    customer = world.referred("customer", params["customer"], "customer")
    method = None
    if "default_payment_method" in params:
        method = terms.card(world, params["default_payment_method"], customer)
    trial_end = params.get("trial_end")
    if "trial_period_days" in params:
        trial_end = world.now() + params["trial_period_days"] * DAY
    subscription = starting.start(
        world,
        customer,
        params["items"],
        metadata=params.get("metadata"),
        trial_end=None if trial_end == "now" else trial_end,
        method=method,
        payment=params.get("payment_behavior", "allow_incomplete"),
        trial_settings=params.get("trial_settings"),
        description=params.get("description"),
    )
    terms.plan_end(world, subscription, params)
    return subscription


def read(call: Call) -> Json:
    return call.world.named("subscription", call.id)


def update(call: Call) -> Json:
    world, params = call.world, call.params
    subscription = read(call)
    terms.check_open(subscription, params)
    if subscription["schedule"] and {"cancel_at", "cancel_at_period_end"} & params.keys():
        raise invalid(
            f"The subscription is managed by the subscription schedule `{subscription['schedule']}`, and updating any "
            "cancelation behavior directly is not allowed. Please update the schedule instead."
        )
    if "metadata" in params:
        subscription["metadata"] = merged(subscription["metadata"], params["metadata"])
    if "description" in params:
        subscription["description"] = params["description"]
    if "default_payment_method" in params:
        customer = world.known(subscription["customer"])
        subscription["default_payment_method"] = terms.card(world, params["default_payment_method"], customer)["id"]
    if "trial_settings" in params:
        subscription["trial_settings"] = params["trial_settings"]
    if "pause_collection" in params:
        asked = params["pause_collection"]
        subscription["pause_collection"] = asked and {"resumes_at": None, **asked}
    if "cancellation_details" in params:
        subscription["cancellation_details"].update(params["cancellation_details"])
    terms.move_trial(world, subscription, params)
    if "items" in params:
        changes.change_items(
            world,
            subscription,
            params["items"],
            proration=params.get("proration_behavior", "create_prorations"),
            payment=params.get("payment_behavior", "allow_incomplete"),
            at=params.get("proration_date"),
        )
    terms.plan_end(world, subscription, params)
    world.emit(lifecycle.UPDATED, subscription)
    return subscription


def cancel(call: Call) -> Json:
    world, params = call.world, call.params
    subscription = read(call)
    if subscription["status"] in lifecycle.ENDED:
        raise missing("subscription", call.id)
    if params.get("prorate") or params.get("invoice_now"):
        raise unsupported("a last invoice when a subscription ends")
    lifecycle.cancel(world, subscription, "cancellation_requested", params.get("cancellation_details"))
    return subscription


def resume(call: Call) -> Json:
    world = call.world
    subscription = read(call)
    if subscription["status"] != "paused":
        raise invalid("This subscription is not paused and cannot be resumed.")
    now = world.now()
    subscription["status"] = "active"
    if call.params.get("billing_cycle_anchor", "now") == "now":
        subscription["billing_cycle_anchor"] = now
    world.emit("customer.subscription.resumed", subscription)
    lifecycle.begin_period(world, subscription, now, "subscription_update")
    return subscription


def list_(call: Call) -> Json:
    params, world = call.params, call.world
    status = params.get("status")
    if "customer" in params and world.find("customer", params["customer"]) is None:
        raise missing("customer", params["customer"], "customer", 400)

    def wanted(subscription: Json) -> bool:
        if "customer" in params and subscription["customer"] != params["customer"]:
            return False
        if "price" in params and all(
            item["price"] != params["price"] for item in lifecycle.items_of(world, subscription)
        ):
            return False
        if status is None:
            return bool(subscription["status"] != "canceled")
        ended: bool = status == "ended" and subscription["status"] in lifecycle.ENDED
        return status == "all" or ended or bool(subscription["status"] == status)

    return page(world, "subscription", PATH, params, wanted)


NEW_ITEM = group(metadata=METADATA, price=TEXT, quantity=integer(0))
ITEM = group(clear_usage=FLAG, deleted=FLAG, id=TEXT, metadata=METADATA, price=TEXT, quantity=integer(0))
ENDPOINTS: tuple[Endpoint, ...] = (
    post(
        PATH,
        create,
        {**SHARED, "customer": TEXT.needed, "items": many(NEW_ITEM).needed, "trial_period_days": integer(1)},
    ),
    get(PATH + "/{id}", read),
    post(
        PATH + "/{id}",
        update,
        {
            **SHARED,
            "cancellation_details": DETAILS,
            "items": many(ITEM),
            "pause_collection": group(
                behavior=choice("keep_as_draft", "mark_uncollectible", "void").needed, resumes_at=MOMENT
            ).clearable,
            "proration_date": MOMENT,
        },
    ),
    delete(PATH + "/{id}", cancel, {"cancellation_details": DETAILS, "invoice_now": FLAG, "prorate": FLAG}),
    post(
        PATH + "/{id}/resume",
        resume,
        {"billing_cycle_anchor": choice("now", "unchanged"), "proration_behavior": PRORATION},
    ),
    get_list(PATH, list_, {"customer": TEXT, "price": TEXT, "status": choice("all", "ended", *STATUSES)}),
)
