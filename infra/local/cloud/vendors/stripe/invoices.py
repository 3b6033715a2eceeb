"""Invoices: what they say, from draft to paid. Lines are kept whole within their invoice.

At Stripe a renewal's invoice is a draft for about an hour; here it is final and charged at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.local.cloud.vendors.stripe import payments
from infra.local.cloud.vendors.stripe.ids import new_id
from infra.local.cloud.vendors.stripe.payments import Failure
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
LEAST_CHARGE = 50
"""In cents. Stripe takes less than this from nobody: it is put on the customer's balance."""


def line(
    item: Json, price: Json, quantity: int, period: tuple[int, int], *, amount: int | None = None, text: str = ""
) -> Json:
    """One line: a whole period of an item, or with `amount` a proration."""
    product = price["nickname"] or price["lookup_key"] or price["id"]
    total = price["unit_amount"] * quantity if amount is None else amount
    return {
        "id": new_id("line_item"),
        "object": "line_item",
        "amount": total,
        "currency": price["currency"],
        "description": text or f"{quantity} × {product}",  # noqa: RUF001  as Stripe writes it
        "discount_amounts": [],
        "discountable": amount is None,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": amount is not None,
                "proration_details": {"credited_items": None},
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": {"start": period[0], "end": period[1]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": str(price["unit_amount"]),
        },
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subscription": item["subscription"],
        "subtotal": total,
        "taxes": [],
    }


def draft(
    world: World, subscription: Json, reason: str, lines: Sequence[Json], period: tuple[int, int] | None = None
) -> Json:
    """A new invoice of a subscription, which becomes its latest one."""
    customer = world.known(subscription["customer"])
    total = sum(item["amount"] for item in lines)
    start, end = period or (world.now(), world.now())
    invoice = world.add(
        "invoice",
        account_country="US",
        account_name="Local stand-in",
        account_tax_ids=None,
        amount_due=max(total, 0),
        amount_overpaid=0,
        amount_paid=0,
        amount_paid_off_stripe=0,
        amount_remaining=max(total, 0),
        amount_shipping=0,
        application=None,
        attempt_count=0,
        attempted=False,
        auto_advance=True,
        automatic_tax={"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None},
        automatically_finalizes_at=None,
        billing_reason=reason,
        collection_method=subscription["collection_method"],
        currency=subscription["currency"],
        custom_fields=None,
        customer=customer["id"],
        customer_account=None,
        customer_address=customer["address"],
        customer_email=customer["email"],
        customer_name=customer["name"],
        customer_phone=customer["phone"],
        customer_shipping=customer["shipping"],
        customer_tax_exempt=customer["tax_exempt"],
        customer_tax_ids=[],
        default_payment_method=None,
        default_source=None,
        default_tax_rates=[],
        description=None,
        discounts=[],
        due_date=None,
        effective_at=None,
        ending_balance=None,
        footer=None,
        from_invoice=None,
        hosted_invoice_url=None,
        invoice_pdf=None,
        issuer={"type": "self"},
        last_finalization_error=None,
        latest_revision=None,
        lines=list(lines),
        metadata={},
        next_payment_attempt=None,
        number=None,
        on_behalf_of=None,
        parent={
            "quote_details": None,
            "subscription_details": {
                "metadata": dict(subscription["metadata"]),
                "subscription": subscription["id"],
            },
            "type": "subscription_details",
        },
        payment_settings={"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        period_end=end,
        period_start=start,
        post_payment_credit_notes_amount=0,
        pre_payment_credit_notes_amount=0,
        receipt_number=None,
        rendering=None,
        shipping_cost=None,
        shipping_details=None,
        starting_balance=customer["balance"],
        statement_descriptor=None,
        status="draft",
        status_transitions=dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
        subtotal=total,
        subtotal_excluding_tax=total,
        test_clock=None,
        total=total,
        total_discount_amounts=[],
        total_excluding_tax=total,
        total_pretax_credit_amounts=[],
        total_taxes=[],
        webhooks_delivered_at=world.now(),
    )
    for item in invoice["lines"]:
        item["invoice"] = invoice["id"]
    subscription["latest_invoice"] = invoice["id"]
    world.emit("invoice.created", invoice)
    return invoice


def finalize(world: World, invoice: Json) -> Json:
    """Number it, and settle with the customer's balance; one that asks for nothing then is paid."""
    customer = world.known(invoice["customer"])
    balance = customer["balance"]
    due = invoice["total"] + balance
    if 0 < due < LEAST_CHARGE:
        customer["balance"], due = due, 0
    else:
        customer["balance"], due = min(due, 0), max(due, 0)
    invoice.update(
        amount_due=due,
        amount_remaining=due,
        effective_at=world.now(),
        ending_balance=customer["balance"],
        number=f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04}",
        starting_balance=balance,
        status="open",
        hosted_invoice_url=f"{world.url}/i/{invoice['id']}",
    )
    invoice["status_transitions"]["finalized_at"] = world.now()
    customer["next_invoice_sequence"] += 1
    world.emit("invoice.finalized", invoice)
    if due == 0:
        mark_paid(world, invoice)
    return invoice


def collect(world: World, invoice: Json, method: Json | None) -> Failure | None:
    """Charge an open invoice; gives why it failed, and tells of that."""
    failure = payments.take(world, invoice, method)
    invoice["attempted"] = True
    invoice["attempt_count"] += 1
    if failure is None and payments.has_settled(world, invoice):
        mark_paid(world, invoice)
    return failure


def mark_paid(world: World, invoice: Json) -> None:
    """It is paid."""
    invoice.update(
        status="paid",
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        attempted=True,
        next_payment_attempt=None,
        auto_advance=False,
    )
    invoice["status_transitions"]["paid_at"] = world.now()
    customer = world.known(invoice["customer"])
    customer["delinquent"] = False
    world.emit("invoice.paid", invoice)
    world.emit("invoice.payment_succeeded", invoice)


def void(world: World, invoice: Json) -> None:
    """Nobody has to pay it any more."""
    invoice.update(status="void", next_payment_attempt=None, auto_advance=False)
    invoice["status_transitions"]["voided_at"] = world.now()
    world.emit("invoice.voided", invoice)


def subscription_of(world: World, invoice: Json) -> Json | None:
    """The subscription that an invoice is for."""
    parent = invoice["parent"] or {}
    details = parent.get("subscription_details") or {}
    return world.store.get(details.get("subscription") or "")
