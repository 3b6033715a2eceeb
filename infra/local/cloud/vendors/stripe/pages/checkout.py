"""The payment page of a Checkout session."""

from __future__ import annotations

from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from infra.local.cloud.vendors.stripe import buying
from infra.local.cloud.vendors.stripe.errors import StripeError
from infra.local.cloud.vendors.stripe.pages.html import button, frame, link, money, posted, price_words, see
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
TITLE = "Stand-in of Stripe Checkout"
CARDS = {"pay": "visa", "fail": "chargeDeclined", "fail_later": "failsLater", "settle_later": "settlesLater"}
"""What a button does: which card it pays with."""


async def show(world: World, request: Request) -> Response:
    session = world.find("checkout.session", request.path_params["id"])
    return _page(world, session)


async def act(world: World, request: Request) -> Response:
    """`action` is pay, fail, fail_later, settle_later or cancel."""
    session = world.find("checkout.session", request.path_params["id"])
    if session is None or session["status"] != "open":
        return _page(world, session)
    action = (await posted(request)).get("action", "")
    if action == "cancel":
        return see(session["cancel_url"]) if session["cancel_url"] else _page(world, session)
    if action not in CARDS:
        return _page(world, session, trouble=f"There is no button {action!r} here.", status=400)
    try:
        with world.step():
            buying.complete(world, world.known(session["id"]), CARDS[action])
    except StripeError as error:
        return _page(world, world.known(session["id"]), trouble=error.message, status=error.status)
    return see(_success(session))


def _success(session: Json) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _page(world: World, session: Json | None, *, trouble: str = "", status: int = 200) -> Response:
    if session is None:
        return frame(TITLE, "<p>There is no such session.</p>", status=404)
    if session["status"] == "complete":
        return frame(TITLE, "<p>This was paid.</p>", link(_success(session), "Go on"))
    if session["status"] == "expired":
        return frame(TITLE, "<p>This link has expired. Begin anew where you came from.</p>", status=410)
    rows = []
    for line in world.store.find("item", _session=session["id"]):
        price = world.known(line["price"])
        words = price_words(price, world.known(price["product"]))
        total = money(line["amount_total"], line["currency"])
        rows.append(f"<tr><td>{escape(words)}</td><td>{line['quantity']}</td><td>{escape(total)}</td></tr>")
    days = session["_subscription_data"].get("trial_period_days")
    due = 0 if days else session["amount_total"]
    return frame(
        TITLE,
        f"<table><tr><th>Plan</th><th>Quantity</th><th>Price</th></tr>{''.join(rows)}</table>",
        f"<p>Free for {days} days first.</p>" if days else "",
        f"<p>Due today: <strong>{escape(money(due, session['currency']))}</strong></p>",
        button("pay", "Pay with a good card"),
        button("fail", "Pay with a card that fails now"),
        button("fail_later", "Pay with a card that fails later, at renewal"),
        button("settle_later", "Pay by what is decided later, as a bank debit is"),
        button("cancel", "Cancel and go back") if session["cancel_url"] else "",
        '<p class="note">Stripe would ask for a promotion code here; the stand-in has none.</p>'
        if session["allow_promotion_codes"]
        else "",
        status=status,
        trouble=trouble,
    )
