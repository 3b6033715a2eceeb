"""Upstash as our adapters see it, over a fake Redis whose Lua is real."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import fakeredis
import orjson

from core.adapters.http1 import HttpAnswer, HttpClient
from core.adapters.redis import RedisPrincipalCache
from core.adapters.redis_calls import RedisCallCounter
from core.settings import Secret
from tests.functions.twins import FakeClock

_COUNTED = """
local real, commands = redis, 0
local redis = {call = function(...) commands = commands + 1 return real.call(...) end}
local function run()
%s
end
local answer = run()
real.call('RPUSH', 'test:commands', commands)
return answer
"""


class FakeUpstash(HttpClient):
    """Answers as Upstash does, from a fake Redis. `fault` is raised or answered instead; `lost`: done, not answered.

    `asked` counts commands that were sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.redis = fakeredis.FakeRedis(decode_responses=True)
        self.fault: Exception | HttpAnswer | None = None
        self.lost: Exception | None = None
        self.asked = 0

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float,
        connect_timeout: float = 1.0,
        retry: bool = True,
    ) -> HttpAnswer:
        assert url == "http://redis.localhost:1"
        assert headers is not None
        assert headers["Authorization"] == "Bearer token"
        assert timeout <= 2
        assert connect_timeout <= 1
        self.asked += 1
        await asyncio.sleep(0)  # others may come in between
        if isinstance(self.fault, HttpAnswer):
            return self.fault
        if self.fault:
            raise self.fault
        name, *arguments = orjson.loads(body)
        if name == "EVAL":
            arguments[0] = _COUNTED.replace("%s", arguments[0])
        execute: Any = self.redis.execute_command
        answer = HttpAnswer(200, {}, orjson.dumps({"result": execute(name, *arguments)}))
        await asyncio.sleep(0)
        if self.lost:
            fault, self.lost = self.lost, None
            if retry:  # as the real client does when a kept connection breaks
                return await self.post(
                    url, body, headers, timeout=timeout, connect_timeout=connect_timeout, retry=False
                )
            raise fault
        return answer

    @property
    def scripts(self) -> list[int]:
        """How many commands were inside of each script, in order."""
        lengths: Any = self.redis.lrange("test:commands", 0, -1)
        return [int(length) for length in lengths]

    def tools(self, clock: FakeClock) -> tuple[RedisPrincipalCache, RedisCallCounter]:
        """The cache and the counter of one process."""
        cache = RedisPrincipalCache(self, "http://redis.localhost:1", Secret("token"), monotonic=clock.monotonic)
        return cache, RedisCallCounter(cache.redis)
