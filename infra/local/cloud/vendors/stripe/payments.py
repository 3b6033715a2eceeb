"""Taking money: a payment intent for each invoice, a charge for each attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.local.cloud.vendors.stripe import charges
from infra.local.cloud.vendors.stripe.payment_methods import CARDS
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a charge failed."""

    message: str
    code: str
    decline_code: str = ""
    charge: str = ""
    intent: str = ""


NO_CARD = Failure(
    message=(
        "This customer has no attached payment source or default payment method. "
        "Please consider adding a default payment method."
    ),
    code="resource_missing",
)


def take(world: World, invoice: Json, method: Json | None) -> Failure | None:
    """Charge a card with what an invoice still asks; gives why it failed. See `has_settled`."""
    intent = charges.intent_of(world, invoice)
    if method is None:
        return NO_CARD
    customer = world.known(invoice["customer"])
    decline = _decline(customer, method, invoice)
    charge = charges.charge(world, invoice, intent, method, decline)
    intent["latest_charge"] = charge["id"]
    if decline:
        return _failed(world, intent, charge, method, decline)
    intent["payment_method"] = method["id"]
    if _is_slow(method, invoice):
        charge.update(status="pending", paid=False)
        intent["status"] = "processing"
        world.emit("charge.pending", charge)
        world.emit("payment_intent.processing", intent)
        return None
    _succeeded(world, invoice, intent, charge)
    return None


def has_settled(world: World, invoice: Json) -> bool:
    """Whether the last charge is decided."""
    return bool(charges.intent_of(world, invoice)["status"] != "processing")


def decide(world: World, invoice: Json, *, good: bool) -> None:
    """Let a charge that is not decided yet succeed or fail."""
    intent = charges.intent_of(world, invoice)
    charge, method = world.known(intent["latest_charge"]), world.known(intent["payment_method"])
    if good:
        charge.update(status="succeeded", paid=True)
        _succeeded(world, invoice, intent, charge)
        return
    charge.update(status="failed", captured=False, amount_captured=0, failure_code="card_declined")
    charge["failure_message"] = "Your card was declined."
    _failed(world, intent, charge, method, "generic_decline")


def _failed(world: World, intent: Json, charge: Json, method: Json, decline: str) -> Failure:
    intent["status"] = "requires_payment_method"
    intent["last_payment_error"] = {
        "charge": charge["id"],
        "code": "card_declined",
        "decline_code": decline,
        "message": charge["failure_message"],
        "payment_method": world.show(method),
        "type": "card_error",
    }
    world.emit("charge.failed", charge)
    world.emit("payment_intent.payment_failed", intent)
    return Failure(
        message=charge["failure_message"],
        code="card_declined",
        decline_code=decline,
        charge=charge["id"],
        intent=intent["id"],
    )


def _succeeded(world: World, invoice: Json, intent: Json, charge: Json) -> None:
    intent.update(status="succeeded", amount_received=intent["amount"], last_payment_error=None)
    payment = world.store.find("invoice_payment", invoice=invoice["id"])[0]
    payment.update(status="paid", amount_paid=intent["amount"])
    payment["status_transitions"]["paid_at"] = world.now()
    world.emit("charge.succeeded", charge)
    world.emit("payment_intent.succeeded", intent)


def _is_slow(method: Json, invoice: Json) -> bool:
    first = invoice["billing_reason"] == "subscription_create" and not invoice["attempted"]
    return first and CARDS[method["_card"]].behaviour == "settles_later"


def _decline(customer: Json, method: Json, invoice: Json) -> str:
    if customer.get("_fail_next", 0) > 0:
        customer["_fail_next"] -= 1
        return "generic_decline"
    card = CARDS[method["_card"]]
    renewal = invoice["billing_reason"] == "subscription_cycle"
    refused = invoice["billing_reason"] == "subscription_create" and invoice["attempted"]
    if (
        card.behaviour in ("declines", "fails")
        or (card.behaviour == "fails_later" and renewal)
        or (card.behaviour == "settles_later" and refused)
    ):
        return card.decline_code
    return ""
