"""Limits by plan: the script on a real Lua, grants and their return, windows, waiting, what callers are told."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.adapters.http1 import HttpAnswer, HttpTimeout
from core.adapters.http1_wire import HttpStale
from core.limits import GRANT_SECONDS, RETURN_SECONDS, SHUT_SECONDS, WAITING_MOST, Limits, calls_in
from core.limits_pool import GRANT_MOST, Pool
from core.ports import Ask, Principal, StoreAddress
from core.problems import TooManyRequests
from core.settings import Secret
from declarations import FREE, MIGRATION_CREDIT_CALLS, MIGRATION_CREDIT_DAYS, PLANS, PRO, TEAM, Plan
from tests.functions.twins import FakeClock
from tests.functions.upstash import FakeUpstash

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()
DAY = 86_400
INSTANCES = 10
SMALL = replace(FREE, name="small", calls_per_day=100, calls_per_minute=40)


@pytest.fixture
def clock() -> FakeClock:
    clock = FakeClock()
    clock.seconds = NOON
    return clock


@pytest.fixture
def upstash() -> FakeUpstash:
    return FakeUpstash()


class Process:
    """One process and its pool of the workspace `w`. `slept` are the waits, in seconds."""

    def __init__(
        self,
        upstash: FakeUpstash,
        clock: FakeClock,
        plan: Plan = FREE,
        *,
        cap: int | None = None,
        credit: int = 0,
    ) -> None:
        self.clock = clock
        self.slept: list[float] = []
        self.limits = Limits(
            counter=upstash.tools(clock)[1],
            clock=clock,
            instances=INSTANCES,
            monotonic=clock.monotonic,
            sleep=self._sleep,
        )
        self.pool = Pool("w", "k" if cap is not None else "", plan, cap, credit)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    async def call(self, times: int = 1) -> int:
        """How many of `times` calls were allowed before one was refused."""
        for made in range(times):
            try:
                await self.limits.spend(self.pool)
            except TooManyRequests:
                return made
        return times

    def told(self) -> dict[str, int]:
        headers = self.pool.headers(self.clock.monotonic())
        return {name.decode().removeprefix("x-ratelimit-"): int(value) for name, value in headers}


@pytest.fixture
def start(upstash: FakeUpstash, clock: FakeClock) -> Callable[..., Process]:
    def start(plan: Plan = FREE, **more: int) -> Process:
        return Process(upstash, clock, plan, **more)

    return start


def counted(upstash: FakeUpstash, day: str = "20260301") -> int:
    value = upstash.redis.get(f"calls:w:{day}")
    assert value is None or isinstance(value, str)
    return calls_in(value)


async def refused(process: Process) -> TooManyRequests:
    with pytest.raises(TooManyRequests) as caught:
        await process.limits.spend(process.pool)
    return caught.value


# Grants


async def test_grants_double_while_they_are_used_up(start: Callable[..., Process], upstash: FakeUpstash) -> None:
    busy = start(TEAM)
    sizes: list[int] = []
    for _ in range(1023 + 200):
        await busy.call()
        if not sizes or busy.pool.left == busy.pool.size - 1:
            sizes.append(busy.pool.size)
    assert sizes[:11] == [1, 2, 4, 8, 16, 32, 64, 128, GRANT_MOST, GRANT_MOST, GRANT_MOST]
    assert len(upstash.scripts) == len(sizes)


async def test_a_grant_is_at_most_a_sixteenth_of_what_is_left(start: Callable[..., Process]) -> None:
    free, left = start(), FREE.calls_per_day
    for _ in range(FREE.calls_per_day):
        await free.call()
        if free.pool.left == free.pool.size - 1:  # a new grant
            assert free.pool.size <= max(1, left / 16)
            left -= free.pool.size
    assert left == 0
    assert await free.call() == 0


async def test_the_free_day_costs_less_than_a_tenth_of_a_script_a_call(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    hot = start(replace(FREE, calls_per_minute=PRO.calls_per_minute))
    for _ in range(FREE.calls_per_day):
        assert await hot.call() == 1
        clock.advance(0.02)
    assert upstash.asked < 0.1 * FREE.calls_per_day


async def test_with_twenty_processes_nobody_is_refused_before_99_percent_are_made(
    start: Callable[..., Process], clock: FakeClock
) -> None:
    """Each call goes to any of them; what the others hold by then is all that is missing."""
    processes = [start(replace(FREE, calls_per_minute=PRO.calls_per_minute)) for _ in range(20)]
    chance, made = random.Random(1), 0
    while await chance.choice(processes).call():
        made += 1
        clock.advance(0.02)
        for process in processes:
            await process.limits.give_back(process.pool)
    assert 0.99 * FREE.calls_per_day <= made <= FREE.calls_per_day
    assert made + sum(process.pool.left for process in processes) == FREE.calls_per_day


async def test_the_ramp_starts_again_when_a_grant_was_not_used_up_in_its_life(
    start: Callable[..., Process], clock: FakeClock
) -> None:
    caller = start(TEAM)
    await caller.call(10)
    assert caller.pool.size == 8
    clock.advance(GRANT_SECONDS)
    await caller.call()
    assert caller.pool.size == 1


async def test_a_hot_key_asks_redis_for_less_than_a_tenth_of_its_calls(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    hot = start(PRO)
    for _ in range(50 * 120):  # two minutes at 50 calls a second
        await hot.call()
        clock.advance(0.02)
    assert upstash.asked < 0.1 * 50 * 120
    assert max(upstash.scripts) <= 3
    assert upstash.asked < 100  # in fact


@pytest.mark.parametrize("cap", [None, 500])
async def test_a_script_has_three_commands_at_most(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock, cap: int | None
) -> None:
    caller = start(replace(SMALL, calls_per_minute=1000), cap=cap, credit=30)
    for _ in range(150):
        await caller.call()
        clock.advance(1.3)
    assert counted(upstash) > 90
    assert max(upstash.scripts) == 3


async def test_callers_at_the_same_time_share_grants(start: Callable[..., Process], upstash: FakeUpstash) -> None:
    many = start(TEAM)
    await asyncio.gather(*(many.limits.spend(many.pool) for _ in range(100)))
    assert len(upstash.scripts) == 7  # 1 + 2 + 4 + ... + 64
    assert many.pool.left == 27


async def test_a_caller_who_goes_away_takes_the_grant_from_nobody(start: Callable[..., Process]) -> None:
    process = start()
    first, second = (asyncio.create_task(process.limits.spend(process.pool)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first


# What is not used


async def test_unused_calls_go_back_with_the_next_question(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    caller = start(TEAM)
    await caller.call(10)
    assert counted(upstash) == 15
    clock.advance(GRANT_SECONDS)
    await caller.call()
    assert counted(upstash) == 11


async def test_unused_calls_go_back_by_themselves(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    caller = start(TEAM)
    await caller.call(10)
    await caller.limits.give_back(caller.pool)  # too early: the grant may be used yet
    assert counted(upstash) == 15
    clock.advance(GRANT_SECONDS)
    await caller.limits.give_back(caller.pool)
    await caller.limits.give_back(caller.pool)
    assert counted(upstash) == 10


async def test_a_grant_has_a_timer_that_gives_it_back(start: Callable[..., Process]) -> None:
    caller = start(TEAM)
    pool = caller.pool
    await caller.call(2)
    timer = pool.returning
    assert timer is not None
    loop = asyncio.get_running_loop()
    assert timer.when() - loop.time() == pytest.approx(GRANT_SECONDS + RETURN_SECONDS, abs=1)
    await caller.call(3)
    assert timer.cancelled()


async def test_the_timer_gives_back(start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock) -> None:
    caller = start(TEAM)
    await caller.call(2)
    clock.advance(GRANT_SECONDS)
    caller.limits._return_now(caller.pool)
    await asyncio.gather(*caller.limits._returns)
    assert counted(upstash) == 2


async def test_nothing_goes_back_to_a_day_that_is_over(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    clock.advance(DAY / 2 - 1)
    caller = start(TEAM)
    await caller.call(10)
    clock.advance(1)
    await caller.limits.give_back(caller.pool)
    await caller.call()
    assert counted(upstash) == 15
    assert counted(upstash, "20260302") == 1


async def test_calls_of_yesterday_do_not_go_back_to_today(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    clock.seconds = NOON + DAY / 2 - 1
    late, early = start(TEAM), start(TEAM)
    await late.call(10)
    clock.advance(1)
    await early.call(20)
    before = counted(upstash, "20260302")
    await late.call()
    assert counted(upstash, "20260302") == before + 1


async def test_calls_that_go_back_by_themselves_do_not_go_along_with_a_question_too(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    caller = start(TEAM)
    await caller.call(10)
    clock.advance(GRANT_SECONDS)
    await asyncio.gather(caller.limits.give_back(caller.pool), caller.call())
    assert counted(upstash) == 11
    await caller.call(1)
    clock.advance(GRANT_SECONDS)
    await asyncio.gather(caller.call(), caller.limits.give_back(caller.pool))
    assert counted(upstash) == 13


async def test_what_a_lost_answer_gave_back_is_not_given_back_again(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    """The kept connection breaks after Redis did it: the question is asked again, without the return."""
    caller = start(TEAM)
    await caller.call(10)
    clock.advance(GRANT_SECONDS)
    upstash.lost = HttpStale("closed", sent=True)
    await caller.call()
    assert counted(upstash) == 12  # one grant of one call was lost
    assert caller.pool.left == 0


async def test_a_crash_costs_what_the_ramp_had_reached(start: Callable[..., Process], upstash: FakeUpstash) -> None:
    for calls in (1, 2, 5, 40, 300):
        before = counted(upstash)
        crashed = start(TEAM)
        await crashed.call(calls)
        lost = counted(upstash) - before - calls
        assert lost == crashed.pool.left < crashed.pool.size <= max(1, calls)


# The day


async def test_the_days_calls_are_all_that_is_given(start: Callable[..., Process], upstash: FakeUpstash) -> None:
    one, two = start(), start()
    made = sum([await process.call(7) for _ in range(100) for process in (one, two)])
    assert made == FREE.calls_per_day == counted(upstash)
    problem = await refused(one)
    assert problem.headers["Retry-After"] == str(DAY // 2)
    assert problem.detail == (
        "The 1,000 calls a day of the free plan are used up (1,000 made). "
        "Upgrade to pro for 100,000 a day, or wait until 00:00 UTC (43,200 seconds)."
    )
    assert one.told() == {"limit": 1000, "remaining": 0, "reset": DAY // 2}


async def test_a_refused_caller_does_not_cost_a_script_each_time(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    caller = start(replace(SMALL, calls_per_minute=1000))
    assert await caller.call(1000) == 100
    asked = upstash.asked
    for _ in range(50):
        await refused(caller)
    assert upstash.asked == asked
    clock.advance(SHUT_SECONDS)
    await refused(caller)
    assert upstash.asked == asked + 1
    assert upstash.scripts[-1] == 1


async def test_what_others_give_back_is_found(start: Callable[..., Process], clock: FakeClock) -> None:
    plan = replace(SMALL, calls_per_minute=1000)
    holder, other = start(plan), start(plan)
    await holder.call(3)
    assert holder.pool.left == 0
    holder.pool.left, held = 5, 5  # as if its grant had been larger
    assert await other.call(200) == 97
    clock.advance(GRANT_SECONDS)
    await holder.limits.give_back(holder.pool)
    assert await other.call(200) == held


async def test_the_next_day_begins_at_midnight(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    caller = start()
    assert await caller.call(2000) == 1000
    clock.seconds = NOON + DAY / 2 - 0.001
    problem = await refused(caller)
    assert problem.headers["Retry-After"] == "1"
    clock.seconds = NOON + DAY / 2
    assert await caller.call(2000) == 1000
    assert (counted(upstash), counted(upstash, "20260302")) == (1000, 1000)
    assert caller.told() == {"limit": 1000, "remaining": 0, "reset": DAY}


async def test_a_grant_is_not_used_on_the_next_day(start: Callable[..., Process], clock: FakeClock) -> None:
    clock.seconds = NOON + DAY / 2 - 1
    caller = start(TEAM)
    await caller.call(10)
    clock.advance(1)
    await caller.call()
    assert caller.pool.day == "20260302"


async def test_counters_end_by_themselves(start: Callable[..., Process], upstash: FakeUpstash) -> None:
    await start(cap=5).call()
    names = set(upstash.redis.keys()) - {"test:commands"}
    assert names == {"calls:w:20260301", "key:k:20260301"}
    assert all(2 * DAY < upstash.redis.ttl(name) <= 3 * DAY for name in names)


async def test_the_value_is_as_others_read_it(start: Callable[..., Process], upstash: FakeUpstash) -> None:
    await start().call(3)
    assert upstash.redis.get("calls:w:20260301") == "3 720 3"
    assert (calls_in("3 720 3"), calls_in("7"), calls_in(None)) == (3, 7, 0)


@pytest.mark.parametrize("planted", ["rubbish", "", "-5 1 1", "5", "5 x"])
async def test_rubbish_in_a_counter_is_no_failure(
    start: Callable[..., Process], upstash: FakeUpstash, planted: str
) -> None:
    upstash.redis.set("calls:w:20260301", planted)
    upstash.redis.set("credit:w", planted)
    assert await start().call(2000) in (1000, 995)


# The migration credit


async def test_the_credit_is_used_once_the_day_is(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    plan = replace(SMALL, calls_per_minute=10_000)
    caller = start(plan, credit=50)
    assert await caller.call(100) == 100
    assert upstash.redis.get("credit:w") is None
    assert await caller.call(20) == 20
    assert caller.told()["remaining"] == 30
    assert upstash.redis.get("credit:w") == "20"
    assert 30 * DAY < upstash.redis.ttl("credit:w") <= 31 * DAY  # as long as a workspace may have one
    clock.advance(DAY)
    assert await caller.call(1000) == 130
    clock.advance(DAY)
    assert await caller.call(1000) == 100


async def test_calls_of_the_credit_that_were_not_used_go_back_to_it(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    caller = start(replace(SMALL, calls_per_minute=10_000), credit=1000)
    assert await caller.call(110) == 110
    assert caller.pool.left > 0
    clock.advance(GRANT_SECONDS)
    await caller.limits.give_back(caller.pool)
    assert upstash.redis.get("credit:w") == "10"
    assert counted(upstash) == 110
    assert await caller.call(2000) == 990


def principal(**changes: object) -> Principal:
    values: dict[str, object] = {
        "key_id": "k",
        "account_id": "a",
        "workspace_id": "w",
        "plan": "free",
        "scopes": frozenset(),
        "store": StoreAddress("sqlite", "http://db.localhost:1", Secret("")),
    }
    return Principal(**{**values, **changes})  # type: ignore[arg-type]  # by name


async def test_only_a_new_workspace_has_a_credit(start: Callable[..., Process]) -> None:
    limits = start().limits
    assert limits.pool(principal(workspace_created=NOON - 60)).credit == MIGRATION_CREDIT_CALLS
    old = NOON - MIGRATION_CREDIT_DAYS * DAY
    assert limits.pool(principal(workspace_created=old)).credit == 0


async def test_another_plan_holds_at_once(start: Callable[..., Process]) -> None:
    process = start()
    process.pool = process.limits.pool(principal(workspace_created=1.0))
    assert await process.call(2000) == 1000
    assert process.limits.pool(principal(workspace_created=1.0, plan="pro")) is process.pool
    assert await process.call(2000) == 2000
    assert process.told()["limit"] == PRO.calls_per_day


# A key's own cap


async def test_a_key_has_a_cap_of_its_own(start: Callable[..., Process], upstash: FakeUpstash) -> None:
    capped, free = start(cap=50), start()
    assert await capped.call(100) == 50
    problem = await refused(capped)
    assert problem.detail == (
        "The 50 calls a day of this API key's own limit are used up (50 made). "
        "Use another key, raise its limit in your dashboard, or wait until 00:00 UTC."
    )
    assert problem.headers["Retry-After"] == str(DAY // 2)
    assert capped.told() == {"limit": 50, "remaining": 0, "reset": DAY // 2}
    assert await free.call(2000) == 950
    assert free.told()["limit"] == 1000
    assert upstash.redis.get("key:k:20260301") == "50"


async def test_a_cap_beyond_the_plans_limit_changes_nothing(start: Callable[..., Process]) -> None:
    capped = start(cap=5000, credit=100)
    assert await capped.call() == 1
    assert capped.told() == {"limit": 1000, "remaining": 999, "reset": DAY // 2}
    assert await capped.call(9000) == 999
    assert "free plan" in (await refused(capped)).detail


async def test_a_capped_keys_calls_go_back_to_both(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    capped = start(cap=500)
    await capped.call(4)
    clock.advance(GRANT_SECONDS)
    await capped.limits.give_back(capped.pool)
    assert (counted(upstash), upstash.redis.get("key:k:20260301")) == (4, "4")


async def test_two_capped_keys_have_two_pools(start: Callable[..., Process]) -> None:
    limits = start().limits
    pools = [
        limits.pool(principal(key_id=key, key_calls_per_day=cap)) for key, cap in (("a", 5), ("b", 6), ("c", None))
    ]
    assert len({id(pool) for pool in pools}) == 3
    assert limits.pool(principal(key_id="d")) is pools[2]


# The minute


async def test_a_call_over_the_minutes_limit_waits_for_the_next_one(
    start: Callable[..., Process], clock: FakeClock
) -> None:
    caller = start(SMALL)
    clock.advance(56)
    assert await caller.call(41) == 41
    assert caller.slept == [pytest.approx(4, abs=0.1)]
    assert clock.seconds == pytest.approx(NOON + 60, abs=0.1)


async def test_a_minute_that_is_too_far_away_is_not_waited_for(start: Callable[..., Process], clock: FakeClock) -> None:
    caller = start(SMALL)
    clock.advance(50)
    assert await caller.call(41) == 40
    problem = await refused(caller)
    assert problem.headers["Retry-After"] == "10"
    assert problem.detail == (
        "The 40 calls a minute of the small plan are used up (40 made). "
        "Upgrade to free for 2,000 a minute, or wait 10 seconds."
    )
    assert caller.slept == []
    assert caller.told()["remaining"] == 60


async def test_a_call_waits_once(start: Callable[..., Process], clock: FakeClock) -> None:
    one, two = start(SMALL), start(SMALL)
    clock.advance(58)
    await one.call(40)

    async def others_were_faster(seconds: float) -> None:
        clock.advance(seconds)
        assert await two.call(40) == 40

    one.limits.sleep = others_were_faster
    assert (await refused(one)).headers["Retry-After"] == "60"


async def test_few_calls_wait_at_a_time(start: Callable[..., Process], clock: FakeClock) -> None:
    caller = start(SMALL)
    clock.advance(58)
    await caller.call(40)
    midnight = asyncio.Event()

    async def wait(_seconds: float) -> None:
        await midnight.wait()

    caller.limits.sleep = wait
    calls = [asyncio.create_task(caller.limits.spend(caller.pool)) for _ in range(WAITING_MOST + 3)]
    done, _ = await asyncio.wait(calls, timeout=0.1)
    assert [type(call.exception()) for call in done] == [TooManyRequests] * 3
    clock.advance(2)
    midnight.set()
    await asyncio.gather(*(call for call in calls if call not in done))
    assert caller.pool.waiting == 0


async def test_the_minute_is_one_for_all_processes(start: Callable[..., Process], upstash: FakeUpstash) -> None:
    processes = [start(SMALL), start(SMALL), start(SMALL, cap=1000)]
    made = sum([await process.call(3) for _ in range(20) for process in processes])
    assert made == 40 == counted(upstash)


async def test_a_grant_is_not_used_in_the_next_minute(start: Callable[..., Process], clock: FakeClock) -> None:
    caller = start(replace(TEAM, calls_per_minute=1000))
    clock.advance(59)
    await caller.call(410)
    assert caller.pool.left > 0
    clock.advance(1)
    assert await caller.call(1000) == 1000


async def test_a_slow_clock_counts_in_the_newest_minute(upstash: FakeUpstash, clock: FakeClock) -> None:
    slow = FakeClock()
    slow.seconds = clock.seconds - 20
    ahead, behind = Process(upstash, clock, SMALL), Process(upstash, slow, SMALL)
    assert await ahead.call(30) == 30
    assert await behind.call(30) == 10


async def test_a_slow_clock_keeps_to_its_own_day(upstash: FakeUpstash, clock: FakeClock) -> None:
    clock.seconds = NOON + DAY / 2
    slow = FakeClock()
    slow.seconds = clock.seconds - 2
    ahead, behind = Process(upstash, clock), Process(upstash, slow)
    assert await ahead.call(2000) == 1000
    assert await behind.call(2000) == 1000
    slow.advance(2)
    assert await behind.call(2000) == 0


# Redis down


DOWN = {
    "silent": HttpTimeout("no answer", sent=True),
    "budget": HttpAnswer(400, {}, b'{"error":"ERR max requests limit exceeded. Limit: 500000, Usage: 500000."}'),
    "rate": HttpAnswer(429, {}, b'{"error":"Too Many Requests"}'),
    "refused": HttpAnswer(401, {}, b'{"error":"WRONGPASS"}'),
    "html": HttpAnswer(502, {}, b"<html>"),
    "number": HttpAnswer(200, {}, b'{"result":7}'),
    "short": HttpAnswer(200, {}, b'{"result":[1,"day"]}'),
    "generous": HttpAnswer(200, {}, b'{"result":[1000000,"day",0,0,0,0,0,""]}'),
    "negative": HttpAnswer(200, {}, b'{"result":[-1,"day",0,0,0,0,0,""]}'),
}


@pytest.mark.parametrize("fault", DOWN.values(), ids=DOWN.keys())
async def test_redis_down_leaves_each_process_its_part_of_the_minute(
    start: Callable[..., Process],
    upstash: FakeUpstash,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    fault: Exception | HttpAnswer,
) -> None:
    share = FREE.calls_per_minute // INSTANCES
    caller = start()
    upstash.fault = fault
    with caplog.at_level(logging.WARNING):
        assert await caller.call(1000) == share
        problem = await refused(caller)
        assert problem.headers["Retry-After"] == "60"
        assert "does not answer" in problem.detail
        assert caller.told() == {"limit": 1000, "remaining": 0, "reset": DAY // 2}
        clock.advance(60)
        assert await caller.call(150) == 150  # the next minute
        assert caller.told()["remaining"] == share - 150
        said = [record.fields for record in caplog.records if hasattr(record, "fields")]
        assert said == [{"limits": "open"}]
        upstash.fault = None
        clock.advance(GRANT_SECONDS)
        assert await caller.call(5) == 5
    said = [record.fields for record in caplog.records if hasattr(record, "fields")]
    assert said[1:] == [{"limits": "counted", "uncounted": share + 150}]
    assert counted(upstash) in (5, 6, 7)


async def test_during_an_outage_one_call_in_five_seconds_finds_out(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    upstash.fault = HttpTimeout("no answer", sent=True)
    caller = start(PRO)
    for _ in range(500):
        assert await caller.call() == 1
        clock.advance(0.1)
    assert upstash.asked <= 50 / 5 + 1


async def test_a_capped_key_is_held_to_its_part_of_the_cap_while_redis_is_down(
    start: Callable[..., Process], upstash: FakeUpstash
) -> None:
    upstash.fault = HttpTimeout("no answer", sent=True)
    assert await start(cap=50).call(100) == 5
    assert await start(cap=3).call(100) == 1


async def test_what_redis_may_have_taken_back_is_not_used(
    start: Callable[..., Process], upstash: FakeUpstash, clock: FakeClock
) -> None:
    """The question that returns calls is lost: whether they went back is not known."""
    caller = start(TEAM)
    await caller.call(10)
    clock.advance(GRANT_SECONDS)
    upstash.fault = HttpTimeout("no answer", sent=True)
    await caller.call()
    upstash.fault = None
    clock.advance(GRANT_SECONDS)
    await caller.call()
    assert counted(upstash) == 15 + 1


async def test_every_plan_has_a_way_up_but_the_last() -> None:
    for plan in PLANS.values():
        for limit in ("day", "minute"):
            pool = Pool("w", "", plan, None, 0, shut_by=limit)
            assert ("Upgrade" in pool.refusal(0.0).detail) is (plan is not TEAM)
            assert "Wait" in pool.refusal(0.0).detail or plan is not TEAM


async def test_a_question_for_no_calls_writes_nothing(upstash: FakeUpstash, clock: FakeClock) -> None:
    _, counter = upstash.tools(clock)
    ask = Ask(workspace_id="w", day="20260301", minute=1, calls_per_day=5, calls_per_minute=5, credit=0)
    taken = await counter.take(ask)
    assert taken is not None
    assert taken.granted == 0
    assert upstash.scripts == [1]
    assert upstash.redis.keys("calls:*") == []
