"""Checkout sessions that sell a subscription; `pages/checkout.py` is the page at their URL."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from infra.local.cloud.vendors.stripe import buying, changes
from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, get, get_list, post
from infra.local.cloud.vendors.stripe.clock import DAY, HOUR
from infra.local.cloud.vendors.stripe.errors import invalid, malformed, unsupported
from infra.local.cloud.vendors.stripe.listing import page, paged
from infra.local.cloud.vendors.stripe.params import (
    ANYTHING,
    FLAG,
    METADATA,
    MOMENT,
    PAGING,
    TEXT,
    choice,
    group,
    integer,
    many,
    merged,
)
from infra.local.cloud.vendors.stripe.subscriptions import SHARED

Json = dict[str, Any]
PATH = "/v1/checkout/sessions"
DEFAULT_SECONDS, LEAST_SECONDS = DAY, HOUR // 2
PAGE = "/c/pay/"


def create(call: Call) -> Json:
    world, params = call.world, call.params
    if params["mode"] != "subscription":
        raise unsupported(f"Checkout in mode {params['mode']}", "mode")
    if "line_items" not in params:
        raise malformed("Missing required param: line_items.", "line_items", "parameter_missing")
    if "success_url" not in params:
        raise malformed("You must provide `success_url` when `ui_mode` is `hosted_page`.", "success_url")
    for name in ("success_url", "cancel_url"):
        if name in params and urlsplit(params[name]).scheme not in ("http", "https"):
            message = "Not a valid URL"
            raise malformed(message, name, "url_invalid")
    if "customer" in params and "customer_email" in params:
        raise invalid("You may only specify one of these parameters: customer, customer_email.")
    customer = world.referred("customer", params["customer"], "customer") if "customer" in params else None
    now = world.now()
    expires = params.get("expires_at", now + DEFAULT_SECONDS)
    if not LEAST_SECONDS <= expires - now <= DEFAULT_SECONDS:
        message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation."
        raise invalid(message, "expires_at")
    prices = [
        (changes.recurring_price(world, item["price"], f"line_items[{number}][price]"), item.get("quantity", 1))
        for number, item in enumerate(params["line_items"])
    ]
    total = sum(price["unit_amount"] * quantity for price, quantity in prices)
    email = customer["email"] if customer else params.get("customer_email")
    session = world.add(
        "checkout.session",
        **buying.blank(),
        allow_promotion_codes=params.get("allow_promotion_codes"),
        amount_subtotal=total,
        amount_total=total,
        billing_address_collection=params.get("billing_address_collection"),
        cancel_url=params.get("cancel_url"),
        client_reference_id=params.get("client_reference_id"),
        currency=prices[0][0]["currency"],
        customer=customer["id"] if customer else None,
        customer_creation=None if customer else "always",
        customer_details={**dict.fromkeys(buying.DETAILS), "email": email, "tax_exempt": "none"} if email else None,
        customer_email=params.get("customer_email"),
        expires_at=expires,
        locale=params.get("locale"),
        metadata=merged({}, params.get("metadata", {})),
        mode="subscription",
        payment_method_collection=params.get("payment_method_collection", "always"),
        success_url=params["success_url"],
        total_details={"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        _subscription_data=params.get("subscription_data", {}),
    )
    session["url"] = f"{world.url}{PAGE}{session['id']}"
    for price, quantity in prices:
        buying.add_line(world, session, price, quantity)
    return session


def read(call: Call) -> Json:
    return call.world.named("checkout.session", call.id)


def update(call: Call) -> Json:
    session = read(call)
    if "metadata" in call.params:
        session["metadata"] = merged(session["metadata"], call.params["metadata"])
    return session


def expire(call: Call) -> Json:
    session = read(call)
    if session["status"] != "open":
        raise invalid(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
            f"{session['status']}."
        )
    buying.close(call.world, session)
    return session


def list_(call: Call) -> Json:
    params = call.params

    def wanted(session: Json) -> bool:
        return all(session[name] == params[name] for name in ("customer", "status", "subscription") if name in params)

    return page(call.world, "checkout.session", PATH, params, wanted)


def list_lines(call: Call) -> Json:
    session = read(call)
    found = call.world.store.find("item", _session=session["id"])
    return paged(found, "item", f"{PATH}/{session['id']}/line_items", call.params)


STATUS = choice("complete", "expired", "open")
ENDPOINTS: tuple[Endpoint, ...] = (
    post(
        PATH,
        create,
        {
            "allow_promotion_codes": FLAG,
            "automatic_tax": group(enabled=FLAG.needed),
            "billing_address_collection": choice("auto", "required"),
            "cancel_url": TEXT,
            "client_reference_id": TEXT,
            "customer": TEXT,
            "customer_email": TEXT,
            "customer_update": ANYTHING,
            "expires_at": MOMENT,
            "line_items": many(group(price=TEXT.needed, quantity=integer(1))),
            "locale": TEXT,
            "metadata": METADATA,
            "mode": choice("payment", "setup", "subscription").needed,
            "payment_method_collection": choice("always", "if_required"),
            "subscription_data": group(
                description=TEXT,
                metadata=METADATA,
                trial_end=MOMENT,
                trial_period_days=integer(1),
                trial_settings=SHARED["trial_settings"],
            ),
            "success_url": TEXT,
            "tax_id_collection": ANYTHING,
            "ui_mode": choice("hosted_page"),
        },
    ),
    get(PATH + "/{id}", read),
    post(PATH + "/{id}", update, {"metadata": METADATA}),
    post(PATH + "/{id}/expire", expire),
    get_list(PATH, list_, {"customer": TEXT, "status": STATUS, "subscription": TEXT}),
    get(PATH + "/{id}/line_items", list_lines, PAGING),
)
