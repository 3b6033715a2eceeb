"""The sweep's steps of billing: graces that end, customers to look at again, and workspaces that are where they should
not be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from billing.model import Status
from declarations import FREE, GRACE_DAYS, PRO, TEAM
from provisioning import grace, misplaced, sweep
from provisioning.jobs import Runner
from provisioning.moves import TOO_LARGE
from tests.functions.provisioning.paying import Paying, forget, held, paying, plan_of, settle, told
from tests.functions.provisioning.world import World

DAY = 86_400


async def unpaid(world: World) -> Paying:
    """A payment that failed just now."""
    one = await paying(world, PRO)
    world.payments.fail_payment(one.subscription)
    await settle(world, one.customer)
    return one


async def test_the_sweep_does_all_of_it(world: World) -> None:
    over = await unpaid(world)
    world.clock.advance(7 * DAY)
    soon = await unpaid(world)
    forget(world)
    world.clock.advance(7 * DAY)
    _, misplaced = world.new_workspace("pro")
    stored(world, misplaced, "sqlite")
    for number, days in enumerate((59, 61)):
        world.owner.run(
            "INSERT INTO app.stripe_events (id, kind, subject, created, received_at)"
            " VALUES (%s, 'invoice.paid', 'in_1', now(), now() - make_interval(days => %s))",
            f"evt_{number}",
            days,
        )
    said = await sweep.sweep(world.parts, Runner(world.outbox, {}))
    assert {step: said[step] for step in ("due", "grace mails", "moves", "events")} == {
        "due": 1,
        "grace mails": 1,
        "moves": 1,
        "events": 1,
    }
    subjects = world.owner.run("SELECT kind, coalesce(subject::text, payload ->> 'customer') FROM app.jobs")
    expected = {("settle_customer", over.customer), ("send_mail", soon.workspace), ("move_store", misplaced)}
    assert expected <= set(subjects)


# Grace.


async def test_owners_are_told_once_at_each_step(world: World) -> None:
    one = await unpaid(world)
    seen: dict[int, list[str]] = {0: told(world)}
    for day in range(1, GRACE_DAYS):
        world.owner.run("DELETE FROM app.jobs")
        world.clock.advance(DAY)
        for _ in range(2):
            await grace.warn_owners(world.parts)
        if told(world):
            seen[day] = [f"{mail['template']} {mail['data']['left']}" for mail in world.mails()]
    assert seen == {0: ["payment_failed"], 7: ["payment_ending 7 days"], 13: ["payment_ending 1 day"]}
    (mail,) = world.mails()
    assert (mail["to"], mail["data"]["workspace"], mail["data"]["plan"]) == ("ada@example.test", "Notes", "pro")
    until = world.owner.run("SELECT grace_until::date::text FROM app.subscriptions")[0][0]
    assert mail["data"]["grace_until"] == until
    assert plan_of(world, one.workspace) == "pro"


@pytest.mark.parametrize(("hours", "left"), [(47, "2 days"), (24, "1 day"), (1, "1 day")])
async def test_what_the_sweep_missed_is_told_as_it_is_by_then(world: World, hours: int, left: str) -> None:
    """Not first that there are seven days."""
    await unpaid(world)
    forget(world)
    world.clock.advance(GRACE_DAYS * DAY - hours * 3600)
    assert await grace.warn_owners(world.parts) == 1
    assert world.mails()[0]["data"]["left"] == left


async def test_another_payment_that_fails_has_mails_of_its_own(world: World) -> None:
    one = await unpaid(world)
    mails = 0
    for _ in range(2):
        world.clock.advance((GRACE_DAYS - 1) * DAY)
        mails += await grace.warn_owners(world.parts)
        world.payments.pay(one.subscription)
        await settle(world, one.customer)
        world.payments.fail_payment(one.subscription)
        await settle(world, one.customer)
    assert mails == 2


async def test_every_mail_of_a_plan_can_be_written_and_comes_once(world: World) -> None:
    _, workspace = world.new_workspace()
    customer = world.payments.add_customer(workspace)
    await world.parts.billing.attach_customer(workspace, customer)
    subscription = world.payments.subscribe(customer, PRO)
    seen: list[str] = []
    for happens in (
        lambda: None,
        lambda: world.payments.fail_payment(subscription),
        lambda: world.payments.pay(subscription),
        lambda: world.payments.change(subscription, status=Status.CANCELED),
    ):
        happens()
        for _ in range(2):
            await settle(world, customer)
        seen += told(world)
        forget(world)
    assert seen == ["plan_begun", "payment_failed", "payment_recovered", "plan_ended"]


@pytest.mark.parametrize("what", ["paid", "over", "closed"])
async def test_nobody_is_told_for_whom_it_is_not_so(world: World, what: str) -> None:
    one = await unpaid(world)
    world.clock.advance((GRACE_DAYS - 1) * DAY)
    if what == "paid":
        world.payments.pay(one.subscription)
        await settle(world, one.customer)
    elif what == "over":
        world.clock.advance(DAY)
    else:
        world.owner.run("SELECT app.close_workspace(%s)", one.workspace)
    assert await grace.warn_owners(world.parts) == 0


async def test_all_graces_are_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grace, "PAGE", 2)
    for _ in range(3):
        await unpaid(world)
    world.clock.advance((GRACE_DAYS - 1) * DAY)
    assert await grace.warn_owners(world.parts) == 3


async def test_when_the_grace_is_over_the_plan_ends_once(world: World) -> None:
    one = await unpaid(world)
    forget(world)
    world.clock.advance(GRACE_DAYS * DAY - 1)
    assert await grace.look_again(world.parts) == 0
    world.clock.advance(1)
    assert await grace.look_again(world.parts) == 1
    assert await grace.look_again(world.parts) == 1  # the same job
    assert world.jobs() == [("settle_customer", "waiting")]
    await world.settle()
    assert held(world, one.customer) == [(one.subscription.id, Status.CANCELED, 1)]
    assert plan_of(world, one.workspace) == "free"
    assert told(world) == ["plan_ended"]
    assert await grace.look_again(world.parts) == 0


async def test_nothing_is_looked_at_without_a_key(world: World) -> None:
    await unpaid(world)
    world.clock.advance(GRACE_DAYS * DAY)
    assert await grace.look_again(replace(world.parts, payments=None, settler=None)) == 0


# Moves.


def stored(world: World, workspace: str, kind: str, *, note: str | None = None) -> None:
    world.owner.run(
        "UPDATE app.workspaces SET store_kind = %s, store_url = 'u', store_token = 't', store_note = %s WHERE id = %s",
        kind,
        note,
        workspace,
    )


def measured(world: World, workspace: str, memories: int, size: int) -> None:
    world.owner.run(
        "INSERT INTO app.usage_daily (workspace_id, day, memories, bytes, measured_at)"
        " VALUES (%s, now(), %s, %s, now()) ON CONFLICT (workspace_id, day)"
        " DO UPDATE SET memories = excluded.memories, bytes = excluded.bytes",
        workspace,
        memories,
        size,
    )


def moves(world: World) -> list[tuple[str, str]]:
    return [
        (row[0], row[1])
        for row in world.owner.run(
            "SELECT subject::text, payload ->> 'to' FROM app.jobs"
            " WHERE kind = 'move_store' AND state = 'waiting' ORDER BY number"
        )
    ]


async def test_who_does_not_fit_is_told_once_and_moved_when_it_fits(world: World) -> None:
    _, workspace = world.new_workspace("free")
    stored(world, workspace, "postgres", note=TOO_LARGE)
    measured(world, workspace, 5_000, 12_345_678)
    for _ in range(2):
        assert await misplaced.move_what_fits(world.parts) == 0
    (mail,) = world.mails()
    assert mail["template"] == "plan_stays"
    assert mail["data"] == {
        "workspace": "Notes",
        "plan": "free",
        "used": "5,000 memories and 13 MB",
        "most": "100 memories and 500 MB",
    }
    measured(world, workspace, 100, 12_345_678)
    assert await misplaced.move_what_fits(world.parts) == 1
    assert await misplaced.move_what_fits(world.parts) == 0  # it waits already
    assert moves(world) == [(workspace, "sqlite")]


async def test_who_does_not_fit_another_time_is_told_again(world: World) -> None:
    _, workspace = world.new_workspace("free")
    stored(world, workspace, "postgres", note=TOO_LARGE)
    measured(world, workspace, 5_000, 1)
    await misplaced.move_what_fits(world.parts)
    world.owner.run("UPDATE app.workspaces SET plan = 'pro' WHERE id = %s", workspace)
    await misplaced.move_what_fits(world.parts)
    world.owner.run("UPDATE app.workspaces SET plan = 'free' WHERE id = %s", workspace)
    await misplaced.move_what_fits(world.parts)
    assert told(world) == ["plan_stays"] * 2


async def test_a_move_that_was_given_up_is_begun_again_after_a_day(world: World) -> None:
    _, workspace = world.new_workspace("pro")
    stored(world, workspace, "sqlite")
    assert await misplaced.move_what_fits(world.parts) == 1
    assert moves(world) == [(workspace, "postgres")]
    world.owner.run("UPDATE app.jobs SET state = 'dead', finished_at = now()")
    assert await misplaced.move_what_fits(world.parts) == 0
    world.owner.run("UPDATE app.jobs SET finished_at = now() - interval '25 hours'")
    assert await misplaced.move_what_fits(world.parts) == 1


@pytest.mark.parametrize("why", ["right", "turso refused", "closed", "suspended", "unmeasured"])
async def test_who_is_left_where_they_are(world: World, why: str) -> None:
    _, workspace = world.new_workspace("free")
    stored(world, workspace, "sqlite" if why == "right" else "postgres")
    if why == "turso refused":
        stored(world, workspace, "postgres", note=why)
    elif why == "closed":
        world.owner.run("UPDATE app.workspaces SET closed_at = now()")
    elif why == "suspended":
        world.owner.run("UPDATE app.workspaces SET suspended = 'writes'")
    elif why == "unmeasured":
        stored(world, workspace, "postgres", note=TOO_LARGE)
    assert await misplaced.move_what_fits(world.parts) == 0
    assert moves(world) == []
    assert told(world) == (["plan_stays"] if why == "unmeasured" else [])


async def test_a_plan_that_ends_is_told_to_stay_from_end_to_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settled, given to a job that finds it too large, and told."""
    one = await paying(world, TEAM)
    stored(world, one.workspace, "postgres")
    measured(world, one.workspace, FREE.memories + 1 if FREE.memories else 0, 1)

    async def no(*_args: object) -> bool:
        return False

    monkeypatch.setattr("provisioning.moves._fits", no)
    world.payments.change(one.subscription, status=Status.CANCELED)
    await settle(world, one.customer)
    assert moves(world) == [(one.workspace, "sqlite")]
    await world.settle()
    await misplaced.move_what_fits(world.parts)
    assert told(world) == ["plan_ended", "plan_stays"]
