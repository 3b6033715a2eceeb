"""The end of stores and accounts: nothing is left in sqld, PostgreSQL, the control plane, Stripe and Supabase Auth."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import psycopg
import pytest

from billing.model import Status
from core.adapters.http1 import HttpAnswer, HttpRefused
from core.adapters.postgres import Postgres
from core.ports import Claims, KeyRecord, StoreAddress
from core.problems import Unavailable
from core.settings import Secret
from core.urls import workspace_url
from declarations import PRO, TEAM
from memories.ports import Store
from memories.stores.copying import copy_all
from memories.stores.fence import Fenced
from memories.stores.ports_move import Fence, Kind, Mode, MovableStore
from memories.stores.postgres import PostgresStores
from memories.stores.postgres.base import memory_columns
from provisioning import kinds
from provisioning.jobs import Runner
from provisioning.stores import CLOSED, database_name
from tests.functions.billing.payments import DOWN, REFUSES
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.samples import ANN, memory
from tests.functions.provisioning.paying import held, paying, plan_of
from tests.functions.provisioning.rows import left
from tests.functions.provisioning.world import Killed, World, answer


@pytest.fixture
async def memories(control_plane: ControlPlaneUrls) -> AsyncIterator[Postgres]:
    """As the function `memories` logs in."""
    postgres = Postgres(Secret(control_plane.memories))
    yield postgres
    await postgres.close()


async def fill(world: World, memories: Postgres, workspace: str) -> Store:
    """Write where the workspace's memories are; the store, as a request that was admitted now holds it."""
    placement = await world.parts.stores.placements.read(workspace)
    assert placement is not None
    address = world.parts.stores.address(workspace, placement)
    store: Store = world.parts.contents.open(address)
    if address.kind == "postgres":
        store = PostgresStores(memories).open(address)
    for number in range(5):
        await store.put(memory(str(number)), ANN)
    return store


@pytest.mark.parametrize("plan", ["free", "pro"])
async def test_closing_erases_the_store(
    served: World, memories: Postgres, control_plane: ControlPlaneUrls, plan: str
) -> None:
    _, workspace = await served.open(plan)
    _, other = await served.open(plan)
    store = await fill(served, memories, workspace)
    await fill(served, memories, other)
    await served.outbox.enqueue("close_store", workspace, {}, dedupe=workspace)
    assert (await served.run()).done == 1
    placement = await served.parts.stores.placements.read(workspace)
    assert placement is not None
    assert (placement.url, placement.token, placement.note) == (None, None, CLOSED)
    assert [name for name in left(control_plane.owner, workspace) if name.startswith("memory.")] == []
    assert database_name(workspace) not in served.outside.databases
    with pytest.raises(Unavailable):  # whoever was admitted before writes nothing any more
        await store.put(memory("late"), ANN)
    placement = await served.parts.stores.placements.read(other)
    assert placement is not None
    address = served.parts.stores.address(other, placement)
    assert (await served.parts.contents.open(address).read_usage()).memories == 5


async def test_closing_looks_in_both_stores(served: World, memories: Postgres, control_plane: ControlPlaneUrls) -> None:
    """As after a move, whose source is kept for a week."""
    _, workspace = await served.open("free")
    await fill(served, memories, workspace)
    await served.parts.stores.open_in_postgres(workspace)
    source = PostgresStores(memories).open(StoreAddress("postgres", workspace_url(workspace), Secret("")))
    await source.put(memory("left behind"), ANN)
    await served.outbox.enqueue("close_store", workspace, {}, dedupe=workspace)
    assert (await served.run()).done == 1
    assert [name for name in left(control_plane.owner, workspace) if name.startswith("memory.")] == []
    assert not served.outside.databases


async def test_a_write_that_is_under_way_is_erased_too(served: World, control_plane: ControlPlaneUrls) -> None:
    """It passed the fence before the fence was closed, and commits after."""
    _, workspace = await served.open("pro")
    await served.outbox.enqueue("close_store", workspace, {}, dedupe=workspace)
    columns = orjson.dumps(memory_columns(memory("under way"), ANN)).decode()
    async with await psycopg.AsyncConnection.connect(control_plane.memories) as writer:
        await writer.execute(
            "SELECT memory.put(memory.enter(%s, 1, NULL, NULL), %s::jsonb, NULL)", [workspace, columns]
        )
        closing = asyncio.create_task(served.run())
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while served.owner.run(waiting) == [(0,)]:
            assert not closing.done()
            await asyncio.sleep(0.01)
        await writer.commit()
    assert (await closing).done == 1
    assert [name for name in left(control_plane.owner, workspace) if name.startswith("memory.")] == []


async def test_more_rows_than_one_statement_erases(
    served: World, memories: Postgres, control_plane: ControlPlaneUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memories.stores.postgres.moves.ERASED_AT_ONCE", 2)
    _, workspace = await served.open("pro")
    await fill(served, memories, workspace)
    await served.outbox.enqueue("close_store", workspace, {}, dedupe=workspace)
    assert (await served.run()).done == 1
    assert [name for name in left(control_plane.owner, workspace) if name.startswith("memory.")] == []


async def test_a_closed_workspace_gets_no_store_again(served: World) -> None:
    _, workspace = await served.open()
    await served.outbox.enqueue("close_store", workspace, {}, dedupe=workspace)
    await served.outbox.enqueue("open_store", workspace, {"plan": "free"}, dedupe=workspace)
    assert (await served.run()).done == 2
    assert not served.outside.databases
    assert await served.parts.stores.place(workspace, await served.parts.stores.open_in_postgres(workspace)) is False


async def test_erasing_an_account(served: World, memories: Postgres, control_plane: ControlPlaneUrls) -> None:
    account, free = await served.open("free")
    paid = str(uuid.uuid4())
    served.owner.run("INSERT INTO app.workspaces (id, name, plan) VALUES (%s, 'Team', 'team')", paid)
    served.owner.run("INSERT INTO app.members VALUES (%s, %s, 'owner')", paid, account)
    await served.outbox.enqueue("open_store", paid, {"plan": "team"}, dedupe=paid)
    await served.run()
    for workspace in (free, paid):
        await fill(served, memories, workspace)
        served.owner.run("INSERT INTO app.usage_daily (workspace_id, day) VALUES (%s, now())", workspace)
        served.owner.run("INSERT INTO app.quota_marks VALUES (%s, 'memories', 80)", workspace)
    stranger, _ = await served.open("free")
    served.confirm(account, free, paid)
    await served.outbox.enqueue("erase_account", account, {}, dedupe=account)
    await served.settle()
    assert ("erase_account", "done") in served.jobs()
    assert left(control_plane.owner, account, free, paid) == []
    assert served.outside.users == {stranger}
    assert len(served.outside.databases) == 1
    assert served.owner.run("SELECT account_id::text, finished_at IS NOT NULL FROM app.erased") == [(account, True)]
    (mail,) = served.mails()
    assert (mail["template"], mail["to"]) == ("erased", "ada@example.test")


async def test_who_pays_is_erased_at_stripe_too(world: World, emptied_control_plane: ControlPlaneUrls) -> None:
    """And only who pays for what goes with the account: a team of somebody else goes on, with one seat less."""
    erin = await paying(world, PRO)
    team = await paying(world, TEAM, seats=2)
    world.owner.run(
        "INSERT INTO app.members (workspace_id, account_id, role) VALUES (%s, %s, 'admin')",
        team.workspace,
        erin.account,
    )
    world.owner.run("SELECT app.count_seats(%s)", team.workspace)
    await world.settle()
    assert held(world, team.customer)[0][2] == 3
    world.owner.run(
        "INSERT INTO app.stripe_events (id, kind, subject, customer, workspace_id, created)"
        " VALUES ('evt_1', 'invoice.paid', 'in_1', %s, %s, now())",
        erin.customer,
        erin.workspace,
    )
    world.owner.run(
        "INSERT INTO app.erasure_requests (token_hash, account_id, expires_at) VALUES (%s, %s, now() + interval '1 h')",
        "0" * 64,
        erin.account,
    )
    world.owner.run("SELECT app.confirm_erasure(%s)", "0" * 64)
    await world.settle()
    assert ("erase_account", "done") in world.jobs()
    assert world.payments.customers[erin.customer].deleted
    assert held(world, erin.customer)[0][1] is Status.CANCELED
    assert left(emptied_control_plane.owner, erin.account, erin.workspace, erin.customer) == []
    assert held(world, team.customer) == [(team.subscription.id, Status.ACTIVE, 2)]
    assert plan_of(world, team.workspace) == "team"


@pytest.mark.parametrize("call", ["customer", "expire_checkouts", "delete_customer"])
@pytest.mark.parametrize("error", [DOWN, REFUSES], ids=["silent", "refuses"])
async def test_no_erasure_is_called_done_while_stripe_has_who_pays(world: World, call: str, error: Exception) -> None:
    one = await paying(world, PRO)
    world.confirm(one.account, one.workspace)
    await world.outbox.enqueue("erase_account", one.account, {}, dedupe=one.account)
    world.payments.fail(call, error)
    assert (await world.run()).again == 1
    assert world.owner.run("SELECT finished_at FROM app.erased") == [(None,)]
    assert one.account in world.outside.users
    assert "Stripe" in world.owner.run("SELECT last_error FROM app.jobs WHERE kind = 'erase_account'")[0][0]
    world.payments.mend()
    world.owner.make_due()
    await world.settle()
    assert ("erase_account", "done") in world.jobs()
    assert world.payments.customers[one.customer].deleted


async def test_a_customer_whose_deletion_did_not_hold_is_not_called_erased(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await paying(world, PRO)

    async def lie(_customer: str) -> None:
        return None

    monkeypatch.setattr(world.payments, "delete_customer", lie)
    world.confirm(one.account, one.workspace)
    await world.outbox.enqueue("erase_account", one.account, {}, dedupe=one.account)
    assert (await world.run()).again == 1
    assert world.owner.run("SELECT finished_at FROM app.erased") == [(None,)]


async def test_who_pays_is_not_forgotten_for_want_of_a_key(world: World) -> None:
    one = await paying(world, PRO)
    world.confirm(one.account, one.workspace)
    await world.outbox.enqueue("erase_account", one.account, {}, dedupe=one.account)
    without = replace(world.parts, payments=None, settler=None)
    assert (await Runner(world.outbox, kinds.works(without), linger_seconds=0.0).run()).again == 1
    assert "STRIPE_API_KEY" in world.owner.run("SELECT last_error FROM app.jobs WHERE kind = 'erase_account'")[0][0]
    assert world.owner.run("SELECT finished_at FROM app.erased") == [(None,)]


async def test_killed_at_every_step_of_an_erasure(
    served: World, memories: Postgres, control_plane: ControlPlaneUrls
) -> None:
    """And again at the next attempt, at the same step: each attempt begins from the start."""
    point, kills = 1, 0
    while True:
        account, workspace = await served.open("free")
        await fill(served, memories, workspace)
        customer = served.payments.add_customer(workspace)
        await served.parts.billing.attach_customer(workspace, customer)
        served.confirm(account, workspace)
        await served.outbox.enqueue("erase_account", account, {}, dedupe=account)
        killed = False
        for _ in range(2):
            served.steps.kill_at, served.steps.reached = point, 0
            try:
                await served.run()
            except Killed:
                killed = True
                kills += 1
            finally:
                served.steps.kill_at = None
            served.owner.end_leases()
        await served.settle()
        assert left(control_plane.owner, account, workspace) == []
        assert account not in served.outside.users
        assert not served.outside.databases
        assert served.payments.customers[customer].deleted
        assert [mail["template"] for mail in served.mails()] == ["erased"]
        served.owner.run("DELETE FROM app.jobs")
        if not killed:
            break
        point += 1
    assert point > 11
    assert kills >= 2 * (point - 5)  # who is deleted at Stripe is only looked for at the next attempt


PLACES = ["DELETE /v1", "GET /v1", "DELETE /admin", "GET /admin"]
FAULTS: list[Exception | HttpAnswer] = [
    HttpRefused("refused", sent=False),
    answer(500, {}),
    answer(401, {"error": "no"}),
    HttpAnswer(302, {}, b"<html>"),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_no_erasure_is_called_done_while_a_part_refuses(
    served: World, control_plane: ControlPlaneUrls, place: str, fault: Any
) -> None:
    account, workspace = await served.open("free")
    served.confirm(account, workspace)
    await served.outbox.enqueue("erase_account", account, {}, dedupe=account)
    served.outside.faults = {place: fault}
    assert (await served.run()).again == 1
    assert served.owner.run("SELECT finished_at FROM app.erased") == [(None,)]
    assert served.mails() == []
    ((told,),) = served.owner.run("SELECT last_error FROM app.jobs WHERE kind = 'erase_account'")
    assert "Turso" in told if "v1" in place else "Supabase" in told
    assert "auth-secret" not in told
    assert "turso-token" not in told
    served.outside.faults = {}
    served.owner.make_due()
    await served.settle()
    assert left(control_plane.owner, account, workspace) == []


async def test_a_deletion_that_did_not_hold_is_not_believed(served: World) -> None:
    account, workspace = await served.open("free")
    served.confirm(account, workspace)
    served.outside.faults = {"DELETE /admin": answer(200, {})}
    await served.outbox.enqueue("erase_account", account, {}, dedupe=account)
    assert (await served.run()).again == 1
    assert served.owner.run("SELECT finished_at FROM app.erased") == [(None,)]


async def test_nobody_is_erased_who_did_not_confirm(served: World) -> None:
    account, _ = await served.open("free")
    await served.outbox.enqueue("erase_account", account, {}, dedupe=account)
    assert (await served.run()).dead == 1
    assert account in served.outside.users
    assert len(served.outside.databases) == 1


@pytest.mark.parametrize("plan", ["free", "pro"])
async def test_suspending(served: World, memories: Postgres, plan: str) -> None:
    account, workspace = await served.open(plan)
    store = await fill(served, memories, workspace)
    claims = Claims(account_id=account, email="ada@example.test", name="Ada", expires_at=0.0)
    key_hash = "0" * 64
    scopes = ["memories:read"]
    await served.control.add_key(workspace, account, "a key", prefix="mg_" + "0" * 12, key_hash=key_hash, scopes=scopes)

    async def suspend(*, reads: bool, writes: bool) -> list[str | None]:
        """What the control plane then says to who asks by a key, and to who is signed in."""
        await served.outbox.enqueue("suspend_store", workspace, {"reads": reads, "writes": writes}, dedupe="s")
        before = await served.control.find_key(key_hash)
        assert (await served.run()).done == 2
        found = await served.control.find_key(key_hash)
        member = await served.control.find_member(claims, None)
        assert isinstance(before, KeyRecord)
        assert isinstance(found, KeyRecord)
        assert isinstance(member, KeyRecord)
        await served.cache.put(key_hash, before.version, b"as it was", 60.0)  # a tombstone is there
        assert await served.cache.get(key_hash) is None
        return [found.suspended, member.suspended]

    assert await suspend(reads=False, writes=True) == ["writes"] * 2
    assert await store.get("1") is not None
    with pytest.raises(Unavailable):
        await store.put(memory("late"), ANN)
    assert await suspend(reads=True, writes=True) == ["all"] * 2
    with pytest.raises(Unavailable):
        await store.get("1")
    if plan == "free":
        database = served.outside.databases[database_name(workspace)]
        assert (database["block_reads"], database["block_writes"]) == (True, True)
    assert await suspend(reads=False, writes=False) == [None] * 2
    await store.put(memory("again"), ANN)
    if plan == "free":
        assert (database["block_reads"], database["block_writes"]) == (False, False)


async def test_a_suspension_says_what_it_suspends(served: World) -> None:
    _, workspace = await served.open()
    await served.outbox.enqueue("suspend_store", workspace, {"reads": "yes"}, dedupe="s")
    assert (await served.run()).dead == 1


@pytest.mark.parametrize(("plan", "to"), [("free", "postgres"), ("pro", "sqlite")])
async def test_an_erasure_waits_for_a_move_and_leaves_nothing_of_it(
    served: World,
    memories: Postgres,
    control_plane: ControlPlaneUrls,
    monkeypatch: pytest.MonkeyPatch,
    plan: str,
    to: str,
) -> None:
    """Two runners: one copies, where the other erases."""
    account, workspace = await served.open(plan)
    await fill(served, memories, workspace)
    seen: list[tuple[str, str]] = []

    async def copy_and_be_overtaken(source: MovableStore, target: MovableStore) -> None:
        rows = await source.raw_page(Kind.MEMORY)
        served.confirm(account, workspace)
        await served.outbox.enqueue("erase_account", account, {}, dedupe=account)
        await served.run()
        seen.extend(served.jobs())
        await target.put_raw(Kind.MEMORY, rows)
        await copy_all(source, target)

    monkeypatch.setattr("provisioning.moves.copy_all", copy_and_be_overtaken)
    served.owner.run(
        "UPDATE app.workspaces SET plan = %s WHERE id = %s", "free" if to == "sqlite" else "pro", workspace
    )
    await served.outbox.enqueue("move_store", workspace, {"to": to}, dedupe=workspace)
    await served.run()
    assert ("erase_account", "waiting") in seen
    served.owner.make_due()
    await served.settle()
    assert ("erase_account", "done") in served.jobs()
    assert left(control_plane.owner, account, workspace) == []
    assert not served.outside.databases


async def test_what_was_copied_to_a_store_that_was_erased_since_is_refused(served: World) -> None:
    """By a runner that was frozen, and wakes up behind the fence that it knows."""
    _, workspace = await served.open("free")
    target = served.parts.movable(StoreAddress("postgres", workspace_url(workspace), Secret(""), 2))
    closed = Fence(2, Mode.CLOSED)
    assert await target.fence(closed) == closed
    rows = await served.parts.movable(await at(served, workspace)).raw_page(Kind.MEMORY)
    await served.outbox.enqueue("close_store", workspace, {}, dedupe=workspace)
    assert (await served.run()).done == 1
    with pytest.raises(Fenced):
        await target.put_raw(Kind.MEMORY, rows)
    assert await target.fence(Fence(2, Mode.OPEN)) != Fence(2, Mode.OPEN)


async def at(world: World, workspace: str) -> StoreAddress:
    placement = await world.parts.stores.placements.read(workspace)
    assert placement is not None
    return world.parts.stores.address(workspace, placement)
