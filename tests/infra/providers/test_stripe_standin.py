"""Our kinds against the local cloud's Stripe, which refuses what Stripe refuses; stripe-python as the second reader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from declarations import PRO, STRIPE_API_VERSION, STRIPE_EVENTS, TEAM
from infra.components.billing import FEATURES
from infra.providers.provider import MemorygraphProvider
from tests.infra.local.stripe_bed import KEY, StripeBed
from tests.infra.providers import engine
from tests.infra.providers.engine import Engine
from tests.infra.wire import secret

STACK = {"stack": "memorygraph.localhost"}


@pytest.fixture(scope="module")
def bed() -> Iterator[StripeBed]:
    with StripeBed() as served:
        yield served


@pytest.fixture(scope="module")
def resources(bed: StripeBed) -> Iterator[dict[str, Engine]]:
    """The provider itself, as a stack configures it."""
    with engine.serving(MemorygraphProvider()) as stub:
        engine.configure(stub, stripeApi=bed.url, stripeToken=secret(KEY))
        names = ("Product", "Price", "PortalConfiguration", "WebhookEndpoint")
        yield {name: Engine(stub, f"memorygraph:stripe:{name}") for name in names}


def price_inputs(product: str, **more: Any) -> dict[str, Any]:
    inputs = {"product": product, "currency": "usd", "unitAmount": 800, "interval": "month"}
    return {**inputs, "lookupKey": PRO.lookup_key, "nickname": "MemoryGraph Pro, monthly", **more}


def test_products_and_prices(bed: StripeBed, resources: dict[str, Engine]) -> None:
    client, product, price = bed.client().v1, resources["Product"], resources["Price"]
    inputs = {
        "name": "MemoryGraph Pro",
        "description": "10,000 memories",
        "statementDescriptor": "MEMORYGRAPH",
        "metadata": {**STACK, "plan": "pro"},
    }
    held = product.create(inputs)
    assert product.refresh(held) == held
    sold = price.create(price_inputs(held.id))
    assert price.refresh(sold) == sold
    (found,) = client.prices.list({"lookup_keys": [PRO.lookup_key]}).data
    assert (found.id, found.unit_amount, found.recurring and found.recurring.interval) == (sold.id, 800, "month")

    dearer = price.create(price_inputs(held.id, unitAmount=1000, lookupKey="memorygraph_pro_monthly_10_usd"))
    price.delete(sold)
    assert not client.prices.retrieve(sold.id).active
    assert client.prices.retrieve(sold.id).lookup_key == PRO.lookup_key
    moved = price.update(dearer, price_inputs(held.id, unitAmount=1000))
    assert price.refresh(moved) == moved
    assert client.prices.retrieve(sold.id).lookup_key is None

    changed = product.update(held, {**inputs, "description": "20,000 memories", "metadata": STACK})
    assert product.refresh(changed) == changed
    assert client.products.retrieve(held.id).to_dict()["metadata"] == STACK
    product.delete(changed)
    assert not client.products.retrieve(held.id).active
    found_archived = product.refresh(changed)
    assert found_archived is not None
    assert list(product.diff(found_archived, changed.inputs).diffs) == ["active"]
    assert product.create({**inputs, "metadata": STACK}).id == held.id

    unsold = product.create({**inputs, "metadata": {**STACK, "plan": TEAM.name}})
    product.delete(unsold)
    product.delete(unsold)
    assert product.refresh(unsold) is None


def test_the_portal_as_the_program_declares_it(bed: StripeBed, resources: dict[str, Engine]) -> None:
    portal = resources["PortalConfiguration"]
    site = "http://memorygraph.localhost"
    inputs = {
        "features": {name: dict(feature) for name, feature in FEATURES.items()},
        "defaultReturnUrl": f"{site}/dashboard/billing",
        "businessProfile": {"privacy_policy_url": f"{site}/privacy", "terms_of_service_url": f"{site}/terms"},
        "metadata": STACK,
    }
    held = portal.create(inputs)
    assert portal.refresh(held) == held
    found = bed.client().v1.billing_portal.configurations.retrieve(held.id)
    assert found.features.subscription_cancel.mode == "at_period_end"
    assert not found.features.subscription_update.enabled
    changed = portal.update(held, {**inputs, "features": {"invoice_history": {"enabled": False}}})
    assert portal.refresh(changed) == changed
    portal.delete(changed)
    assert portal.create(inputs).id == held.id


def test_webhook_endpoints_and_their_rotation(bed: StripeBed, resources: dict[str, Engine]) -> None:
    webhook = resources["WebhookEndpoint"]

    def inputs(generation: str) -> dict[str, Any]:
        return {
            "url": "http://api.memorygraph.localhost/api/v1/webhooks/stripe",
            "events": list(STRIPE_EVENTS),
            "apiVersion": STRIPE_API_VERSION,
            "description": "MemoryGraph Cloud's billing function",
            "metadata": {**STACK, "generation": generation},
        }

    lost = webhook.create(inputs("1"))
    first, second = webhook.create(inputs("1")), webhook.create(inputs("2"))
    listed = bed.client().v1.webhook_endpoints.list().data
    assert {endpoint.id for endpoint in listed} == {first.id, second.id}
    assert len({lost["secret"], first["secret"], second["secret"]}) == 3
    assert all(held["secret"].startswith("whsec_") for held in (first, second))
    assert webhook.refresh(first) == first
    bed.client().v1.webhook_endpoints.update(first.id, {"disabled": True})
    drifted = webhook.refresh(first)
    assert drifted is not None
    assert list(webhook.diff(drifted, inputs("1")).diffs) == ["active"]
    assert webhook.refresh(webhook.update(drifted, inputs("1"))) == first
    webhook.delete(first)
    webhook.delete(first)
    assert webhook.refresh(first) is None
