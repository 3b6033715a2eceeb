"""How many calls a workspace may make, at the cost of few questions to Redis.

A process holds a grant of calls for each workspace (for each key that has a cap of its own). The first grant is one
call. It doubles, up to a share of what is left, only while the last one was used up within its life of five seconds;
so a caller who is idle longer costs one script a call, and a busy one hardly any. A grant ends with the minute, so that
no call is made in another minute, or day, than the one that counts it. Calls of an ended grant that were not used go
back with the next question, or by themselves a second later; never once their day is over, and to the minute only while
it lasts. A process that dies loses what it holds: at most what its grants had grown to.

Days and minutes are UTC. A call beyond the minute's limit waits for the next minute when that is near enough; few at a
time, so that one workspace cannot fill a process with waiting calls. Every call with a good credential counts, whatever
becomes of it.

Redis failing: calls go on, limited by each process to its part of the minute's limit; nobody counts the day's. One log
line says so (`limits: open`), another how many calls it were (`limits: counted`).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from core.leases import Leases
from core.limits_pool import GRANT_MOST, Pool
from core.logs import LOGGER
from core.ports import CallCounter, Clock, Fill, Principal, Taken
from declarations import FREE, MIGRATION_CREDIT_CALLS, MIGRATION_CREDIT_DAYS, MINUTE_WAIT_SECONDS, PLANS

GRANT_SECONDS = 5.0
RETURN_SECONDS = 1.0
"""How long after its end a grant waits for a question to go along with."""
SHUT_SECONDS = 5.0
"""How long a process believes that a day's calls are used up: other processes may give some back."""
WAITING_MOST = 16
"""Calls of one workspace that wait for the next minute, in one process."""
EARLY_SECONDS = 0.02
"""Timers may ring a little early."""
POOLS = 10_000
POOL_SECONDS = 3600.0
OPEN_PARTS = 10
"""Grants into which a process divides its part of a minute while Redis does not answer."""


@dataclass(kw_only=True)
class Limits:
    """The limits of one process. Belongs to one event loop.

    Args:
        instances: how many processes there may be at once.
    """

    counter: CallCounter
    clock: Clock
    instances: int
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    _pools: Leases[Pool] = field(init=False)
    _returns: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _uncounted: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._pools = Leases(POOLS, self.monotonic)

    def pool(self, principal: Principal) -> Pool:
        """Where the calls of `principal` come from, with its limits of today."""
        cap = principal.key_calls_per_day
        plan = PLANS.get(principal.plan, FREE)
        created = principal.workspace_created  # 0: another release wrote the record, and did not know
        is_new = not created or self.clock.now().timestamp() - created < MIGRATION_CREDIT_DAYS * 86_400
        credit = MIGRATION_CREDIT_CALLS if is_new else 0
        key_id = "" if cap is None else principal.key_id
        name = f"{principal.workspace_id} {key_id}"
        pool = self._pools.get(name)
        if pool is None:
            pool = Pool(principal.workspace_id, key_id, plan, cap, credit)
        elif (pool.plan, pool.cap) != (plan, cap):
            pool.shut_until = 0.0
        pool.plan, pool.cap, pool.credit = plan, cap, credit
        self._pools.put(name, pool, self.monotonic() + POOL_SECONDS)
        return pool

    async def spend(self, pool: Pool) -> None:
        """Make one call, or wait for it.

        Raises:
            TooManyRequests: the calls of the day, of the minute, or of the key's own cap are used up.
        """
        waited = False
        while not pool.spend(now := self.monotonic()):
            if now < pool.shut_until:
                if pool.shut_by != "minute" or waited:
                    raise pool.refusal(now)
                await self._wait(pool, now)
                waited = True
            else:
                # Shielded: a caller who goes away must not take the grant from the others.
                await asyncio.shield(pool.taking or self._start(pool))

    async def take(self, pool: Pool, name: str, fill: Fill | None) -> Taken | None:
        """Ask Redis for a key's entry in the shared cache, or fill it; and on the way for calls, if there are none."""
        now = self.monotonic()
        if pool.taking is None and now >= pool.shut_until and not (pool.left > 0 and now < pool.ends):
            return await asyncio.shield(self._start(pool, name, fill))
        return await self.counter.take(replace(pool.ask(self.clock.now()), name=name, fill=fill))

    async def give_back(self, pool: Pool) -> None:
        """Return what is left of an ended grant. Does nothing while it may be used, or goes back with a question."""
        if pool.taking is not None or pool.local or pool.left <= 0 or self.monotonic() < pool.ends:
            return
        ask = pool.ask(self.clock.now())
        if ask.day == pool.day:
            ask = replace(ask, back=pool.left, back_minute=pool.minute)
            pool.left = 0
            await self.counter.take(ask)

    def _start(self, pool: Pool, name: str = "", fill: Fill | None = None) -> asyncio.Task[Taken | None]:
        pool.taking = asyncio.get_running_loop().create_task(self._take(pool, name, fill))
        return pool.taking

    async def _take(self, pool: Pool, name: str, fill: Fill | None) -> Taken | None:
        try:
            now, moment = self.monotonic(), self.clock.now()
            ask = pool.ask(moment)
            used_up = pool.size > 0 and pool.left == 0 and now < pool.ends
            want = min(GRANT_MOST, 2 * pool.size) if used_up else 1
            if pool.local:
                self._unopen(pool)
            back = pool.left if ask.day == pool.day else 0
            ask = replace(ask, want=want, back=back, back_minute=pool.minute, name=name, fill=fill)
            # Now, not with the answer: when that is lost, nobody knows whether the calls went back.
            pool.left, pool.day, pool.minute = 0, ask.day, ask.minute
            pool.set_windows(now, moment)
            taken = await self.counter.take(ask)
            if taken is None:
                self._open(pool)
            else:
                self._close(pool, taken, now)
            return taken
        finally:
            pool.taking = None

    def _close(self, pool: Pool, taken: Taken, now: float) -> None:
        """Redis gave what it gave; `now` is when it was asked."""
        if self._uncounted is not None:
            LOGGER.warning(
                "Redis counts calls again; %d were not counted.",
                self._uncounted,
                extra={"fields": {"limits": "counted", "uncounted": self._uncounted}},
            )
            self._uncounted = None
        pool.local = False
        pool.size = pool.left = taken.granted
        pool.ends = min(now + GRANT_SECONDS, pool.minute_ends)
        pool.remaining = pool.remaining_after(taken)
        if not taken.granted:
            pool.shut_by = taken.limit
            pool.used = {"key": taken.key_calls, "minute": taken.minute_calls}.get(taken.limit, taken.calls)
            pool.shut_until = pool.minute_ends if taken.limit == "minute" else min(now + SHUT_SECONDS, pool.day_ends)
        elif taken.granted > 1:
            self._return_later(pool, pool.ends - now + RETURN_SECONDS)

    def _open(self, pool: Pool) -> None:
        """Redis does not answer: some of this process's part of the minute."""
        if self._uncounted is None:
            LOGGER.error(
                "Redis counts no calls: until it does, each process allows its part of the minute's limit.",
                extra={"fields": {"limits": "open"}},
            )
            self._uncounted = 0
        now, moment = self.monotonic(), self.clock.now()
        pool.set_windows(now, moment)
        minute = math.floor(moment.timestamp() / 60)
        if minute != pool.open_minute:
            pool.open_minute, pool.open_calls = minute, 0
        most = pool.plan.calls_per_minute if pool.cap is None else min(pool.plan.calls_per_minute, pool.cap)
        share = max(1, most // self.instances)
        granted = max(0, min(share - pool.open_calls, math.ceil(share / OPEN_PARTS)))
        self._uncounted += granted
        pool.open_calls += granted
        pool.local, pool.size, pool.left = True, 0, granted
        pool.remaining = share - pool.open_calls
        pool.ends = min(now + GRANT_SECONDS, pool.minute_ends)
        if not granted:
            pool.shut_by, pool.used = "minute", pool.open_calls
            pool.shut_until = min(now + SHUT_SECONDS, pool.minute_ends)

    def _unopen(self, pool: Pool) -> None:
        """Forget what is left of a grant that Redis knows nothing of."""
        pool.open_calls -= pool.left
        if self._uncounted is not None:
            self._uncounted -= pool.left
        pool.left, pool.local = 0, False

    def _return_later(self, pool: Pool, seconds: float) -> None:
        if pool.returning is not None:
            pool.returning.cancel()
        pool.returning = asyncio.get_running_loop().call_later(seconds, self._return_now, pool)

    def _return_now(self, pool: Pool) -> None:
        pool.returning = None
        task = asyncio.get_running_loop().create_task(self.give_back(pool))
        self._returns.add(task)
        task.add_done_callback(self._returns.discard)

    async def _wait(self, pool: Pool, now: float) -> None:
        """Wait for the next minute.

        Raises:
            TooManyRequests: it is too far away, or enough calls wait.
        """
        seconds = pool.minute_ends - now
        if seconds > MINUTE_WAIT_SECONDS or pool.waiting >= WAITING_MOST:
            raise pool.refusal(now)
        pool.waiting += 1
        try:
            await self.sleep(seconds + EARLY_SECONDS)
        finally:
            pool.waiting -= 1


def calls_in(value: str | None) -> int:
    """The day's calls of a workspace, from the value of `calls:WORKSPACE:YYYYMMDD` in Redis."""
    return int(value.partition(" ")[0]) if value else 0
