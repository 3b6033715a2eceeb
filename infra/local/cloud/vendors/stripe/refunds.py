"""Payment intents and charges to look at, and refunds of charges."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, get, get_list, post
from infra.local.cloud.vendors.stripe.errors import invalid, malformed
from infra.local.cloud.vendors.stripe.listing import page
from infra.local.cloud.vendors.stripe.params import METADATA, TEXT, choice, integer, merged
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
CHARGES, INTENTS, PATH = "/v1/charges", "/v1/payment_intents", "/v1/refunds"


def read_charge(call: Call) -> Json:
    return call.world.named("charge", call.id)


def list_charges(call: Call) -> Json:
    return page(call.world, "charge", CHARGES, call.params, _same(call.params, "customer", "payment_intent"))


def read_intent(call: Call) -> Json:
    return call.world.named("payment_intent", call.id)


def list_intents(call: Call) -> Json:
    return page(call.world, "payment_intent", INTENTS, call.params, _same(call.params, "customer"))


def create(call: Call) -> Json:
    world, params = call.world, call.params
    if "charge" in params:
        charge = world.referred("charge", params["charge"], "charge")
    elif "payment_intent" in params:
        intent = world.referred("payment_intent", params["payment_intent"], "payment_intent")
        if intent["latest_charge"] is None:
            raise invalid("This PaymentIntent does not have a successful charge to refund.", "payment_intent")
        charge = world.known(intent["latest_charge"])
    else:
        message = "One of the following params should be provided for this request: payment_intent or charge."
        raise malformed(message, "", "parameter_missing")
    return give_back(
        world, charge, params.get("amount"), reason=params.get("reason"), metadata=params.get("metadata", {})
    )


def give_back(
    world: World, charge: Json, amount: int | None = None, *, reason: str | None = None, metadata: Json | None = None
) -> Json:
    """Refund a charge, in full without an amount. Raises StripeError (400)."""
    left = charge["amount_captured"] - charge["amount_refunded"]
    if charge["refunded"] or left == 0:
        raise invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if charge["disputed"]:
        raise invalid(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    amount = left if amount is None else amount
    if amount > left:
        raise invalid(
            f"Refund amount (${amount / 100:.2f}) is greater than unrefunded amount on charge (${left / 100:.2f})",
            "amount",
        )
    refund = world.add(
        "refund",
        amount=amount,
        balance_transaction=None,
        charge=charge["id"],
        currency=charge["currency"],
        customer=charge["customer"],
        customer_account=None,
        destination_details={"card": {"type": "refund"}, "type": "card"},
        metadata=merged({}, metadata or {}),
        payment_intent=charge["payment_intent"],
        payment_method=charge["payment_method"],
        reason=reason,
        receipt_number=None,
        source_transfer_reversal=None,
        status="succeeded",
        transfer_reversal=None,
    )
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    world.emit("refund.created", refund)
    world.emit("charge.refunded", charge)
    return refund


def read(call: Call) -> Json:
    return call.world.named("refund", call.id)


def list_(call: Call) -> Json:
    return page(call.world, "refund", PATH, call.params, _same(call.params, "charge", "payment_intent"))


def _same(params: Json, *names: str) -> Any:
    def wanted(item: Json) -> bool:
        return all(item[name] == params[name] for name in names if name in params)

    return wanted


ENDPOINTS: tuple[Endpoint, ...] = (
    get(CHARGES + "/{id}", read_charge),
    get_list(CHARGES, list_charges, {"customer": TEXT, "payment_intent": TEXT}),
    get(INTENTS + "/{id}", read_intent),
    get_list(INTENTS, list_intents, {"customer": TEXT}),
    post(
        PATH,
        create,
        {
            "amount": integer(1),
            "charge": TEXT,
            "metadata": METADATA,
            "payment_intent": TEXT,
            "reason": choice("duplicate", "fraudulent", "requested_by_customer"),
        },
    ),
    get(PATH + "/{id}", read),
    get_list(PATH, list_, {"charge": TEXT, "payment_intent": TEXT}),
)
