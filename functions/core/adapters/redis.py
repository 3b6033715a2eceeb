"""The shared principal cache in Upstash Redis, over its REST API.

    principal:SHA256   ->   VERSION:BASE64     a sealed record
                            VERSION:           a tombstone: nothing older is given or taken

One script writes both and refuses older versions, so a late fill loses against a revocation. Redis failing is no
failure for the caller: it is skipped for a few seconds, and logged once. A look-up is one command, a fill three.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable

import orjson

from core.adapters.http1 import HttpClient, HttpError
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


class _RedisDown(Exception):
    """No usable answer; the message says why, for the log."""


class RedisPrincipalCache:
    """Implements `ports.PrincipalCache`.

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

    async def get(self, key_hash: str) -> bytes | None:
        value = await self._try("GET", _name(key_hash))
        if not isinstance(value, str):
            return None
        text = value.partition(":")[2]
        try:
            return base64.b64decode(text, validate=True) or None
        except binascii.Error:
            return None

    async def put(self, key_hash: str, version: int, entry: bytes, ttl_seconds: float) -> None:
        await self._try(*_put(key_hash, version, base64.b64encode(entry).decode(), ttl_seconds))

    async def void(self, key_hash: str, version: int) -> bool:
        try:
            await self._ask(_put(key_hash, version, "", TOMBSTONE_SECONDS), VOID_SECONDS)
        except _RedisDown as error:
            LOGGER.error("A revocation did not reach Redis (%s): it holds within 60 seconds, not 5.", error)
            return False
        return True

    async def _try(self, *command: str) -> object:
        """The result, or None when Redis is down."""
        now = self._monotonic()
        if self._down:
            if now < self._retry_at:
                return None
            self._retry_at = now + SKIP_SECONDS  # this call finds out; others go on without
        try:
            result = await self._ask(command, ANSWER_SECONDS)
        except _RedisDown as error:
            if not self._down:
                LOGGER.error(
                    "Redis does not answer (%s). Going on without it; every miss asks the control plane.", error
                )
            self._down, self._retry_at = True, self._monotonic() + SKIP_SECONDS
            return None
        if self._down:
            LOGGER.warning("Redis answers again.")
            self._down = False
        return result

    async def _ask(self, command: tuple[str, ...], seconds: float) -> object:
        try:
            answer = await self._client.post(
                self._url, orjson.dumps(command), self._headers, timeout=seconds, connect_timeout=CONNECT_SECONDS
            )
            body = orjson.loads(answer.body)
        except HttpError as error:
            raise _RedisDown(str(error)) from None
        except orjson.JSONDecodeError:
            raise _RedisDown(f"status {answer.status}, not JSON") from None
        if answer.status != 200 or not isinstance(body, dict) or "result" not in body:
            error_text = body.get("error") if isinstance(body, dict) else None
            raise _RedisDown(f"status {answer.status}: {error_text}")
        return body["result"]


def _name(key_hash: str) -> str:
    return f"principal:{key_hash}"


def _put(key_hash: str, version: int, text: str, ttl_seconds: float) -> tuple[str, ...]:
    return ("EVAL", _PUT, "1", _name(key_hash), str(version), text, str(max(1, int(ttl_seconds * 1000))))
