"""The terms of a subscription besides its items: when it ends, its trial, its card."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe import lifecycle, payment_methods
from infra.local.cloud.vendors.stripe.errors import invalid
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]


def plan_end(world: World, subscription: Json, params: Json) -> None:
    """Do what `cancel_at_period_end` and `cancel_at` ask."""
    now, end = world.now(), lifecycle.period_of(world, subscription)[1]
    if params.get("cancel_at_period_end"):
        subscription.update(cancel_at_period_end=True, cancel_at=end, canceled_at=subscription["canceled_at"] or now)
        subscription["cancellation_details"]["reason"] = "cancellation_requested"
    elif params.get("cancel_at") is not None:
        moment = end if params["cancel_at"] in ("max_period_end", "min_period_end") else params["cancel_at"]
        if moment <= now:
            raise invalid("`cancel_at` must be in the future.", "cancel_at")
        subscription.update(cancel_at_period_end=False, cancel_at=moment, canceled_at=now)
        subscription["cancellation_details"]["reason"] = "cancellation_requested"
    elif {"cancel_at", "cancel_at_period_end"} & params.keys():
        subscription.update(cancel_at_period_end=False, cancel_at=None, canceled_at=None)
        subscription["cancellation_details"]["reason"] = None


def check_open(subscription: Json, params: Json) -> None:
    """Raises StripeError (400): its status does not allow such an update."""
    status = subscription["status"]
    if status in lifecycle.ENDED and params.keys() - {"metadata", "cancellation_details"}:
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    if status == "incomplete" and "items" in params:
        raise invalid("The subscription's first invoice is not paid: its items cannot be changed before that.")


def card(world: World, id: str, customer: Json) -> Json:
    """The card that `default_payment_method` names. Raises StripeError (400): the customer has no such card."""
    method = payment_methods.resolved(world, id, "default_payment_method")
    if method["customer"] != customer["id"]:
        raise invalid(
            f"The customer does not have a payment method with the ID {id}. The payment method must be attached to the "
            "customer.",
            "default_payment_method",
            "resource_missing",
        )
    return method


def move_trial(world: World, subscription: Json, params: Json) -> None:
    """Do what `trial_end` asks. Raises StripeError (400)."""
    if "trial_end" not in params:
        return
    now = world.now()
    if params["trial_end"] == "now":
        if subscription["status"] == "trialing":
            subscription.update(trial_end=now, status="active", billing_cycle_anchor=now)
            lifecycle.begin_period(world, subscription, now, "subscription_update")
        return
    moment = params["trial_end"]
    if moment <= now:
        raise invalid("Invalid trial_end: must be in the future", "trial_end")
    subscription.update(
        trial_end=moment,
        trial_start=subscription["trial_start"] or now,
        billing_cycle_anchor=moment,
        status="trialing",
    )
    lifecycle.set_period(world, subscription, now, moment)
