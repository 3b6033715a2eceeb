"""Tokens that end and schemas that grow old, on real databases; and tombstones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core import migrations
from core.adapters.http1 import HttpRefused
from core.ports import Statement
from core.principals import SHARED_SECONDS
from provisioning import renewals
from provisioning.tombstones import ENDED_ATTEMPTS
from tests.functions.provisioning.world import Killed, World, answer

DAY = 86_400.0
NEWEST = migrations.load("sqlite")[-1].version


async def placement(world: World, workspace: str) -> Any:
    return await world.parts.stores.placements.read(workspace)


async def renew(world: World) -> int:
    count = await renewals.enqueue_renewals(world.parts)
    await world.run()
    return count


async def test_a_token_is_renewed_two_weeks_before_its_end(served: World) -> None:
    _, workspace = await served.open()
    before = await placement(served, workspace)
    served.clock.advance(13 * DAY)
    assert await renew(served) == 0
    served.clock.advance(2 * DAY)
    assert await renew(served) == 1
    after = await placement(served, workspace)
    assert after.token != before.token
    assert after.token_ends == served.clock.now() + timedelta(weeks=4)
    assert after.url == before.url
    store = served.parts.contents.open(served.parts.stores.address(workspace, after))
    assert (await store.read_usage()).memories == 0
    assert await renew(served) == 0


async def test_a_token_that_never_ends_is_replaced(served: World) -> None:
    """As older versions made them."""
    _, workspace = await served.open()
    served.owner.run("UPDATE app.workspaces SET store_token_expires_at = NULL")
    assert await renew(served) == 1
    assert (await placement(served, workspace)).token_ends is not None


async def test_renewals_are_not_doubled_and_paid_workspaces_have_none(served: World) -> None:
    await served.open("free")
    await served.open("pro")
    served.clock.advance(20 * DAY)
    for _ in range(2):
        assert await renewals.enqueue_renewals(served.parts) == 1
    assert [kind for kind, state in served.jobs() if state == "waiting"] == ["renew_token"]


async def test_turso_down_for_a_week_costs_no_store(served: World) -> None:
    _, workspace = await served.open()
    served.clock.advance(15 * DAY)
    served.outside.faults = {"POST": HttpRefused("refused", sent=False)}
    await renew(served)
    assert served.jobs()[-1] == ("renew_token", "waiting")
    before = await placement(served, workspace)
    served.outside.faults = {}
    served.clock.advance(7 * DAY)
    served.owner.make_due()
    assert (await served.run()).done == 1
    assert (await placement(served, workspace)).token_ends > before.token_ends


async def test_renewing_what_moved_meanwhile_changes_nothing(served: World) -> None:
    _, workspace = await served.open()
    before = await placement(served, workspace)
    assert not await served.parts.stores.renew_token(workspace, "http://elsewhere.localhost:1")
    assert (await placement(served, workspace)) == before


async def test_killed_at_every_step_of_a_renewal(served: World) -> None:
    _, workspace = await served.open()
    for point in range(1, 20):
        served.clock.advance(15 * DAY)
        assert await renewals.enqueue_renewals(served.parts) == 1
        served.steps.kill_at, served.steps.reached = point, 0
        killed = False
        try:
            await served.run()
        except Killed:
            killed = True
        served.steps.kill_at = None
        served.owner.end_leases()
        await served.run()
        after = await placement(served, workspace)
        assert after.token_ends == served.clock.now() + timedelta(weeks=4)
        store = served.parts.contents.open(served.parts.stores.address(workspace, after))
        assert (await store.read_usage()).memories == 0
        if not killed:
            assert point > 3
            return
    raise AssertionError("it never ends")


async def older(world: World, workspace: str) -> None:
    """The database as a version that had only the first migration left it."""
    held = await placement(world, workspace)
    database = world.parts.stores.databases.open(world.parts.stores.address(workspace, held))
    tables = await database.batch(
        [Statement("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type DESC")],
        write=False,
    )
    drops = [Statement(f"DROP {kind!s} IF EXISTS {name!s}") for kind, name in tables[0].rows if kind != "index"]
    await database.batch(drops, write=True)
    await migrations.apply(database, migrations.load("sqlite")[:1])
    world.owner.run("UPDATE app.workspaces SET store_schema = 1 WHERE id = %s", workspace)


async def test_every_older_database_is_upgraded(served: World) -> None:
    workspaces = [(await served.open())[1] for _ in range(3)]
    for workspace in workspaces[:2]:
        await older(served, workspace)
    assert await renewals.enqueue_upgrades(served.parts) == 2
    assert (await served.run()).done == 2
    assert await renewals.enqueue_upgrades(served.parts) == 0
    for workspace in workspaces:
        held = await placement(served, workspace)
        assert held.schema == NEWEST
        database = served.parts.stores.databases.open(served.parts.stores.address(workspace, held))
        assert await migrations.apply(database, migrations.load("sqlite")) == NEWEST


async def test_an_upgrade_of_all_goes_on_where_it_was_stopped(served: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job without a subject makes one for each; one of them is killed, another meets a database that is away."""
    workspaces = [(await served.open())[1] for _ in range(3)]
    for workspace in workspaces:
        await older(served, workspace)
    monkeypatch.setattr(renewals, "PAGE", 2)
    await served.outbox.enqueue("upgrade_schema", None, {}, dedupe="all")
    served.steps.kill_at, served.steps.reached = 6, 0
    with pytest.raises(Killed):
        await served.run()
    served.steps.kill_at = None
    served.owner.end_leases()
    await served.run()
    assert await renewals.enqueue_upgrades(served.parts) == 1
    await served.run()
    assert {row[0] for row in served.owner.run("SELECT store_schema FROM app.workspaces")} == {NEWEST}


async def test_tombstones_are_laid_until_redis_took_them(served: World) -> None:
    keys = [["a" * 64, 5], ["b" * 64, 9]]
    await served.outbox.enqueue("void_keys", None, {"keys": keys}, dedupe="v")
    served.cache.down = True
    assert (await served.run()).again == 1
    served.cache.down = False
    served.owner.make_due()
    assert (await served.run()).done == 1
    assert {name: entry[0] for name, entry in served.cache.entries.items()} == {"a" * 64: 5, "b" * 64: 9}


async def test_tombstones_that_nobody_needs_any_more(served: World) -> None:
    """Redis is down for longer than a cached principal lives: no dead letter."""
    await served.outbox.enqueue("void_keys", None, {"keys": [["a" * 64, 5]]}, dedupe="v")
    served.cache.down = True
    for _ in range(ENDED_ATTEMPTS):
        assert (await served.run()).again == 1
        served.owner.make_due()
    assert (await served.run()).done == 1
    assert 0.5 * sum(5 * 2**pause for pause in range(ENDED_ATTEMPTS)) > SHARED_SECONDS


async def test_a_database_that_turso_lost_is_reported(served: World) -> None:
    await served.open()
    served.clock.advance(15 * DAY)
    served.outside.faults = {"POST": answer(404, {"error": "not found"})}
    await renew(served)
    ((told,),) = served.owner.run("SELECT last_error FROM app.jobs WHERE kind = 'renew_token'")
    assert "404" in told
