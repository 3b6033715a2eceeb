"""How a subscription's status follows its payments, its periods and its end."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe import invoices, periods
from infra.local.cloud.vendors.stripe.clock import DAY, HOUR
from infra.local.cloud.vendors.stripe.payments import Failure
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
INCOMPLETE_SECONDS = 23 * HOUR
ENDED = frozenset({"canceled", "incomplete_expired"})
UPDATED = "customer.subscription.updated"


def items_of(world: World, subscription: Json) -> list[Json]:
    """Its items, the oldest first."""
    return world.store.find("subscription_item", subscription=subscription["id"])


def period_of(world: World, subscription: Json) -> tuple[int, int]:
    """The current period, which all its items share."""
    first = items_of(world, subscription)[0]
    return first["current_period_start"], first["current_period_end"]


def set_period(world: World, subscription: Json, start: int, end: int) -> None:
    for item in items_of(world, subscription):
        item["current_period_start"], item["current_period_end"] = start, end


def method_of(world: World, subscription: Json) -> Json | None:
    """The card that is charged for it."""
    customer = world.known(subscription["customer"])
    if customer.get("deleted"):
        return None
    default = customer["invoice_settings"]["default_payment_method"]
    return world.store.get(subscription["default_payment_method"] or default or "")


def whole_lines(world: World, subscription: Json, period: tuple[int, int]) -> list[Json]:
    """A line for each item and the whole period, after what earlier changes left to be billed."""
    lines = pending_lines(world, subscription)
    for item in items_of(world, subscription):
        lines.append(invoices.line(item, world.known(item["price"]), item["quantity"], period))
    return lines


def pending_lines(world: World, subscription: Json) -> list[Json]:
    """Prorations that wait for the next invoice; they wait no longer."""
    held = world.store.find("_pending", subscription=subscription["id"])
    for line in held:
        world.store.remove(line["id"])
    return [line["line"] for line in held]


def pay(world: World, subscription: Json, invoice: Json, method: Json | None = None) -> Failure | None:
    """Charge an open invoice, and let the status follow. Gives why it failed."""
    failure = invoices.collect(world, invoice, method or method_of(world, subscription))
    if failure is None:
        recover(world, subscription, invoice)
    else:
        fail(world, subscription, invoice)
    return failure


def recover(world: World, subscription: Json, invoice: Json) -> None:
    """An invoice was paid: the subscription is good again, if that was the one that counts."""
    was = subscription["status"] if invoice["status"] == "paid" else ""
    if was in ("incomplete", "past_due", "unpaid") and subscription["latest_invoice"] == invoice["id"]:
        subscription["status"] = "active"
        world.emit(UPDATED, subscription)


def fail(world: World, subscription: Json, invoice: Json) -> None:
    """An invoice could not be paid: it is tried again, or that was the last time."""
    first = subscription["status"] == "incomplete"
    customer = world.known(subscription["customer"])
    customer["delinquent"] = not first
    days = world.settings["retry_days"]
    made = invoice.setdefault("_failures", 0)
    invoice["_failures"] = made + 1
    invoice.setdefault("_failed_at", world.now())
    exhausted = not first and made >= len(days)
    if not first:
        invoice["next_payment_attempt"] = None if exhausted else invoice["_failed_at"] + days[made] * DAY
    world.emit("invoice.payment_failed", invoice)
    if first:
        return
    if exhausted:
        _give_up(world, subscription, invoice)
    elif subscription["status"] in ("active", "trialing"):
        subscription["status"] = "past_due"
        world.emit(UPDATED, subscription)


def _give_up(world: World, subscription: Json, invoice: Json) -> None:
    after = world.settings["after_retries"]
    invoice["auto_advance"] = False
    if after == "cancel":
        cancel(world, subscription, "payment_failed")
    elif after == "unpaid" and subscription["status"] != "unpaid":
        subscription["status"] = "unpaid"
        world.emit(UPDATED, subscription)


def cancel(world: World, subscription: Json, reason: str, details: Json | None = None) -> None:
    """It ends now, and with it its schedule and the attempts at its invoices."""
    now = world.now()
    was = subscription["status"]
    subscription.update(
        status="incomplete_expired" if was == "incomplete" else "canceled",
        canceled_at=subscription["canceled_at"] or now,
        ended_at=now,
    )
    subscription["cancellation_details"].update({"reason": reason, **(details or {})})
    for invoice in world.store.find("invoice", customer=subscription["customer"]):
        if invoices.subscription_of(world, invoice) is subscription and invoice["status"] in ("open", "draft"):
            if was == "incomplete":
                invoices.void(world, invoice)
            else:
                invoice.update(auto_advance=False, next_payment_attempt=None)
    pending_lines(world, subscription)
    schedule = world.store.get(subscription["schedule"] or "")
    if schedule is not None:
        subscription["schedule"] = None
        schedule.update(status="canceled", canceled_at=now, current_phase=None)
        world.emit("subscription_schedule.canceled", schedule)
    expired = was == "incomplete"
    world.emit(UPDATED if expired else "customer.subscription.deleted", subscription)


def renew(world: World, subscription: Json) -> None:
    """The period has ended: a new one begins, with its invoice; or the subscription ends with it."""
    start = period_of(world, subscription)[1]
    if subscription["cancel_at_period_end"]:
        cancel(world, subscription, subscription["cancellation_details"]["reason"] or "cancellation_requested")
        return
    if subscription["status"] == "trialing":
        if method_of(world, subscription) is None and not _goes_on_without_card(world, subscription):
            return
        subscription["status"] = "active"
        subscription["billing_cycle_anchor"] = start
    begin_period(world, subscription, start, "subscription_cycle")


def begin_period(world: World, subscription: Json, start: int, reason: str) -> None:
    """Begin a period at `start`, make its invoice and charge it."""
    price = world.known(items_of(world, subscription)[0]["price"])
    end = periods.next_end(subscription["billing_cycle_anchor"], start, price["recurring"])
    set_period(world, subscription, start, end)
    invoice = invoices.draft(world, subscription, reason, whole_lines(world, subscription, (start, end)))
    world.emit(UPDATED, subscription)
    pause = subscription["pause_collection"]
    if subscription["status"] == "unpaid" or (pause and pause["behavior"] == "keep_as_draft"):
        invoice["auto_advance"] = False
        return
    invoices.finalize(world, invoice)
    if pause and invoice["status"] == "open":
        if pause["behavior"] == "void":
            invoices.void(world, invoice)
        else:
            invoice.update(status="uncollectible", auto_advance=False)
        return
    if invoice["status"] == "open":
        pay(world, subscription, invoice)
    else:
        recover(world, subscription, invoice)


def _goes_on_without_card(world: World, subscription: Json) -> bool:
    behaviour = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    if behaviour == "cancel":
        cancel(world, subscription, "payment_failed")
    elif behaviour == "pause":
        subscription["status"] = "paused"
        world.emit("customer.subscription.paused", subscription)
        world.emit(UPDATED, subscription)
    return bool(behaviour == "create_invoice")
