"""How a subscription begins: by the API, by Checkout or by a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.local.cloud.vendors.stripe import changes, charges, invoices, lifecycle, payments, periods
from infra.local.cloud.vendors.stripe.errors import invalid
from infra.local.cloud.vendors.stripe.params import merged
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]


def start(
    world: World,
    customer: Json,
    items: Sequence[Json],
    *,
    metadata: Json | None = None,
    trial_end: int | None = None,
    method: Json | None = None,
    payment: str = "allow_incomplete",
    trial_settings: Json | None = None,
    description: str | None = None,
    collection_method: str = "charge_automatically",
) -> Json:
    """A new subscription, charged at once unless it begins with a trial. `items` are {price, quantity, metadata}.

    Raises:
        StripeError: 400 for what cannot be; 402 when the card is refused and `payment` is error_if_incomplete.
    """
    now = world.now()
    if not items:
        raise invalid("Missing required param: items.", "items", "parameter_missing")
    prices = [
        changes.recurring_price(world, item["price"], f"items[{number}][price]") for number, item in enumerate(items)
    ]
    trial = trial_end is not None and trial_end > now
    anchor = trial_end if trial and trial_end is not None else now
    end = anchor if trial else periods.next_end(now, now, prices[0]["recurring"])
    subscription = world.add(
        "subscription",
        **_blank(),
        billing_cycle_anchor=anchor,
        collection_method=collection_method,
        currency=prices[0]["currency"],
        customer=customer["id"],
        default_payment_method=method["id"] if method is not None else None,
        description=description,
        metadata=merged({}, metadata or {}),
        start_date=now,
        status="trialing" if trial else "active",
        trial_end=anchor if trial else None,
        trial_settings=trial_settings or {"end_behavior": {"missing_payment_method": "create_invoice"}},
        trial_start=now if trial else None,
        _period=[now, end],
    )
    for item, price in zip(items, prices, strict=True):
        changes.add_item(world, subscription, price, item.get("quantity", 1), merged({}, item.get("metadata", {})))
    if customer["currency"] is None:
        customer["currency"] = subscription["currency"]
    _charge_first(world, subscription, (now, end), payment, trial=trial)
    return subscription


def _charge_first(world: World, subscription: Json, period: tuple[int, int], payment: str, *, trial: bool) -> None:
    lines = lifecycle.whole_lines(world, subscription, period)
    for line in lines if trial else ():
        line.update(amount=0, subtotal=0)
    asks = not trial and payment != "default_incomplete" and sum(line["amount"] for line in lines) > 0
    if asks and lifecycle.method_of(world, subscription) is None:
        raise invalid(payments.NO_CARD.message, code="resource_missing")
    invoice = invoices.draft(world, subscription, "subscription_create", lines)
    invoices.finalize(world, invoice)
    failure = None
    if invoice["status"] == "open":
        subscription["status"] = "incomplete"
        if payment == "default_incomplete":
            charges.intent_of(world, invoice)
        else:
            failure = invoices.collect(world, invoice, lifecycle.method_of(world, subscription))
            if failure is None:
                subscription["status"] = "active"
    if failure is not None and payment == "error_if_incomplete":
        raise changes.refusal(world, failure)
    world.emit("customer.subscription.created", subscription)
    if failure is not None:
        world.emit("invoice.payment_failed", invoice)


def _blank() -> Json:
    return {
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor_config": None,
        "billing_mode": {"flexible": None, "type": "classic"},
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "customer_account": None,
        "days_until_due": None,
        "default_source": None,
        "default_tax_rates": [],
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "latest_invoice": None,
        "managed_payments": None,
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "status_details": None,
        "test_clock": None,
        "transfer_data": None,
    }
