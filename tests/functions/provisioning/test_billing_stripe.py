"""The jobs of billing through Stripe's own library, to the local cloud's stand-in: the life of one workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from billing.model import Status, Subscription
from billing.settling import Settler
from billing.stripe.payments import StripePayments
from core.outdated import Outdated
from core.rotation import Fixed
from core.settings import Secret
from declarations import GRACE_DAYS, TEAM
from provisioning import grace, kinds, parts, reconcile
from provisioning.jobs import Runner
from tests.functions.billing.bed import Bed
from tests.functions.provisioning.handing import BOB, hand_over
from tests.functions.provisioning.paying import join, plan_of, told
from tests.functions.provisioning.world import World, settings
from tests.infra.local.stripe_bed import KEY, StripeBed

DAY = 86_400
SITE = "https://site.example"


@dataclass
class Shop:
    """A workspace and its customer at the stand-in. It is always as late here as there."""

    world: World
    bed: Bed
    payments: StripePayments
    workspace: str
    customer: str
    pages: int = 0

    async def buy(self) -> None:
        self.pages += 1
        page = await self.payments.open_checkout(self.customer, self.workspace, TEAM, 1, SITE, f"page {self.pages}")
        self.bed.pay(page.id)
        self.wait(1)

    def wait(self, seconds: float) -> None:
        self.bed.wait(seconds=seconds)
        self.world.clock.seconds = self.bed.now().timestamp()

    async def held(self) -> list[Subscription]:
        """The oldest first."""
        return sorted((await self.payments.customer(self.customer)).subscriptions, key=lambda one: one.created)

    async def look(self) -> int:
        """The nightly look, and what it leads to; how much it told."""
        lines: int = (await reconcile.reconcile(self.world.parts))["lines"]
        await self.world.settle()
        return lines


@pytest.fixture
async def shop(world: World) -> AsyncIterator[Shop]:
    with StripeBed() as running:
        payments = StripePayments(Fixed(Secret(KEY)), running.url)
        settler = Settler(payments, world.parts.billing, Outdated(world.cache, None), world.clock)
        world.parts = replace(world.parts, payments=payments, settler=settler)
        world.runner = Runner(world.outbox, kinds.works(world.parts), linger_seconds=0.0)
        _, workspace = world.new_workspace()
        customer = await payments.create_customer(workspace, "ada@example.test", "Ada", "a customer")
        yield Shop(world, Bed(running), payments, workspace, customer)
        await payments.close()


async def test_the_life_of_a_workspace(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "PAGE", 1)
    world, admin = shop.world, shop.bed.admin
    stranger = await shop.payments.create_customer("another stack's", None, "Bob", "a stranger")

    await shop.buy()
    assert await shop.look() > 2  # nobody here knew its customer, or the stranger
    assert plan_of(world, shop.workspace) == "team"
    assert await shop.look() == 0  # the stranger is told of once
    await shop.payments.delete_customer(stranger)

    join(world, shop.workspace)
    await world.settle()
    assert [one.seats for one in await shop.held()] == [2]

    await shop.buy()
    assert await shop.look() > 0
    first, second = await shop.held()
    assert (first.status, second.status) == (Status.ACTIVE, Status.CANCELED)
    refunded = [charge.amount_refunded for charge in admin.v1.charges.list({"customer": shop.customer}).data]
    assert sorted(refunded) == [0, 0, TEAM.price_usd * 100]  # the plan, its second seat, and the duplicate
    assert "A plan was paid for twice" in told(world)

    shop.bed.card(shop.customer, "failsLater")
    shop.wait((first.period_end - shop.bed.now()).total_seconds() + 7200)
    await grace.look_again(world.parts)
    await world.settle()
    assert (await shop.held())[0].status is Status.PAST_DUE
    assert plan_of(world, shop.workspace) == "team"
    assert told(world)[-1] == "payment_failed"
    shop.wait(GRACE_DAYS * DAY)
    await grace.look_again(world.parts)
    await world.settle()
    assert {one.status for one in await shop.held()} == {Status.CANCELED}
    assert plan_of(world, shop.workspace) == "free"

    world.owner.run("SELECT app.close_workspace(%s)", shop.workspace)
    await world.settle()
    assert (await shop.payments.customer(shop.customer)).deleted
    assert await shop.look() == 0


async def test_after_a_hand_over_the_old_card_pays_nothing_and_grace_follows(shop: Shop) -> None:
    world = shop.world
    await shop.buy()
    await shop.look()
    bob = join(world, shop.workspace)
    await world.settle()
    (ada,) = world.owner.run("SELECT account_id::text FROM app.members WHERE role = 'owner'")[0]
    before = sorted(charge.id for charge in shop.bed.admin.v1.charges.list({"customer": shop.customer}).data)
    assert len(before) == 2  # the first seat, and at once the second
    world.owner.run("DELETE FROM app.jobs")
    hand_over(world, shop.workspace, ada, bob)
    await world.settle()
    (held,) = await shop.held()
    (mail,) = world.mails()
    assert mail["to"] == BOB
    assert mail["data"]["until"] == f"{held.period_end.day} {held.period_end:%B %Y}"

    shop.wait((held.period_end - shop.bed.now()).total_seconds() + 7200)
    await grace.look_again(world.parts)
    await world.settle()
    assert (await shop.held())[0].status is Status.PAST_DUE
    assert plan_of(world, shop.workspace) == "team"
    assert told(world) == ["plan_handed_over", "payment_failed"]
    after = sorted(charge.id for charge in shop.bed.admin.v1.charges.list({"customer": shop.customer}).data)
    assert after == before
    shop.wait(GRACE_DAYS * DAY)
    await grace.look_again(world.parts)
    await world.settle()
    assert plan_of(world, shop.workspace) == "free"


async def test_a_key_of_stripes_makes_the_parts(world: World) -> None:
    """Without one nothing is sold."""
    for key, sells in (("rk_test_0123", True), ("", False)):
        built = parts.build(replace(settings(), stripe_api_key=Secret(key)), world.tools)
        assert (built.payments is not None, built.settler is not None) == (sells, sells)
        if built.payments is not None:
            assert isinstance(built.payments, StripePayments)
            await built.payments.close()
        built.mailer.close()
        await built.counters.close()
