"""Stripe: what is sold, on which terms customers manage it, and where Stripe tells us of what happens.

One product and one price for each paid plan of `functions/declarations.py`. Nothing here is protected: deleting a
product, a price or the portal only archives it, and the next `up` takes it up again.

The secret that signs webhooks is Stripe's, one for each endpoint. So it is rotated by a second endpoint at the same
address: `rotation: {stripe-webhook: [2, 1]}` has Stripe deliver everything twice, signed with either, and functions
accept both; `{stripe-webhook: [2]}` removes the old one. What is delivered twice is one event, known by its id.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from core.urls import base_url
from declarations import PAID, STRIPE_API_VERSION, STRIPE_EVENTS, Plan
from infra.config import StackConfig, StripeAccount
from infra.providers.stripe_resources import StripePortal, StripePrice, StripeProduct, StripeWebhook

WEBHOOK = "stripe-webhook"
CURRENCY, INTERVAL = "usd", "month"
STATEMENT = "MEMORYGRAPH"

FEATURES: Mapping[str, Mapping[str, bool | str | list[str]]] = {
    # What an invoice needs. The e-mail address is the account's, which its owner has confirmed with us.
    "customer_update": {"enabled": True, "allowed_updates": ["address", "name", "tax_id"]},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": True, "mode": "at_period_end", "proration_behavior": "none"},
    # Plans and seats change by our own route: it knows whether the memories fit, and who is a member.
    "subscription_update": {"enabled": False},
}


class Billing(pulumi.ComponentResource):
    """What functions are told. Where no paid plans are sold nothing is declared, `portal` is empty, and the secrets are
    None: functions are not given any, since Secret Manager keeps no empty ones.

    `prices` are Stripe's ids by plan; `portal` is the id of the portal's configuration; `webhook_secret` one secret or
    two, newest first, separated by a space; `api_key` and `api_url` (empty: Stripe's own) are how functions ask Stripe.
    """

    prices: Mapping[str, pulumi.Output[str]]
    portal: pulumi.Input[str]
    webhook_secret: pulumi.Output[str] | None
    api_key: pulumi.Output[str] | None
    api_url: str
    kinds: Mapping[str, str]
    """What can be rotated here, for the program's output `keys` (see Keys.kinds)."""

    def __init__(
        self, name: str, config: StackConfig, *, webhook_path: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("memorygraph-cloud:components:Billing", name, None, opts)
        if config.stripe is None:
            self.prices, self.kinds = {}, {}
            self.portal = self.api_url = ""
            self.webhook_secret = self.api_key = None
        else:
            self._declare(config, config.stripe, webhook_path)
        self.register_outputs({})

    def _declare(self, config: StackConfig, stripe: StripeAccount, webhook_path: str) -> None:
        child = pulumi.ResourceOptions(parent=self)
        site, stack = base_url(config.domain), {"stack": config.domain}
        self.prices = {plan.name: _price(plan, stack, child) for plan in PAID}
        self.portal = StripePortal(
            "portal",
            features=FEATURES,
            default_return_url=f"{site}/dashboard/billing",
            business_profile={"privacy_policy_url": f"{site}/privacy", "terms_of_service_url": f"{site}/terms"},
            metadata=stack,
            opts=child,
        ).id
        endpoints = [
            StripeWebhook(
                f"{WEBHOOK}-{generation}",
                url=base_url(config.api_host) + webhook_path,
                events=STRIPE_EVENTS,
                api_version=STRIPE_API_VERSION,
                description="MemoryGraph Cloud's billing function",
                metadata={**stack, "generation": str(generation)},
                opts=child,
            )
            for generation in config.rotation.get(WEBHOOK, (1,))
        ]
        secrets = pulumi.Output.all(*(endpoint.secret for endpoint in endpoints))
        self.webhook_secret = pulumi.Output.secret(secrets.apply(" ".join))
        self.api_key = stripe.key
        self.api_url = stripe.api or ""
        self.kinds = {WEBHOOK: "passing"}


def _price(plan: Plan, stack: Mapping[str, str], child: pulumi.ResourceOptions) -> pulumi.Output[str]:
    title = f"MemoryGraph {plan.name.capitalize()}"
    memories = f"{plan.memories:,} memories" if plan.memories else "Any number of memories"
    product = StripeProduct(
        f"{plan.name}-product",
        name=title,
        description=f"{memories}, {plan.calls_per_day:,} calls a day{', priced by the seat' if plan.by_seat else ''}",
        statement_descriptor=STATEMENT,
        metadata={**stack, "plan": plan.name},
        opts=child,
    )
    price = StripePrice(
        f"{plan.name}-price",
        product=product.id,
        currency=CURRENCY,
        unit_amount=plan.price_usd * 100,
        interval=INTERVAL,
        lookup_key=plan.lookup_key,
        nickname=f"{title}, monthly{', a seat' if plan.by_seat else ''}",
        opts=child,
    )
    return price.id
