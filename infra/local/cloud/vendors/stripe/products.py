"""Products."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, delete, get, get_list, post
from infra.local.cloud.vendors.stripe.errors import invalid
from infra.local.cloud.vendors.stripe.listing import page
from infra.local.cloud.vendors.stripe.params import FLAG, METADATA, TEXT, group, many, merged

Json = dict[str, Any]
PATH = "/v1/products"
CHANGEABLE = {
    "active": FLAG,
    "description": TEXT.clearable,
    "images": many(TEXT).clearable,
    "marketing_features": many(group(name=TEXT.needed)).clearable,
    "metadata": METADATA,
    "statement_descriptor": TEXT,
    "tax_code": TEXT.clearable,
    "unit_label": TEXT.clearable,
    "url": TEXT.clearable,
}
EMPTY: Json = {"images": [], "marketing_features": [], "metadata": {}}


def create(call: Call) -> Json:
    world, params = call.world, call.params
    if "id" in params and world.store.get(params["id"]) is not None:
        message = "Product already exists."
        raise invalid(message, "id", "resource_already_exists")
    fields = _complete(params)
    product = world.add(
        "product",
        **{
            "active": True,
            "default_price": None,
            "description": None,
            "images": [],
            "marketing_features": [],
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": None,
            "tax_code": None,
            "type": "service",
            "unit_label": None,
            "updated": world.now(),
            "url": None,
            **fields,
            "metadata": merged({}, fields.get("metadata", {})),
        },
    )
    world.emit("product.created", product)
    return product


def read(call: Call) -> Json:
    return call.world.named("product", call.id)


def update(call: Call) -> Json:
    world = call.world
    product = read(call)
    fields = _complete(call.params)
    if "metadata" in call.params:
        fields["metadata"] = merged(product["metadata"], call.params["metadata"])
    if fields.get("default_price"):
        world.referred("price", fields["default_price"], "default_price")
    product.update(fields, updated=world.now())
    world.emit("product.updated", product)
    return product


def remove(call: Call) -> Json:
    world = call.world
    product = read(call)
    if any(price["product"] == product["id"] for price in world.store.all("price")):
        raise invalid("This product cannot be deleted because it has one or more user-created prices.")
    world.emit("product.deleted", product)
    world.store.remove(product["id"])
    return {"id": product["id"], "object": "product", "deleted": True}


def list_(call: Call) -> Json:
    params = call.params

    def wanted(product: Json) -> bool:
        return ("active" not in params or product["active"] == params["active"]) and (
            "ids" not in params or product["id"] in params["ids"]
        )

    return page(call.world, "product", PATH, params, wanted)


def _complete(params: Json) -> Json:
    return {name: EMPTY.get(name) if value is None else value for name, value in params.items()}


ENDPOINTS: tuple[Endpoint, ...] = (
    post(PATH, create, {**CHANGEABLE, "id": TEXT, "name": TEXT.needed}),
    get(PATH + "/{id}", read),
    post(PATH + "/{id}", update, {**CHANGEABLE, "name": TEXT, "default_price": TEXT}),
    delete(PATH + "/{id}", remove),
    get_list(PATH, list_, {"active": FLAG, "ids": many(TEXT)}),
)
