"""Opening stores: real control plane, real sqld, and Turso's Platform API in every mood."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core import migrations
from core.adapters.http1 import HttpAnswer, HttpRefused, HttpTimeout
from core.ports import Statement
from core.problems import Unavailable
from declarations import PLANS
from provisioning import openings, stores
from provisioning.openings import TURSO_REFUSED
from provisioning.stores import database_name
from tests.functions.provisioning.world import OPERATOR, Killed, World, answer

DATABASES = "/v1/organizations/an-org/databases"
PLACED = "SELECT store_kind, store_url, store_note FROM app.workspaces WHERE id = %s"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PAUSES", (0.0,))
    monkeypatch.setattr(openings, "TRY_PAUSE_SECONDS", 0.0)


async def start(world: World, plan: str = "free") -> str:
    """A workspace that waits for its store."""
    _, workspace = world.new_workspace(plan)
    await world.outbox.enqueue("open_store", workspace, {"plan": plan}, dedupe=workspace)
    return workspace


def placed(world: World, workspace: str) -> tuple[Any, ...]:
    return world.owner.run(PLACED, workspace)[0]


async def works(world: World, workspace: str) -> bool:
    """Whether a request would find memories there, with the token that is kept."""
    placement = await world.parts.stores.placements.read(workspace)
    assert placement is not None
    store = world.parts.contents.open(world.parts.stores.address(workspace, placement))
    return (await store.read_usage()).memories == 0


async def test_a_free_workspace_gets_a_database_of_its_own(served: World) -> None:
    workspace = await start(served)
    assert (await served.run()).done == 1
    kind, url, note = placed(served, workspace)
    assert (kind, note) == ("sqlite", None)
    assert url.startswith(f"http://{database_name(workspace)}.localhost:")
    assert await works(served, workspace)
    (row,) = served.owner.run("SELECT store_token, store_token_expires_at, store_schema FROM app.workspaces")
    token = served.sealer.open_text(row[0], workspace)
    assert token not in str(served.owner.run("SELECT w::text FROM app.workspaces w"))
    assert (row[1] - served.clock.now()).days == 28
    assert row[2] >= 2


@pytest.mark.parametrize("plan", [name for name, plan in PLANS.items() if plan.store == "postgres"])
async def test_a_paid_workspace_gets_its_place_in_postgres(served: World, plan: str) -> None:
    workspace = await start(served, plan)
    assert (await served.run()).done == 1
    assert placed(served, workspace) == ("postgres", f"postgres:{workspace}", None)
    assert not served.outside.databases


async def test_killed_at_every_step_and_finished_by_the_next_attempt(served: World) -> None:
    """Between any two calls to Turso, to the database and to the control plane."""
    kills, point = 0, 1
    while True:
        workspace = await start(served)
        served.steps.kill_at, served.steps.reached, served.steps.passed = point, 0, []
        try:
            await served.run()
            break
        except Killed:
            kills += 1
        finally:
            served.steps.kill_at = None
        assert (await served.run()).done == 0  # until its lease ends
        served.owner.end_leases()
        assert (await served.run()).done == 1
        assert placed(served, workspace)[0] == "sqlite"
        assert await works(served, workspace)
        point += 1
    assert kills == point - 1 >= 6
    assert served.steps.passed[0].startswith("SELECT plan")
    assert len(served.outside.databases) == kills + 1
    assert {state for _, state in served.jobs()} == {"done"}


REFUSALS: list[Exception | HttpAnswer] = [
    answer(403, {"error": "you have reached your plan's limit of databases"}),
    answer(401, {"error": "not authenticated"}),
    answer(404, {"error": "group not found"}),
    answer(200, {"nonsense": True}),
    HttpAnswer(200, {}, b"<html>"),
    answer(500, {"error": "internal"}),
    HttpRefused("refused", sent=False),
    HttpTimeout("no answer", sent=True),
]


@pytest.mark.parametrize(
    "place", ["POST /v1/organizations/an-org/databases", "POST /v1/organizations/an-org/databases/"]
)
@pytest.mark.parametrize("fault", REFUSALS, ids=repr)
async def test_when_turso_refuses_the_workspace_starts_in_postgres(
    served: World, monkeypatch: pytest.MonkeyPatch, fault: Exception | HttpAnswer, place: str
) -> None:
    monkeypatch.setattr(openings, "OPEN_SECONDS", 0.3)
    workspace = await start(served)
    served.outside.faults = {place: fault}
    assert (await served.run()).done == 1
    assert placed(served, workspace) == ("postgres", f"postgres:{workspace}", TURSO_REFUSED)
    assert await works(served, workspace)
    (mail,) = served.mails()
    assert (mail["template"], mail["to"]) == ("operator", OPERATOR)
    assert workspace in str(mail["data"])
    assert "turso-token" not in str(mail)


async def test_slow_turso_is_not_waited_for_and_what_it_made_is_dropped(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes the database, and then takes ten seconds for the token."""
    monkeypatch.setattr(openings, "OPEN_SECONDS", 0.3)
    workspace = await start(served)
    name = database_name(workspace)
    served.outside.faults = {f"POST {DATABASES}/{name}/auth": 60.0}
    async with asyncio.timeout(30):
        assert (await served.run()).done == 1
    assert placed(served, workspace)[0] == "postgres"
    assert list(served.outside.databases) == [name]
    served.outside.faults = {}
    served.owner.run("DELETE FROM app.jobs WHERE kind = 'send_mail'")
    assert ("drop_database", "waiting") in served.jobs()
    served.owner.make_due()
    assert (await served.run()).done == 1
    assert not served.outside.databases
    assert await works(served, workspace)


async def test_a_short_outage_is_waited_out(served: World, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = await start(served)
    served.outside.faults = {"POST": answer(503, {})}
    asked = served.outside.request

    async def recovering(*args: Any, **kwargs: Any) -> HttpAnswer:
        if len(served.outside.asked) == 2:
            served.outside.faults = {}
        return await asked(*args, **kwargs)

    monkeypatch.setattr(served.outside, "request", recovering)
    assert (await served.run()).done == 1
    assert placed(served, workspace)[0] == "sqlite"


async def test_a_used_database_is_not_dropped(served: World) -> None:
    _, workspace = await served.open()
    await served.outbox.enqueue("drop_database", workspace, dedupe="x")
    assert (await served.run()).done == 1
    assert list(served.outside.databases) == [database_name(workspace)]


async def test_the_operator_is_told_once_a_day(served: World) -> None:
    served.outside.faults = {"POST": answer(403, {"error": "limit"})}
    for _ in range(3):
        await start(served)
    await served.run()
    assert len(served.mails()) == 1
    served.clock.advance(86_400)
    await start(served)
    await served.run()
    assert len(served.mails()) == 2


async def test_an_attempt_that_was_overtaken_does_not_hide_what_was_written_since(served: World) -> None:
    """A runner stalls after Turso made the database; another one, refused, opens PostgreSQL; the first goes on."""
    workspace = await start(served)
    at_token, go_on = asyncio.Event(), asyncio.Event()
    asked = served.outside.request

    async def stalling(method: str, url: str, *args: Any, **kwargs: Any) -> HttpAnswer:
        if "/auth/tokens" in url and not at_token.is_set():
            at_token.set()
            await go_on.wait()
        return await asked(method, url, *args, **kwargs)

    served.outside.request = stalling  # type: ignore[method-assign]  # the first of two runners meets it
    first = asyncio.create_task(served.run())
    await at_token.wait()
    served.owner.end_leases()
    served.outside.faults = {"POST": answer(403, {"error": "limit"})}
    assert (await served.run()).done == 1
    served.outside.faults = {}
    go_on.set()
    assert (await first).lost == 1
    assert placed(served, workspace)[0] == "postgres"
    assert ("drop_database", "waiting") in served.jobs()


async def test_a_workspace_that_is_gone_needs_no_store(served: World) -> None:
    workspace = await start(served)
    served.owner.run("DELETE FROM app.members; DELETE FROM app.workspaces")
    assert (await served.run()).done == 1
    assert not served.outside.databases
    assert served.owner.run(PLACED, workspace) == []


async def test_postgres_down_is_tried_again(served: World, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = await start(served)

    async def down(_workspace: str) -> None:
        raise Unavailable("down", part="control plane")

    monkeypatch.setattr(served.parts.stores.placements.__class__, "read", lambda _self, workspace: down(workspace))
    assert (await served.run()).again == 1
    monkeypatch.undo()
    served.owner.make_due()
    assert (await served.run()).done == 1
    assert placed(served, workspace)[0] == "sqlite"


async def test_the_database_is_there_but_refuses_a_schema(served: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration of ours that the server cannot take: whoever signs up still gets a store."""
    broken = [migrations.Migration(1, (Statement("CREATE NONSENSE"),))]
    monkeypatch.setattr(migrations, "load", lambda _dialect: broken)
    workspace = await start(served)
    assert (await served.run()).done == 1
    assert placed(served, workspace)[0] == "postgres"
