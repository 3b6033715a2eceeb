"""Somebody else pays from now on, by Stripe's own library at the local cloud's stand-in: killed anywhere, repeated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from billing.model import Status, Subscription
from billing.stripe import http
from billing.stripe.payments import StripePayments
from core.problems import Unavailable
from core.rotation import Fixed
from core.settings import Secret
from declarations import PRO, TEAM
from tests.functions.billing.bed import Bed
from tests.infra.local.stripe_bed import KEY, StripeBed

SITE = "https://site.example"
WORKSPACE = "5f0c4b0e-0000-4000-8000-000000000001"
BOB = "bob@example.com"


@dataclass
class Shop:
    bed: Bed
    paid: StripePayments
    numbers: Iterator[int]

    def key(self) -> str:
        return f"key-{next(self.numbers)}"

    async def buy(self) -> str:
        """A customer with two seats of Team."""
        customer = await self.paid.create_customer(WORKSPACE, "ada@example.com", "Ada", self.key())
        page = await self.paid.open_checkout(customer, WORKSPACE, TEAM, 2, SITE, self.key())
        self.bed.pay(page.id)
        self.give(customer)
        return customer

    def give(self, customer: str) -> None:
        """What Stripe knows of somebody, and a second card."""
        known: Any = {"address": {"city": "Paris"}, "phone": "+331"}
        self.bed.admin.v1.customers.update(customer, known)
        second = self.bed.admin.v1.payment_methods.attach("pm_card_mastercard", {"customer": customer})
        default: Any = {"default_payment_method": second.id}
        self.bed.admin.v1.customers.update(customer, {"invoice_settings": default})

    async def held(self, customer: str) -> Subscription:
        return (await self.paid.customer(customer)).subscriptions[0]

    def cards(self, customer: str) -> int:
        return len(self.bed.admin.v1.payment_methods.list({"customer": customer}).data)

    def check(self, customer: str, key: str) -> None:
        """Nothing of Ada's is left."""
        admin = self.bed.admin
        found = admin.v1.customers.retrieve(customer)
        assert (found.email, found.name, found.address, found.phone) == (BOB, "Notes", None, None)
        assert found.to_dict()["metadata"] == {"workspace_id": WORKSPACE, "handed_over": key}
        assert found.to_dict()["invoice_settings"]["default_payment_method"] is None
        assert self.cards(customer) == 0
        (subscription,) = admin.v1.subscriptions.list({"customer": customer}).data
        assert subscription.default_payment_method is None
        if subscription.schedule:
            planned = admin.v1.subscription_schedules.retrieve(str(subscription.schedule)).to_dict()
            assert [phase["default_payment_method"] for phase in planned["phases"]] == [None, None]


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    with StripeBed() as running:
        paid = StripePayments(Fixed(Secret(KEY)), running.url)
        yield Shop(Bed(running), paid, count())
        await paid.close()


async def test_killed_before_every_change(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is after the one before. What was planned stays planned."""
    play, changes = http.Http.request_async, 0
    kill_at: int | None = None

    async def request(self: http.Http, method: str, *args: Any, **kwargs: Any) -> Any:
        nonlocal changes
        if method == "post":
            if changes == kill_at:
                raise Unavailable("killed", part="stripe")
            changes += 1
        return await play(self, method, *args, **kwargs)

    monkeypatch.setattr(http.Http, "request_async", request)
    customer = await shop.buy()
    await shop.paid.schedule_change(await shop.held(customer), PRO, 1, shop.key())
    point, killed = -1, True
    while killed:
        point += 1
        shop.give(customer)
        key, changes, killed, kill_at = shop.key(), 0, False, point
        try:
            await shop.paid.hand_over(customer, BOB, "Notes", key)
        except Unavailable:
            killed = True
        kill_at = None
        await shop.paid.hand_over(customer, BOB, "Notes", key)
        shop.check(customer, key)
        now = await shop.held(customer)
        assert (now.status, now.seats, now.next_lookup_key) == (Status.ACTIVE, 2, PRO.lookup_key)
    assert point == 6, "name, card, release, create, phases, done"


async def test_a_card_of_the_new_owner_stays(shop: Shop) -> None:
    customer, key = await shop.buy(), shop.key()
    page = await shop.paid.open_checkout(customer, WORKSPACE, TEAM, 1, SITE, shop.key())
    await shop.paid.hand_over(customer, BOB, "Notes", key)
    shop.check(customer, key)
    assert shop.bed.admin.v1.checkout.sessions.retrieve(page.id).status == "expired", "nobody pays on Ada's page"
    shop.bed.card(customer, "visa")
    await shop.paid.hand_over(customer, BOB, "Notes", key)
    assert shop.cards(customer) == 1
    held = await shop.held(customer)
    shop.bed.wait(seconds=(held.period_end - shop.bed.now()).total_seconds() + 7200)
    now = await shop.held(customer)
    assert (now.status, now.latest_invoice != held.latest_invoice) == (Status.ACTIVE, True)
    await shop.paid.hand_over(customer, "eve@example.com", "Notes", shop.key())
    assert shop.cards(customer) == 0, "a second hand-over takes it away, too"


async def test_who_has_no_address_and_who_is_gone(shop: Shop) -> None:
    customer = await shop.buy()
    await shop.paid.hand_over(customer, None, "Notes", shop.key())
    assert shop.bed.admin.v1.customers.retrieve(customer).email is None
    await shop.paid.delete_customer(customer)
    await shop.paid.hand_over(customer, BOB, "Notes", shop.key())
    assert (await shop.paid.customer(customer)).deleted
