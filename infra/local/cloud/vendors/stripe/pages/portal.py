"""The customer portal, as far as its configuration lets one do something."""

from __future__ import annotations

from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from infra.local.cloud.vendors.stripe import lifecycle, payment_methods, phases, schedules, subscriptions
from infra.local.cloud.vendors.stripe.calls import Call
from infra.local.cloud.vendors.stripe.errors import StripeError, invalid
from infra.local.cloud.vendors.stripe.pages.html import button, frame, link, money, posted, price_words, see
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
TITLE = "Stand-in of Stripe's customer portal"
CARDS = {"visa": "a good card", "failsLater": "a card that fails at renewal", "chargeCustomerFail": "a card that fails"}


async def show(world: World, request: Request) -> Response:
    return _page(world, _session(world, request))


async def act(world: World, request: Request) -> Response:
    """`action` is cancel, resume or change (with `price`), each with `subscription`; or card (with `card`)."""
    session = _session(world, request)
    if session is None:
        return _page(world, session)
    fields = await posted(request)
    try:
        with world.step():
            _do(world, session, fields)
    except StripeError as error:
        return _page(world, session, trouble=error.message, status=error.status)
    return see(request.url.path)


def _session(world: World, request: Request) -> Json | None:
    found = world.store.find("billing_portal.session", _key=request.path_params["key"])
    return found[0] if found else None


def _do(world: World, session: Json, fields: dict[str, str]) -> None:
    features = world.known(session["configuration"])["features"]
    action = fields.get("action", "")
    if action == "card" and features["payment_method_update"]["enabled"]:
        if fields.get("card", "visa") not in CARDS:
            raise invalid("There is no such card.")
        payment_methods.replace_default(world, world.known(session["customer"]), fields.get("card", "visa"))
        return
    subscription = world.find("subscription", fields.get("subscription", ""))
    if subscription is None or subscription["customer"] != session["customer"]:
        raise invalid("There is no such subscription.")
    call = Call(world=world, ids={"id": subscription["id"]})
    cancelling = features["subscription_cancel"]
    if action == "cancel" and cancelling["enabled"]:
        _release(world, subscription)
        if cancelling["mode"] == "immediately":
            subscriptions.cancel(call)
        else:
            subscriptions.update(_with(call, cancel_at_period_end=True))
    elif action == "resume" and cancelling["enabled"]:
        subscriptions.update(_with(call, cancel_at_period_end=False))
    elif action == "change" and features["subscription_update"]["enabled"]:
        _change(call, subscription, fields.get("price", ""), features["subscription_update"])
    else:
        raise invalid("The configuration of this portal does not allow that.")


def _change(call: Call, subscription: Json, price_id: str, feature: Json) -> None:
    world = call.world
    allowed = {price for product in feature["products"] for price in product["prices"]}
    if price_id not in allowed or "price" not in feature["default_allowed_updates"]:
        raise invalid("The configuration of this portal does not allow that price.")
    _release(world, subscription)
    item = lifecycle.items_of(world, subscription)[0]
    old, new = world.known(item["price"]), world.known(price_id)
    later = {condition["type"] for condition in feature["schedule_at_period_end"]["conditions"]}
    quantity = item["quantity"]
    if "decreasing_item_amount" in later and new["unit_amount"] < old["unit_amount"]:
        schedule = schedules.create(Call(world=world, params={"from_subscription": subscription["id"]}))
        current = schedule["phases"][0]
        asked = [
            {name: current[name] for name in ("items", "start_date", "end_date")},
            {"items": [{"price": new["id"], "quantity": quantity}]},
        ]
        schedules.update(Call(world=world, ids={"id": schedule["id"]}, params={"phases": asked}))
        return
    change = [{"id": item["id"], "price": new["id"], "quantity": quantity}]
    subscriptions.update(
        _with(
            call,
            cancel_at_period_end=False,
            items=change,
            proration_behavior=feature["proration_behavior"],
            payment_behavior="error_if_incomplete",
        )
    )


def _release(world: World, subscription: Json) -> None:
    schedule = world.store.get(subscription["schedule"] or "")
    if schedule is not None:
        phases.let_go(world, schedule)


def _with(call: Call, **params: Any) -> Call:
    return Call(world=call.world, ids=call.ids, params=params)


def _page(world: World, session: Json | None, *, trouble: str = "", status: int = 200) -> Response:
    if session is None:
        return frame(TITLE, "<p>There is no such session.</p>", status=404)
    customer = world.known(session["customer"])
    features = world.known(session["configuration"])["features"]
    parts = []
    if not customer.get("deleted"):
        for subscription in world.store.find("subscription", customer=customer["id"]):
            if subscription["status"] not in lifecycle.ENDED:
                parts.append(_subscription(world, subscription, features))
        if features["payment_method_update"]["enabled"]:
            cards = "".join(button("card", f"Replace the card by {words}", card=name) for name, words in CARDS.items())
            parts.append(f"<h2>Card</h2>{cards}")
        if features["invoice_history"]["enabled"]:
            parts.append(_invoices(world, customer))
    if session["return_url"]:
        parts.append(link(session["return_url"], "Go back"))
    return frame(TITLE, *parts, trouble=trouble, status=status)


def _subscription(world: World, subscription: Json, features: Json) -> str:
    item = lifecycle.items_of(world, subscription)[0]
    held = world.known(item["price"])
    words = price_words(held, world.known(held["product"]))
    id = subscription["id"]
    parts = [f"<h2>{escape(words)}</h2><p>{item['quantity']} of it; {escape(subscription['status'])}."]
    parts.append(" It ends with this period.</p>" if subscription["cancel_at_period_end"] else "</p>")
    updating = features["subscription_update"]
    if updating["enabled"] and "price" in updating["default_allowed_updates"]:
        for price_id in (price for product in updating["products"] for price in product["prices"]):
            price = world.known(price_id)
            if price_id != held["id"] and price["active"]:
                label = f"Change to {price_words(price, world.known(price['product']))}"
                parts.append(button("change", label, subscription=id, price=price_id))
    if features["subscription_cancel"]["enabled"]:
        if subscription["cancel_at_period_end"]:
            parts.append(button("resume", "Keep it after all", subscription=id))
        else:
            parts.append(button("cancel", "Cancel it", subscription=id))
    return "".join(parts)


def _invoices(world: World, customer: Json) -> str:
    rows = [
        f'<tr><td><a href="{escape(invoice["hosted_invoice_url"])}">{escape(invoice["number"])}</a></td>'
        f"<td>{escape(money(invoice['amount_due'], invoice['currency']))}</td><td>{escape(invoice['status'])}</td></tr>"
        for invoice in reversed(world.store.find("invoice", customer=customer["id"]))
        if invoice["number"]
    ]
    return f"<h2>Invoices</h2><table>{''.join(rows)}</table>"
