"""No schedule of calls, returns, crashes, lost answers and skewed clocks gives more than the limits allow."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from core.adapters.http1_wire import HttpStale
from core.limits import GRANT_SECONDS, Limits
from core.limits_pool import Pool
from core.problems import TooManyRequests
from declarations import FREE
from tests.functions.twins import FakeClock
from tests.functions.upstash import FakeUpstash

PLAN = replace(FREE, calls_per_day=1000, calls_per_minute=450)
CREDIT = 300
CAP = 250
MIDNIGHT = 1_800_057_600.0
assert MIDNIGHT % 86_400 == 0

PROCESSES = 4
"""The last one serves a key with a cap."""


@dataclass
class Process:
    limits: Limits
    pool: Pool
    clock: FakeClock


class World:
    """Processes around one Redis. `made` counts calls by process clock: `(capped, day, minute)`."""

    def __init__(self, skews: list[float], start: float) -> None:
        self.upstash = FakeUpstash()
        self.clocks = [FakeClock() for _ in skews]
        for clock, skew in zip(self.clocks, skews, strict=True):
            clock.seconds = start + skew
        self.processes = [self.process(index) for index in range(len(skews))]
        self.made: Counter[tuple[bool, int, int]] = Counter()

    def process(self, index: int) -> Process:
        clock = self.clocks[index]
        capped = index == PROCESSES - 1
        limits = Limits(
            counter=self.upstash.tools(clock)[1],
            clock=clock,
            instances=10,
            monotonic=clock.monotonic,
            sleep=self.sleep,
        )
        pool = Pool("w", "k" if capped else "", PLAN, CAP if capped else None, CREDIT)
        return Process(limits, pool, clock)

    async def sleep(self, seconds: float) -> None:
        for clock in self.clocks:
            clock.advance(seconds)

    async def call(self, index: int, times: int) -> None:
        process = self.processes[index]
        for _ in range(times):
            try:
                await process.limits.spend(process.pool)
            except TooManyRequests:
                return
            minute = int(process.clock.seconds // 60)
            self.made[index == PROCESSES - 1, minute // 1440, minute] += 1

    async def run(self, step: tuple[str, int, int]) -> None:
        kind, index, amount = step
        process = self.processes[index]
        if kind == "call":
            await self.call(index, amount)
        elif kind == "all":
            await asyncio.gather(*(self.call(index, amount) for index in range(PROCESSES) for _ in range(2)))
        elif kind == "pass":
            await self.sleep(amount / 4)
        elif kind == "return":
            await process.limits.give_back(process.pool)
        elif kind == "crash":
            self.processes[index] = self.process(index)
        elif kind == "stale":
            self.upstash.lost = HttpStale("closed", sent=True)

    def by(self, part: int, *, capped: bool | None = None) -> Counter[int]:
        sums: Counter[int] = Counter()
        for key, calls in self.made.items():
            if capped is None or key[0] is capped:
                sums[key[part]] += calls
        return sums


KINDS = st.sampled_from(["call", "call", "call", "all", "pass", "pass", "return", "crash", "stale"])
STEPS = st.lists(st.tuples(KINDS, st.integers(0, PROCESSES - 1), st.integers(1, 150)), min_size=5, max_size=40)
START = st.sampled_from([MIDNIGHT - 90, MIDNIGHT - 3, MIDNIGHT + 7200])


def check_days(world: World) -> None:
    days = world.by(1)
    assert sum(max(0, calls - PLAN.calls_per_day) for calls in days.values()) <= CREDIT
    assert all(calls <= CAP for calls in world.by(1, capped=True).values())
    assert max(world.upstash.scripts, default=0) <= 3


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, start=START)
def test_no_schedule_gives_more_than_the_limits(steps: list[tuple[str, int, int]], start: float) -> None:
    async def run() -> None:
        world = World([0.0] * PROCESSES, start)
        for step in steps:
            await world.run(step)
        check_days(world)
        assert all(calls <= PLAN.calls_per_minute for calls in world.by(2).values())

    asyncio.run(run())


@settings(max_examples=20, deadline=None)
@given(
    steps=STEPS,
    start=START,
    skews=st.lists(st.floats(-3, 3, allow_nan=False), min_size=PROCESSES, max_size=PROCESSES),
)
def test_skewed_clocks_give_no_more_a_day(steps: list[tuple[str, int, int]], start: float, skews: list[float]) -> None:
    async def run() -> None:
        world = World(skews, start)
        for step in steps:
            await world.run(step)
        check_days(world)

    asyncio.run(run())


@settings(max_examples=20, deadline=None)
@given(steps=STEPS)
def test_without_a_crash_nothing_is_lost(steps: list[tuple[str, int, int]]) -> None:
    """All that is unused goes back, so the rest of the day's calls and of the credit can be made afterwards."""

    async def run() -> None:
        world = World([0.0] * PROCESSES, MIDNIGHT + 7200)
        for step in steps:
            if step[0] not in ("crash", "stale"):
                await world.run((step[0], min(step[1], PROCESSES - 2), step[2]))
        await world.sleep(GRANT_SECONDS)
        for process in world.processes:
            await process.limits.give_back(process.pool)
        for _ in range(8):
            await world.sleep(60)
            await world.call(0, 3000)
        assert sum(world.made.values()) == PLAN.calls_per_day + CREDIT

    asyncio.run(run())
