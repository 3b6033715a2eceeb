"""Calls by day, what the store holds, and the dashboard's figures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.problems import Unavailable
from declarations import KEYS_MOST
from memories.stores.postgres import PostgresStore
from tests.functions.accounts.world import World


def count(world: World, workspace: str, days_ago: int, calls: int) -> None:
    """As the sweep does."""
    statement = (
        "INSERT INTO app.usage_daily (workspace_id, day, calls) "
        "VALUES (%s, (now() AT TIME ZONE 'UTC')::date - %s::integer, %s)"
    )
    world.run(statement, workspace, days_ago, calls)


async def test_days_are_without_gaps(world: World) -> None:
    ada, eve = await world.sign_in("ada@example.com"), await world.sign_in("eve@example.com")
    for days_ago, calls in ((0, 5), (2, 7), (60, 9)):
        count(world, ada.workspace, days_ago, calls)
    count(world, eve.workspace, 0, 1000)
    body = (await world.ask("GET", "/usage?days=4", ada)).json()
    today = datetime.now(UTC).date()
    assert [day["date"] for day in body["days"]] == [str(today - timedelta(days=back)) for back in (3, 2, 1, 0)]
    assert [day["calls"] for day in body["days"]] == [0, 7, 0, 5]
    assert body["calls_today"] == 5
    assert body["calls_this_month"] == 5 + (7 if today.day > 2 else 0)
    assert len((await world.ask("GET", "/usage", ada)).json()["days"]) == 30
    for bad in ("0", "91", "x", "-1"):
        assert (await world.ask("GET", f"/usage?days={bad}", ada)).status == 400


async def test_what_the_store_holds(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    ids = []
    for number in range(3):
        body = {"type": "task", "title": f"t{number}", "content": "x" * 1000}
        answer = await world.ask("POST", "/memories", ada, body, memories=True)
        ids.append(answer.json()["id"])
    edge = {"from_memory_id": ids[0], "to_memory_id": ids[1], "relationship_type": "RELATED_TO"}
    assert (await world.ask("POST", "/relationships", ada, edge, memories=True)).status == 201
    body = (await world.ask("GET", "/usage", ada)).json()
    assert (body["memories"], body["relationships"], body["store_available"]) == (3, 1, True)
    assert 0.003 <= body["storage_used_mb"] < 0.1
    assert body["limits"]["memories"] == 100


async def test_the_dashboard(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    await world.key(ada)
    count(world, ada.workspace, 0, 12)
    body = (await world.ask("GET", "/dashboard/stats", ada)).json()
    assert body["workspace"]["id"] == ada.workspace
    del body["workspace"]
    assert body == {
        "memory_count": 0,
        "relationship_count": 0,
        "storage_used_mb": 0.0,
        "store_available": True,
        "api_calls_today": 12,
        "api_calls_this_month": 12,
        "subscription_tier": "free",
        "limits": {"calls_per_day": 1000, "calls_per_minute": 2000, "memories": 100, "storage_mb": 500},
        "keys": {"live": 1, "most": KEYS_MOST},
        "role": "owner",
    }


async def test_before_the_store_is_there_it_is_empty(world: World) -> None:
    ada = await world.sign_in("ada@example.com", store=False)
    body = (await world.ask("GET", "/dashboard/stats", ada)).json()
    assert (body["memory_count"], body["workspace"]["ready"]) == (0, False)


async def test_a_store_that_does_not_answer_leaves_the_rest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(_: PostgresStore) -> None:
        raise Unavailable("The memory store does not answer.", part="store")

    ada = await world.sign_in("ada@example.com")
    count(world, ada.workspace, 0, 3)
    monkeypatch.setattr(PostgresStore, "read_usage", down)
    answer = await world.ask("GET", "/dashboard/stats", ada)
    assert answer.status == 200
    body = answer.json()
    assert (body["memory_count"], body["storage_used_mb"], body["store_available"]) == (None, None, False)
    assert body["api_calls_today"] == 3
