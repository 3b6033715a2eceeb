"""The nightly look: what differs between Stripe and the control plane, what is mended, and what is told."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from billing.model import Status
from core.problems import Unavailable
from declarations import GRACE_DAYS, PRO, TEAM
from provisioning import reconcile
from tests.functions.billing.payments import DOWN, REFUSES
from tests.functions.provisioning.paying import forget, held, join, paying, plan_of, settle, told
from tests.functions.provisioning.world import OPERATOR, World


async def look(world: World, **options: float) -> tuple[dict[str, Any], list[str]]:
    """What it answers, and the lines of its mail."""
    world.owner.run("DELETE FROM app.jobs WHERE kind = 'send_mail'")
    answer = await reconcile.reconcile(world.parts, **options)
    mails = [mail for mail in world.mails() if mail["template"] == "operator" and "nightly" in mail["data"]["headline"]]
    assert len(mails) <= 1
    assert all(mail["to"] == OPERATOR for mail in mails)
    return answer, [line for mail in mails for line in mail["data"]["lines"]]


def customer_of(world: World, workspace: str) -> str | None:
    customer: str | None = world.owner.run("SELECT stripe_customer FROM app.workspaces WHERE id = %s", workspace)[0][0]
    return customer


async def test_nothing_is_told_when_nothing_differs(world: World) -> None:
    ones = [await paying(world, plan) for plan in (PRO, TEAM)]
    world.new_workspace("pro")  # given by the operator
    answer, lines = await look(world)
    assert answer == {"customers": 2, "settled": 2, "failed": 0, "complete": True, "lines": 0}
    assert lines == []
    assert world.jobs() == []
    assert [plan_of(world, one.workspace) for one in ones] == ["pro", "team"]


async def test_a_plan_that_nobody_pays_for_and_that_was_given_is_left(world: World) -> None:
    """`make key PLAN=pro`."""
    _, workspace = world.new_workspace("pro")
    await look(world)
    assert plan_of(world, workspace) == "pro"


async def test_whatever_no_event_told_of(world: World, caplog: pytest.LogCaptureFixture) -> None:
    ended, changed, late = [await paying(world, TEAM) for _ in range(3)]
    world.payments.change(ended.subscription, status=Status.CANCELED)
    world.payments.change(changed.subscription, lookup_key=PRO.lookup_key)
    world.payments.fail_payment(late.subscription)
    with caplog.at_level(logging.WARNING):
        answer, lines = await look(world)
    assert [plan_of(world, one.workspace) for one in (ended, changed, late)] == ["free", "pro", "team"]
    assert len(lines) == 3
    for one in (ended, changed, late):
        assert any(one.workspace in line and one.customer in line for line in lines)
        assert one.workspace in caplog.text
    assert any("plan team -> free" in line for line in lines if ended.workspace in line)
    assert answer["lines"] == len(lines)
    assert (await look(world))[1] == []


async def test_seats_that_differ_are_set(world: World) -> None:
    one = await paying(world, TEAM)
    join(world, one.workspace)
    forget(world)  # the job was lost
    _, lines = await look(world)
    assert any("sync_seats" in line for line in lines)
    await world.settle()
    assert held(world, one.customer)[0][2] == 2
    assert (await look(world))[1] == []


async def test_what_was_given_up_is_tried_again(world: World) -> None:
    one = await paying(world, PRO)
    world.payments.fail_payment(one.subscription)
    world.clock.advance(GRACE_DAYS * 86_400)
    world.payments.fail("cancel", REFUSES)
    await settle(world, one.customer)
    await world.settle()
    assert ("end_grace", "dead") in world.jobs()
    world.payments.mend()
    _, lines = await look(world)
    assert any("end_grace" in line for line in lines)
    await world.settle()
    assert held(world, one.customer)[0][1] is Status.CANCELED


async def test_a_customer_that_is_gone(world: World) -> None:
    one = await paying(world, PRO)
    world.payments.customers[one.customer].deleted = True
    _, lines = await look(world)
    assert any(f"customer: {one.customer} is deleted" in line for line in lines)
    assert (plan_of(world, one.workspace), customer_of(world, one.workspace)) == ("free", None)


async def test_a_customer_that_its_workspace_does_not_know(world: World) -> None:
    """The process ended between Stripe and the control plane."""
    _, workspace = world.new_workspace()
    customer = world.payments.add_customer(workspace)
    world.payments.subscribe(customer, PRO)
    _, lines = await look(world)
    assert any(customer in line and workspace in line and "did not know it" in line for line in lines)
    assert (plan_of(world, workspace), customer_of(world, workspace)) == ("pro", customer)
    assert (await look(world))[1] == []


async def test_a_customer_that_is_made_during_the_look_is_no_difference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, workspace = world.new_workspace()
    play = world.payments.list_customers
    waiting = [workspace]

    async def meanwhile(after: str | None, most: int) -> Any:
        if waiting:
            await world.parts.billing.attach_customer(waiting[0], world.payments.add_customer(waiting.pop()))
        return await play(after, most)

    monkeypatch.setattr(world.payments, "list_customers", meanwhile)
    assert (await look(world))[1] == []


@pytest.mark.parametrize("plan", [None, PRO])
async def test_two_customers_of_one_workspace(world: World, plan: Any) -> None:
    one = await paying(world, PRO)
    second = world.payments.add_customer(one.workspace)
    if plan is not None:
        world.payments.subscribe(second, plan)
    _, (line,) = await look(world)
    assert second in line
    assert one.workspace in line
    assert world.payments.customers[second].deleted is (plan is None)
    if plan is not None:
        assert f"as {one.customer} has" in line
    assert customer_of(world, one.workspace) == one.customer
    assert held(world, one.customer)[0][1] is Status.ACTIVE


@pytest.mark.parametrize("workspace", [None, "6f2a9f5c-4c9e-4d53-9d0b-0d6c1b0f7a11", "no id"])
async def test_a_customer_of_nobody_is_told_and_left(world: World, workspace: str | None) -> None:
    """Another stack may sell by the same account of Stripe's."""
    customer = world.payments.add_customer(workspace)
    subscription = world.payments.subscribe(customer, PRO)
    _, (line,) = await look(world)
    assert customer in line
    assert (workspace or "no workspace") in line
    assert held(world, customer) == [(subscription.id, Status.ACTIVE, 1)]


async def test_a_customer_of_nobody_is_told_once(world: World) -> None:
    first = world.payments.add_customer(None)
    assert len((await look(world))[1]) == 1
    second = world.payments.add_customer("another stack's")
    answer, (line,) = await look(world)
    assert answer["lines"] == 1
    assert second in line
    assert first not in line
    assert (await look(world))[1] == []


async def test_a_stranger_whose_mail_could_not_be_made_is_told_the_next_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = world.payments.add_customer(None)

    async def no(*_args: object) -> None:
        raise DOWN

    with monkeypatch.context() as broken:
        broken.setattr(reconcile, "_mail", no)
        with pytest.raises(Unavailable):
            await reconcile.reconcile(world.parts)
    assert stranger in (await look(world))[1][0]


@pytest.mark.parametrize("standing", ["closed", "erased"])
async def test_a_customer_of_a_workspace_that_is_gone_is_deleted(world: World, standing: str) -> None:
    """It was made while the workspace was being deleted."""
    account, workspace = world.new_workspace()
    world.confirm(account, workspace)
    if standing == "erased":
        world.owner.run("SELECT app.forget_account(%s)", account)
    customer = world.payments.add_customer(workspace)
    world.payments.subscribe(customer, PRO)
    _, (line,) = await look(world)
    assert customer in line
    assert standing in line
    assert world.payments.customers[customer].deleted
    assert held(world, customer)[0][1] is Status.CANCELED


async def test_a_customer_whose_deletion_was_given_up(world: World) -> None:
    one = await paying(world, PRO)
    world.owner.run("SELECT app.close_workspace(%s)", one.workspace)
    forget(world)
    assert (await look(world))[1] == []  # it was closed just now
    world.owner.run("UPDATE app.workspaces SET closed_at = now() - interval '1 year'")
    _, (line,) = await look(world)
    assert one.customer in line
    await world.settle()
    assert world.payments.customers[one.customer].deleted
    assert (await look(world))[1] == []


async def test_all_pages_are_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "PAGE", 2)
    ones = [await paying(world, PRO) for _ in range(5)]
    strangers = [world.payments.add_customer(None) for _ in range(3)]
    for one in ones:
        world.payments.change(one.subscription, status=Status.CANCELED)
    answer, lines = await look(world)
    assert (answer["customers"], answer["settled"]) == (8, 5)
    assert {plan_of(world, one.workspace) for one in ones} == {"free"}
    assert all(any(stranger in line for line in lines) for stranger in strangers)


async def test_a_mail_has_fifty_lines_at_most(world: World) -> None:
    for _ in range(60):
        world.payments.add_customer(None)
    answer, lines = await look(world)
    assert answer["lines"] == 60
    assert len(lines) == 50
    assert "11 more" in lines[-1]


# When it does not go well.


async def test_one_that_fails_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ones = [await paying(world, PRO) for _ in range(3)]
    for one in ones:
        world.payments.change(one.subscription, status=Status.CANCELED)
    play = world.payments.customer

    async def some(customer: str) -> Any:
        if customer == ones[0].customer:
            raise DOWN
        if customer == ones[1].customer:
            raise KeyError("a fault of ours")
        return await play(customer)

    monkeypatch.setattr(world.payments, "customer", some)
    answer, lines = await look(world)
    assert (answer["settled"], answer["failed"]) == (1, 2)
    assert plan_of(world, ones[2].workspace) == "free"
    assert any(ones[0].customer in line and DOWN.detail in line for line in lines)
    assert any(ones[1].customer in line and "KeyError" in line for line in lines)
    assert not any("a fault of ours" in line for line in lines)


async def test_when_nothing_goes_it_stops(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "FAILURES_MOST", 3)
    monkeypatch.setattr(reconcile, "AT_ONCE", 1)
    for _ in range(5):
        await paying(world, PRO)
    world.payments.fail("customer", DOWN)
    answer, lines = await look(world)
    assert (answer["settled"], answer["failed"], answer["complete"]) == (0, 3, False)
    assert lines[-1] == "Only 0 of 5 customers were looked at: 3 in a row failed."


async def test_strangers_keep_nobody_from_what_they_paid_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other programs sell with the same account, too; and whoever cannot be looked at is always among the first."""
    monkeypatch.setattr(reconcile, "FAILURES_MOST", 2)
    monkeypatch.setattr(reconcile, "AT_ONCE", 1)
    one = await paying(world, PRO)
    world.payments.change(one.subscription, status=Status.CANCELED)
    for _ in range(3):
        world.payments.add_customer("somebody else's")

    async def breaks(_workspace: str) -> str | None:
        raise DOWN

    monkeypatch.setattr(world.parts.watch, "standing", breaks)
    answer, lines = await look(world)
    assert (answer["settled"], answer["failed"], answer["complete"]) == (1, 2, False)
    assert plan_of(world, one.workspace) == "free"
    assert lines[-1] == "Not every customer at Stripe that is nobody's here was looked at: 2 in a row failed."


async def test_some_that_always_fail_stop_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Customers of a test mode that was left, say."""
    monkeypatch.setattr(reconcile, "FAILURES_MOST", 2)
    monkeypatch.setattr(reconcile, "AT_ONCE", 1)
    ones = [await paying(world, PRO) for _ in range(5)]
    for one in ones[::2]:
        del world.payments.customers[one.customer]
    for one in ones[1::2]:
        world.payments.change(one.subscription, status=Status.CANCELED)
    answer, _ = await look(world)
    assert (answer["settled"], answer["failed"], answer["complete"]) == (2, 3, True)
    assert [plan_of(world, one.workspace) for one in ones] == ["pro", "free", "pro", "free", "pro"]


async def test_it_says_when_its_time_was_over(world: World) -> None:
    one = await paying(world, PRO)
    world.payments.change(one.subscription, status=Status.CANCELED)
    answer, lines = await look(world, seconds=0.0)
    assert answer["complete"] is False
    assert lines == ["Only 0 of 1 customers were looked at: the time was over."]
    assert plan_of(world, one.workspace) == "pro"


@pytest.mark.parametrize("error", [DOWN, REFUSES], ids=["silent", "refuses"])
async def test_stripe_lists_nobody(world: World, error: Exception) -> None:
    """The Scheduler tries again; what was found is told."""
    world.payments.fail("list_customers", error)
    with pytest.raises(type(error)):
        await reconcile.reconcile(world.parts)


async def test_cut_off_it_begins_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "PAGE", 1)
    first = world.payments.add_customer(None)
    play = world.payments.list_customers

    async def cut_off(after: str | None, most: int) -> Any:
        if after is not None:
            raise Unavailable("cut off", part="stripe")
        return await play(after, most)

    monkeypatch.setattr(world.payments, "list_customers", cut_off)
    with pytest.raises(Unavailable):
        await reconcile.reconcile(world.parts)
    monkeypatch.setattr(world.payments, "list_customers", play)
    assert first in (await look(world))[1][0]


@pytest.mark.parametrize("paid", [False, True])
async def test_without_a_key(world: World, *, paid: bool) -> None:
    if paid:
        await paying(world, PRO)
    object.__setattr__(world, "parts", replace(world.parts, payments=None, settler=None))
    answer, lines = await look(world)
    assert answer["complete"] is False
    assert lines == (["Only 0 of 1 customers were looked at: there is no STRIPE_API_KEY."] if paid else [])
    assert told(world) == (["The nightly look at Stripe has one thing to tell"] if paid else [])
