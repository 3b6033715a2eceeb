"""The calls for invoices and for how they were paid."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe import changes, invoices, lifecycle, payment_methods
from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, get, get_list, post
from infra.local.cloud.vendors.stripe.errors import invalid
from infra.local.cloud.vendors.stripe.listing import page, paged
from infra.local.cloud.vendors.stripe.params import FLAG, PAGING, TEXT, choice, group

Json = dict[str, Any]
PATH = "/v1/invoices"
STATUS = choice("draft", "open", "paid", "uncollectible", "void")


def read(call: Call) -> Json:
    return call.world.named("invoice", call.id)


def list_(call: Call) -> Json:
    params, world = call.params, call.world

    def wanted(invoice: Json) -> bool:
        if "subscription" in params:
            subscription = invoices.subscription_of(world, invoice)
            if subscription is None or subscription["id"] != params["subscription"]:
                return False
        return all(
            invoice[name] == params[name] for name in ("collection_method", "customer", "status") if name in params
        )

    return page(world, "invoice", PATH, params, wanted)


def list_lines(call: Call) -> Json:
    invoice = read(call)
    return paged(invoice["lines"], "line_item", f"{PATH}/{invoice['id']}/lines", call.params)


def pay(call: Call) -> Json:
    world, params = call.world, call.params
    invoice = read(call)
    _check(invoice, "paid", "open", "uncollectible")
    subscription = invoices.subscription_of(world, invoice)
    if params.get("paid_out_of_band"):
        invoices.mark_paid(world, invoice)
        invoice["amount_paid_off_stripe"] = invoice["amount_due"]
        if subscription is not None:
            lifecycle.recover(world, subscription, invoice)
        return invoice
    method = None
    if "payment_method" in params:
        method = payment_methods.resolved(world, params["payment_method"], "payment_method")
    assert subscription is not None, "every invoice here is for a subscription"
    failure = lifecycle.pay(world, subscription, invoice, method)
    if failure is not None:
        raise changes.refusal(world, failure)
    return invoice


def finalize(call: Call) -> Json:
    invoice = read(call)
    _check(invoice, "finalized", "draft")
    return invoices.finalize(call.world, invoice)


def void(call: Call) -> Json:
    invoice = read(call)
    _check(invoice, "voided", "open", "uncollectible")
    invoices.void(call.world, invoice)
    return invoice


def mark_uncollectible(call: Call) -> Json:
    invoice = read(call)
    _check(invoice, "marked uncollectible", "open")
    invoice.update(status="uncollectible", next_payment_attempt=None)
    invoice["status_transitions"]["marked_uncollectible_at"] = call.world.now()
    call.world.emit("invoice.marked_uncollectible", invoice)
    return invoice


def list_payments(call: Call) -> Json:
    params = call.params
    way = params.get("payment", {})

    def wanted(payment: Json) -> bool:
        return all(payment[name] == params[name] for name in ("invoice", "status") if name in params) and (
            way.items() <= payment["payment"].items()
        )

    return page(call.world, "invoice_payment", "/v1/invoice_payments", params, wanted)


def _check(invoice: Json, doing: str, *statuses: str) -> None:
    if invoice["status"] == "paid" and doing == "paid":
        raise invalid("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] not in statuses:
        raise invalid(
            f"This invoice cannot be {doing}: its status is {invoice['status']}.", code="invoice_not_editable"
        )


ENDPOINTS: tuple[Endpoint, ...] = (
    get(PATH + "/{id}", read),
    get(PATH + "/{id}/lines", list_lines, PAGING),
    post(PATH + "/{id}/pay", pay, {"off_session": FLAG, "paid_out_of_band": FLAG, "payment_method": TEXT}),
    post(PATH + "/{id}/finalize", finalize, {"auto_advance": FLAG}),
    post(PATH + "/{id}/void", void),
    post(PATH + "/{id}/mark_uncollectible", mark_uncollectible),
    get_list(
        PATH,
        list_,
        {
            "collection_method": choice("charge_automatically", "send_invoice"),
            "customer": TEXT,
            "status": STATUS,
            "subscription": TEXT,
        },
    ),
    get_list(
        "/v1/invoice_payments",
        list_payments,
        {
            "invoice": TEXT,
            "payment": group(payment_intent=TEXT, type=choice("payment_intent", "payment_record").needed),
            "status": choice("canceled", "open", "paid"),
        },
    ),
)
