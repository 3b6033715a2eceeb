"""Prices: what they ask cannot be changed; a lookup key names one active price at a time."""

from __future__ import annotations

import re
from typing import Any

from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, get, get_list, post
from infra.local.cloud.vendors.stripe.errors import invalid, malformed
from infra.local.cloud.vendors.stripe.listing import page
from infra.local.cloud.vendors.stripe.params import FLAG, METADATA, TEXT, choice, group, integer, many, merged
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
PATH = "/v1/prices"
INTERVAL = choice("day", "month", "week", "year")
CHANGEABLE = {
    "active": FLAG,
    "lookup_key": TEXT,
    "metadata": METADATA,
    "nickname": TEXT.clearable,
    "tax_behavior": choice("exclusive", "inclusive", "unspecified"),
    "transfer_lookup_key": FLAG,
}


def create(call: Call) -> Json:
    world, params = call.world, call.params
    if ("product" in params) == ("product_data" in params):
        message = "You must specify either `product` or `product_data` when creating a price."
        raise malformed(message, "product", "parameter_missing")
    if "unit_amount" not in params:
        message = "Prices require an `unit_amount` or `unit_amount_decimal` parameter to be set."
        raise malformed(message, "", "parameter_missing")
    if not re.fullmatch(r"[a-z]{3}", params["currency"].lower()):
        raise malformed(f"Invalid currency: {params['currency']}.", "currency")
    if "product" in params:
        product = world.referred("product", params["product"], "product")["id"]
    else:
        product = world.add("product", **_product(params["product_data"], world.now()))["id"]
    recurring = params.get("recurring")
    price = world.add(
        "price",
        active=params.get("active", True),
        billing_scheme="per_unit",
        currency=params["currency"].lower(),
        custom_unit_amount=None,
        lookup_key=None,
        metadata=merged({}, params.get("metadata", {})),
        nickname=params.get("nickname"),
        product=product,
        recurring=_recurring(recurring) if recurring is not None else None,
        tax_behavior=params.get("tax_behavior", "unspecified"),
        tiers_mode=None,
        transform_quantity=None,
        type="recurring" if recurring is not None else "one_time",
        unit_amount=params["unit_amount"],
        unit_amount_decimal=str(params["unit_amount"]),
    )
    _take_key(world, price, params)
    world.emit("price.created", price)
    return price


def read(call: Call) -> Json:
    return call.world.named("price", call.id)


def update(call: Call) -> Json:
    world, params = call.world, call.params
    price = read(call)
    if "metadata" in params:
        price["metadata"] = merged(price["metadata"], params["metadata"])
    for name in ("active", "nickname", "tax_behavior"):
        if name in params:
            price[name] = params[name]
    _take_key(world, price, params)
    world.emit("price.updated", price)
    return price


def list_(call: Call) -> Json:
    params, world = call.params, call.world
    kind = params.get("type")
    keys, recurring = params.get("lookup_keys"), params.get("recurring", {})

    def wanted(price: Json) -> bool:
        return (
            all(price[name] == params[name] for name in ("active", "currency", "product") if name in params)
            and (kind is None or price["type"] == kind)
            and (keys is None or price["lookup_key"] in keys)
            and all((price["recurring"] or {}).get(name) == value for name, value in recurring.items())
        )

    return page(world, "price", PATH, params, wanted)


def _take_key(world: World, price: Json, params: Json) -> None:
    key = params.get("lookup_key")
    if key is None:
        return
    for other in world.store.find("price", lookup_key=key):
        if other["id"] == price["id"]:
            continue
        if params.get("transfer_lookup_key"):
            other["lookup_key"] = None
            world.emit("price.updated", other)
        elif other["active"]:
            raise invalid(f"A price (`{other['id']}`) already uses that lookup key.", "lookup_key")
        else:
            other["lookup_key"] = None
    price["lookup_key"] = key


def _recurring(asked: Json) -> Json:
    return {
        "interval": asked["interval"],
        "interval_count": asked.get("interval_count", 1),
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def _product(data: Json, now: int) -> Json:
    return {
        "active": data.get("active", True),
        "default_price": None,
        "description": None,
        "images": [],
        "marketing_features": [],
        "metadata": merged({}, data.get("metadata", {})),
        "name": data["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": data.get("unit_label"),
        "updated": now,
        "url": None,
    }


ENDPOINTS: tuple[Endpoint, ...] = (
    post(
        PATH,
        create,
        {
            **CHANGEABLE,
            "billing_scheme": choice("per_unit"),
            "currency": TEXT.needed,
            "product": TEXT,
            "product_data": group(active=FLAG, metadata=METADATA, name=TEXT.needed, unit_label=TEXT),
            "recurring": group(
                interval=INTERVAL.needed, interval_count=integer(1, 1095), usage_type=choice("licensed")
            ),
            "unit_amount": integer(0, 99_999_999),
        },
    ),
    get(PATH + "/{id}", read),
    post(PATH + "/{id}", update, CHANGEABLE),
    get_list(
        PATH,
        list_,
        {
            "active": FLAG,
            "currency": TEXT,
            "lookup_keys": many(TEXT),
            "product": TEXT,
            "recurring": group(interval=INTERVAL),
            "type": choice("one_time", "recurring"),
        },
    ),
)
