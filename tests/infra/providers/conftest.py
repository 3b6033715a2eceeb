"""The provider on loopback, before a fake vendor, and a real PostgreSQL for the schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from infra.providers.api import Api
from infra.providers.keys import Key
from infra.providers.kind import Kind
from infra.providers.provider import MemorygraphProvider
from infra.providers.stripe_portal import PortalConfiguration
from infra.providers.stripe_prices import Price, Product
from infra.providers.stripe_webhooks import WebhookEndpoint
from infra.providers.supabase import Project
from infra.providers.supabase_auth import AuthSettings
from infra.providers.turso import Group
from tests.infra import wire
from tests.infra.providers import engine, postgres, vendor
from tests.infra.providers.vendor import Vendor

Start = Callable[..., engine.Engine]


@pytest.fixture
def pauses() -> list[float]:
    """How long the provider would have waited, each time."""
    return []


@pytest.fixture
def api() -> Iterator[Vendor]:
    with vendor.serving() as served:
        yield served


@pytest.fixture
def start(api: Vendor, pauses: list[float]) -> Iterator[Start]:
    """Starts the provider with what a stack configures, and gives the engine's hold on one type of resource."""

    def make(config: Mapping[str, str]) -> dict[str, Kind]:
        def client(name: str, setting: str, *, form: bool = False) -> Api:
            base, token = config.get(f"{setting}Api", api.url), config.get(f"{setting}Token", "")
            return Api(name, base, token, setting=setting, form=form, timeout=5, sleep=pauses.append)

        supabase, turso = client("Supabase", "supabase"), client("Turso", "turso")
        stripe = client("Stripe", "stripe", form=True)
        kinds: tuple[Kind, ...] = (
            Key(),
            Project(supabase),
            AuthSettings(supabase),
            Group(turso),
            Product(stripe),
            Price(stripe),
            PortalConfiguration(stripe),
            WebhookEndpoint(stripe),
        )
        return {kind.token: kind for kind in kinds}

    with ExitStack() as stack:

        def begin(token: str, **settings: str) -> engine.Engine:
            stub = stack.enter_context(engine.serving(MemorygraphProvider(make=make)))
            tokens = {"supabaseToken": "sb", "tursoToken": "tu", "stripeToken": "sk_test_hidden"}
            engine.configure(stub, **{**{name: wire.secret(token) for name, token in tokens.items()}, **settings})
            return engine.Engine(stub, token)

        yield begin


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    with postgres.serving() as served:
        yield served


@pytest.fixture
def database(server: postgres.Server) -> Iterator[str]:
    """The URL of an empty database, as its owner `postgres`, who is no superuser."""
    with server.database() as url:
        yield url
