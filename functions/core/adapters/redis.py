"""Upstash Redis over its REST API, and the shared principal cache in it.

    principal:SHA256   ->   VERSION:BASE64     a sealed record
                            VERSION:           a tombstone: nothing older is given or taken

One script writes both and refuses older versions, so a late fill loses against a revocation. Redis failing is no
failure for the caller: it is skipped for a few seconds, and logged once. It fails when it does not answer in time,
answers what cannot be read, or refuses (also because its month's budget is spent). A look-up is one command, a fill
two; how a fill comes along with a grant of calls is in `redis_calls`.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from typing import TypeVar

import orjson

from core.adapters.http1 import HttpAnswer, HttpClient, HttpError
from core.adapters.http1_wire import HttpStale
from core.logs import LOGGER
from core.settings import Secret

CONNECT_SECONDS = 0.3
ANSWER_SECONDS = 0.5
VOID_SECONDS = 2.0
"""A revocation waits longer for its tombstone than a request does for a cache."""
SKIP_SECONDS = 5.0
TOMBSTONE_SECONDS = 120.0

_PUT = """
local held = redis.call('GET', KEYS[1])
if held and (tonumber(string.match(held, '^%d+')) or 0) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3])
return 1
"""

Command = tuple[str, ...]
T = TypeVar("T")


class RedisDown(Exception):
    """No usable answer; the message says why, for the log."""


class Upstash:
    """One database. Whoever shares it learns of its failing together.

    Args:
        url: the REST address, without a trailing slash.
    """

    def __init__(
        self, client: HttpClient, url: str, token: Secret, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._url = url
        self._headers = {"Authorization": f"Bearer {token.reveal()}", "Content-Type": "application/json"}
        self._monotonic = monotonic
        self._down = False
        self._retry_at = 0.0

    async def attempt(self, command: Command, read: Callable[[object], T], *, again: Command | None = None) -> T | None:
        """What `read` makes of the result, or None when Redis is down.

        Args:
            read: raises ValueError for what Redis cannot have answered.
            again: see `ask`.
        """
        now = self._monotonic()
        if self._down:
            if now < self._retry_at:
                return None
            self._retry_at = now + SKIP_SECONDS  # this call finds out; others go on without
        try:
            result = read(await self.ask(command, ANSWER_SECONDS, again=again))
        except (RedisDown, ValueError) as error:
            if not self._down:
                LOGGER.error(
                    "Redis does not answer (%s). Going on without it; every miss asks the control plane.",
                    error if isinstance(error, RedisDown) else "with something else than was asked for",
                )
            self._down, self._retry_at = True, self._monotonic() + SKIP_SECONDS
            return None
        if self._down:
            LOGGER.warning("Redis answers again.")
            self._down = False
        return result

    async def ask(self, command: Command, seconds: float, *, again: Command | None = None) -> object:
        """The result of one command.

        Args:
            again: sent instead when the kept connection turns out closed, and `command` may or may not have been run.

        Raises:
            RedisDown: see the module.
        """
        try:
            try:
                answer = await self._post(command, seconds, retry=again is None)
            except HttpStale:
                if again is None:
                    raise
                answer = await self._post(again, seconds, retry=True)
            body = orjson.loads(answer.body)
        except HttpError as error:
            raise RedisDown(str(error)) from None
        except orjson.JSONDecodeError:
            raise RedisDown(f"status {answer.status}, not JSON") from None
        if answer.status != 200 or not isinstance(body, dict) or "result" not in body:
            error_text = body.get("error") if isinstance(body, dict) else None
            raise RedisDown(f"status {answer.status}: {error_text}")
        return body["result"]

    async def _post(self, command: Command, seconds: float, *, retry: bool) -> HttpAnswer:
        return await self._client.post(
            self._url,
            orjson.dumps(command),
            self._headers,
            timeout=seconds,
            connect_timeout=CONNECT_SECONDS,
            retry=retry,
        )


class RedisPrincipalCache:
    """Implements `ports.PrincipalCache`. The arguments are those of `Upstash`, which is `redis` from then on."""

    def __init__(
        self, client: HttpClient, url: str, token: Secret, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.redis = Upstash(client, url, token, monotonic=monotonic)

    async def get(self, key_hash: str) -> bytes | None:
        value = await self.redis.attempt(("GET", principal_name(key_hash)), _as_it_is)
        return held_entry(value) if isinstance(value, str) else None

    async def put(self, key_hash: str, version: int, entry: bytes, ttl_seconds: float) -> None:
        await self.redis.attempt(_put(key_hash, version, encoded(entry), ttl_seconds), _as_it_is)

    async def void(self, key_hash: str, version: int) -> bool:
        try:
            await self.redis.ask(_put(key_hash, version, "", TOMBSTONE_SECONDS), VOID_SECONDS)
        except RedisDown as error:
            LOGGER.error("A revocation did not reach Redis (%s): it holds within 60 seconds, not 5.", error)
            return False
        return True


def principal_name(key_hash: str) -> str:
    return f"principal:{key_hash}"


def held_entry(value: str) -> bytes | None:
    """The record in a value; None: a tombstone, or rubbish."""
    try:
        return base64.b64decode(value.partition(":")[2], validate=True) or None
    except binascii.Error:
        return None


def encoded(entry: bytes) -> str:
    return base64.b64encode(entry).decode()


def milliseconds(seconds: float) -> str:
    return str(max(1, int(seconds * 1000)))


def _put(key_hash: str, version: int, text: str, ttl_seconds: float) -> Command:
    return ("EVAL", _PUT, "1", principal_name(key_hash), str(version), text, milliseconds(ttl_seconds))


def _as_it_is(value: object) -> object:
    return value
