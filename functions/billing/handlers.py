"""Wire <-> domain, one coroutine for each handler that `declarations.BILLING` names."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from starlette.responses import Response

from accounts.asker import Asker
from billing.control import ControlBilling
from billing.render import checkout_body
from billing.selling import signing_secrets
from billing.service import BillingService
from billing.services import Services
from billing.settling import Settler
from billing.stripe.payments import StripePayments
from billing.webhooks import WebhookService
from core import rotation
from core.bootstrap import Tools
from core.http import Call
from core.lazy import lazy
from core.outdated import Outdated
from core.settings import Secret
from declarations import PLANS, BillingSettings, Store
from memories.validation import parse

if TYPE_CHECKING:
    from billing import schemas
else:
    schemas = lazy("billing.schemas")


def build(tools: Tools) -> Services:
    settings = tools.settings
    assert isinstance(settings, BillingSettings), "the function's own settings"
    api_key = rotation.source(settings, "stripe_api_key")
    webhook_secret = rotation.source(settings, "stripe_webhook_secret")
    payments = StripePayments(api_key, settings.stripe_api_url)
    ledger = ControlBilling(tools.postgres)
    outdated = Outdated(tools.admission.principals.cache, tools.wake)
    settler = Settler(payments, ledger, outdated, tools.clock, free=Store(settings.free_store))

    async def secrets() -> list[Secret]:
        return signing_secrets(await webhook_secret.read())

    return Services(
        clock=tools.clock,
        billing=BillingService(
            ledger,
            payments,
            settler,
            tools.clock,
            api_key=api_key,
            site_url=settings.site_url,
            portal=settings.stripe_portal,
        ),
        webhooks=WebhookService(payments, ledger, settler, secrets),
    )


async def read_billing(call: Call, services: Services) -> Response:
    return call.reply(await services.billing.read(Asker.of(call.caller)))


async def open_checkout(call: Call, services: Services) -> Response:
    asker = Asker.person(call.caller)
    body = parse(schemas.CheckoutOpen, await call.json())
    page = await services.billing.open_checkout(asker, PLANS[body.plan.value], body.seats, await _wish(call, services))
    return call.reply(checkout_body(page), 201)


async def open_portal(call: Call, services: Services) -> Response:
    return call.reply({"url": await services.billing.open_portal(Asker.person(call.caller))}, 201)


async def change_plan(call: Call, services: Services) -> Response:
    asker = Asker.person(call.caller)
    body = parse(schemas.PlanChange, await call.json())
    return call.reply(await services.billing.change_plan(asker, PLANS[body.plan.value], await _wish(call, services)))


async def keep_plan(call: Call, services: Services) -> Response:
    return call.reply(await services.billing.keep_plan(Asker.person(call.caller)))


async def receive_event(call: Call, services: Services) -> Response:
    await services.webhooks.receive(await call.body(), call.headers.get("stripe-signature", ""))
    return call.reply({"received": True})


async def _wish(call: Call, services: Services) -> str:
    """What names the request to Stripe: its Idempotency-Key, so that it does once what is sent twice.

    Raises:
        Invalid: that is malformed.
    """
    once = await call.once(services.clock.now())
    return once.key if once else uuid.uuid4().hex
