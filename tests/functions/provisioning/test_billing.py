"""Jobs of billing over a real control plane, with Stripe played: repeated, killed anywhere, refused, and overtaken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from billing.model import Status
from billing.stripe.refusals import Refused
from declarations import GRACE_DAYS, PRO, TEAM
from provisioning import billing, kinds
from provisioning.jobs import Runner, Tally
from tests.functions.billing.payments import DOWN, REFUSES
from tests.functions.provisioning.handing import BOB, hand_over
from tests.functions.provisioning.paying import Paying, forget, held, join, leave, paying, plan_of, settle, told
from tests.functions.provisioning.world import Killed, World


@dataclass(frozen=True)
class Case:
    """One kind of job: what makes it, and how all is when it is done. `changes`: what it changes at Stripe."""

    begin: Callable[[World], Awaitable[Paying]]
    ended: Callable[[World, Paying], None]
    changes: tuple[str, ...]


async def seats_begin(world: World) -> Paying:
    one = await paying(world, TEAM)
    join(world, one.workspace)
    return one


def seats_ended(world: World, one: Paying) -> None:
    assert held(world, one.customer) == [(one.subscription.id, Status.ACTIVE, 2)]
    assert world.owner.run("SELECT seats FROM app.subscriptions WHERE workspace_id = %s", one.workspace) == [(2,)]


async def duplicate_begin(world: World) -> Paying:
    one = await paying(world, PRO)
    world.clock.advance(60)
    world.payments.subscribe(one.customer, TEAM)
    await settle(world, one.customer)
    return one


def duplicate_ended(world: World, one: Paying) -> None:
    first, second = held(world, one.customer)
    assert first == (one.subscription.id, Status.ACTIVE, 1)
    assert second[1] is Status.CANCELED
    assert world.payments.refunds == [(second[0], 1200)]
    assert plan_of(world, one.workspace) == "pro"
    assert told(world).count("A plan was paid for twice") == 1


async def grace_begin(world: World) -> Paying:
    one = await paying(world, PRO)
    world.payments.fail_payment(one.subscription)
    await settle(world, one.customer)
    forget(world)
    world.clock.advance(GRACE_DAYS * 86_400)
    await settle(world, one.customer)
    return one


def grace_ended(world: World, one: Paying) -> None:
    assert held(world, one.customer) == [(one.subscription.id, Status.CANCELED, 1)]
    assert world.payments.refunds == []
    assert plan_of(world, one.workspace) == "free"
    assert told(world).count("plan_ended") == 1


async def settle_begin(world: World) -> Paying:
    one = await paying(world, TEAM)
    world.payments.change(one.subscription, lookup_key=PRO.lookup_key)
    await world.outbox.enqueue("settle_customer", None, {"customer": one.customer}, dedupe=one.customer)
    return one


def settle_ended(world: World, one: Paying) -> None:
    assert plan_of(world, one.workspace) == "pro"


async def hand_over_begin(world: World) -> Paying:
    one = await paying(world, TEAM, seats=2)
    world.payments.customers[one.customer].cards = ["ada's"]
    bob = world.owner.run(
        "SELECT account_id::text FROM app.members WHERE workspace_id = %s AND role = 'member'", one.workspace
    )[0][0]
    hand_over(world, one.workspace, one.account, bob)
    return one


def hand_over_ended(world: World, one: Paying) -> None:
    customer = world.payments.customers[one.customer]
    assert (customer.cards, customer.email, customer.name) == ([], BOB, "Notes")
    assert held(world, one.customer) == [(one.subscription.id, Status.ACTIVE, 2)]
    assert plan_of(world, one.workspace) == "team"
    assert [mail["to"] for mail in world.mails() if mail["template"] == "plan_handed_over"] == [BOB]
    assert "plan_handed_over" in told(world)


async def delete_begin(world: World) -> Paying:
    one = await paying(world, PRO)
    world.owner.run("SELECT app.close_workspace(%s)", one.workspace)
    world.owner.run("DELETE FROM app.jobs WHERE kind = 'close_store'")
    return one


def delete_ended(world: World, one: Paying) -> None:
    assert world.payments.customers[one.customer].deleted
    assert held(world, one.customer) == [(one.subscription.id, Status.CANCELED, 1)]
    row = world.owner.run("SELECT stripe_customer, customers FROM app.workspaces WHERE id = %s", one.workspace)
    assert row == [(None, 1)]


CASES = {
    "sync_seats": Case(seats_begin, seats_ended, ("set_seats",)),
    "end_duplicate": Case(duplicate_begin, duplicate_ended, ("cancel",)),
    "end_grace": Case(grace_begin, grace_ended, ("cancel",)),
    "settle_customer": Case(settle_begin, settle_ended, ()),
    "hand_over_customer": Case(hand_over_begin, hand_over_ended, ("hand_over",)),
    "delete_customer": Case(delete_begin, delete_ended, ("expire_checkouts", "delete_customer")),
}
CALLS = {kind: ("customer", *case.changes) for kind, case in CASES.items()}
kind_and_call = pytest.mark.parametrize(
    ("kind", "call"), [(kind, call) for kind, calls in CALLS.items() for call in calls]
)


def state(world: World, kind: str) -> tuple[str, str | None]:
    rows = world.owner.run("SELECT state, last_error FROM app.jobs WHERE kind = %s ORDER BY number DESC", kind)
    return rows[0][0], rows[0][1]


@pytest.mark.parametrize("kind", CASES)
async def test_a_job_does_what_it_is_for_once(world: World, kind: str) -> None:
    case = CASES[kind]
    one = await case.begin(world)
    row = world.owner.run("SELECT subject::text, payload FROM app.jobs WHERE kind = %s", kind)[0]
    await world.settle()
    assert state(world, kind) == ("done", None)
    case.ended(world, one)
    changed = [call for call, _ in world.payments.asked if call in case.changes]
    await world.outbox.enqueue(kind, row[0], row[1], dedupe="again")
    await world.settle()
    case.ended(world, one)
    if kind not in ("end_duplicate", "hand_over_customer"):  # whether all of it was done, only Stripe knows
        assert [call for call, _ in world.payments.asked if call in case.changes] == changed


@pytest.mark.parametrize("kind", CASES)
async def test_killed_at_every_step(world: World, kind: str) -> None:
    case, point, killed = CASES[kind], 0, True
    while killed:
        point += 1
        one = await case.begin(world)
        killed = False
        world.steps.kill_at, world.steps.reached = point, 0
        try:
            await world.run()
        except Killed:
            killed = True
        world.steps.kill_at = None
        world.owner.end_leases()
        world.owner.run("UPDATE app.billing_leases SET until = now()")
        await world.settle()
        case.ended(world, one)
        world.owner.run("DELETE FROM app.jobs")
        world.payments.refunds.clear()
    assert point > 4


@kind_and_call
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_stripe_does_not_answer(world: World, kind: str, call: str, *, after: bool) -> None:
    case = CASES[kind]
    one = await case.begin(world)
    world.payments.fail(call, DOWN, after=after)
    await world.run()
    assert state(world, kind) == ("waiting", DOWN.detail)
    world.payments.mend()
    world.owner.make_due()
    await world.settle()
    assert state(world, kind)[0] == "done"
    case.ended(world, one)


@kind_and_call
async def test_stripe_refuses(world: World, kind: str, call: str) -> None:
    """To say how things are: again. To change them: never again, and the operator is told."""
    one = await CASES[kind].begin(world)
    world.payments.fail(call, REFUSES)
    await world.run()
    assert state(world, kind) == ("waiting" if call == "customer" else "dead", REFUSES.detail)
    if call != "customer":
        await world.outbox.report_dead("operator@example.test")
        assert "1 jobs were given up" in told(world)
        world.payments.mend()
        (job,) = world.owner.run("SELECT id::text FROM app.jobs WHERE kind = %s", kind)[0]
        assert await world.outbox.revive(job)
        await world.settle()
        CASES[kind].ended(world, one)


@pytest.mark.parametrize("kind", CASES)
async def test_without_a_key_a_job_says_so(world: World, kind: str) -> None:
    await CASES[kind].begin(world)
    without = replace(world.parts, payments=None, settler=None)
    await Runner(world.outbox, kinds.works(without), linger_seconds=0.0).run()
    became, why = state(world, kind)
    assert became == "dead"
    assert "STRIPE_API_KEY" in str(why)
    assert world.payments.refunds == []


@pytest.mark.parametrize("kind", [kind for kind in CASES if kind != "sync_seats"])
async def test_a_job_that_does_not_say_whom_it_is_about(world: World, kind: str) -> None:
    await world.outbox.enqueue(kind, None, {"customer": 1}, dedupe="1")
    assert (await world.run()).dead == 1


async def test_what_stripe_says_is_for_the_operator(world: World) -> None:
    await seats_begin(world)
    world.payments.fail("set_seats", Refused("resource_missing", "items", "req_1"))
    await world.run()
    became, why = state(world, "sync_seats")
    assert became == "dead"
    assert "code resource_missing, parameter items, request req_1" in str(why)


# Seats.


async def test_seats_follow_members_up_down_and_up_again(world: World) -> None:
    """Within a day, in which Stripe knows every key."""
    one = await paying(world, TEAM)
    seen = []
    for _ in range(2):
        bob = join(world, one.workspace)
        await world.settle()
        seen.append(held(world, one.customer)[0][2])
        leave(world, one.workspace, bob)
        await world.settle()
        seen.append(held(world, one.customer)[0][2])
    assert seen == [2, 1, 2, 1]


async def test_a_member_who_comes_while_seats_are_set_is_not_forgotten(world: World) -> None:
    one = await paying(world, TEAM)
    join(world, one.workspace)
    late = [one.workspace]

    def reach(call: str) -> None:
        if call == "set_seats" and late:
            join(world, late.pop())

    world.payments.reach = reach
    await world.settle()
    assert held(world, one.customer)[0][2] == 3


async def test_an_older_job_does_not_have_the_last_word(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runners: the first one is slow, and another member comes before it sets what it saw."""
    one = await paying(world, TEAM)
    join(world, one.workspace)
    late = [one.workspace]
    other: list[Tally] = []
    play = world.payments.set_seats

    async def slow(*args: Any) -> None:
        if late:
            join(world, late.pop())
            other.append(await Runner(world.outbox, kinds.works(world.parts), linger_seconds=0.0).run())
        await play(*args)

    monkeypatch.setattr(world.payments, "set_seats", slow)
    await world.settle()
    assert other == [Tally(again=1)]  # it waited for the first one
    assert held(world, one.customer)[0][2] == 3


async def test_seats_are_not_set_by_who_may_not_be_alone_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease ends by itself: then another may have changed the plan since Stripe was asked."""
    monkeypatch.setattr(billing, "ALONE_SECONDS", 0.05)
    one = await seats_begin(world)
    play = world.payments.customer

    async def slow(customer: str) -> Any:
        found = await play(customer)
        await asyncio.sleep(0.2)
        return found

    monkeypatch.setattr(world.payments, "customer", slow)
    await world.run()
    assert held(world, one.customer)[0][2] == 1
    assert state(world, "sync_seats")[0] == "waiting"
    assert "slow" in (state(world, "sync_seats")[1] or "")


@pytest.mark.parametrize("plan", ["free", "team"])
async def test_who_was_given_a_plan_pays_for_no_seats(world: World, plan: str) -> None:
    """As `make key PLAN=team` gives it."""
    _, workspace = world.new_workspace(plan)
    await world.outbox.enqueue("sync_seats", workspace, dedupe="1")
    assert (await world.run()).done == 1
    assert world.payments.asked == []


async def test_a_plan_that_is_not_by_seat_has_one(world: World) -> None:
    one = await paying(world, PRO)
    join(world, one.workspace)
    await world.outbox.enqueue("sync_seats", one.workspace, dedupe="1")
    await world.settle()
    assert held(world, one.customer)[0][2] == 1


@pytest.mark.parametrize("seats", [0, 3])
async def test_a_plan_that_is_not_by_seat_is_paid_for_once(world: World, seats: int) -> None:
    """Whoever changed that at Stripe: nobody pays thrice for it, or nothing."""
    one = await paying(world, PRO)
    world.payments.change(one.subscription, seats=seats)
    await settle(world, one.customer)
    await world.settle()
    assert held(world, one.customer) == [(one.subscription.id, Status.ACTIVE, 1)]
    forget(world)
    await settle(world, one.customer)
    assert world.jobs() == []


async def test_seats_of_what_has_ended_are_left(world: World) -> None:
    one = await seats_begin(world)
    world.payments.change(one.subscription, status=Status.CANCELED)
    await world.settle()
    assert state(world, "sync_seats") == ("done", None)
    assert plan_of(world, one.workspace) == "free"


async def test_seats_that_cannot_be_charged_let_nobody_else_in(world: World) -> None:
    one = await paying(world, TEAM)
    join(world, one.workspace)
    world.payments.decline = True
    await world.settle()
    assert held(world, one.customer) == [(one.subscription.id, Status.PAST_DUE, 2)]
    assert told(world) == ["payment_failed"]
    assert world.owner.run("SELECT app.owes(%s)", one.workspace) == [(True,)]


# Duplicates.


async def test_a_second_one_that_counts_by_now_is_left(world: World) -> None:
    """The first one ended before the job came to it."""
    one = await duplicate_begin(world)
    world.payments.change(one.subscription, status=Status.CANCELED)
    await world.settle()
    assert [status for _, status, _ in held(world, one.customer)] == [Status.CANCELED, Status.ACTIVE]
    assert world.payments.refunds == []
    assert plan_of(world, one.workspace) == "team"


async def test_one_that_counted_and_ended_is_not_given_back(world: World) -> None:
    one = await duplicate_begin(world)
    second = list(world.payments.customers[one.customer].subscriptions)[1]
    for subscription in (one.subscription.id, second):
        world.payments.change(subscription, status=Status.CANCELED)
    await world.settle()
    assert world.payments.refunds == []
    assert plan_of(world, one.workspace) == "free"


async def test_what_was_given_back_is_told(world: World) -> None:
    one = await duplicate_begin(world)
    await world.settle()
    lines = [line for mail in world.mails() for line in mail["data"].get("lines", [])]
    assert any("12.00 USD" in line for line in lines)
    assert any(one.customer in line and one.workspace in line for line in lines)


# Grace.


async def test_what_was_paid_in_the_meantime_goes_on(world: World) -> None:
    one = await grace_begin(world)
    world.payments.pay(one.subscription)
    await world.settle()
    assert held(world, one.customer) == [(one.subscription.id, Status.ACTIVE, 1)]
    assert plan_of(world, one.workspace) == "pro"


async def test_a_grace_that_is_not_over_goes_on(world: World) -> None:
    one = await paying(world, PRO)
    world.payments.fail_payment(one.subscription)
    world.clock.advance(GRACE_DAYS * 86_400 - 1)
    await world.outbox.enqueue("end_grace", one.workspace, {"customer": one.customer}, dedupe="1")
    await world.settle()
    assert held(world, one.customer) == [(one.subscription.id, Status.PAST_DUE, 1)]
    assert plan_of(world, one.workspace) == "pro"


async def test_a_grace_ends_here_although_stripe_refuses(world: World) -> None:
    one = await paying(world, PRO)
    world.payments.fail_payment(one.subscription)
    world.clock.advance(timedelta(days=GRACE_DAYS).total_seconds())
    world.payments.fail("cancel", REFUSES)
    await world.outbox.enqueue("end_grace", one.workspace, {"customer": one.customer}, dedupe="1")
    await world.run()
    assert state(world, "end_grace")[0] == "dead"
    assert plan_of(world, one.workspace) == "free"


# Handed over.


async def test_each_owner_is_told_and_a_late_job_takes_no_card_away(world: World) -> None:
    one = await hand_over_begin(world)
    await world.settle()
    mail = world.mails()[0]["data"]
    assert mail["standing"].startswith("It is paid until ")
    customer = world.payments.customers[one.customer]
    customer.cards.append("bob's")
    await world.outbox.enqueue("hand_over_customer", one.workspace, {"customer": one.customer}, dedupe="late")
    await world.settle()
    assert customer.cards == ["bob's"]
    bob = world.owner.run("SELECT account_id::text FROM app.members WHERE role = 'owner'")[0][0]
    hand_over(world, one.workspace, bob, one.account)
    await world.settle()
    assert (customer.cards, customer.email) == ([], "ada@example.test")
    assert [job["to"] for job in world.mails()] == [BOB, "ada@example.test"]


async def test_who_gets_a_workspace_whose_payment_is_due_is_told_so(world: World) -> None:
    one = await paying(world, TEAM, seats=2)
    world.payments.fail_payment(one.subscription)
    bob = world.owner.run("SELECT account_id::text FROM app.members WHERE role = 'member'")[0][0]
    hand_over(world, one.workspace, one.account, bob)
    await world.settle()
    (mail,) = [job["data"] for job in world.mails() if job["template"] == "plan_handed_over"]
    assert mail["standing"] == f"A payment for it is due, and the plan goes on until {mail['ends']}."


@pytest.mark.parametrize("what", ["another customer", "nothing paid"])
async def test_a_hand_over_of_what_is_not_paid_tells_nobody(world: World, what: str) -> None:
    one = await hand_over_begin(world)
    if what == "nothing paid":
        world.payments.change(one.subscription, status=Status.CANCELED)
    else:
        world.owner.run("UPDATE app.workspaces SET stripe_customer = 'cus_new' WHERE id = %s", one.workspace)
    await world.settle()
    assert state(world, "hand_over_customer") == ("done", None)
    assert "plan_handed_over" not in told(world)
    assert (world.payments.customers[one.customer].cards == []) is (what == "nothing paid")


# Deleted workspaces.


async def test_a_deletion_that_did_not_hold_is_not_believed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await delete_begin(world)

    async def lie(_customer: str) -> None:
        return None

    monkeypatch.setattr(world.payments, "delete_customer", lie)
    await world.run()
    became, why = state(world, "delete_customer")
    assert became == "waiting"
    assert one.customer in str(why)


async def test_nobody_pays_on_a_page_for_what_is_gone(world: World) -> None:
    one = await delete_begin(world)
    page = await world.payments.open_checkout(one.customer, one.workspace, TEAM, 1, "https://example.test", "k")
    await world.settle()
    assert world.payments.pages[page.id].state == "expired"
