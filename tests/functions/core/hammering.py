"""A process that makes calls of the workspace `w` as fast as it can: `python -m tests.functions.core.hammering`.

Environment: REDIS_URL, REDIS_TOKEN; STARTED, a unix time that all processes take for noon; CALLS, how many at most;
CALLERS, how many at a time; CAP, of its key, or empty; CREDIT, of the workspace. The plan is Free with a higher limit
of the minute, so that the day's is met. It prints that it is ready, begins when it reads a line, prints how many calls
were allowed and the size of its last grant, and ends when its input does.

It waits for Redis longer than a function does: a machine that is busy with many of these is no Redis that is down.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime

from core.adapters import redis
from core.adapters.http1 import HttpClient
from core.adapters.redis import RedisPrincipalCache
from core.adapters.redis_calls import RedisCallCounter
from core.limits import Limits
from core.limits_pool import Pool
from core.problems import TooManyRequests
from core.settings import Secret
from declarations import FREE, TEAM

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
PLAN = replace(FREE, calls_per_minute=TEAM.calls_per_minute)


class SharedClock:
    """Implements `ports.Clock`: the same for all processes, and far from the end of a day."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(NOON + time.time() - float(os.environ["STARTED"]), UTC)


async def main() -> None:
    redis.ANSWER_SECONDS = redis.CONNECT_SECONDS = 30.0
    http = HttpClient()
    cache = RedisPrincipalCache(http, os.environ["REDIS_URL"], Secret(os.environ["REDIS_TOKEN"]))
    limits = Limits(counter=RedisCallCounter(cache.redis), clock=SharedClock(), instances=10)
    cap = os.environ["CAP"]
    pool = Pool("w", "k" if cap else "", PLAN, int(cap) if cap else None, int(os.environ["CREDIT"]))
    allowed, left = 0, int(os.environ["CALLS"])

    async def caller() -> None:
        nonlocal allowed, left
        while left > 0:
            left -= 1
            try:
                await limits.spend(pool)
            except TooManyRequests:
                return
            allowed += 1
            await asyncio.sleep(0)

    print("ready", flush=True)  # noqa: T201  the answer of this program
    sys.stdin.readline()
    await asyncio.gather(*(caller() for _ in range(int(os.environ["CALLERS"]))))
    assert not pool.local, "Redis was not reachable"
    print(allowed, pool.size, flush=True)  # noqa: T201  as above
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await http.close()


if __name__ == "__main__":
    asyncio.run(main())
