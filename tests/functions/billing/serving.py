"""The billing function as the site sees it: its real pipeline over the world's PostgreSQL, with Stripe in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from accounts import handlers as accounts_handlers
from billing import handlers
from billing.ports import Payments
from core.http import Pipeline
from core.rotation import SecretSource
from core.settings import Secret
from declarations import ACCOUNTS, BILLING, PREFIX, BillingSettings
from tests.functions.accounts.world import SETTINGS as ACCOUNTS_SETTINGS
from tests.functions.accounts.world import SITE, Person
from tests.functions.asgi import Answer, call
from tests.functions.billing.world import SECRET, World

SETTINGS = BillingSettings(
    edge_secret=ACCOUNTS_SETTINGS.edge_secret,
    database_url=ACCOUNTS_SETTINGS.database_url,
    redis_url=ACCOUNTS_SETTINGS.redis_url,
    redis_token=ACCOUNTS_SETTINGS.redis_token,
    key_tag_secret=ACCOUNTS_SETTINGS.key_tag_secret,
    principal_seal_key=ACCOUNTS_SETTINGS.principal_seal_key,
    stripe_api_key=Secret("rk_test_key"),
    stripe_webhook_secret=Secret(f"{SECRET} whsec_before"),
    stripe_portal="bpc_1",
    tasks_url=ACCOUNTS_SETTINGS.tasks_url,
    site_url=SITE,
)


class Serving:
    """One process of the function. `make`: what makes its `Payments`; by default they are the world's, in memory."""

    def __init__(
        self,
        world: World,
        settings: BillingSettings = SETTINGS,
        make: Callable[[SecretSource, str], Payments] | None = None,
    ) -> None:
        self.world = world
        tools = world.process(ACCOUNTS, accounts_handlers, world.billing_postgres)._tools
        with patch.object(handlers, "StripePayments", make or (lambda _key, _url: world.stripe)):
            self.pipeline = Pipeline(BILLING, handlers, replace(tools, settings=settings, clock=world.time))

    async def ask(
        self,
        method: str,
        path: str,
        by: Person | str | None,
        body: Any = b"",
        *,
        workspace: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request, by a signed-in person, by a key (its text), or by nobody."""
        sent = {**(headers or {}), **({"X-Workspace": workspace} if workspace else {})}
        if isinstance(by, Person):
            sent["Authorization"] = f"Bearer {by.token}"

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await self.pipeline.answer(Request(scope, receive))
            await response(scope, receive, send)

        key = by if isinstance(by, str) else None
        return await call(app, method, PREFIX + path, headers=sent, body=body, key=key)
