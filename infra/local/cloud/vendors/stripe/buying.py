"""What becomes of a Checkout session: it is offered, paid or over."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe import customers, invoices, lifecycle, payment_methods, payments, starting
from infra.local.cloud.vendors.stripe.clock import DAY
from infra.local.cloud.vendors.stripe.errors import invalid
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
DETAILS = ("address", "business_name", "email", "individual_name", "name", "phone", "tax_exempt", "tax_ids")


def complete(world: World, session: Json, card: str) -> Json:
    """Pay with a card (one of payment_methods.CARDS): what the page does.

    Raises:
        StripeError: 402, the card is refused; the session stays open. 400: it is not open.
    """
    if session["status"] != "open":
        raise invalid(f"This Checkout Session is {session['status']}.")
    customer = world.store.get(session["customer"] or "")
    if customer is None:
        email = session["customer_email"] or "buyer@example.com"
        customer = customers.make(world, {"email": email})
    if customer.get("deleted"):
        raise invalid("The customer of this Checkout Session was deleted.")
    method = payment_methods.attach_to(world, payment_methods.make(world, card), customer)
    data = session["_subscription_data"]
    days = data.get("trial_period_days")
    subscription = starting.start(
        world,
        customer,
        [
            {"price": line["price"], "quantity": line["quantity"]}
            for line in world.store.find("item", _session=session["id"])
        ],
        metadata=data.get("metadata"),
        trial_end=world.now() + days * DAY if days else data.get("trial_end"),
        method=method,
        payment="error_if_incomplete",
        trial_settings=data.get("trial_settings"),
        description=data.get("description"),
    )
    session.update(
        customer=customer["id"],
        customer_details={**dict.fromkeys(DETAILS), "email": customer["email"], "tax_exempt": "none"},
        invoice=subscription["latest_invoice"],
        payment_status=_payment_status(world, subscription),
        status="complete",
        subscription=subscription["id"],
        url=None,
    )
    world.emit("checkout.session.completed", session)
    return session


def _payment_status(world: World, subscription: Json) -> str:
    if subscription["status"] == "trialing":
        return "no_payment_required"
    return "paid" if world.known(subscription["latest_invoice"])["status"] == "paid" else "unpaid"


def settle(world: World, session: Json, *, good: bool) -> Json:
    """Decide a payment that was left undecided. Raises StripeError (400): there is none."""
    if session["status"] != "complete" or session["payment_status"] != "unpaid":
        raise invalid(f"The payment of this Checkout Session is {session['payment_status']}: nothing is to be decided.")
    invoice, subscription = world.known(session["invoice"]), world.known(session["subscription"])
    payments.decide(world, invoice, good=good)
    if good:
        invoices.mark_paid(world, invoice)
        lifecycle.recover(world, subscription, invoice)
        session["payment_status"] = "paid"
        world.emit("checkout.session.async_payment_succeeded", session)
    else:
        lifecycle.fail(world, subscription, invoice)
        world.emit("checkout.session.async_payment_failed", session)
    return session


def close(world: World, session: Json) -> None:
    """Nobody can pay by it any more."""
    session.update(status="expired", url=None)
    world.emit("checkout.session.expired", session)


def add_line(world: World, session: Json, price: Json, quantity: int) -> None:
    """Offer so much of a price."""
    product = world.known(price["product"])
    total = price["unit_amount"] * quantity
    world.add(
        "item",
        adjustable_quantity=None,
        amount_discount=0,
        amount_subtotal=total,
        amount_tax=0,
        amount_total=total,
        currency=price["currency"],
        description=product["name"],
        metadata={},
        price=price["id"],
        quantity=quantity,
        _session=session["id"],
    )


def blank() -> Json:
    """The fields of a new session that nothing asked for changes."""
    nothing = (
        "adaptive_pricing", "after_expiration", "client_secret", "collected_information", "consent",
        "consent_collection", "currency_conversion", "customer_account", "discounts", "integration_identifier",
        "invoice", "invoice_creation", "managed_payments", "origin_context", "payment_intent", "payment_link",
        "payment_method_configuration_details", "permissions", "recovered_from", "setup_intent",
        "shipping_address_collection", "shipping_cost", "submit_type", "subscription", "url", "wallet_options",
    )  # fmt: skip
    return {
        **dict.fromkeys(nothing),
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "custom_fields": [],
        "custom_text": dict.fromkeys(("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")),
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "saved_payment_method_options": {
            "allow_redisplay_filters": ["always"],
            "payment_method_remove": "disabled",
            "payment_method_save": None,
        },
        "shipping_options": [],
        "status": "open",
        "ui_mode": "hosted_page",
    }
