"""The calls for a subscription's items, such as how many seats there are."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe import changes, lifecycle
from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, delete, get, post
from infra.local.cloud.vendors.stripe.errors import invalid
from infra.local.cloud.vendors.stripe.listing import paged
from infra.local.cloud.vendors.stripe.params import FLAG, METADATA, MOMENT, PAGING, TEXT, integer
from infra.local.cloud.vendors.stripe.subscriptions import PAYMENT, PRORATION

Json = dict[str, Any]
PATH = "/v1/subscription_items"
OWN = ("id", "price", "quantity", "metadata", "deleted", "clear_usage")


def create(call: Call) -> Json:
    world = call.world
    subscription = world.referred("subscription", call.params["subscription"], "subscription")
    before = {item["id"] for item in lifecycle.items_of(world, subscription)}
    _change(call, subscription, call.params)
    return next(item for item in lifecycle.items_of(world, subscription) if item["id"] not in before)


def read(call: Call) -> Json:
    return call.world.named("subscription_item", call.id)


def update(call: Call) -> Json:
    item = read(call)
    subscription = call.world.known(item["subscription"])
    _change(call, subscription, {**call.params, "id": item["id"]})
    return item


def remove(call: Call) -> Json:
    item = read(call)
    subscription = call.world.known(item["subscription"])
    _change(call, subscription, {**call.params, "id": item["id"], "deleted": True})
    return {"id": item["id"], "object": "subscription_item", "deleted": True}


def list_(call: Call) -> Json:
    world = call.world
    subscription = world.referred("subscription", call.params["subscription"], "subscription")
    found = lifecycle.items_of(world, subscription)
    return paged(found, "subscription_item", PATH, call.params)


def _change(call: Call, subscription: Json, params: Json) -> None:
    if subscription["status"] in (*lifecycle.ENDED, "incomplete"):
        raise invalid(f"Cannot change the items of a subscription that is {subscription['status']}.")
    changes.change_items(
        call.world,
        subscription,
        [{name: params[name] for name in OWN if name in params}],
        proration=params.get("proration_behavior", "create_prorations"),
        payment=params.get("payment_behavior", "allow_incomplete"),
        at=params.get("proration_date"),
    )
    call.world.emit(lifecycle.UPDATED, subscription)


BILLING = {"proration_behavior": PRORATION, "proration_date": MOMENT}
SHARED = {**BILLING, "metadata": METADATA, "payment_behavior": PAYMENT, "quantity": integer(0)}
ENDPOINTS: tuple[Endpoint, ...] = (
    post(PATH, create, {**SHARED, "price": TEXT.needed, "subscription": TEXT.needed}),
    get(PATH + "/{id}", read),
    post(PATH + "/{id}", update, {**SHARED, "price": TEXT, "off_session": FLAG}),
    delete(PATH + "/{id}", remove, {**BILLING, "clear_usage": FLAG}),
    get(PATH, list_, {**PAGING, "subscription": TEXT.needed}),
)
