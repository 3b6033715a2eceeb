"""The counters of calls in Upstash Redis, read with Upstash's own client.

    calls:WORKSPACE:YYYYMMDD   ->   see core/adapters/redis_calls.py, which keeps them for three days (UTC)

The client has no timeout and tries again after three seconds (reference/services.md, section 3): here it has ours and
does not. It is imported at the first use, for 120 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from core.limits import calls_in
from core.problems import Unavailable
from core.settings import Secret
from core.urls import resolved

if TYPE_CHECKING:
    from upstash_redis.asyncio import Redis

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 5.0
MOST = 1 << 53
"""More is no count."""


class Counters:
    """Belongs to one event loop; connects when first asked."""

    def __init__(self, url: str, token: Secret) -> None:
        self._url = url
        self._token = token
        self._redis: Redis | None = None

    async def read(self, workspaces: Sequence[str], day: date) -> dict[str, int]:
        """Calls of each workspace on a day, those that had any: one command.

        A counter that is no whole number is left out: nothing that is true can be said of it.

        Raises:
            Unavailable: no answer in time, or none that makes sense.
        """
        names = [f"calls:{workspace}:{day:%Y%m%d}" for workspace in workspaces]
        try:
            async with asyncio.timeout(CONNECT_SECONDS + ANSWER_SECONDS):
                found = await self._client().mget(*names)
        except TimeoutError:
            raise _unavailable("no answer in time") from None
        except Exception as error:  # it raises whatever an answer makes of its code
            raise _unavailable(type(error).__name__) from error
        if not isinstance(found, list) or len(found) != len(names):
            raise _unavailable("an answer of another size")
        counts = ((workspace, _count(value)) for workspace, value in zip(workspaces, found, strict=True))
        return {workspace: count for workspace, count in counts if count}

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.close()

    def _client(self) -> Redis:
        if self._redis is None:
            import httpx
            from upstash_redis.asyncio import Redis

            self._redis = Redis(resolved(self._url), self._token.reveal(), rest_retries=0, allow_telemetry=False)
            self._redis._http._client.timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        return self._redis


def _count(value: object) -> int | None:
    try:
        count = calls_in(value) if isinstance(value, str) else 0
    except ValueError:
        return None
    return count if 0 < count <= MOST else None


def _unavailable(reason: str) -> Unavailable:
    return Unavailable(f"Redis does not tell its counters: {reason}.", part="redis")
