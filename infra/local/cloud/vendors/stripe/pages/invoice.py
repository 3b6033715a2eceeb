"""The page of one invoice (`hosted_invoice_url`), where an open one can be paid."""

from __future__ import annotations

from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from infra.local.cloud.vendors.stripe import invoices, lifecycle, payment_methods
from infra.local.cloud.vendors.stripe.errors import StripeError, invalid
from infra.local.cloud.vendors.stripe.pages.html import button, frame, money, posted, see
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
TITLE = "Stand-in of a Stripe invoice"
CARDS = {"pay": "visa", "fail": "chargeDeclined"}


async def show(world: World, request: Request) -> Response:
    return _page(_invoice(world, request))


async def act(world: World, request: Request) -> Response:
    """`action` is pay or fail."""
    invoice = _invoice(world, request)
    if invoice is None or invoice["status"] != "open":
        return _page(invoice)
    action = (await posted(request)).get("action", "")
    try:
        with world.step():
            _pay(world, world.known(invoice["id"]), CARDS.get(action, ""))
    except StripeError as error:
        return _page(invoice, trouble=error.message, status=error.status)
    return see(request.url.path)


def _pay(world: World, invoice: Json, card: str) -> None:
    if not card:
        raise invalid("There is no such button here.")
    customer = world.known(invoice["customer"])
    if customer.get("deleted"):
        raise invalid("The customer of this invoice was deleted.")
    method = payment_methods.attach_to(world, payment_methods.make(world, card), customer)
    subscription = invoices.subscription_of(world, invoice)
    assert subscription is not None, "every invoice here is for a subscription"
    failure = lifecycle.pay(world, subscription, invoice, method)
    if failure is not None:
        raise invalid(failure.message)


def _invoice(world: World, request: Request) -> Json | None:
    return world.find("invoice", request.path_params["id"])


def _page(invoice: Json | None, *, trouble: str = "", status: int = 200) -> Response:
    if invoice is None:
        return frame(TITLE, "<p>There is no such invoice.</p>", status=404)
    currency = invoice["currency"]
    rows = "".join(
        f"<tr><td>{escape(line['description'])}</td><td>{escape(money(line['amount'], currency))}</td></tr>"
        for line in invoice["lines"]
    )
    parts = [
        f"<p>{escape(str(invoice['number']))}: {escape(invoice['status'])}</p><table>{rows}</table>",
        f"<p>Due: <strong>{escape(money(invoice['amount_remaining'], currency))}</strong></p>",
    ]
    if invoice["status"] == "open":
        parts += [button("pay", "Pay with a good card"), button("fail", "Pay with a card that fails")]
    return frame(TITLE, *parts, trouble=trouble, status=status)
