"""Disputes: a bank opens and decides them (POST /_local/disputes); here they can be looked at."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, get, get_list
from infra.local.cloud.vendors.stripe.clock import DAY
from infra.local.cloud.vendors.stripe.errors import invalid
from infra.local.cloud.vendors.stripe.listing import page
from infra.local.cloud.vendors.stripe.params import TEXT
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
PATH = "/v1/disputes"
EVIDENCE = (
    "access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure",
    "cancellation_rebuttal", "customer_communication", "customer_email_address", "customer_name",
    "customer_purchase_ip", "customer_signature", "duplicate_charge_documentation", "duplicate_charge_explanation",
    "duplicate_charge_id", "product_description", "receipt", "refund_policy", "refund_policy_disclosure",
    "refund_refusal_explanation", "service_date", "service_documentation", "shipping_address", "shipping_carrier",
    "shipping_date", "shipping_documentation", "shipping_tracking_number", "uncategorized_file", "uncategorized_text",
)  # fmt: skip


def open_(world: World, charge: Json, reason: str = "fraudulent") -> Json:
    """The bank takes the money of a charge back. Raises StripeError (400)."""
    if charge["disputed"] or charge["status"] != "succeeded":
        raise invalid(f"Charge {charge['id']} cannot be disputed: it failed, or is disputed already.", "charge")
    dispute = world.add(
        "dispute",
        amount=charge["amount"],
        balance_transactions=[],
        charge=charge["id"],
        currency=charge["currency"],
        enhanced_eligibility_types=[],
        evidence={**dict.fromkeys(EVIDENCE), "enhanced_evidence": {}},
        evidence_details={
            "due_by": world.now() + 7 * DAY,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "manual",
        },
        is_charge_refundable=False,
        metadata={},
        payment_intent=charge["payment_intent"],
        payment_method_details={
            "card": {"brand": "visa", "case_type": "chargeback", "network": "visa", "network_reason_code": "10.4"},
            "type": "card",
        },
        reason=reason,
        status="needs_response",
    )
    charge["disputed"] = True
    world.emit("charge.dispute.created", dispute)
    return dispute


def close(world: World, dispute: Json, *, won: bool) -> Json:
    """The bank decides. Raises StripeError (400)."""
    if dispute["status"] in ("won", "lost"):
        raise invalid("This dispute is already closed.")
    dispute["status"] = "won" if won else "lost"
    world.emit("charge.dispute.closed", dispute)
    return dispute


def read(call: Call) -> Json:
    return call.world.named("dispute", call.id)


def list_(call: Call) -> Json:
    params = call.params

    def wanted(dispute: Json) -> bool:
        return all(dispute[name] == params[name] for name in ("charge", "payment_intent") if name in params)

    return page(call.world, "dispute", PATH, params, wanted)


ENDPOINTS: tuple[Endpoint, ...] = (
    get(PATH + "/{id}", read),
    get_list(PATH, list_, {"charge": TEXT, "payment_intent": TEXT}),
)
