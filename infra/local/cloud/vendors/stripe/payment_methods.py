"""Cards: Stripe's test cards by their names, and how each behaves when it is charged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, get, post
from infra.local.cloud.vendors.stripe.errors import declined, invalid, malformed, missing
from infra.local.cloud.vendors.stripe.listing import page
from infra.local.cloud.vendors.stripe.params import ANYTHING, METADATA, PAGING, TEXT, choice, group, integer, merged
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
PATH = "/v1/payment_methods"


@dataclass(frozen=True)
class Card:
    """`behaviour`: good; declines (never accepted); fails (accepted, every charge fails). Ours, not Stripe's:
    fails_later (only renewals fail); settles_later (the first payment is decided later, as of a bank debit)."""

    brand: str
    last4: str
    behaviour: str
    decline_code: str = "generic_decline"


CARDS = {
    "visa": Card("visa", "4242", "good"),
    "mastercard": Card("mastercard", "4444", "good"),
    "visa_chargeDeclined": Card("visa", "0002", "declines"),
    "chargeDeclined": Card("visa", "0002", "declines"),
    "chargeDeclinedInsufficientFunds": Card("visa", "9995", "declines", "insufficient_funds"),
    "chargeCustomerFail": Card("visa", "0341", "fails"),
    "failsLater": Card("visa", "0127", "fails_later"),
    "settlesLater": Card("visa", "0143", "settles_later"),
}
"""By what follows `pm_card_` and `tok_` at Stripe; the last two are ours."""
NUMBERS = {
    "4242424242424242": "visa",
    "5555555555554444": "mastercard",
    "4000000000000002": "chargeDeclined",
    "4000000000009995": "chargeDeclinedInsufficientFunds",
    "4000000000000341": "chargeCustomerFail",
    "4000000000000127": "failsLater",
}


def make(world: World, name: str, *, billing: Json | None = None, metadata: Json | None = None) -> Json:
    """A card that nobody has yet; `name` is one of CARDS."""
    card = CARDS[name]
    year = 1970 + world.now() // 31_556_952 + 4
    return world.add(
        "payment_method",
        allow_redisplay="unspecified",
        billing_details={
            "address": dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state")),
            **dict.fromkeys(("email", "name", "phone", "tax_id")),
            **(billing or {}),
        },
        card={
            "brand": card.brand,
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": "US",
            "display_brand": card.brand,
            "exp_month": 12,
            "exp_year": year,
            "fingerprint": f"local{card.last4}{card.brand}",
            "funding": "credit",
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        customer=None,
        customer_account=None,
        metadata=metadata or {},
        type="card",
        _card=name,
    )


def attach_to(world: World, method: Json, customer: Json) -> Json:
    """Give a card to a customer. Raises StripeError (402): the card is refused."""
    card = CARDS[method["_card"]]
    if card.behaviour == "declines":
        raise declined("Your card was declined.", "card_declined", card.decline_code)
    if method["customer"] not in (None, customer["id"]):
        raise invalid("The payment method you provided has already been attached to a customer.", "payment_method")
    method["customer"] = customer["id"]
    world.emit("payment_method.attached", method)
    return method


def resolved(world: World, id: str, param: str) -> Json:
    """A card by id; a test card's name (`pm_card_visa`) makes a new one, as at Stripe. Raises StripeError (400)."""
    if id.startswith("pm_card_"):
        return _by_name(world, id.removeprefix("pm_card_"), id, param)
    return world.referred("payment_method", id, param)


def replace_default(world: World, customer: Json, name: str) -> Json:
    """A new card of a customer, in the place of the old one, also for their subscriptions. Raises StripeError (402)."""
    method = attach_to(world, make(world, name), customer)
    customer["invoice_settings"]["default_payment_method"] = method["id"]
    world.emit("customer.updated", customer)
    for subscription in world.store.find("subscription", customer=customer["id"]):
        if subscription["default_payment_method"] and subscription["status"] != "canceled":
            subscription["default_payment_method"] = method["id"]
            world.emit("customer.subscription.updated", subscription)
    return method


def create(call: Call) -> Json:
    params, world = call.params, call.world
    card = params["card"]
    if "token" in card:
        method = _by_name(world, card["token"].removeprefix("tok_"), card["token"], "card[token]")
    elif card.get("number") in NUMBERS:
        method = make(world, NUMBERS[card["number"]])
    else:
        raise malformed(f"The stand-in knows these card numbers: {', '.join(NUMBERS)}.", "card[number]")
    method["billing_details"].update(params.get("billing_details", {}))
    method["metadata"] = merged({}, params.get("metadata", {}))
    return method


def read(call: Call) -> Json:
    if call.id.startswith("pm_card_"):
        return resolved(call.world, call.id, "id")
    return call.world.named("payment_method", call.id)


def attach(call: Call) -> Json:
    customer = call.world.referred("customer", call.params["customer"], "customer")
    method = resolved(call.world, call.id, "payment_method")
    return attach_to(call.world, method, customer)


def detach(call: Call) -> Json:
    world = call.world
    method = world.named("payment_method", call.id)
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    customer = world.known(method["customer"])
    if not customer.get("deleted") and customer["invoice_settings"]["default_payment_method"] == method["id"]:
        customer["invoice_settings"]["default_payment_method"] = None
    for subscription in world.store.find("subscription", default_payment_method=method["id"]):
        subscription["default_payment_method"] = None
    method["customer"] = None
    world.emit("payment_method.detached", method)
    return method


def list_(call: Call) -> Json:
    customer = call.ids.get("customer", call.params.get("customer"))
    if customer is not None and call.world.find("customer", customer) is None:
        raise missing("customer", customer, "customer")

    def wanted(method: Json) -> bool:
        return customer is not None and method["customer"] == customer

    url = f"/v1/customers/{customer}/payment_methods" if "customer" in call.ids else PATH
    return page(call.world, "payment_method", url, call.params, wanted)


def _by_name(world: World, name: str, shown: str, param: str) -> Json:
    if name not in CARDS:
        raise missing("PaymentMethod", shown, param, 400)
    return make(world, name)


TYPE = choice("card")
ENDPOINTS: tuple[Endpoint, ...] = (
    post(
        PATH,
        create,
        {
            "type": TYPE.needed,
            "card": group(token=TEXT, number=TEXT, exp_month=integer(), exp_year=integer(), cvc=TEXT).needed,
            "billing_details": group(email=TEXT, name=TEXT, phone=TEXT, address=ANYTHING),
            "metadata": METADATA,
        },
    ),
    get(PATH + "/{id}", read),
    post(PATH + "/{id}/attach", attach, {"customer": TEXT.needed}),
    post(PATH + "/{id}/detach", detach),
    get(PATH, list_, {**PAGING, "customer": TEXT, "type": TYPE}),
    get("/v1/customers/{customer}/payment_methods", list_, {**PAGING, "type": TYPE}),
)
