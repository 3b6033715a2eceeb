"""What is declared at Stripe: products, prices, what its billing pages offer, and where it sends its events.

Deleting most of them archives them (`stripe.py`). `metadata` is how one that an interrupted update made is found again;
so it should name the stack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from infra.providers.resources import Resource


class StripeProduct(Resource):
    """What is sold. The resource's `id` is Stripe's. `statement_descriptor` is what a customer's bank shows."""

    def __init__(
        self,
        resource: str,
        *,
        name: pulumi.Input[str],
        description: pulumi.Input[str],
        metadata: Mapping[str, pulumi.Input[str]],
        statement_descriptor: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "name": name,
            "description": description,
            "metadata": metadata,
            "statement_descriptor": statement_descriptor,
        }
        super().__init__("memorygraph:stripe:Product", resource, inputs, opts)


class StripePrice(Resource):
    """`unit_amount` in the currency's smallest unit, for each `interval` (day, week, month, year).

    Another amount, currency or interval replaces it. `lookup_key` is unique in the account; give another amount another
    key, so that those who pay the old one are known by theirs.
    """

    def __init__(
        self,
        resource: str,
        *,
        product: pulumi.Input[str],
        currency: pulumi.Input[str],
        unit_amount: pulumi.Input[int],
        interval: pulumi.Input[str],
        lookup_key: pulumi.Input[str],
        nickname: pulumi.Input[str] | None = None,
        metadata: Mapping[str, pulumi.Input[str]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "product": product,
            "currency": currency,
            "unit_amount": unit_amount,
            "interval": interval,
            "lookup_key": lookup_key,
            "nickname": nickname,
            "metadata": metadata,
        }
        super().__init__("memorygraph:stripe:Price", resource, inputs, opts)


class StripePortal(Resource):
    """What customers may do on Stripe's billing pages; `features` and `business_profile` by Stripe's names."""

    def __init__(
        self,
        resource: str,
        *,
        features: Mapping[str, Mapping[str, Any]],
        default_return_url: pulumi.Input[str],
        business_profile: Mapping[str, pulumi.Input[str]],
        metadata: Mapping[str, pulumi.Input[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "features": features,
            "default_return_url": default_return_url,
            "business_profile": business_profile,
            "metadata": metadata,
        }
        super().__init__("memorygraph:stripe:PortalConfiguration", resource, inputs, opts)


class StripeWebhook(Resource):
    """Where Stripe sends `events`. `secret` signs them; Stripe tells it once, so it is in the state only."""

    secret: pulumi.Output[str]

    def __init__(
        self,
        resource: str,
        *,
        url: pulumi.Input[str],
        events: Sequence[str],
        api_version: pulumi.Input[str],
        metadata: Mapping[str, pulumi.Input[str]],
        description: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "url": url,
            "events": list(events),
            "api_version": api_version,
            "metadata": metadata,
            "description": description,
            "secret": None,
        }
        super().__init__("memorygraph:stripe:WebhookEndpoint", resource, inputs, opts, secret=["secret"])
