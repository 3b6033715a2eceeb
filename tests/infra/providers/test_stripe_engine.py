"""Stripe's resources through the real Pulumi engine, with a state file: what no protocol test can show."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from pulumi import automation
from pulumi.runtime.proto import provider_pb2_grpc

from infra.local import engine
from infra.local.places import DEFAULT_ROOT, Places
from infra.providers.api import Api
from infra.providers.kind import Kind
from infra.providers.provider import MemorygraphProvider
from infra.providers.stripe_portal import PortalConfiguration
from infra.providers.stripe_prices import Price, Product
from infra.providers.stripe_webhooks import WebhookEndpoint
from tests.infra.providers.stripe_double import Stripe
from tests.infra.providers.stripe_program import Declared, opened
from tests.infra.providers.vendor import Vendor

REPOSITORY = Path(__file__).resolve().parents[3]
KEY, PASSPHRASE = "sk_test_hidden", "correct horse"


@pytest.fixture
def stripe(api: Vendor) -> Stripe:
    return Stripe(api)


@pytest.fixture
def provider() -> Iterator[int]:
    """The port of our provider, which does not wait between attempts."""

    def make(config: Mapping[str, str]) -> dict[str, Kind]:
        base, token = config.get("stripeApi", ""), config.get("stripeToken", "")
        api = Api("Stripe", base, token, setting="stripe", form=True, timeout=5, sleep=lambda _: None)
        kinds: tuple[Kind, ...] = (Product(api), Price(api), PortalConfiguration(api), WebhookEndpoint(api))
        return {kind.token: kind for kind in kinds}

    server = grpc.server(futures.ThreadPoolExecutor(8))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(MemorygraphProvider(make=make), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


@pytest.fixture
def declared() -> Declared:
    return Declared()


@pytest.fixture
def environment(provider: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Of the engine; a stack is configured in it."""
    found = engine.find(Places.of(os.environ.get("LOCAL_ROOT", DEFAULT_ROOT)))
    if found is None:
        pytest.skip("there is no Pulumi engine: `make engine` builds it")
    monkeypatch.setenv("PATH", f"{found.parent}{os.pathsep}{os.environ['PATH']}")
    for folder in ("state", "home", "work"):
        (tmp_path / folder).mkdir()
    return {
        "PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(),
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        "PULUMI_DEBUG_PROVIDERS": f"memorygraph:{provider}",
    }


@pytest.fixture
def stack(stripe: Stripe, environment: dict[str, str], declared: Declared, tmp_path: Path) -> automation.Stack:
    made = opened(tmp_path / "work", environment, declared)
    made.set_all_config(
        {
            "memorygraph:stripeApi": automation.ConfigValue(stripe.api.url),
            "memorygraph:stripeToken": automation.ConfigValue(KEY, secret=True),
        }
    )
    return made


def changes(result: automation.UpResult | automation.DestroyResult | automation.RefreshResult) -> dict[str, int]:
    """How many resources of ours something was done to, by what it was."""
    counted = {str(what): number for what, number in (result.summary.resource_changes or {}).items()}
    return {what: number for what, number in counted.items() if what != "same"}


def readable(folder: Path) -> Callable[[str], bool]:
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert texts
    return lambda text: any(text.encode() in content for content in texts)


def test_a_whole_life(
    stripe: Stripe, declared: Declared, environment: dict[str, str], stack: automation.Stack, tmp_path: Path
) -> None:
    # A failure half-way: what was made is kept, and the next run finishes the work.
    post = "POST /v1/webhook_endpoints"
    stripe.api.routes[post] = lambda _: (500, {"error": {"message": "We are having trouble."}})
    words = [sys.executable, "-m", "tests.infra.providers.stripe_program", str(tmp_path / "work")]
    done = subprocess.run(
        words,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert "answered 500 (We are having trouble.)" in done.stderr
    assert KEY not in done.stderr
    del stripe.api.routes[post]
    before = set(stripe.objects)
    assert stripe.of("prod")
    up = stack.up()
    assert len(stripe.objects) == 4
    assert before < set(stripe.objects)
    assert (up.outputs["secrets"].secret, up.outputs["secrets"].value) == (True, list(stripe.secrets.values()))
    assert changes(stack.up(expect_no_changes=True)) == {}

    # In place; by a new one beside the old; a second secret beside the first; what was made by hand is taken over.
    by_hand = {"id": "prod_hand", "name": "by-hand", "description": "x", "metadata": {"by": "hand"}, "active": True}
    stripe.objects["prod_hand"] = by_hand
    declared.description, declared.amount, declared.generations = "20,000 memories", 1000, (2, 1)
    declared.taken_over = {"by-hand": "prod_hand"}
    assert changes(stack.up()) == {"update": 1, "replace": 1, "create": 1, "import": 1}
    assert [item["description"] for item in stripe.of("prod")] == ["20,000 memories", "x"]
    assert {item["unit_amount"]: item["active"] for item in stripe.of("price")} == {800: False, 1000: True}
    assert sorted(stack.outputs()["secrets"].value) == sorted(stripe.secrets.values())

    # The older secret goes.
    declared.generations = (2,)
    assert changes(stack.up()) == {"delete": 1}
    (endpoint,) = stripe.of("we")
    assert stack.outputs()["secrets"].value == [stripe.secrets[endpoint["id"]]]

    # Drift is seen, and mended.
    product = stripe.of("prod")[0]
    product["name"], endpoint["status"] = "Changed by hand", "disabled"
    assert changes(stack.refresh()) == {"update": 2}
    assert changes(stack.up()) == {"update": 2}
    assert (product["name"], endpoint["status"]) == ("MemoryGraph Pro", "enabled")

    is_readable = readable(tmp_path / "state")
    assert is_readable(endpoint["id"])
    assert not [text for text in (*stripe.secrets.values(), KEY, PASSPHRASE) if is_readable(text)]

    # What is gone already is no obstacle; what was sold is archived.
    del stripe.objects[endpoint["id"]]
    stack.destroy()
    assert {id.partition("_")[0] for id in stripe.objects} == {"prod", "price", "bpc"}
    assert not any(item["active"] for item in stripe.objects.values())
    assert "prod_hand" not in stripe.objects  # it never had a price
