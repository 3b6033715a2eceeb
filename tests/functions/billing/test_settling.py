"""Settling on a real PostgreSQL: what Stripe says becomes the workspace's plan, with its jobs and mails, and once."""

from __future__ import annotations

import asyncio

import pytest

from billing.model import Customer, Status
from billing.projecting import project
from core.problems import Conflict, Unavailable
from declarations import PRO, TEAM
from tests.functions.billing.world import World

OPERATOR = ("operator", None)


# Plans.


async def test_a_plan_begins_and_is_settled_once(world: World) -> None:
    ada, customer = await world.payer()
    paid = world.stripe.subscribe(customer, PRO)
    settled = await world.settler.settle(customer)
    assert settled.workspace == ada.workspace
    assert settled.changes == (
        f"subscription: id none -> {paid.id}",
        "subscription: status none -> active",
        "subscription: plan none -> pro",
        f"subscription: lookup_key none -> {PRO.lookup_key}",
        "subscription: live none -> true",
        "subscription: seats none -> 1",
        f"subscription: period_end none -> {paid.period_end.isoformat()}",
        "workspace: plan free -> pro",
        "job: move_store to postgres",
    )
    assert world.workspace(ada.workspace) == ("pro", True, customer, 0)
    held = world.subscription(ada.workspace)
    assert held is not None
    assert (held["id"], held["plan"], held["live"], held["status"]) == (paid.id, "pro", True, "active")
    assert world.jobs("move_store") == [{"to": "postgres"}]
    assert world.mails() == [("plan_begun", ada.email)]
    rows = world.rows()
    again = await world.settler.settle(customer)
    assert (again.changes, list(again.voids)) == ((), [])
    assert world.rows() == rows


async def test_a_plan_holds_at_once_and_provisioning_is_woken(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    customer = await world.customer(ada.workspace)
    key, _ = await world.key(ada)
    assert (await world.ask("GET", "/auth/verify", key)).json()["workspace"]["plan"] == "free"
    world.stripe.subscribe(customer, PRO)
    woken = world.queue.woken
    settled = await world.settler.settle(customer)
    assert len(settled.voids) == 3  # the key, and the person with and without the name of the workspace
    assert world.queue.woken == woken + 1
    world.clock.advance(5.0)  # the leases of a process
    assert (await world.ask("GET", "/auth/verify", key)).json()["workspace"]["plan"] == "pro"
    await world.settler.settle(customer)
    assert world.queue.woken == woken + 1


async def test_what_is_not_paid_for_ends(world: World) -> None:
    ada, customer = await world.payer()
    paid = world.stripe.subscribe(customer, PRO)
    await world.settler.settle(customer)
    world.stripe.change(paid, cancel_at=paid.period_end)
    await world.settler.settle(customer)
    body = await world.body(ada)
    assert (body["plan"], body["next_plan"], body["next_at"]) == ("pro", "free", body["cancel_at"])
    world.stripe.end_period(paid)
    await world.settler.settle(customer)
    assert world.workspace(ada.workspace)[:2] == ("free", True)
    assert world.subscription(ada.workspace) is None
    assert world.mails() == [("plan_begun", ada.email), ("plan_ended", ada.email)]
    assert world.jobs("send_mail")[-1]["data"] == {"workspace": "Personal", "plan": "Pro"}


async def test_a_plan_that_the_operator_gave_does_not_end_with_another(world: World) -> None:
    ada, customer = await world.payer()
    world.run("UPDATE app.workspaces SET plan = 'team', given = 'team' WHERE id = %s::uuid", ada.workspace)
    assert (await world.settler.settle(customer)).changes == ()
    paid = world.stripe.subscribe(customer, PRO)
    await world.settler.settle(customer)
    assert world.workspace(ada.workspace)[:2] == ("pro", True)
    world.stripe.change(paid, status=Status.CANCELED)
    await world.settler.settle(customer)
    assert world.workspace(ada.workspace)[:2] == ("team", False)


async def test_accounts_that_the_operator_opens_keep_their_plan(world: World) -> None:
    account, workspace = "6b0f1d3e-0000-4000-8000-000000000001", "6b0f1d3e-0000-4000-8000-000000000002"
    await world.control.open_account(account, workspace, "Ada", "pro")
    customer = await world.customer(workspace)
    assert (await world.settler.settle(customer)).changes == ()
    assert world.workspace(workspace)[0] == "pro"


async def test_a_customer_that_is_nobodys_changes_nothing(world: World) -> None:
    await world.payer()
    stranger = world.stripe.add_customer(None)
    world.stripe.subscribe(stranger, TEAM)
    rows = world.rows()
    settled = await world.settler.settle(stranger)
    assert (settled.workspace, settled.changes) == (None, ())
    assert world.rows() == rows


async def test_a_deleted_customer_is_cleared_and_another_can_come(world: World) -> None:
    ada, customer = await world.payer()
    world.stripe.subscribe(customer, PRO)
    await world.settler.settle(customer)
    await world.stripe.delete_customer(customer)
    await world.settler.settle(customer)
    assert world.workspace(ada.workspace) == ("free", True, None, 1)
    assert world.subscription(ada.workspace) is None
    rows = world.rows()
    assert (await world.settler.settle(customer)).workspace is None
    assert world.rows() == rows
    another = await world.customer(ada.workspace)
    assert world.workspace(ada.workspace)[2:] == (another, 1)


async def test_a_closed_workspace_gets_no_jobs_and_no_mails(world: World) -> None:
    ada, customer = await world.payer()
    world.run("UPDATE app.workspaces SET closed_at = now() WHERE id = %s::uuid", ada.workspace)
    before = world.kinds("void_keys")
    world.stripe.subscribe(customer, TEAM, seats=3)
    await world.settler.settle(customer)
    assert world.kinds("void_keys") == before


# Money that is due.


async def test_a_payment_that_fails_has_a_grace(world: World) -> None:
    ada, customer = await world.payer()
    paid = world.stripe.subscribe(customer, PRO)
    await world.settler.settle(customer)
    world.stripe.fail_payment(paid)
    await world.settler.settle(customer)
    await world.settler.settle(customer)
    assert world.workspace(ada.workspace)[0] == "pro"
    assert world.mails() == [("plan_begun", ada.email), ("payment_failed", ada.email)]
    until = world.time.now().timestamp() + 14 * 86_400
    assert world.run("SELECT extract(epoch FROM grace_until) FROM app.subscriptions")[0][0] == int(until)
    data = world.jobs("send_mail")[-1]["data"]
    assert data == {"workspace": "Personal", "plan": "Pro", "grace_until": "2 December 2026"}
    world.stripe.pay(paid)
    await world.settler.settle(customer)
    assert world.mails()[2:] == [("payment_recovered", ada.email)]
    assert (await world.body(ada))["grace_until"] is None


async def test_a_grace_that_is_over_ends_the_plan(world: World) -> None:
    ada, customer = await world.payer()
    paid = world.stripe.subscribe(customer, PRO)
    await world.settler.settle(customer)
    world.stripe.fail_payment(paid)
    await world.settler.settle(customer)
    assert await world.jobs_ledger.list_due(world.wait(days=14, seconds=-1), 10) == []
    assert await world.jobs_ledger.list_due(world.wait(seconds=1), 10) == [customer]
    await world.settler.settle(customer)
    assert world.workspace(ada.workspace)[0] == "free"
    assert world.jobs("end_grace") == [{"customer": customer}]
    assert world.mails()[2:] == [("plan_ended", ada.email)]
    assert (await world.settler.settle(customer)).changes == ()
    assert await world.jobs_ledger.list_due(world.time.now(), 10) == []
    body = await world.body(ada)
    assert (body["plan"], body["subscription"], body["status"]) == ("free", False, "past_due")
    assert body["price_usd"] == 0
    world.stripe.change(paid, status=Status.CANCELED)  # as the job does
    await world.settler.settle(customer)
    assert world.subscription(ada.workspace) is None
    assert world.mails()[3:] == []


async def test_a_period_that_ended_unheard_of_is_looked_at_again(world: World) -> None:
    _, customer = await world.payer()
    world.stripe.subscribe(customer, PRO)
    await world.settler.settle(customer)
    assert await world.jobs_ledger.list_due(world.wait(days=30, minutes=59), 10) == []
    assert await world.jobs_ledger.list_due(world.wait(minutes=2), 10) == [customer]
    await world.settler.settle(customer)
    assert await world.jobs_ledger.list_due(world.time.now(), 10) == []


async def test_who_pays_twice_is_paid_back(world: World) -> None:
    ada, customer = await world.payer()
    first = world.stripe.subscribe(customer, PRO)
    world.wait(seconds=1)
    second = world.stripe.subscribe(customer, TEAM, seats=5)
    settled = await world.settler.settle(customer)
    assert f"job: end_duplicate {second.id}" in settled.changes
    assert world.workspace(ada.workspace)[0] == "pro"
    held = world.subscription(ada.workspace)
    assert held is not None
    assert held["id"] == first.id
    assert (await world.settler.settle(customer)).changes == ()
    assert world.jobs("end_duplicate") == [{"subscription": second.id, "customer": customer}]


async def test_a_price_that_is_not_ours_grants_nothing_and_is_told_once(world: World) -> None:
    ada, customer = await world.payer()
    world.stripe.subscribe(customer, "memorygraph_team_monthly_1_usd", seats=50)
    await world.settler.settle(customer)
    assert world.workspace(ada.workspace)[0] == "free"
    assert world.mails() == [OPERATOR]
    assert (await world.settler.settle(customer)).changes == ()
    assert world.mails() == [OPERATOR]


async def test_a_price_that_became_unknown_takes_nothing_away(world: World) -> None:
    ada, customer = await world.payer()
    paid = world.stripe.subscribe(customer, PRO)
    await world.settler.settle(customer)
    world.stripe.change(paid, lookup_key=None)
    await world.settler.settle(customer)
    assert world.workspace(ada.workspace)[0] == "pro"
    held = world.subscription(ada.workspace)
    assert held is not None
    assert held["live"]
    assert world.mails()[1:] == [OPERATOR]


# Seats and members.


async def test_seats_follow_the_members(world: World) -> None:
    ada, workspace = await world.team()
    customer = await world.customer(workspace)
    paid = world.stripe.subscribe(customer, TEAM, seats=1)
    assert "job: sync_seats" not in (await world.settler.settle(customer)).changes
    await world.join(ada, workspace, await world.sign_in("eve@example.com"))
    await world.join(ada, workspace, await world.sign_in("joe@example.com"))
    assert len(world.jobs("sync_seats")) == 1  # it has not begun
    world.run("UPDATE app.jobs SET state = 'running' WHERE kind = 'sync_seats'")
    await world.join(ada, workspace, await world.sign_in("kim@example.com"))
    assert len(world.jobs("sync_seats")) == 2  # the one that runs may have counted already
    world.run("UPDATE app.jobs SET state = 'done' WHERE kind = 'sync_seats'")
    assert (await world.settler.settle(customer)).changes == ("job: sync_seats",)
    world.run("UPDATE app.jobs SET state = 'done' WHERE kind = 'sync_seats'")
    world.stripe.change(paid, seats=4)
    assert (await world.settler.settle(customer)).changes == ("subscription: seats 1 -> 4",)
    body = await world.body(ada, workspace)
    assert (body["seats"], body["members"], body["price_usd"]) == (4, 4, 12)


async def test_seats_of_a_plan_that_is_not_by_seat_are_nobodys(world: World) -> None:
    ada, workspace = await world.team()
    await world.join(ada, workspace, await world.sign_in("eve@example.com"))
    customer = await world.customer(workspace)
    world.stripe.subscribe(customer, PRO)
    await world.settler.settle(customer)
    world.run("SELECT app.count_seats(%s::uuid)", workspace)
    world.run("DELETE FROM app.members WHERE role <> 'owner'")
    world.run("SELECT app.count_seats(%s::uuid)", workspace)
    assert world.jobs("sync_seats") == []


async def test_members_are_out_with_the_team_and_in_again_with_the_next(world: World) -> None:
    ada, workspace = await world.team()
    eve = await world.sign_in("eve@example.com")
    await world.join(ada, workspace, eve, "admin")
    key, _ = await world.key(eve, workspace, scopes=["account", "memories:read"])
    customer = await world.customer(workspace)
    paid = world.stripe.subscribe(customer, TEAM, seats=2)
    await world.settler.settle(customer)
    assert (await world.ask("GET", "/auth/verify", eve, workspace=workspace)).status == 200
    assert (await world.ask("GET", "/auth/verify", key)).status == 200
    world.stripe.change(paid, lookup_key=PRO.lookup_key, seats=1)
    await world.settler.settle(customer)
    world.clock.advance(5.0)
    refused = [await world.ask("GET", "/auth/verify", eve, workspace=workspace)]
    refused.append(await world.ask("GET", "/auth/verify", key))
    for answer in refused:
        assert answer.status == 403
        assert "room for its owner only" in answer.json()["detail"]
    assert (await world.ask("GET", "/auth/verify", eve)).status == 200  # their own
    assert (await world.ask("GET", "/auth/verify", ada, workspace=workspace)).status == 200
    world.stripe.change(paid, lookup_key=TEAM.lookup_key, seats=2)
    await world.settler.settle(customer)
    world.clock.advance(5.0)
    assert (await world.ask("GET", "/auth/verify", eve, workspace=workspace)).status == 200
    assert (await world.ask("GET", "/auth/verify", key)).status == 200


async def test_a_workspace_with_others_is_shut_to_them_when_it_is_first_looked_at(world: World) -> None:
    ada, workspace = await world.team()
    await world.join(ada, workspace, await world.sign_in("eve@example.com"))
    world.set_plan(workspace, "free")
    settled = await world.settler.settle(await world.customer(workspace))
    assert settled.changes == ("workspace: alone t",)
    assert len(settled.voids) == 2


# Leases.


async def test_one_at_a_time_and_the_next_one_looks_after_it(world: World) -> None:
    _, customer = await world.payer()
    asked: list[str] = []
    first_asks, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        async def customer(self, customer: str) -> Customer:
            found = await world.stripe.customer(customer)
            asked.append("first")
            first_asks.set()
            await go_on.wait()
            return found

    first = asyncio.create_task(world.new_settler(Slow()).settle(customer))  # type: ignore[arg-type]
    await first_asks.wait()
    world.stripe.subscribe(customer, PRO)  # after the first one has asked
    second = asyncio.create_task(world.settler.settle(customer))
    await asyncio.sleep(0.15)
    assert ("customer", customer) not in world.stripe.asked[1:]
    go_on.set()
    assert (await first).changes == ()
    assert "workspace: plan free -> pro" in (await second).changes
    assert world.run("SELECT count(*) FROM app.billing_leases") == [(0,)]


async def test_whoever_waits_too_long_says_so(world: World) -> None:
    _, customer = await world.payer()
    assert await world.ledger.hold(customer, "another", 60.0)
    with pytest.raises(Unavailable) as refused:
        await world.new_settler(wait_seconds=0.3).settle(customer)
    assert refused.value.part == "billing"
    assert world.stripe.asked == []


async def test_a_holder_that_died_is_not_waited_for_beyond_its_lease(world: World) -> None:
    ada, customer = await world.payer()
    world.stripe.subscribe(customer, PRO)
    assert await world.ledger.hold(customer, "dead", 0.3)
    await world.settler.settle(customer)
    assert world.workspace(ada.workspace)[0] == "pro"


async def test_a_lease_that_was_lost_settles_nothing(world: World) -> None:
    ada, customer = await world.payer()
    world.stripe.subscribe(customer, PRO)

    class Late:
        """Its answer comes when another one has settled what was true later."""

        async def customer(self, customer: str) -> Customer:
            found = await world.stripe.customer(customer)
            world.stripe.change(found.subscriptions[0], status=Status.CANCELED)
            world.run("UPDATE app.billing_leases SET until = now()")
            await world.settler.settle(customer)
            return found

    with pytest.raises(Unavailable):
        await world.new_settler(Late()).settle(customer)  # type: ignore[arg-type]
    assert world.workspace(ada.workspace)[0] == "free"
    assert world.jobs("move_store") == []


async def test_only_the_holder_settles_and_releases(world: World) -> None:
    ada, customer = await world.payer()
    world.stripe.subscribe(customer, PRO)
    found = await world.stripe.customer(customer)
    projection = project(found, world.time.now())
    assert await world.ledger.hold(customer, "one", 60.0)
    assert await world.ledger.hold(customer, "one", 60.0)
    assert not await world.ledger.hold(customer, "other", 60.0)
    await world.ledger.release(customer, "other")
    for holder in ("other", ""):
        with pytest.raises(Conflict):
            await world.ledger.settle(found, projection, holder, "postgres", world.time.now())
    world.run("UPDATE app.billing_leases SET until = now()")  # nobody took it, but somebody might have
    with pytest.raises(Conflict):
        await world.ledger.settle(found, projection, "one", "postgres", world.time.now())
    assert world.workspace(ada.workspace)[0] == "free"
    assert await world.ledger.hold(customer, "one", 60.0)
    assert (await world.ledger.settle(found, projection, "one", "postgres", world.time.now())).changes
    await world.ledger.release(customer, "one")
    assert await world.ledger.hold(customer, "other", 60.0)


@pytest.mark.parametrize("error", [Unavailable("Stripe does not answer.", part="stripe"), RuntimeError("a fault")])
async def test_a_fetch_that_fails_changes_nothing_and_gives_the_lease_back(world: World, error: Exception) -> None:
    ada, customer = await world.payer()
    world.stripe.subscribe(customer, PRO)
    rows = world.rows()
    world.stripe.fail("customer", error, once=True)
    with pytest.raises(type(error)):
        await world.settler.settle(customer)
    assert world.rows() == rows
    assert world.workspace(ada.workspace)[0] == "free"
    await world.settler.settle(customer)
    assert world.workspace(ada.workspace)[0] == "pro"
