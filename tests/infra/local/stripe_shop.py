"""What tests of the stand-in of Stripe sell, and who buys it."""

from __future__ import annotations

import uuid
from typing import Any

import stripe

from tests.infra.local.stripe_bed import StripeBed

DAY = 86_400


class Shop:
    """A product with two monthly prices, and customers who pay by good cards unless told otherwise."""

    def __init__(self, bed: StripeBed) -> None:
        self.bed = bed
        self.stripe = bed.client()
        self.product = self.stripe.v1.products.create({"name": "Plan"})
        self.small = self.price(800)
        self.large = self.price(1200)

    def price(self, cents: int, **more: Any) -> stripe.Price:
        params: Any = {
            "product": self.product.id,
            "currency": "usd",
            "unit_amount": cents,
            "recurring": {"interval": "month"},
            "lookup_key": f"key-{uuid.uuid4()}",
            **more,
        }
        return self.stripe.v1.prices.create(params)

    def customer(self, card: str | None = "pm_card_visa") -> stripe.Customer:
        made = self.stripe.v1.customers.create({"email": "buyer@example.com", "name": "Buyer"})
        if card is not None:
            method = self.stripe.v1.payment_methods.attach(card, {"customer": made.id})
            settings: Any = {"default_payment_method": method.id}
            made = self.stripe.v1.customers.update(made.id, {"invoice_settings": settings})
        return made

    def subscribe(self, customer: stripe.Customer | None = None, quantity: int = 1, **more: Any) -> Any:
        params: Any = {
            "customer": (customer or self.customer()).id,
            "items": [{"price": self.small.id, "quantity": quantity}],
            **more,
        }
        return self.stripe.v1.subscriptions.create(params)

    def checkout(self, customer: str, price: stripe.Price | None = None, **more: Any) -> stripe.checkout.Session:
        params: Any = {
            "mode": "subscription",
            "customer": customer,
            "line_items": [{"price": (price or self.small).id, "quantity": 1}],
            "success_url": "https://app.test/done?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "https://app.test/cancelled",
            **more,
        }
        return self.stripe.v1.checkout.sessions.create(params)

    def subscription(self, id: str) -> Any:
        return self.stripe.v1.subscriptions.retrieve(id)

    def advance(self, days: float) -> None:
        """Move the stand-in's clock on."""
        self.bed.local("POST", "advance", seconds=int(days * DAY))

    def renew(self, id: str) -> None:
        """Move the clock on to a minute after the end of a subscription's period."""
        self.bed.local("POST", "advance", to=item(self.subscription(id)).current_period_end + 60)

    def events(self, object_id: str) -> list[str]:
        """The types of what was told of an object, the oldest first."""
        found = [
            str(event.type)
            for event in self.stripe.v1.events.list({"limit": 100}).auto_paging_iter()
            if event.data.object["id"] == object_id
        ]
        return found[::-1]


def item(subscription: Any) -> Any:
    """The only item of a subscription."""
    (found,) = subscription["items"].data
    return found
