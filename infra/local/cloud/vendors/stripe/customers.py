"""Customers. Deleting one cancels what they have, at once."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe import lifecycle, payment_methods
from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, delete, get, get_list, post
from infra.local.cloud.vendors.stripe.errors import invalid
from infra.local.cloud.vendors.stripe.ids import token
from infra.local.cloud.vendors.stripe.listing import page
from infra.local.cloud.vendors.stripe.params import ANYTHING, METADATA, TEXT, choice, group, integer, many, merged
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
PATH = "/v1/customers"
PARTS = ("city", "country", "line1", "line2", "postal_code", "state")
CHANGEABLE = {
    "address": group(**dict.fromkeys(PARTS, TEXT.clearable)).clearable,
    "balance": integer(),
    "description": TEXT.clearable,
    "email": TEXT.clearable,
    "invoice_settings": group(default_payment_method=TEXT.clearable, footer=TEXT.clearable),
    "metadata": METADATA,
    "name": TEXT.clearable,
    "phone": TEXT.clearable,
    "preferred_locales": many(TEXT),
    "shipping": ANYTHING,
    "tax_exempt": choice("exempt", "none", "reverse").clearable,
}


def make(world: World, fields: Json) -> Json:
    """A new customer."""
    customer = world.add(
        "customer",
        **{
            **dict.fromkeys(("address", "description", "discount", "email", "name", "phone", "shipping")),
            "balance": 0,
            "currency": None,
            "customer_account": None,
            "default_source": None,
            "delinquent": False,
            "invoice_prefix": token(8).upper(),
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "metadata": {},
            "next_invoice_sequence": 1,
            "preferred_locales": [],
            "tax_exempt": "none",
            "test_clock": None,
        },
    )
    _apply(world, customer, fields)
    world.emit("customer.created", customer)
    return customer


def create(call: Call) -> Json:
    params = dict(call.params)
    method = params.pop("payment_method", None)
    customer = make(call.world, params)
    if method is not None:
        payment_methods.attach_to(call.world, payment_methods.resolved(call.world, method, "payment_method"), customer)
    return customer


def read(call: Call) -> Json:
    return call.world.named("customer", call.id)


def update(call: Call) -> Json:
    customer = call.world.named("customer", call.id)
    customer = call.world.referred("customer", customer["id"], "id")
    _apply(call.world, customer, call.params)
    call.world.emit("customer.updated", customer)
    return customer


def remove(call: Call) -> Json:
    customer = call.world.named("customer", call.id)
    return erase(call.world, call.world.referred("customer", customer["id"], "id"))


def erase(world: World, customer: Json) -> Json:
    """Delete a customer; nothing of theirs can be charged any more."""
    for subscription in world.store.find("subscription", customer=customer["id"]):
        if subscription["status"] not in lifecycle.ENDED:
            lifecycle.cancel(world, subscription, "cancellation_requested")
    for method in world.store.find("payment_method", customer=customer["id"]):
        method["customer"] = None
    world.emit("customer.deleted", customer)
    customer["deleted"] = True
    for name in ("address", "email", "name", "phone", "shipping", "description"):
        customer[name] = None
    customer["metadata"] = {}
    return customer


def list_(call: Call) -> Json:
    params = call.params

    def wanted(customer: Json) -> bool:
        return "email" not in params or customer["email"] == params["email"]

    return page(call.world, "customer", PATH, params, wanted)


def _apply(world: World, customer: Json, fields: Json) -> None:
    for name, value in fields.items():
        if name == "metadata":
            customer["metadata"] = merged(customer["metadata"], value)
        elif name == "address":
            customer["address"] = value and {**dict.fromkeys(PARTS), **value}
        elif name == "invoice_settings":
            _settle(world, customer, value)
        elif name == "tax_exempt":
            customer[name] = value or "none"
        else:
            customer[name] = value


def _settle(world: World, customer: Json, asked: Json) -> None:
    id = asked.get("default_payment_method")
    if id is not None:
        method = payment_methods.resolved(world, id, "invoice_settings[default_payment_method]")
        if method["customer"] != customer["id"]:
            message = f"The customer does not have a payment method with the ID {id}."
            raise invalid(message, "invoice_settings[default_payment_method]", "resource_missing")
    customer["invoice_settings"].update(asked)


ENDPOINTS: tuple[Endpoint, ...] = (
    post(PATH, create, {**CHANGEABLE, "payment_method": TEXT}),
    get(PATH + "/{id}", read),
    post(PATH + "/{id}", update, CHANGEABLE),
    delete(PATH + "/{id}", remove),
    get_list(PATH, list_, {"email": TEXT}),
)
