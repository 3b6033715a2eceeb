"""The shared cache over Upstash's REST API: the script on a real Lua, and what happens when Redis is down."""

from __future__ import annotations

import logging

import pytest

from core.adapters.http1 import HttpAnswer, HttpTimeout
from core.adapters.redis import SKIP_SECONDS, RedisPrincipalCache
from core.settings import Secret
from tests.functions.twins import FakeClock
from tests.functions.upstash import FakeUpstash


@pytest.fixture
def upstash() -> FakeUpstash:
    return FakeUpstash()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(upstash: FakeUpstash, clock: FakeClock) -> RedisPrincipalCache:
    return RedisPrincipalCache(upstash, "http://redis.localhost:1", Secret("token"), monotonic=clock.monotonic)


FAULTS = [
    HttpTimeout("no answer", sent=True),
    HttpAnswer(401, {}, b'{"error":"WRONGPASS"}'),
    HttpAnswer(400, {}, b'{"error":"ERR"}'),
    HttpAnswer(502, {}, b"<html>"),
    HttpAnswer(200, {}, b"[]"),
]


async def test_round_trip_and_end(cache: RedisPrincipalCache, upstash: FakeUpstash) -> None:
    assert await cache.get("abc") is None
    await cache.put("abc", 3, b"\x00entry\xff", 55.0)
    assert await cache.get("abc") == b"\x00entry\xff"
    assert 0 < upstash.redis.pttl("principal:abc") <= 55_000


async def test_an_older_version_is_refused(cache: RedisPrincipalCache) -> None:
    await cache.put("abc", 10, b"newer", 55.0)
    await cache.put("abc", 9, b"older", 55.0)
    assert await cache.get("abc") == b"newer"
    await cache.put("abc", 10, b"same", 55.0)
    assert await cache.get("abc") == b"same"


async def test_a_tombstone_voids_older_entries_and_fills(cache: RedisPrincipalCache, upstash: FakeUpstash) -> None:
    await cache.put("abc", 3, b"entry", 55.0)
    assert await cache.void("abc", 4)
    assert await cache.get("abc") is None
    await cache.put("abc", 3, b"late", 55.0)
    assert await cache.get("abc") is None
    assert 55_000 < upstash.redis.pttl("principal:abc") <= 120_000
    await cache.put("abc", 4, b"current", 55.0)
    assert await cache.get("abc") == b"current"


@pytest.mark.parametrize("planted", ["rubbish", "9:***", "", "x:eA=="])
async def test_rubbish_is_a_miss_and_is_overwritten(
    cache: RedisPrincipalCache, upstash: FakeUpstash, planted: str
) -> None:
    upstash.redis.set("principal:abc", planted)
    await cache.get("abc")
    await cache.put("abc", 10, b"entry", 55.0)
    assert await cache.get("abc") == b"entry"


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_down_is_skipped_logged_once_and_found_again(
    cache: RedisPrincipalCache,
    upstash: FakeUpstash,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    fault: Exception | HttpAnswer,
) -> None:
    await cache.put("abc", 1, b"entry", 55.0)
    upstash.fault = fault
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await cache.get("abc") is None
            await cache.put("abc", 1, b"entry", 55.0)
        assert upstash.asked == 2  # one put before, and the one call that found out
        clock.advance(SKIP_SECONDS)
        assert await cache.get("abc") is None
        assert upstash.asked == 3
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        upstash.fault = None
        clock.advance(SKIP_SECONDS)
        assert await cache.get("abc") == b"entry"
    assert caplog.records[-1].message == "Redis answers again."
    assert "token" not in caplog.text


async def test_a_tombstone_that_did_not_arrive_is_told(cache: RedisPrincipalCache, upstash: FakeUpstash) -> None:
    upstash.fault = HttpTimeout("no answer", sent=True)
    await cache.get("abc")
    assert not await cache.void("abc", 2)
    upstash.fault = None
    assert await cache.void("abc", 2)  # tried even while look-ups skip Redis
