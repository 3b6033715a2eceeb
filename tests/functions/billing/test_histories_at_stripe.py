"""The same as test_histories.py, with Stripe's own library against the stand-in of Stripe: what is made up is only what
people, cards and time do, and the events are those that Stripe makes of it. Delivered while it happens, and in disorder
afterwards. Fewer histories, because each is slow."""

from __future__ import annotations

import hashlib
import hmac
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx
import orjson
import pytest

from billing.settling import Settler
from billing.stripe.payments import StripePayments
from billing.webhooks import WebhookService
from core.outdated import Outdated
from core.problems import Invalid, Problem, Unavailable
from core.rotation import Fixed
from core.settings import Secret
from declarations import PAID, STRIPE_EVENTS, Plan
from tests.functions.billing.test_histories import ADA, begin, end
from tests.functions.billing.world import SECRET, World
from tests.infra.local.stripe_bed import KEY, StripeBed

Json = dict[str, Any]
SITE = "https://site.example"
KEYS = (f"history-{number}" for number in count())


class Account:
    """An account at Stripe that sells our plans, and the time there."""

    def __init__(self, bed: StripeBed) -> None:
        self.bed = bed
        self._http = httpx.Client(base_url=bed.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
        self._offset = timedelta()
        self._seen: set[str] = set()
        self.prices = {plan.name: self._sell(plan) for plan in PAID}

    def _sell(self, plan: Plan) -> str:
        product = self.ask("POST", "/v1/products", name=plan.name)["id"]
        price = {"currency": "usd", "unit_amount": str(plan.price_usd * 100), "recurring[interval]": "month"}
        return str(self.ask("POST", "/v1/prices", product=product, lookup_key=plan.lookup_key, **price)["id"])

    def ask(self, method: str, path: str, **form: str) -> Json:
        read = method == "GET"
        answer = self._http.request(method, path, params=form if read else None, data=None if read else form)
        found: Json = answer.json()
        assert "error" not in found, found
        return found

    def may(self, method: str, path: str, /, **body: Any) -> Json:
        """A control of the stand-in. What is refused changes nothing."""
        found: Json = self._http.request(method, f"/_local/{path}", json=body).json()
        return found

    def close(self) -> None:
        self._http.close()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def wait(self, days: float) -> None:
        self.bed.local("POST", "advance", seconds=int(days * 86_400))
        self._offset = timedelta(seconds=self.bed.local("GET", "state")["offset_seconds"])

    def news(self) -> list[Json]:
        """Events that an endpoint of ours is sent, in their order, since this was asked last."""
        found, more = [], {"limit": "100"}
        while True:
            page = self.ask("GET", "/v1/events", **more)
            fresh = [event for event in page["data"] if event["id"] not in self._seen]
            found += fresh
            if len(fresh) < 100:
                break
            more = {"limit": "100", "starting_after": fresh[-1]["id"]}
        self._seen.update(event["id"] for event in found)
        return [event for event in reversed(found) if event["type"] in STRIPE_EVENTS]


class Story:
    """What happens to one customer."""

    def __init__(self, account: Account, payments: StripePayments, customer: str) -> None:
        self._account = account
        self._payments = payments
        self.customer = customer

    async def play(self, act: str, argument: int) -> None:
        with suppress(Problem):  # what cannot be done now is refused, and changes nothing
            await getattr(self, act)(argument)

    async def _newest(self) -> Any:
        found = [one for one in (await self._payments.customer(self.customer)).subscriptions if one.status == "active"]
        if not found:
            raise Invalid("There is none.")
        return found[0]

    async def buy(self, argument: int) -> None:
        """Also beside another one, as by two pages that were open at once."""
        card = ("visa", "visa", "failsLater")[argument % 3]
        page = self._account.ask(
            "POST",
            "/v1/checkout/sessions",
            mode="subscription",
            customer=self.customer,
            success_url=SITE,
            **{
                "line_items[0][price]": self._account.prices[PAID[argument % len(PAID)].name],
                "line_items[0][quantity]": "1",
            },
        )
        self._account.may("POST", f"sessions/{page['id']}/pay", card=card)

    async def card(self, argument: int) -> None:
        name = ("visa", "failsLater")[argument % 2]
        self._account.may("POST", f"customers/{self.customer}/card", card=name)

    async def switch(self, argument: int) -> None:
        plan = PAID[argument % len(PAID)]
        await self._payments.change_plan(await self._newest(), plan, 1 + argument % 3, next(KEYS))

    async def plan(self, argument: int) -> None:
        await self._payments.schedule_change(await self._newest(), PAID[argument % len(PAID)], 1, next(KEYS))

    async def stop(self, _argument: int) -> None:
        await self._payments.schedule_end(await self._newest(), next(KEYS))

    async def resume(self, _argument: int) -> None:
        await self._payments.keep(await self._newest(), next(KEYS))

    async def cancel(self, _argument: int) -> None:
        await self._payments.cancel((await self._newest()).id, refund=False, key=next(KEYS))

    async def wait(self, argument: int) -> None:
        self._account.wait((2, 9, 15, 31)[argument % 4])

    async def refund(self, _argument: int) -> None:
        held = await self._newest()
        self._account.may("POST", "refunds", subscription=held.id, amount=100)

    async def dispute(self, argument: int) -> None:
        held = await self._newest()
        made = self._account.may("POST", "disputes", subscription=held.id)
        if argument % 2 and "id" in made:
            self._account.may("POST", f"disputes/{made['id']}/close", won=argument % 4 == 1)

    async def leave(self, _argument: int) -> None:
        self._account.may("DELETE", f"customers/{self.customer}")


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with StripeBed() as bed:
        made = Account(bed)
        yield made
        made.close()


@pytest.fixture
async def payments(account: Account) -> AsyncIterator[StripePayments]:
    made = StripePayments(Fixed(Secret(KEY)), account.bed.url)
    yield made
    await made.close()


@pytest.fixture
def real(world: World, account: Account, payments: StripePayments) -> World:
    """The world with Stripe's library in the place of the one in memory."""
    world.time = account  # type: ignore[assignment]
    world.settler = Settler(payments, world.ledger, Outdated(world.cache, world.queue), account, wait_seconds=3.0)
    world.webhooks = world.new_webhooks(world.settler, payments)
    return world


def sign(body: bytes, at: float, secret: str = SECRET) -> str:
    digest = hmac.new(secret.encode(), f"{int(at)}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={int(at)},v1={digest}"


async def deliver(webhooks: WebhookService, event: Json) -> None:
    body = orjson.dumps(event)
    await webhooks.receive(body, sign(body, time.time()))


TOLD = [
    [
        ("buy", 0), ("stop", 0), ("resume", 0), ("card", 1), ("wait", 3), ("card", 0), ("wait", 1), ("switch", 1),
        ("plan", 0), ("refund", 0), ("dispute", 0), ("buy", 1), ("leave", 0),
    ],
    [("buy", 2), ("wait", 3), ("wait", 2), ("buy", 1), ("dispute", 1), ("switch", 0)],
]  # fmt: skip
ACTS = ["buy", "card", "switch", "plan", "stop", "resume", "cancel", "wait", "wait", "refund", "dispute"]


def made_up(seed: int) -> list[tuple[str, int]]:
    chance = random.Random(seed)
    return [("buy", chance.randrange(16)), *((chance.choice(ACTS), chance.randrange(16)) for _ in range(6))]


@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_any_order_ends_alike_at_stripe(
    real: World, account: Account, payments: StripePayments, seed: int
) -> None:
    chance = random.Random(seed)
    acts = TOLD[seed] if seed < len(TOLD) else made_up(seed)
    story = Story(account, payments, await payments.create_customer(ADA.workspace, ADA.email, "Ada", next(KEYS)))
    await begin(real, story.customer)
    account.news()
    events: list[Json] = []
    for act, argument in acts:
        await story.play(act, argument)
        made = account.news()
        for event in made:
            await deliver(real.webhooks, event)
        events += made
    live = await end(real)
    assert events

    await begin(real, story.customer)
    sent = [event for event in events for _ in range(chance.choice((0, 1, 1, 2)))]
    chance.shuffle(sent)
    for number, event in enumerate(sent):
        if number % 5 == 0:
            lost = {"path": "/v1/subscriptions", "method": "GET", "status": 429, "after": chance.random() < 0.5}
            account.may("POST", "faults", **lost)
        with suppress(Unavailable):
            await deliver(real.webhooks, event)
    account.may("DELETE", "faults")
    chance.shuffle(events)
    for event in events:
        await deliver(real.webhooks, event)
    assert await end(real) == live


async def test_forged_replayed_and_malformed_deliveries_do_nothing(
    real: World, account: Account, payments: StripePayments
) -> None:
    customer = await payments.create_customer(ADA.workspace, ADA.email, "Ada", next(KEYS))
    await begin(real, customer)
    account.news()
    await Story(account, payments, customer).buy(0)
    body = orjson.dumps(account.news()[0])
    now = time.time()
    rows = real.rows()
    forged = {
        "nothing": "",
        "no signature": f"t={int(now)}",
        "another secret": sign(body, now, "whsec_other"),
        "an empty secret": sign(body, now, ""),
        "replayed": sign(body, now - 301),
        "another body": sign(body + b" ", now),
        "another time": sign(body, now - 10).replace(f"t={int(now - 10)}", f"t={int(now)}"),
        "words": "v1=x,t=y",
        "no text": "t=1,v1=\u00e9",
    }
    for what, signature in forged.items():
        with pytest.raises(Invalid):
            await real.webhooks.receive(body, signature)
        assert real.rows() == rows, what
    about: list[bytes] = [b"", b"\xff\xfe", b"{", b"[]", b'"x"', b"null", b"{}", b'{"object":"event","id":"evt_1"}']
    for malformed in about:
        with pytest.raises(Invalid):
            await real.webhooks.receive(malformed, sign(malformed, now))
    assert real.rows() == rows
    assert real.workspace(ADA.workspace)[0] == "free"
    await real.webhooks.receive(body, sign(body, now - 200))
    assert real.workspace(ADA.workspace)[0] == "pro"
