"""Stripe, as billing needs it: one method of the port is one to a few calls of the API (docs.stripe.com/api)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from billing.model import Checkout, Customer, Dispute, Event, Subscription
from billing.stripe import checkouts, handovers, plans, refunds, webhooks
from billing.stripe.calls import Calls, Json
from billing.stripe.reading import DUE, id_of, read_dispute, read_subscription, understood
from billing.stripe.refusals import Refused, no_address
from core.rotation import SecretSource
from core.settings import Secret
from declarations import Plan

PAGE = 100
"""The most that Stripe gives at once."""


class StripePayments:
    """Implements `ports.Payments`. One for the process; its connections belong to one event loop.

    Args:
        key: the API key, read at use.
        api_url: where Stripe is; empty: its own address.
    """

    def __init__(self, key: SecretSource, api_url: str = "") -> None:
        self._calls = Calls(key, api_url)

    async def close(self) -> None:
        await self._calls.close()

    # What it tells us.

    def event(self, body: bytes, signature: str, secrets: Sequence[Secret]) -> Event:
        return webhooks.read(body, signature, secrets)

    async def dispute(self, dispute: str) -> Dispute | None:
        found = await self._calls.find(
            lambda stripe: stripe.v1.disputes.retrieve_async(dispute, {"expand": ["charge"]})
        )
        if found is None:  # or its charge is
            found = await self._calls.find(lambda stripe: stripe.v1.disputes.retrieve_async(dispute))
        with understood():
            return read_dispute(found) if found else None

    # Customers.

    async def customer(self, customer: str) -> Customer:
        # One that is missing is none of this account or mode: whoever takes that for deleted takes a plan away.
        found = await self._calls.ask(lambda stripe: stripe.v1.customers.retrieve_async(customer))
        if found.get("deleted"):
            return Customer(id=customer, deleted=True)
        with understood():
            workspace = found["metadata"].get("workspace_id")
        return Customer(id=customer, workspace=workspace, subscriptions=await self._subscriptions(customer))

    async def _subscriptions(self, customer: str) -> tuple[Subscription, ...]:
        """All that they ever had, the newest first."""
        read: list[Subscription] = []
        after: str | None = None
        while True:
            page = await self._page(customer, after)
            with understood():
                found: list[Json] = page["data"]
                more = bool(page["has_more"]) and bool(found)
            for one in found:
                with understood():
                    identity, due = str(one["id"]), one["status"] in DUE
                    planned = id_of(one.get("schedule"))
                schedule = await self._schedule(planned) if planned else None
                invoices = await self._invoices(identity) if due else []
                with understood():
                    read.append(read_subscription(one, schedule, invoices))
            if not more:
                return tuple(read)
            after = read[-1].id

    async def _page(self, customer: str, after: str | None) -> Json:
        params: Any = {
            "customer": customer,
            "status": "all",
            "limit": PAGE,
            "expand": ["data.latest_invoice"],
            **({"starting_after": after} if after else {}),
        }
        return await self._calls.ask(lambda stripe: stripe.v1.subscriptions.list_async(params))

    async def _schedule(self, schedule: str) -> Json | None:
        """Asked for by itself: within a list its prices are too deep to be expanded."""
        return await self._calls.find(
            lambda stripe: stripe.v1.subscription_schedules.retrieve_async(schedule, {"expand": ["phases.items.price"]})
        )

    async def _invoices(self, subscription: str) -> list[Json]:
        """The newest first; more than enough to come to one that was paid."""
        found = await self._calls.ask(
            lambda stripe: stripe.v1.invoices.list_async({"subscription": subscription, "limit": PAGE})
        )
        with understood():
            data: list[Json] = found["data"]
            return data

    async def list_customers(self, after: str | None, most: int) -> list[Customer]:
        params: Any = {"limit": min(most, PAGE), **({"starting_after": after} if after else {})}
        page = await self._calls.ask(lambda stripe: stripe.v1.customers.list_async(params))
        with understood():
            return [Customer(id=one["id"], workspace=one["metadata"].get("workspace_id")) for one in page["data"]]

    async def create_customer(self, workspace: str, email: str | None, name: str, key: str) -> str:
        named: Json = {"name": name, "metadata": {"workspace_id": workspace}}
        if email:
            try:
                return await self._create({**named, "email": email}, key)
            except Refused as refused:  # Stripe takes fewer addresses than mail does; its page asks for one
                if not no_address(refused):
                    raise
                key += ":nameless"
        return await self._create(named, key)

    async def _create(self, params: Any, key: str) -> str:
        found = await self._calls.ask(
            lambda stripe: stripe.v1.customers.create_async(params, {"idempotency_key": key}), no_address
        )
        with understood():
            return str(found["id"])

    async def hand_over(self, customer: str, email: str | None, name: str, key: str) -> None:
        await handovers.hand_over(self._calls, await self.customer(customer), email, name, key)

    async def delete_customer(self, customer: str) -> None:
        await self._calls.find(lambda stripe: stripe.v1.customers.delete_async(customer))

    # Stripe's pages.

    async def expire_checkouts(self, customer: str) -> None:
        await checkouts.expire(self._calls, await checkouts.pages(self._calls, customer))

    async def open_checkout(
        self, customer: str, workspace: str, plan: Plan, seats: int, site_url: str, key: str
    ) -> Checkout:
        order = checkouts.Order(customer, workspace, plan, seats, site_url, key)
        return await checkouts.open_page(self._calls, order)

    async def open_portal(self, customer: str, configuration: str, return_url: str) -> str:
        return await checkouts.open_portal(self._calls, customer, configuration, return_url)

    # Subscriptions.

    async def change_plan(self, subscription: Subscription, plan: Plan, seats: int, key: str) -> None:
        await plans.change(self._calls, subscription, plan, seats, key)

    async def schedule_change(self, subscription: Subscription, plan: Plan, seats: int, key: str) -> None:
        await plans.schedule_change(self._calls, subscription, plan, seats, key)

    async def schedule_end(self, subscription: Subscription, key: str) -> None:
        await plans.schedule_end(self._calls, subscription, key)

    async def keep(self, subscription: Subscription, key: str) -> None:
        await plans.keep(self._calls, subscription, key)

    async def set_seats(self, subscription: Subscription, seats: int, key: str) -> None:
        await plans.set_seats(self._calls, subscription, seats, key)

    async def cancel(self, subscription: str, *, refund: bool, key: str) -> int:
        return await refunds.cancel(self._calls, subscription, refund=refund, key=key)
