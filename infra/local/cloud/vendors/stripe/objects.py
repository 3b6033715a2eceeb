"""How stored objects are shown.

Stored ones refer to others by id. Fields that begin with `_` are the stand-in's own. What Stripe shows whole without
being asked (a subscription's items, an item's price) is put in here; the rest is `expand`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from infra.local.cloud.vendors.stripe.store import Store

Json = dict[str, Any]


def show(store: Store, body: Json) -> Json:
    """The object as the API gives it; a copy."""
    if body.get("object") == "list":
        return {**body, "data": [show(store, item) for item in body["data"]]}
    if body.get("deleted"):
        return {"id": body["id"], "object": body["object"], "deleted": True}
    shown = {name: deepcopy(value) for name, value in body.items() if not name.startswith("_")}
    complete = WHOLE.get(str(body.get("object")))
    if complete is not None:
        complete(store, shown)
    return shown


def listed(data: list[Json], url: str, *, has_more: bool = False) -> Json:
    """A list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def differences(before: Json, after: Json) -> Json:
    """What an event calls `previous_attributes`: the former values of what changed."""
    return {name: before.get(name) for name in after if before.get(name) != after[name]}


def _item(store: Store, shown: Json) -> None:
    _line(store, shown)
    shown["plan"] = _plan(shown["price"])


def _line(store: Store, shown: Json) -> None:
    price = store.get(shown["price"])
    assert price is not None
    shown["price"] = show(store, price)
    del shown["livemode"]
    if shown["object"] == "item":
        del shown["created"]


def _plan(price: Json) -> Json:
    """What a price was before there were prices; still shown beside it."""
    same = ("active", "billing_scheme", "created", "currency", "id", "livemode", "metadata", "nickname", "product")
    return {
        **{name: price[name] for name in same},
        **price["recurring"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "object": "plan",
        "tiers_mode": None,
        "transform_usage": None,
    }


def _refund(_store: Store, shown: Json) -> None:
    del shown["livemode"]


def _subscription(store: Store, shown: Json) -> None:
    items = [show(store, item) for item in store.find("subscription_item", subscription=shown["id"])]
    shown["items"] = listed(items, f"/v1/subscription_items?subscription={shown['id']}")


def _invoice(_store: Store, shown: Json) -> None:
    shown["lines"] = listed(shown["lines"], f"/v1/invoices/{shown['id']}/lines")


WHOLE: dict[str, Callable[[Store, Json], None]] = {
    "subscription_item": _item,
    "subscription": _subscription,
    "invoice": _invoice,
    "item": _line,
    "refund": _refund,
}
