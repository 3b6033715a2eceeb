"""The local cloud's stand-in of Stripe with our plans in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx

from declarations import PAID, Plan
from tests.infra.local.stripe_bed import KEY, StripeBed


class Bed:
    """A stand-in that sells our plans. `admin`: the library, as a dashboard would use it."""

    def __init__(self, running: StripeBed) -> None:
        self.running = running
        self.admin = running.client()
        for plan in PAID:
            product = self.admin.v1.products.create({"name": plan.name})
            self.admin.v1.prices.create(
                {
                    "product": product.id,
                    "currency": "usd",
                    "unit_amount": plan.price_usd * 100,
                    "recurring": {"interval": "month"},
                    "lookup_key": plan.lookup_key,
                }
            )

    def price(self, plan: Plan) -> str:
        return self.admin.v1.prices.list({"lookup_keys": [plan.lookup_key]}).data[0].id

    def pay(self, session: str, card: str = "visa") -> None:
        self.running.local("POST", f"sessions/{session}/pay", card=card)

    def card(self, customer: str, card: str) -> None:
        self.running.local("POST", f"customers/{customer}/card", card=card)

    def fail(self, path: str, status: int) -> None:
        """The next call of a path is refused."""
        fault = {"path": path, "status": status}
        answer = httpx.post(f"{self.running.url}/_local/faults", json=fault, headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code == 200

    def wait(self, **time: float) -> None:
        self.running.local("POST", "advance", seconds=int(timedelta(**time).total_seconds()))

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.running.local("GET", "state")["now"], UTC)
