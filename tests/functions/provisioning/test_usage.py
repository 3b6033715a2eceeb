"""Use: counted in Redis (the stand-in of Upstash, read by Upstash's client), measured in stores, told to owners."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import uvicorn

from core.adapters.http1 import HttpClient
from core.adapters.redis import Upstash
from core.adapters.redis_calls import RedisCallCounter
from core.ports import Ask
from core.problems import Unavailable
from core.settings import Secret
from declarations import FREE
from infra.local.cloud.vendors.redis_rest import Front
from provisioning import ceiling, counters, quotas, usage
from provisioning.counters import Counters
from tests.functions.core.answering import Reply, answering
from tests.functions.memories.samples import ANN, memory
from tests.functions.provisioning.world import OPERATOR, World

DAY = date(2026, 11, 18)
WORKSPACE = "00000000-0000-4000-8000-000000000001"


class Upstashed:
    """The stand-in of Upstash, and what it holds."""

    def __init__(self, front: Front, url: str) -> None:
        self.redis = front._redis
        self.url = url
        self.counters = Counters(url, Secret("token"))

    def count(self, workspace: str, day: date, calls: object) -> None:
        self.redis.set(f"calls:{workspace}:{day:%Y%m%d}", f"{calls} 17 3")


@pytest.fixture
async def upstash() -> AsyncIterator[Upstashed]:
    front = Front("token", "reader")
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(front.application(), lifespan="off", log_level="warning"))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    found = Upstashed(front, f"http://127.0.0.1:{listening.getsockname()[1]}")
    yield found
    await found.counters.close()
    server.should_exit = True
    await task


@pytest.fixture
async def world(served: World, upstash: Upstashed) -> World:
    object.__setattr__(served.parts, "counters", upstash.counters)
    served.clock.seconds = datetime(2026, 11, 18, 12, tzinfo=UTC).timestamp()
    return served


def used(world: World) -> list[tuple[Any, ...]]:
    return world.owner.run("SELECT workspace_id::text, day, calls FROM app.usage_daily ORDER BY day, calls")


# Counters


async def test_counters_are_those_that_admission_writes(upstash: Upstashed) -> None:
    http = HttpClient()
    counter = RedisCallCounter(Upstash(http, upstash.url, Secret("token")))
    taken = await counter.take(
        Ask(
            workspace_id=WORKSPACE, day="20261118", minute=5, calls_per_day=1000, calls_per_minute=100, credit=0, want=7
        )
    )
    await http.close()
    assert taken
    assert taken.granted
    assert await upstash.counters.read([WORKSPACE], DAY) == {WORKSPACE: taken.granted}


async def test_a_page_is_one_command(upstash: Upstashed) -> None:
    upstash.count("a", DAY, 5)
    upstash.count("b", DAY - timedelta(days=1), 6)
    upstash.count("c", DAY, 7)
    assert await upstash.counters.read(["a", "b", "c", "d"], DAY) == {"a": 5, "c": 7}


@pytest.mark.parametrize("value", ["", "x", "-4", "1e3", "9" * 40, "9" * 6000, "0"])
async def test_what_is_no_count_is_left_out(upstash: Upstashed, value: str) -> None:
    upstash.count("a", DAY, value)
    upstash.count("b", DAY, 3)
    assert await upstash.counters.read(["a", "b"], DAY) == {"b": 3}


NONSENSE: list[Reply] = [
    (200, {}, b"<html>"),
    (200, {}, b"[]"),
    (200, {}, b'{"result": "text"}'),
    (200, {}, b'{"result": ["MQ==", "MQ=="]}'),
    (200, {}, b'{"result": {"a": 1}}'),
    (200, {}, b"null"),
    (401, {}, b'{"error": "Unauthorized"}'),
    (500, {}, b""),
    b"HTTP/1.1 999\r\n\r\n",
    b"",
    None,
]


@pytest.mark.parametrize("reply", NONSENSE, ids=repr)
async def test_redis_that_is_silent_or_talks_nonsense(monkeypatch: pytest.MonkeyPatch, reply: Reply) -> None:
    monkeypatch.setattr(counters, "ANSWER_SECONDS", 0.2)
    async with answering() as told:
        told.reply = lambda _sent: reply
        counted = Counters(told.url, Secret("token"))
        with pytest.raises(Unavailable, match="Redis") as caught:
            await counted.read(["a"], DAY)
        await counted.close()
        assert len(told.sent) == 1, "it is not asked again"
        assert "upstash-telemetry-sdk" not in told.sent[0].headers
    assert "token" not in str(caught.value)


async def test_redis_that_is_not_there(unused_tcp_port: int) -> None:
    counted = Counters(f"http://127.0.0.1:{unused_tcp_port}", Secret("token"))
    with pytest.raises(Unavailable):
        await counted.read(["a"], DAY)
    await counted.close()


# Roll-up


async def test_rolling_up_twice_counts_once(world: World, upstash: Upstashed) -> None:
    _, one = world.new_workspace()
    _, other = world.new_workspace()
    upstash.count(one, DAY, 5)
    for calls in (7, 7, 9):
        upstash.count(other, DAY, calls)
        assert await usage.roll_up(world.parts) == 2
    assert used(world) == [(one, DAY, 5), (other, DAY, 9)]


async def test_a_counter_that_was_lost_takes_nothing_back(world: World, upstash: Upstashed) -> None:
    _, one = world.new_workspace()
    upstash.count(one, DAY, 5)
    await usage.roll_up(world.parts)
    upstash.redis.flushall()
    upstash.count(one, DAY, 1)
    await usage.roll_up(world.parts)
    assert used(world) == [(one, DAY, 5)]


async def test_many_pages(world: World, upstash: Upstashed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "PAGE", 2)
    for number in range(5):
        upstash.count(world.new_workspace()[1], DAY, number + 1)
    assert await usage.roll_up(world.parts) == 5
    assert [row[2] for row in used(world)] == [1, 2, 3, 4, 5]


async def test_a_day_is_counted_until_it_has_settled(world: World, upstash: Upstashed) -> None:
    """Also when no sweep came for a day: Redis keeps its counters for three."""
    _, one = world.new_workspace()
    upstash.count(one, DAY, 5)
    await usage.roll_up(world.parts)
    upstash.count(one, DAY, 50)  # in the last seconds of the day
    world.clock.seconds = datetime(2026, 11, 19, 0, 30, tzinfo=UTC).timestamp()
    await usage.roll_up(world.parts)
    upstash.count(one, DAY, 49)
    upstash.count(one, DAY, 55)
    world.clock.seconds = datetime(2026, 11, 19, 1, 0, tzinfo=UTC).timestamp()
    await usage.roll_up(world.parts)
    upstash.count(one, DAY, 99)
    await usage.roll_up(world.parts)
    assert used(world) == [(one, DAY, 55)]
    late = DAY + timedelta(days=1)
    upstash.count(one, late, 3)
    world.clock.seconds = datetime(2026, 11, 21, 5, tzinfo=UTC).timestamp()
    await usage.roll_up(world.parts)
    assert used(world) == [(one, DAY, 55), (one, late, 3)]


async def test_a_page_that_cannot_be_read_closes_no_day(
    world: World, upstash: Upstashed, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, one = world.new_workspace()
    upstash.count(one, DAY, 5)
    world.clock.seconds = datetime(2026, 11, 19, 2, tzinfo=UTC).timestamp()

    async def down(_workspaces: Any, _day: date) -> dict[str, int]:
        raise Unavailable("down", part="redis")

    with monkeypatch.context() as patch:
        patch.setattr(upstash.counters, "read", down)
        with pytest.raises(Unavailable):
            await usage.roll_up(world.parts)
    await usage.roll_up(world.parts)
    assert used(world) == [(one, DAY, 5)]


async def test_closed_workspaces_are_not_asked_about(world: World, upstash: Upstashed) -> None:
    _, one = world.new_workspace()
    world.owner.run("UPDATE app.workspaces SET closed_at = now()")
    upstash.count(one, DAY, 5)
    assert await usage.roll_up(world.parts) == 0


async def test_what_accounts_reads(world: World, upstash: Upstashed) -> None:
    _, one = world.new_workspace()
    today = datetime.now(UTC).date()
    world.clock.seconds = datetime.now(UTC).timestamp()
    upstash.count(one, today, 5)
    await usage.roll_up(world.parts)
    assert world.owner.run("SELECT day, calls FROM app.usage_of(%s, 30)", one) == [(today, 5)]
    assert world.owner.run("SELECT day, calls FROM app.usage_of(%s, 0)", one) == []


# Measures


@pytest.mark.parametrize("plan", ["free", "pro"])
async def test_stores_that_were_called_are_measured(world: World, upstash: Upstashed, plan: str) -> None:
    _, one = await world.open(plan)
    await world.open(plan)  # nobody calls it
    if plan == "free":
        placement = await world.parts.stores.placements.read(one)
        assert placement
        store = world.parts.contents.open(world.parts.stores.address(one, placement))
        await store.put(memory("1", title="abc", content="12345"), ANN)
    upstash.count(one, DAY, 5)
    await usage.roll_up(world.parts)
    assert await usage.measure(world.parts) == 1
    ((memories, size),) = world.owner.run("SELECT memories, bytes FROM app.usage_daily")
    assert (memories, size > 8) == ((1, True) if plan == "free" else (0, False))
    assert await usage.measure(world.parts) == 0
    upstash.count(one, DAY, 6)
    await usage.roll_up(world.parts)
    assert await usage.measure(world.parts) == 0, "not so soon"
    world.owner.run("UPDATE app.usage_daily SET measured_at = now() - interval '16 minutes'")
    assert await usage.measure(world.parts) == 1


async def test_a_store_that_cannot_be_measured_stops_no_other(world: World, upstash: Upstashed) -> None:
    _, broken = await world.open()
    _, whole = await world.open()
    world.owner.run("UPDATE app.workspaces SET store_token = 'eA==' WHERE id = %s", broken)
    for workspace in (broken, whole):
        upstash.count(workspace, DAY, 5)
    await usage.roll_up(world.parts)
    assert await usage.measure(world.parts) == 1
    rows = world.owner.run("SELECT workspace_id::text FROM app.usage_daily WHERE measured_at IS NOT NULL")
    assert rows == [(whole,)]


# Quotas


def use(world: World, workspace: str, *, calls: int = 0, memories: int = 0, size: int = 0) -> None:
    world.owner.run(
        "INSERT INTO app.usage_daily (workspace_id, day, calls, memories, bytes) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (workspace_id, day) DO UPDATE"
        " SET calls = excluded.calls, memories = excluded.memories, bytes = excluded.bytes",
        workspace,
        world.clock.now().date(),
        calls,
        memories,
        size,
    )


def told(world: World) -> list[tuple[str, str]]:
    """The mails since the last time: which, and about what."""
    found = [(mail["template"], mail["data"]["what"]) for mail in world.mails()]
    world.owner.run("DELETE FROM app.jobs")
    return found


async def test_owners_are_told_once_for_each_crossing(world: World) -> None:
    _, one = world.new_workspace()
    for memories, expected in [
        (79, []),
        (80, [("quota_80", "memories")]),
        (95, []),
        (100, [("quota_100", "memories")]),
        (100, []),
        (96, []),  # still near: no news
        (100, []),
        (94, []),
        (100, [("quota_100", "memories")]),
        (10, []),
        (85, [("quota_80", "memories")]),
    ]:
        use(world, one, memories=memories)
        await quotas.tell_owners(world.parts)
        assert told(world) == expected, memories


async def test_a_jump_is_one_mail(world: World) -> None:
    _, one = world.new_workspace()
    use(world, one, memories=130)
    assert await quotas.tell_owners(world.parts) == 1
    (mail,) = world.mails()
    assert (mail["template"], mail["to"]) == ("quota_100", "ada@example.test")
    assert (mail["data"]["used"], mail["data"]["most"], mail["data"]["workspace"]) == ("130", "100", "Notes")


async def test_calls_are_of_a_day(world: World) -> None:
    _, one = world.new_workspace()
    for _ in range(2):
        use(world, one, calls=FREE.calls_per_day)
        await quotas.tell_owners(world.parts)
        await quotas.tell_owners(world.parts)
        assert told(world) == [("quota_100", "calls of today")]
        world.clock.advance(86_400)


async def test_bytes_and_what_the_plan_does_not_limit(world: World) -> None:
    _, team = world.new_workspace("team")
    _, free = world.new_workspace("free")
    use(world, team, memories=10**7, size=10**9)
    use(world, free, size=450_000_000)
    await quotas.tell_owners(world.parts)
    assert told(world) == [("quota_80", "megabytes of storage")]


async def test_who_has_no_address_is_not_written_to(world: World) -> None:
    """An account that the operator opened."""
    _, one = world.new_workspace()
    world.owner.run("UPDATE app.accounts SET email = NULL")
    use(world, one, memories=100)
    await quotas.tell_owners(world.parts)
    assert told(world) == []


async def test_quota_mails_can_be_written(world: World) -> None:
    from provisioning import letters

    _, one = world.new_workspace()
    use(world, one, memories=100, calls=900, size=10**9)
    await quotas.tell_owners(world.parts)
    for mail in world.mails():
        assert letters.write(mail["template"], mail["data"], "https://example.test").text


async def test_old_marks_are_forgotten(world: World) -> None:
    _, one = world.new_workspace()
    use(world, one, calls=1000, memories=100)
    await quotas.tell_owners(world.parts)
    world.owner.run("UPDATE app.quota_marks SET told_at = now() - interval '8 days'")
    await world.parts.ledger.forget_marks(7)
    assert {row[0] for row in world.owner.run("SELECT what FROM app.quota_marks")} == {"memories"}


# Turso's ceiling


async def test_the_operator_is_told_before_databases_run_out(world: World) -> None:
    def databases(count: int) -> None:
        world.owner.run("DELETE FROM app.workspaces")
        world.owner.run(
            "INSERT INTO app.workspaces (id, name, plan, store_url, store_token)"
            " SELECT gen_random_uuid(), 'n', 'free', 'http://x', 't' FROM generate_series(1, %s)",
            count,
        )

    for count, mails in [(79, 0), (80, 1), (90, 0), (95, 1), (100, 0), (91, 0), (95, 0), (70, 0), (100, 2)]:
        databases(count)
        assert await ceiling.watch_ceiling(world.parts) == count
        found = world.mails()
        assert len(found) == mails, count
        assert all(mail["to"] == OPERATOR for mail in found)
        world.owner.run("DELETE FROM app.jobs")
