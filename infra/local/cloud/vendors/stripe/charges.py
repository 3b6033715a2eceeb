"""Payment intents and charges: what they say when they are made."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe.ids import token
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]


def intent_of(world: World, invoice: Json) -> Json:
    """The payment intent of an invoice; made when it has none."""
    found = world.store.find("invoice_payment", invoice=invoice["id"])
    if found:
        return world.known(found[0]["payment"]["payment_intent"])
    id_secret = token(25)
    intent = world.add(
        "payment_intent",
        amount=invoice["amount_due"],
        amount_capturable=0,
        amount_details={"tip": {}},
        amount_received=0,
        application=None,
        application_fee_amount=None,
        automatic_payment_methods=None,
        canceled_at=None,
        cancellation_reason=None,
        capture_method="automatic",
        client_secret=None,
        confirmation_method="automatic",
        currency=invoice["currency"],
        customer=invoice["customer"],
        customer_account=None,
        description="Subscription creation" if invoice["billing_reason"] == "subscription_create" else None,
        last_payment_error=None,
        latest_charge=None,
        metadata={},
        next_action=None,
        on_behalf_of=None,
        payment_method=None,
        payment_method_configuration_details=None,
        payment_method_options={},
        payment_method_types=["card"],
        processing=None,
        receipt_email=None,
        review=None,
        setup_future_usage="off_session",
        shipping=None,
        statement_descriptor=None,
        statement_descriptor_suffix=None,
        status="requires_payment_method",
        transfer_data=None,
        transfer_group=None,
    )
    intent["client_secret"] = f"{intent['id']}_secret_{id_secret}"
    world.add(
        "invoice_payment",
        amount_paid=None,
        amount_requested=invoice["amount_due"],
        currency=invoice["currency"],
        invoice=invoice["id"],
        is_default=True,
        payment={"type": "payment_intent", "payment_intent": intent["id"]},
        status="open",
        status_transitions={"canceled_at": None, "paid_at": None},
    )
    world.emit("payment_intent.created", intent)
    return intent


def charge(world: World, invoice: Json, intent: Json, method: Json, decline: str) -> Json:
    """A charge that succeeded, or with `decline` one that was refused for that reason."""
    good = not decline
    card = method["card"]
    insufficient = decline == "insufficient_funds"
    message = "Your card has insufficient funds." if insufficient else "Your card was declined."
    return world.add(
        "charge",
        amount=intent["amount"],
        amount_captured=intent["amount"] if good else 0,
        amount_refunded=0,
        application=None,
        application_fee=None,
        application_fee_amount=None,
        balance_transaction=None,
        billing_details=method["billing_details"],
        calculated_statement_descriptor="MEMORYGRAPH",
        captured=good,
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        disputed=False,
        failure_balance_transaction=None,
        failure_code=None if good else "card_declined",
        failure_message=None if good else message,
        fraud_details={},
        metadata={},
        on_behalf_of=None,
        outcome={
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network" if good else "declined_by_network",
            "reason": decline or None,
            "risk_level": "normal",
            "seller_message": "Payment complete." if good else "The bank did not return any further details.",
            "type": "authorized" if good else "issuer_declined",
        },
        paid=good,
        payment_intent=intent["id"],
        payment_method=method["id"],
        payment_method_details={
            "card": {name: card[name] for name in ("brand", "country", "exp_month", "exp_year", "funding", "last4")},
            "type": "card",
        },
        receipt_email=None,
        receipt_number=None,
        receipt_url=None,
        refunded=False,
        review=None,
        shipping=None,
        source_transfer=None,
        statement_descriptor=None,
        statement_descriptor_suffix=None,
        status="succeeded" if good else "failed",
        transfer_data=None,
        transfer_group=None,
        _invoice=invoice["id"],
    )
