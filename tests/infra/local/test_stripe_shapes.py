"""Objects and parameters of the stand-in against what Stripe publishes: its library's types, its mock's fixtures.

`known.json` is made anew (after another version of the library, or a change of what is honoured) by writing there what
`unknown_here` gives for every endpoint: the test below shows it.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import stripe
from stripe import ListObject, StripeObject

from declarations import STRIPE_API_VERSION
from infra.local.cloud.vendors.stripe import world
from infra.local.cloud.vendors.stripe.api import KNOWN
from infra.local.cloud.vendors.stripe.app import ENDPOINTS
from tests.infra.local.stripe_bed import KEY, StripeBed
from tests.infra.local.stripe_shop import Shop, item
from tests.infra.local.stripe_types import CALLS, CLASSES, is_nullable, unknown_here, unknown_there

Json = dict[str, Any]
FIXTURES: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "stripe_shapes.json").read_text())["fields"]
TYPES = {"boolean": bool, "integer": int, "string": str, "array": list, "object": dict}

LEFT_OUT: dict[str, set[str]] = {
    "charge": {"refunds", "source"},  # shown on request only; a card of the former kind
    "invoice": {"subscription"},  # it moved to `parent` in 2025-03-31.basil
    "payment_intent": {"source", "managed_payments", "allowed_payment_method_types", "excluded_payment_method_types"},
}
"""Fields of the fixtures that our objects lack, with the reason."""


@pytest.fixture(scope="module")
def shown() -> Iterator[dict[str, Json]]:
    """One object of each kind, as it is on the wire."""
    with StripeBed() as bed:
        yield _one_of_each(Shop(bed))


def _one_of_each(shop: Shop) -> dict[str, Json]:
    v1 = shop.stripe.v1
    hook = v1.webhook_endpoints.create({"url": "https://app.test/hook", "enabled_events": ["refund.failed"]})
    features: Any = {"subscription_cancel": {"enabled": True}}
    portal = v1.billing_portal.configurations.create({"features": features})
    customer = shop.customer()
    session = shop.checkout(customer.id)
    shop.bed.web.post(str(session.url), data={"action": "pay"})
    sold = v1.checkout.sessions.retrieve(session.id)
    refund = shop.bed.local("POST", "refunds", invoice=sold.invoice)
    subscription = shop.subscribe(shop.customer())
    dispute = shop.bed.local("POST", "disputes", subscription=subscription.id)
    schedule = v1.subscription_schedules.create({"from_subscription": subscription.id})
    opened = v1.billing_portal.sessions.create({"customer": customer.id, "configuration": portal.id})
    paths = {
        "billing_portal.configuration": f"billing_portal/configurations/{portal.id}",
        "charge": f"charges/{dispute['charge']}",
        "checkout.session": f"checkout/sessions/{session.id}",
        "customer": f"customers/{customer.id}",
        "dispute": f"disputes/{dispute['id']}",
        "event": f"events/{v1.events.list().data[0].id}",
        "invoice": f"invoices/{subscription.latest_invoice}",
        "payment_intent": f"payment_intents/{dispute['payment_intent']}",
        "payment_method": f"payment_methods/{v1.payment_methods.list({'customer': customer.id}).data[0].id}",
        "price": f"prices/{shop.small.id}",
        "product": f"products/{shop.product.id}",
        "refund": f"refunds/{refund['id']}",
        "subscription": f"subscriptions/{subscription.id}",
        "subscription_item": f"subscription_items/{item(subscription).id}",
        "subscription_schedule": f"subscription_schedules/{schedule.id}",
        "webhook_endpoint": f"webhook_endpoints/{hook.id}",
    }
    found = {kind: _read(shop, path) for kind, path in paths.items()}
    return {
        **found,
        "billing_portal.session": json.loads(str(opened)),
        "invoice_payment": _read(shop, f"invoice_payments?invoice={subscription.latest_invoice}")["data"][0],
        "item": _read(shop, f"checkout/sessions/{session.id}/line_items")["data"][0],
        "line_item": found["invoice"]["lines"]["data"][0],
    }


def _read(shop: Shop, path: str) -> Json:
    answer = shop.bed.web.get(f"{shop.bed.url}/v1/{path}", headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def test_the_stand_in_is_of_the_version_that_we_use() -> None:
    assert stripe.api_version == STRIPE_API_VERSION == world.VERSION


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_parameters_are_those_of_the_library(endpoint: Any) -> None:
    name = f"{endpoint.method} {endpoint.path}"
    assert unknown_there(CALLS[name], endpoint.params) == []
    assert unknown_here(CALLS[name], endpoint.params) == KNOWN.get(name, [])


def test_every_object_has_the_fields_that_it_has_at_stripe(shown: dict[str, Json]) -> None:
    assert shown.keys() == CLASSES.keys() == FIXTURES.keys()
    faults = [fault for kind, value in shown.items() for fault in _faults(CLASSES[kind], value, kind)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("kind", sorted(FIXTURES))
def test_no_field_of_the_fixtures_is_missing(shown: dict[str, Json], kind: str) -> None:
    assert FIXTURES[kind].keys() - shown[kind].keys() == LEFT_OUT.get(kind, set())
    for name, type_ in FIXTURES[kind].items():
        value = shown[kind].get(name)
        if type_ != "null" and value is not None:
            assert isinstance(value, TYPES[type_]), (name, value)


def _faults(kind: Any, value: Any, path: str) -> Iterator[str]:
    """What is wrong with a value for a type of the library."""
    if value is None:
        if not is_nullable(kind):
            yield f"{path} is null"
        return
    options = [part for part in typing.get_args(kind) if part is not type(None)] if _is_union(kind) else [kind]
    found = [list(_option_faults(option, value, path)) for option in options]
    if all(found):
        yield from min(found, key=len)


def _option_faults(kind: Any, value: Any, path: str) -> Iterator[str]:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        if value not in typing.get_args(kind):
            yield f"{path} is {value!r}"
    elif origin in (list, ListObject):
        items = value["data"] if origin is ListObject and isinstance(value, dict) else value
        if not isinstance(items, list):
            yield f"{path} is no list"
            return
        for item in items:
            yield from _faults(typing.get_args(kind)[0], item, f"{path}[]")
    elif isinstance(kind, type) and issubclass(kind, StripeObject):
        if not isinstance(value, dict):
            yield f"{path} is no object"
        elif kind is not StripeObject and "Untyped" not in kind.__name__:
            yield from _object_faults(kind, value, path)
    elif kind in (int, str, bool, float, Decimal) and (
        not isinstance(value, str if kind is Decimal else kind) or (kind is int and isinstance(value, bool))
    ):
        yield f"{path} is {value!r}"


def _object_faults(kind: Any, value: Json, path: str) -> Iterator[str]:
    hints = {
        name: hint
        for name, hint in _hints(kind).items()
        if typing.get_origin(hint) is not typing.ClassVar and not name.startswith("_")
    }
    for name in value.keys() - hints.keys():
        yield f"{path}.{name} is not Stripe's"
    for name, hint in hints.items():
        if name in value:
            yield from _faults(hint, value[name], f"{path}.{name}")
        elif not is_nullable(hint):
            yield f"{path}.{name} is missing"


def _is_union(kind: Any) -> bool:
    return len(typing.get_args(kind)) > 0 and typing.get_origin(kind) is typing.Union


NAMES = {name: value for name, value in vars(stripe).items() if isinstance(value, type)}


def _hints(kind: Any) -> dict[str, Any]:
    """Its fields' types. What the library imports for type checkers only is any object: it has a test of its own."""
    while True:
        try:
            return typing.get_type_hints(kind, localns=NAMES)
        except NameError as error:
            NAMES[str(error.name)] = StripeObject
