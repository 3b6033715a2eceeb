"""The calls of the running day, from where admission counts them: one command of Redis, not waited for."""

from __future__ import annotations

import asyncio
from datetime import date

from core.ports import Ask, CallCounter

ANSWER_SECONDS = 0.3
"""The sweep's figure, five minutes old at most, is good enough to not keep a dashboard waiting."""


class CountedToday:
    """Implements `ports.Today`. What processes hold for the next seconds is among the calls."""

    def __init__(self, counter: CallCounter) -> None:
        self._counter = counter

    async def calls(self, workspace_id: str, day: date) -> int | None:
        nothing = Ask(
            workspace_id=workspace_id, day=f"{day:%Y%m%d}", minute=0, calls_per_day=0, calls_per_minute=0, credit=0
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                taken = await self._counter.take(nothing)
        except TimeoutError:
            return None
        return None if taken is None else taken.calls
