"""Events that the stand-in of Stripe sends: signed, retried, held, shuffled, doubled, lost; and that survive it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from infra.local.cloud.errors import CloudError
from infra.local.cloud.vendors.stripe import delivery
from infra.local.cloud.vendors.stripe.store import Store
from tests.infra.local.stripe_bed import Hook, StripeBed
from tests.infra.local.stripe_shop import Shop


@pytest.fixture
def bed() -> Iterator[StripeBed]:
    with StripeBed() as bed:
        yield bed


def listen(bed: StripeBed, hook: Hook, *events: str) -> stripe.WebhookEndpoint:
    params: Any = {"url": hook.url, "enabled_events": list(events), "api_version": stripe.api_version}
    return bed.client().v1.webhook_endpoints.create(params)


def test_events_are_signed_and_only_those_that_were_asked_for(bed: StripeBed) -> None:
    with Hook() as hook:
        endpoint = listen(bed, hook, "customer.created", "customer.updated")
        client = bed.client()
        made = client.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "made"})
        client.v1.customers.update(made.id, {"email": "b@example.com"})
        client.v1.products.create({"name": "Nobody asked"})
        bed.settle()
        assert sorted(hook.types()) == ["customer.created", "customer.updated"]
        secret = str(endpoint.secret)
        found = [client.construct_event(body, header, secret) for body, header in hook.received]
        created, updated = sorted(found, key=lambda event: event.type)
        assert (created.api_version, created.data.object["email"]) == (stripe.api_version, "a@example.com")
        assert created.request is not None
        assert created.request.idempotency_key == "made"
        assert updated.data.previous_attributes is not None
        assert updated.data.previous_attributes.to_dict() == {"email": "a@example.com"}
        body, header = hook.received[0]
        for wrong in (secret + "x", "whsec_" + "0" * 32):
            with pytest.raises(stripe.SignatureVerificationError):
                stripe.Webhook.construct_event(body, header, wrong)
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body + b" ", header, secret)
        assert client.v1.events.retrieve(created.id).pending_webhooks == 0


def test_what_is_not_taken_is_sent_again(bed: StripeBed) -> None:
    with Hook(lambda number: 500 if number < 2 else 200) as hook:
        listen(bed, hook, "*")
        bed.client().v1.products.create({"name": "Again"})
        bed.settle()
        assert len({body for body, _ in hook.received}) == 1
        (delivery,) = bed.local("GET", "deliveries")["deliveries"]
        assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("delivered", 3, 200)


def test_a_deaf_endpoint_does_not_hold_up_the_others(bed: StripeBed) -> None:
    with Hook() as hook, Hook(lambda _: 500) as deaf:
        broken = listen(bed, deaf, "product.created")
        listen(bed, hook, "product.created")
        bed.client().v1.products.create({"name": "Two"})
        hook.wait(1)
        deaf.wait(2)
        bed.client().v1.webhook_endpoints.delete(broken.id)
        bed.settle()


def test_a_disabled_endpoint_hears_nothing(bed: StripeBed) -> None:
    with Hook() as hook:
        endpoint = listen(bed, hook, "*")
        bed.client().v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
        bed.client().v1.products.create({"name": "Unheard"})
        bed.settle()
        assert hook.received == []


def test_held_events_are_let_go_in_any_order_and_number(bed: StripeBed) -> None:
    with Hook() as hook:
        listen(bed, hook, "product.created", "product.updated", "product.deleted")
        bed.local("POST", "deliveries/mode", hold=True)
        products = bed.client().v1.products
        made = products.create({"name": "Held"})
        products.update(made.id, {"name": "Changed"})
        products.delete(made.id)
        bed.local("POST", "deliveries/release", only=["product.updated"])
        assert hook.types() == ["product.updated"]
        bed.local("POST", "deliveries/release", order="newest", duplicate=1)
        assert hook.types()[1:] == ["product.deleted"] * 2 + ["product.created"] * 2
        bed.local("POST", "deliveries/mode", hold=False)
        bed.settle()
        assert len(hook.received) == 5


def test_events_are_doubled_lost_and_sent_anew(bed: StripeBed) -> None:
    with Hook() as hook:
        listen(bed, hook, "product.created", "product.updated")
        bed.local("POST", "deliveries/mode", duplicate=1, shuffle=True, drop=["product.updated"])
        made = bed.client().v1.products.create({"name": "Twice"})
        bed.client().v1.products.update(made.id, {"name": "Never"})
        bed.settle()
        hook.wait(2)
        bed.settle()
        assert hook.types() == ["product.created"] * 2
        assert len({json.loads(body)["id"] for body, _ in hook.received}) == 1
        bed.local("POST", "deliveries/mode", duplicate=0, drop=[])
        lost = bed.client().v1.events.list({"type": "product.updated"}).data[0]
        bed.local("POST", "deliveries/resend", event=lost.id)
        assert json.loads(hook.received[2][0])["id"] == lost.id


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with Hook(lambda number: 200 if number else 500) as hook:
        with StripeBed(tmp_path) as bed:
            shop = Shop(bed)
            made = shop.subscribe()
            listen(bed, hook, "product.created")
            shop.advance(3)
            now = bed.local("GET", "state")["now"]
            bed.local("POST", "deliveries/mode", hold=True)
            product = shop.stripe.v1.products.create({"name": "Before"}, {"idempotency_key": "kept"})
            bed.local("POST", "customers/" + made.customer + "/fail_next", times=1)
        with StripeBed(tmp_path) as bed:
            shop.bed, shop.stripe = bed, bed.client()
            bed.settle()
            assert json.loads(hook.received[-1][0])["data"]["object"]["id"] == product.id
            assert shop.subscription(made.id).status == "active"
            assert shop.stripe.v1.products.create({"name": "Before"}, {"idempotency_key": "kept"}).id == product.id
            assert now <= bed.local("GET", "state")["now"] < now + 600
            shop.renew(made.id)
            assert shop.subscription(made.id).status == "past_due"


def test_the_order_of_lists_outlives_a_restart(tmp_path: Path) -> None:
    with StripeBed(tmp_path) as bed:
        made = [bed.client().v1.products.create({"name": str(number)}).id for number in range(3)]
        bed.client().v1.products.update(made[0], {"name": "changed last"})
    with StripeBed(tmp_path) as bed:
        assert [product.id for product in bed.client().v1.products.list().data] == made[::-1]


def test_a_step_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.transaction():
        store.put("thing", "a", {"id": "a", "parts": [1]})
        store.put("thing", "b", {"id": "b"})

    def fail() -> None:
        with store.transaction():
            found = store.get("a")
            assert found is not None
            found["parts"].append(2)
            store.remove("b")
            store.put("thing", "c", {"id": "c"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    for held in (store, Store(tmp_path)):
        assert sorted(body["id"] for body in held.all("thing")) == ["a", "b"]
        assert held.get("a") == {"id": "a", "parts": [1]}
        held.close()


def test_a_damaged_file_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "stripe.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(CloudError, match="make clean"):
        Store(tmp_path)


def test_an_endpoint_that_is_not_there_or_too_slow_is_asked_again(
    bed: StripeBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT_SECONDS", 0.2)
    awake = threading.Event()

    def answer(_: int) -> int:
        awake.wait(10)
        return 200

    with Hook(answer) as slow:
        gone = bed.client().v1.webhook_endpoints.create(
            {"url": "http://127.0.0.1:1/hook", "enabled_events": ["product.created"]}
        )
        listen(bed, slow, "product.created")
        bed.client().v1.products.create({"name": "Patience"})
        slow.wait(2)
        reasons = {item["reason"] for item in bed.local("GET", "deliveries")["deliveries"]}
        assert reasons == {"no answer within 0.2 s", "the endpoint refuses connections"}
        bed.client().v1.webhook_endpoints.delete(gone.id)
        awake.set()
        bed.settle()
