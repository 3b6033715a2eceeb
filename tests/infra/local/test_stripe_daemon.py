"""The stand-in of Stripe within the local cloud: where it is served, what is kept, where webhooks lead."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import stripe

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.runtime import worker
from infra.local.cloud.vendors.stripe.addresses import resolver
from tests.infra.local.running import Daemon


def client(daemon: Daemon) -> stripe.StripeClient:
    url = daemon.control("GET", "/addresses")["stripe_api"]
    return stripe.StripeClient("local", base_addresses={"api": url})


def test_what_was_sold_is_there_after_a_restart_at_the_same_address(own_daemon: Daemon) -> None:
    own_daemon.start()
    url = own_daemon.control("GET", "/addresses")["stripe_api"]
    made = client(own_daemon).v1.products.create({"name": "Kept"})
    assert own_daemon.stop() == 0
    own_daemon.start()
    assert own_daemon.control("GET", "/addresses")["stripe_api"] == url
    assert client(own_daemon).v1.products.retrieve(made.id).name == "Kept"


@pytest.mark.parametrize(
    ("url", "leads_to"),
    [
        ("https://api.app.localhost/hook?a=b", "http://127.0.0.1:20001/hook?a=b"),
        ("https://other.app.localhost/hook", "https://other.app.localhost/hook"),
        ("http://127.0.0.1:9/hook", "http://127.0.0.1:9/hook"),
    ],
)
def test_a_workers_name_leads_to_its_port(monkeypatch: pytest.MonkeyPatch, url: str, leads_to: str) -> None:
    domain: Any = SimpleNamespace(args={"hostname": "api.app.localhost", "service": "edge"})
    store = SimpleNamespace(of=lambda kind: [domain] if kind == worker.CUSTOM_DOMAIN else [])
    monkeypatch.setattr(worker, "edge_url", lambda _: "http://127.0.0.1:20001")
    resolve = resolver(cast(Cloud, SimpleNamespace(store=store)))
    assert resolve(url) == leads_to


def test_before_there_is_a_worker_an_address_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "edge_url", lambda _: None)
    resolve = resolver(cast(Cloud, SimpleNamespace(store=SimpleNamespace(of=lambda _: []))))
    assert resolve("https://api.app.localhost/hook") == "https://api.app.localhost/hook"
