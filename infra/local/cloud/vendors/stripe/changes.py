"""Changing what a subscription is for: other prices or quantities within a period, and what that costs.

A proration credits what is left of the period at the old price and asks for it at the new one, to the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.local.cloud.vendors.stripe import invoices, lifecycle, periods
from infra.local.cloud.vendors.stripe.errors import StripeError, declined, invalid, missing
from infra.local.cloud.vendors.stripe.ids import new_id
from infra.local.cloud.vendors.stripe.lifecycle import items_of, period_of
from infra.local.cloud.vendors.stripe.params import merged
from infra.local.cloud.vendors.stripe.payments import Failure
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
PENDING = "_pending"


def recurring_price(world: World, id: str, param: str) -> Json:
    """A price that a subscription may have. Raises StripeError (400)."""
    price = world.referred("price", id, param)
    if not price["active"]:
        raise invalid("The price specified is inactive. This field only accepts active prices.", param)
    if price["recurring"] is None:
        raise invalid(
            "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`.",
            param,
        )
    return price


def add_item(world: World, subscription: Json, price: Json, quantity: int, metadata: Json | None = None) -> Json:
    """Put an item on a subscription. Raises StripeError (400): its price does not go with the others."""
    for other in items_of(world, subscription):
        held = world.known(other["price"])
        if held["id"] == price["id"]:
            raise invalid("Cannot add multiple subscription items with the same plan: " + price["id"], "items")
        if held["recurring"] != price["recurring"] or held["currency"] != price["currency"]:
            raise invalid(
                "Currency and interval fields must match across all plans on this subscription. "
                f"Found mismatch in interval or currency of {price['id']}.",
                "items",
            )
    start, end = subscription["_period"]
    return world.add(
        "subscription_item",
        billed_until=None,
        billing_thresholds=None,
        current_period_end=end,
        current_period_start=start,
        discounts=[],
        metadata=metadata or {},
        price=price["id"],
        quantity=quantity,
        subscription=subscription["id"],
        tax_rates=[],
    )


def change_items(
    world: World, subscription: Json, asked: Sequence[Json], *, proration: str, payment: str, at: int | None = None
) -> None:
    """Do what `items` of an update asks: each names an item by `id` (or a new price) and its price, quantity or
    `deleted`.

    Raises:
        StripeError: 400 for what cannot be; 402 when `payment` is error_if_incomplete and the card is refused.
    """
    before = {item["id"]: (item["price"], item["quantity"]) for item in items_of(world, subscription)}
    start, end = period_of(world, subscription)
    subscription["_period"] = [start, end]
    interval = world.known(items_of(world, subscription)[0]["price"])["recurring"]
    for number, change in enumerate(asked):
        _change(world, subscription, change, f"items[{number}]")
    left = items_of(world, subscription)
    if not left:
        raise invalid("A subscription must have at least one active plan. Cancel it to end it.", "items")
    now = min(max(at if at is not None else world.now(), start), end)
    moved = world.known(left[0]["price"])["recurring"] != interval
    lines = []
    if subscription["status"] not in ("trialing", "incomplete"):
        if proration != "none":
            lines = _prorated(world, subscription, before, now, debits=not moved)
        _hold(world, subscription, lines)
        if moved:
            _begin_anew(world, subscription)
    bill = proration == "always_invoice" and lines and subscription["status"] in ("active", "past_due")
    if moved and subscription["status"] != "trialing":
        bill_now(world, subscription, payment, whole=True)
    elif bill:
        bill_now(world, subscription, payment)


def bill_now(world: World, subscription: Json, payment: str, *, whole: bool = False) -> Json | None:
    """Invoice what waits (with `whole`: and the period that begins now), and take the money.

    Raises:
        StripeError: 402; the card is refused and `payment` is error_if_incomplete.
    """
    period = period_of(world, subscription)
    if whole:
        lines = lifecycle.whole_lines(world, subscription, period)
    else:
        lines = lifecycle.pending_lines(world, subscription)
    if not lines:
        return None
    invoice = invoices.draft(world, subscription, "subscription_update", lines)
    invoices.finalize(world, invoice)
    if invoice["status"] != "open":
        return invoice
    if payment == "default_incomplete":
        if subscription["status"] == "active":
            subscription["status"] = "past_due"
        return invoice
    failure = lifecycle.pay(world, subscription, invoice)
    if failure is not None and payment == "error_if_incomplete":
        raise refusal(world, failure)
    return invoice


def refusal(world: World, failure: Failure) -> StripeError:
    """The 402 (400 without a card) of a failed payment."""
    if failure.code == "resource_missing":
        return invalid(failure.message, code="resource_missing")
    intent = world.store.get(failure.intent)
    shown = world.show(intent) if intent is not None else None
    return declined(failure.message, failure.code, failure.decline_code, failure.charge, shown)


def _change(world: World, subscription: Json, change: Json, spot: str) -> None:
    price = recurring_price(world, change["price"], f"{spot}[price]") if "price" in change else None
    if "id" not in change:
        if price is None:
            raise invalid(f"Missing required param: {spot}[price].", f"{spot}[price]", "parameter_missing")
        add_item(world, subscription, price, change.get("quantity", 1), merged({}, change.get("metadata", {})))
        return
    item = world.find("subscription_item", change["id"])
    if item is None or item["subscription"] != subscription["id"]:
        raise missing("subscription_item", change["id"], f"{spot}[id]", 400)
    if change.get("deleted"):
        world.store.remove(item["id"])
        return
    if price is not None:
        item["price"] = price["id"]
    if "quantity" in change:
        item["quantity"] = change["quantity"]
    if "metadata" in change:
        item["metadata"] = merged(item["metadata"], change["metadata"])


def _prorated(world: World, subscription: Json, before: Json, now: int, *, debits: bool) -> list[Json]:
    start, end = period_of(world, subscription)
    share = (end - now) / (end - start) if end > start else 0.0
    items = {item["id"]: item for item in items_of(world, subscription)}
    lines = []
    for id in {**before, **items}:
        old = before.get(id)
        new = (items[id]["price"], items[id]["quantity"]) if id in items else None
        if old == new:
            continue
        stub = {"id": id, "subscription": subscription["id"]}
        for side, sign, word in ((old, -1, "Unused"), (new if debits else None, 1, "Remaining")):
            if side is not None:
                price = world.known(side[0])
                amount = sign * round(price["unit_amount"] * side[1] * share)
                text = f"{word} time on {side[1]} × {price['nickname'] or price['lookup_key'] or price['id']}"  # noqa: RUF001
                lines.append(invoices.line(stub, price, side[1], (now, end), amount=amount, text=text))
    return lines


def _hold(world: World, subscription: Json, lines: Sequence[Json]) -> None:
    for line in lines:
        id = new_id("invoiceitem")
        line["parent"]["subscription_item_details"]["invoice_item"] = id
        world.store.put(PENDING, id, {"id": id, "subscription": subscription["id"], "line": line})


def _begin_anew(world: World, subscription: Json) -> None:
    now = world.now()
    price = world.known(items_of(world, subscription)[0]["price"])
    subscription["billing_cycle_anchor"] = now
    lifecycle.set_period(world, subscription, now, periods.next_end(now, now, price["recurring"]))
