"""Buying, changing and taking back, on a real PostgreSQL; Stripe in memory, which fails when it is told to."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any

import pytest

from accounts.asker import Asker
from billing import service as service_module
from billing.control import ControlBilling
from billing.model import Status
from billing.ports import Payer
from billing.service import BillingService
from core.problems import Conflict, Forbidden, Invalid, NotFound, PaymentRequired, Problem, Unavailable
from core.rotation import Fixed
from core.settings import Secret
from declarations import FREE, GRACE_DAYS, PRO, TEAM
from memories.render import iso
from tests.functions.accounts.world import Person
from tests.functions.billing.world import World

KEY = "sk_test_key"


def service(world: World, *, key: str = KEY, ledger: ControlBilling | None = None) -> BillingService:
    return BillingService(
        ledger or world.ledger,
        world.stripe,
        world.new_settler(wait_seconds=0.0),
        world.time,
        api_key=Fixed(Secret(key)),
        site_url="https://site.example/",
        portal="bpc_1",
    )


def open_pages(world: World) -> list[str]:
    return [name for name, page in world.stripe.pages.items() if page.state == "open"]


async def subscribed(world: World, plan: Any = PRO, email: str = "ada@example.com") -> tuple[Person, str]:
    """Somebody who pays for a plan, and their customer."""
    person, customer = await world.payer(email)
    world.stripe.subscribe(customer, plan)
    await world.settler.settle(customer)
    return person, customer


async def joined(world: World, workspace: str, email: str) -> Person:
    """A member, without the ways of accounts."""
    person = await world.sign_in(email, store=False)
    world.run("INSERT INTO app.members VALUES (%s, %s, 'member')", workspace, person.account)
    world.run("SELECT app.count_seats(%s::uuid)", workspace)
    return person


# Buying.


async def test_a_page_is_opened_for_a_customer_that_is_made_once(world: World) -> None:
    ada = await world.sign_in("ada@example.com", "Ada", store=False)
    page = await service(world).open_checkout(world.asker(ada), PRO, None, "one")
    customer = world.workspace(ada.workspace)[2]
    assert customer is not None
    made = world.stripe.customers[customer]
    assert (made.workspace, made.email, made.name) == (ada.workspace, "ada@example.com", "Personal")
    kept = world.stripe.pages[page.id]
    assert (kept.checkout.url, kept.customer, kept.plan, kept.seats) == (page.url, customer, PRO, 1)
    later = await service(world).open_checkout(world.asker(ada), TEAM, None, "two")
    assert list(world.stripe.customers) == [customer]
    assert open_pages(world) == [later.id]
    assert world.workspace(ada.workspace)[0] == "free", "a page grants nothing"


async def test_what_is_asked_again_opens_one_page(world: World) -> None:
    ada = await world.sign_in("ada@example.com", store=False)
    billing = service(world)
    first = await billing.open_checkout(world.asker(ada), PRO, None, "one")
    assert await billing.open_checkout(world.asker(ada), PRO, None, "one") == first
    assert list(world.stripe.pages) == [first.id]


async def test_wishes_of_two_workspaces_do_not_meet(world: World) -> None:
    ada = await world.sign_in("ada@example.com", store=False)
    bo = await world.sign_in("bo@example.com", store=False)
    first = await service(world).open_checkout(world.asker(ada), PRO, None, "one")
    second = await service(world).open_checkout(world.asker(bo), PRO, None, "one")
    assert first.id != second.id


async def test_who_pays_already_changes_the_plan_instead(world: World) -> None:
    ada, customer = await subscribed(world)
    with pytest.raises(Conflict, match=r"pays for the plan pro already.*POST /billing/plan"):
        await service(world).open_checkout(world.asker(ada), TEAM, None, "one")
    assert world.stripe.pages == {}
    subscription = next(iter(world.stripe.customers[customer].subscriptions))
    world.stripe.change(subscription, status=Status.CANCELED)
    await service(world).open_checkout(world.asker(ada), TEAM, None, "one")
    assert len(open_pages(world)) == 1


async def test_a_payment_that_is_known_at_stripe_only_counts_too(world: World) -> None:
    """The webhook has not come yet."""
    ada, customer = await world.payer()
    world.stripe.subscribe(customer, PRO)
    with pytest.raises(Conflict, match="already"):
        await service(world).open_checkout(world.asker(ada), PRO, None, "one")


async def test_what_is_on_its_way_is_not_paid_for_twice(world: World) -> None:
    ada, customer = await world.payer()
    made = world.stripe.subscribe(customer, PRO, status=Status.INCOMPLETE)
    await service(world).open_checkout(world.asker(ada), PRO, None, "one")  # a card that was declined, say
    world.stripe.change(made, pending=True)
    with pytest.raises(Conflict, match="on its way"):
        await service(world).open_checkout(world.asker(ada), PRO, None, "two")


async def test_what_is_no_plan_of_ours_is_not_paid_for_twice(world: World) -> None:
    ada, customer = await world.payer()
    world.stripe.subscribe(customer, "somebody_elses_price")
    with pytest.raises(Conflict, match=r"none of our plans.*write to us"):
        await service(world).open_checkout(world.asker(ada), PRO, None, "one")
    with pytest.raises(Conflict, match="none of our plans"):
        await service(world).change_plan(world.asker(ada), FREE, "one")


async def test_who_did_not_pay_for_too_long_may_begin_anew(world: World) -> None:
    ada, customer = await subscribed(world)
    world.stripe.fail_payment(next(iter(world.stripe.customers[customer].subscriptions)))
    world.wait(days=GRACE_DAYS, seconds=1)
    with pytest.raises(Conflict, match="pays for no plan"):
        await service(world).change_plan(world.asker(ada), TEAM, "one")
    await service(world).open_checkout(world.asker(ada), PRO, None, "one")
    assert len(open_pages(world)) == 1


async def test_seats_are_members(world: World) -> None:
    ada = await world.sign_in("ada@example.com", store=False)
    await joined(world, ada.workspace, "bo@example.com")
    billing, asker = service(world), world.asker(ada)
    page = await billing.open_checkout(asker, TEAM, None, "one")
    assert world.stripe.pages[page.id].seats == 2
    again = await billing.open_checkout(asker, TEAM, 2, "two")
    assert world.stripe.pages[again.id].seats == 2
    for seats in (1, 3):
        with pytest.raises(Invalid) as refused:
            await billing.open_checkout(asker, TEAM, seats, "three")
        assert refused.value.errors["seats"].startswith("must be 2: so many people")
    with pytest.raises(Invalid, match="pro is not"):
        await billing.open_checkout(asker, PRO, 2, "four")
    pro = await billing.open_checkout(asker, PRO, None, "five")
    assert world.stripe.pages[pro.id].seats == 1


async def test_a_customer_that_was_deleted_at_stripe_is_replaced(world: World) -> None:
    ada = await world.sign_in("ada@example.com", store=False)
    await service(world).open_checkout(world.asker(ada), PRO, None, "one")
    old = world.workspace(ada.workspace)[2]
    assert old is not None
    await world.stripe.delete_customer(old)
    page = await service(world).open_checkout(world.asker(ada), PRO, None, "two")
    _, _, new, before = world.workspace(ada.workspace)
    assert (new != old, before) == (True, 1)
    assert world.stripe.pages[page.id].customer == new


class Racing(ControlBilling):
    """Somebody else makes the workspace's customer after its payer was read."""

    other = ""

    async def payer(self, asker: Asker) -> Payer:
        found = await super().payer(asker)
        if found.customer is None:
            await self.attach_customer(found.workspace, self.other)
        return found


async def test_of_two_customers_that_were_made_at_once_one_stays(world: World) -> None:
    ada = await world.sign_in("ada@example.com", store=False)
    ledger = Racing(world.billing_postgres)
    ledger.other = world.stripe.add_customer(ada.workspace)
    page = await service(world, ledger=ledger).open_checkout(world.asker(ada), PRO, None, "one")
    assert world.stripe.pages[page.id].customer == ledger.other == world.workspace(ada.workspace)[2]
    assert [one.id for one in world.stripe.customers.values() if not one.deleted] == [ledger.other]


async def test_a_workspace_that_is_deleted_meanwhile_leaves_no_customer(world: World) -> None:
    ada = await world.sign_in("ada@example.com", store=False)

    def close(method: str) -> None:
        if method == "create_customer":
            world.run("UPDATE app.workspaces SET closed_at = now() WHERE id = %s::uuid", ada.workspace)

    world.stripe.reach = close
    with pytest.raises(NotFound):
        await service(world).open_checkout(world.asker(ada), PRO, None, "one")
    assert [one.deleted for one in world.stripe.customers.values()] == [True]


async def test_only_the_owner_buys_and_changes(world: World) -> None:
    ada, _ = await subscribed(world, TEAM)
    bo = await joined(world, ada.workspace, "bo@example.com")
    billing, asker = service(world), world.asker(bo, ada.workspace)
    asked = len(world.stripe.asked)
    for call in (
        billing.open_checkout(asker, PRO, None, "one"),
        billing.open_portal(asker),
        billing.change_plan(asker, FREE, "one"),
        billing.keep_plan(asker),
    ):
        with pytest.raises(Forbidden):
            await call
    assert len(world.stripe.asked) == asked


async def test_without_a_key_nothing_is_sold(world: World) -> None:
    ada, _ = await subscribed(world)
    billing, asker = service(world, key=""), world.asker(ada)
    asked = len(world.stripe.asked)
    for call in (
        billing.open_checkout(asker, TEAM, None, "one"),
        billing.open_portal(asker),
        billing.change_plan(asker, TEAM, "one"),
        billing.keep_plan(asker),
    ):
        with pytest.raises(Forbidden, match="No plans are sold here"):
            await call
    assert (await billing.read(asker))["plan"] == "pro"
    assert len(world.stripe.asked) == asked


async def test_the_portal_is_for_who_has_paid(world: World) -> None:
    ada = await world.sign_in("ada@example.com", store=False)
    with pytest.raises(Conflict, match="never paid"):
        await service(world).open_portal(world.asker(ada))
    customer = await world.customer(ada.workspace)
    assert await service(world).open_portal(world.asker(ada)) == f"https://portal.stripe.test/{customer}"


# Changing.


async def test_up_is_at_once(world: World) -> None:
    ada, customer = await subscribed(world)
    await joined(world, ada.workspace, "bo@example.com")
    body = await service(world).change_plan(world.asker(ada), TEAM, "one")
    assert (body["plan"], body["seats"], body["price_usd"], "note" in body) == ("team", 2, TEAM.price_usd, False)
    assert world.workspace(ada.workspace)[:2] == ("team", False), "limits follow without the webhook"
    assert [method for method, _ in world.stripe.asked].count("change_plan") == 1
    assert len(world.stripe.customers[customer].subscriptions) == 1
    noted = world.run("SELECT account_id::text, detail FROM app.audit_log WHERE action = 'billing.change_asked'")
    assert [(who, detail["plan"]) for who, detail in noted] == [(ada.account, "team")]


async def test_down_is_when_the_period_ends_and_says_who_loses(world: World) -> None:
    ada, customer = await subscribed(world, TEAM)
    await joined(world, ada.workspace, "bo@example.com")
    await joined(world, ada.workspace, "cy@example.com")
    body = await service(world).change_plan(world.asker(ada), PRO, "one")
    (subscription,) = world.stripe.customers[customer].subscriptions.values()
    ends = subscription.period_end
    assert (body["plan"], body["next_plan"], body["next_at"]) == ("team", "pro", iso(ends))
    assert body["note"].startswith(f"From {ends.day} {ends:%B %Y} on, the 2 other members of this workspace cannot")
    assert world.workspace(ada.workspace)[:2] == ("team", False), "it is paid for"
    world.stripe.end_period(subscription)
    await world.settler.settle(customer)
    assert world.workspace(ada.workspace)[:2] == ("pro", True)


async def test_free_is_when_the_period_ends(world: World) -> None:
    ada, customer = await subscribed(world)
    body = await service(world).change_plan(world.asker(ada), FREE, "one")
    (subscription,) = world.stripe.customers[customer].subscriptions.values()
    assert subscription.cancel_at == subscription.period_end
    assert (body["plan"], body["next_plan"], "note" in body) == ("pro", "free", False)
    assert body["cancel_at"] == body["next_at"] is not None


async def test_what_is_so_already_is_not_done_again(world: World) -> None:
    """As after an answer that was lost."""
    ada, _ = await subscribed(world, TEAM)
    billing, asker = service(world), world.asker(ada)
    changes = ("change_plan", "schedule_change", "schedule_end", "keep")

    def done() -> list[str]:
        return [method for method, _ in world.stripe.asked if method in changes]

    assert (await billing.change_plan(asker, TEAM, "one"))["plan"] == "team"
    assert done() == []
    for number, (plan, method) in enumerate(
        [(PRO, "schedule_change"), (FREE, "schedule_end"), (PRO, "schedule_change")]
    ):
        for again in ("a", "b"):
            body = await billing.change_plan(asker, plan, f"{number}{again}")
            assert body["next_plan"] == plan.name
        assert done()[-1] == method
        assert len(done()) == number + 1
    noted = world.run("SELECT count(*) FROM app.audit_log WHERE action = 'billing.change_asked'")
    assert noted == [(len(done()),)]


async def test_what_was_planned_is_taken_back(world: World) -> None:
    ada, customer = await subscribed(world, TEAM)
    billing, asker = service(world), world.asker(ada)
    for number, plan in enumerate((PRO, FREE)):
        await billing.change_plan(asker, plan, f"down{number}")
        body = await billing.keep_plan(asker)
        assert (body["plan"], body["next_plan"], body["cancel_at"]) == ("team", None, None)
    await billing.change_plan(asker, FREE, "down2")
    body = await billing.change_plan(asker, TEAM, "the plan that they have")
    assert (body["plan"], body["next_plan"], body["cancel_at"]) == ("team", None, None)
    asked = len(world.stripe.asked)
    await billing.keep_plan(asker)
    assert "keep" not in [method for method, _ in world.stripe.asked[asked:]]
    (subscription,) = world.stripe.customers[customer].subscriptions.values()
    assert subscription.status is Status.ACTIVE


async def test_what_was_taken_back_is_not_done_again_by_its_key(world: World) -> None:
    """Stripe answers a key that it knows as before, and does nothing: whoever ends a plan must not believe it ends."""
    ada, _ = await subscribed(world)
    billing, asker = service(world), world.asker(ada)
    assert (await billing.change_plan(asker, FREE, "one"))["cancel_at"] is not None
    await billing.change_plan(asker, PRO, "two")
    with pytest.raises(Conflict, match="taken back"):
        await billing.change_plan(asker, FREE, "one")
    assert (await billing.change_plan(asker, FREE, "three"))["cancel_at"] is not None
    with pytest.raises(Conflict, match="taken back"):
        await billing.change_plan(asker, PRO, "two")


async def test_who_pays_for_nothing_has_nothing_to_change(world: World) -> None:
    ada = await world.sign_in("ada@example.com", store=False)
    billing, asker = service(world), world.asker(ada)
    for with_customer in (False, True):
        if with_customer:
            await world.customer(ada.workspace)
        for call in (billing.change_plan(asker, PRO, "one"), billing.change_plan(asker, FREE, "two")):
            with pytest.raises(Conflict, match="pays for no plan"):
                await call
        with pytest.raises(Conflict, match="pays for no plan"):
            await billing.keep_plan(asker)


async def test_a_payment_that_is_due_comes_first(world: World) -> None:
    ada, customer = await subscribed(world)
    (subscription,) = world.stripe.customers[customer].subscriptions
    world.stripe.fail_payment(subscription)
    billing, asker = service(world), world.asker(ada)
    with pytest.raises(Conflict, match="payment for the plan pro is due"):
        await billing.change_plan(asker, TEAM, "one")
    assert (await billing.change_plan(asker, FREE, "two"))["next_plan"] == "free", "leaving is always possible"
    assert (await billing.keep_plan(asker))["next_plan"] is None


async def test_a_card_that_is_declined_changes_nothing(world: World) -> None:
    ada, customer = await subscribed(world)
    world.stripe.decline = True
    with pytest.raises(PaymentRequired, match="declined"):
        await service(world).change_plan(world.asker(ada), TEAM, "one")
    assert world.workspace(ada.workspace)[0] == "pro"
    world.stripe.decline = False
    assert (await service(world).change_plan(world.asker(ada), TEAM, "two"))["plan"] == "team"
    assert len(world.stripe.customers[customer].subscriptions) == 1


async def test_somebody_else_is_at_it(world: World) -> None:
    ada, customer = await subscribed(world)
    billing, asker = service(world), world.asker(ada)
    assert await world.ledger.hold(customer, "another", 60.0)
    asked = len(world.stripe.asked)
    for call in (
        billing.open_checkout(asker, TEAM, None, "one"),
        billing.change_plan(asker, TEAM, "two"),
        billing.keep_plan(asker),
    ):
        with pytest.raises(Unavailable):
            await call
    assert len(world.stripe.asked) == asked
    await world.ledger.release(customer, "another")
    assert (await billing.change_plan(asker, TEAM, "two"))["plan"] == "team"
    assert await world.ledger.hold(customer, "another", 60.0), "the lease was given back"


async def test_nobody_is_at_it_for_longer_than_the_lease(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer of Stripe's comes in time, all of them together do not."""
    ada, customer = await subscribed(world)

    async def slow(*_: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(service_module, "ALONE_SECONDS", 0.05)
    monkeypatch.setattr(world.stripe, "change_plan", slow)
    with pytest.raises(Unavailable, match="slow"):
        await service(world).change_plan(world.asker(ada), TEAM, "one")
    assert await world.ledger.hold(customer, "another", 60.0)


async def test_the_lease_is_given_back_when_something_fails(world: World) -> None:
    ada, customer = await subscribed(world)
    world.stripe.decline = True
    with pytest.raises(PaymentRequired):
        await service(world).change_plan(world.asker(ada), TEAM, "one")
    assert await world.ledger.hold(customer, "another", 60.0)


# Stripe does not answer.


FAILURES = [(method, after) for method in ("create_customer", "customer", "open_checkout") for after in (False, True)]


async def test_buying_goes_on_where_it_stopped(world: World) -> None:
    billing = service(world)
    for number, (method, after) in enumerate(FAILURES):
        ada = await world.sign_in(f"ada{number}@example.com", store=False)
        world.stripe.fail(method, after=after, once=True)
        with pytest.raises(Unavailable):
            await billing.open_checkout(world.asker(ada), PRO, None, "one")
        page = await billing.open_checkout(world.asker(ada), PRO, None, "one")
        ours = [one.id for one in world.stripe.customers.values() if one.workspace == ada.workspace]
        assert ours == [world.workspace(ada.workspace)[2]]
        assert [name for name in open_pages(world) if world.stripe.pages[name].customer == ours[0]] == [page.id]
        assert world.workspace(ada.workspace)[0] == "free"


async def test_a_change_goes_on_where_it_stopped(world: World) -> None:
    billing = service(world)
    up, down = (TEAM, ("team", None)), (FREE, ("pro", "free"))
    cases = [("customer", *up), ("change_plan", *up), ("customer", *down), ("schedule_end", *down)]
    for number, ((method, plan, result), after) in enumerate(product(cases, (False, True))):
        ada, customer = await subscribed(world, PRO, f"ada{number}@example.com")
        world.stripe.fail(method, after=after, once=True)
        with pytest.raises(Unavailable):
            await billing.change_plan(world.asker(ada), plan, "one")
        body = await billing.change_plan(world.asker(ada), plan, "one")
        assert (body["plan"], body["next_plan"]) == result
        assert len(world.stripe.customers[customer].subscriptions) == 1


async def test_a_change_that_is_done_holds_although_nobody_was_told(world: World) -> None:
    """The settlement fails; the webhook of the change, or asking again, brings it."""
    ada, customer = await subscribed(world)
    calls = 0

    def second_look(method: str) -> None:
        nonlocal calls
        calls += method == "customer"
        if method == "customer" and calls == 2:
            raise Unavailable("down", part="stripe")

    world.stripe.reach = second_look
    with pytest.raises(Unavailable):
        await service(world).change_plan(world.asker(ada), TEAM, "one")
    assert world.workspace(ada.workspace)[0] == "pro"
    await world.deliver(world.event("customer.subscription.updated", "sub_1", customer))
    assert world.workspace(ada.workspace)[0] == "team"


async def test_what_is_planned_goes_on_where_it_stopped(world: World) -> None:
    ada, _ = await subscribed(world, TEAM)
    billing, asker = service(world), world.asker(ada)
    for method, plan in (("schedule_change", PRO), ("keep", TEAM)):
        for after in (False, True):
            wish = f"{method}{after}"
            world.stripe.fail(method, after=after, once=True)
            with pytest.raises(Problem):
                await billing.change_plan(asker, plan, wish)
            body = await billing.change_plan(asker, plan, wish)
            assert (body["plan"], body["next_plan"]) == ("team", "pro" if plan is PRO else None)
            if not after:  # and back, so that it is to be done again
                await (billing.keep_plan(asker) if plan is PRO else billing.change_plan(asker, PRO, wish + "x"))
