"""Calls of today are as fresh as Redis tells them, and as the sweep did when it does not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from accounts.usage import today
from accounts.usage.today import CountedToday
from core.ports import Ask, Taken
from tests.functions.accounts.test_usage import count
from tests.functions.accounts.world import World
from tests.functions.twins import FakeClock
from tests.functions.upstash import FakeUpstash


async def test_it_is_what_admission_counted_and_costs_one_command() -> None:
    clock, upstash = FakeClock(), FakeUpstash()
    counter = upstash.tools(clock)[1]
    told = CountedToday(counter)
    day = clock.now().date()
    assert await told.calls("w", day) == 0
    taken = await counter.take(
        Ask(workspace_id="w", day=f"{day:%Y%m%d}", minute=7, calls_per_day=100, calls_per_minute=50, credit=0, want=1)
    )
    assert taken is not None
    assert taken.granted == 1
    assert await told.calls("w", day) == 1
    assert await told.calls("another", day) == 0
    assert upstash.scripts[-2:] == [1, 1]  # the look-up, and no write


async def test_redis_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        async def take(self, _ask: Ask) -> Taken | None:
            await asyncio.Event().wait()
            raise AssertionError

    class Down:
        async def take(self, _ask: Ask) -> Taken | None:
            return None

    monkeypatch.setattr(today, "ANSWER_SECONDS", 0.0)
    day = datetime(2026, 11, 18, tzinfo=UTC).date()
    assert await CountedToday(Silent()).calls("w", day) is None
    assert await CountedToday(Down()).calls("w", day) is None


async def test_the_dashboard_shows_the_newer_figure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await world.sign_in("ada@example.com")
    count(world, ada.workspace, 0, 12)
    told: list[int | None] = []

    async def calls(_self: CountedToday, workspace: str, day: object) -> int | None:
        assert (workspace, day) == (ada.workspace, datetime.now(UTC).date())
        return told[-1]

    monkeypatch.setattr(CountedToday, "calls", calls)
    for counted, shown in ((40, 40), (None, 12), (3, 12)):
        told.append(counted)
        body = (await world.ask("GET", "/dashboard/stats", ada)).json()
        assert (body["api_calls_today"], body["api_calls_this_month"]) == (shown, shown)
        usage = (await world.ask("GET", "/usage?days=2", ada)).json()
        assert (usage["calls_today"], usage["days"][-1]["calls"]) == (shown, shown)
