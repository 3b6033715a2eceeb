"""How much a workspace has used: calls by day, and what its store holds now."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, timedelta

from accounts.ports import Accounts, Today
from core.ports import Clock, Principal
from core.problems import Unavailable
from memories.ports import Stores
from memories.quotas import Usage as Held

MONTH_DAYS = 31


@dataclass(frozen=True, slots=True)
class Usage:
    """`days`: each, oldest first, today last. `held` is None when the store does not answer."""

    days: list[tuple[date, int]]
    today: int
    this_month: int
    held: Held | None


class UsageService:
    """One for the process; each call says whose use it is about. Calls of the running day are those that the last
    sweep found, or more when they can be told at once."""

    def __init__(self, directory: Accounts, stores: Stores, clock: Clock, today: Today) -> None:
        self._directory = directory
        self._stores = stores
        self._clock = clock
        self._today = today

    async def read(self, caller: Principal, days: int) -> Usage:
        """The last `days` days in UTC, with today. A store that does not answer leaves the rest as it is."""
        today = self._clock.now().astimezone(UTC).date()
        counted, running, held = await asyncio.gather(
            self._directory.calls(caller.workspace_id, max(days, MONTH_DAYS)),
            self._today.calls(caller.workspace_id, today),
            self._held(caller),
        )
        by_day = dict(counted)
        by_day[today] = max(by_day.get(today, 0), running or 0)
        shown = [today - timedelta(days=back) for back in reversed(range(days))]
        return Usage(
            days=[(day, by_day.get(day, 0)) for day in shown],
            today=by_day[today],
            this_month=sum(
                calls for day, calls in by_day.items() if (day.year, day.month) == (today.year, today.month)
            ),
            held=held,
        )

    async def _held(self, caller: Principal) -> Held | None:
        if not caller.store.url:
            return Held(0, 0, 0)  # it is being made
        try:
            return await self._stores.open(caller.store).read_usage()
        except Unavailable as problem:
            if problem.stale_address:
                raise  # `core.http` asks again with the new one
            return None
