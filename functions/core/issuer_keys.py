"""The public keys of who issues people's tokens (JWKS), kept so that no request waits for them but the first.

    younger than 5 minutes      they serve
    up to 10 minutes            they serve, and newer ones are fetched meanwhile
    older                       whoever asks waits for newer ones
    while the issuer is down    they serve, up to an hour
    a key that is not known     fetched anew, at most every 30 s, because anybody can make up a name

Concurrent askers share one fetch. An answer without one usable key is a failure: an issuer that signs with a shared
secret publishes none. Only P-256 keys are used.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from core.adapters.http1 import HttpClient, HttpError
from core.logs import LOGGER
from core.problems import Unavailable

if TYPE_CHECKING:
    from jwt import PyJWK

PATH = "/.well-known/jwks.json"
CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 5.0
FRESH_SECONDS = 300.0
KEEP_SECONDS = 600.0
"""Auth's own edge caches as long: a key that was withdrawn is trusted twice that at most."""
OUTAGE_SECONDS = 3600.0
COOLDOWN_SECONDS = 30.0
FIRST_COOLDOWN_SECONDS = 2.0
"""Between tries while no key is known and nobody can be served."""
KEYS_MOST = 50


class _NoKeys(Exception):
    """The issuer's answer holds no keys; the message says why, for the log."""


class IssuerKeys:
    """Belongs to one event loop.

    Args:
        url: the issuer, without a trailing slash.
    """

    def __init__(self, http: HttpClient, url: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._url = url + PATH
        self._monotonic = monotonic
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = 0.0
        self._tried_at: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> PyJWK | None:
        """The key of that name; None when the issuer has none.

        Raises:
            Unavailable: it is not known, and the issuer does not answer.
        """
        age = self._monotonic() - self._fetched_at
        outdated = age > (OUTAGE_SECONDS if self._failed else KEEP_SECONDS)
        if not self._keys or outdated:
            await self._fetch()
        elif age > FRESH_SECONDS:
            self._begin()
        key = self._usable(kid)
        if key is None:
            await self._fetch()
            key = self._usable(kid)
        if key is None and self._failed:
            raise Unavailable("Sign-ins cannot be checked right now. Please try again in a moment.", part="auth")
        return key

    def _usable(self, kid: str) -> PyJWK | None:
        return self._keys.get(kid) if self._monotonic() - self._fetched_at <= OUTAGE_SECONDS else None

    async def _fetch(self) -> None:
        """Wait for the fetch that is under way or begins now. Nothing happens when the last one is a moment ago."""
        fetching = self._begin()
        if fetching is not None:
            await asyncio.shield(fetching)  # a caller who goes away must not take it from the others

    def _begin(self) -> asyncio.Task[None] | None:
        if self._fetching is not None:
            return self._fetching
        pause = COOLDOWN_SECONDS if self._keys else FIRST_COOLDOWN_SECONDS
        now = self._monotonic()
        if self._tried_at is not None and now - self._tried_at < pause:
            return None
        self._tried_at = now
        self._fetching = asyncio.get_running_loop().create_task(self._renew())
        return self._fetching

    async def _renew(self) -> None:
        started = self._monotonic()
        try:
            answer = await self._http.request("GET", self._url, timeout=ANSWER_SECONDS, connect_timeout=CONNECT_SECONDS)
            if answer.status != 200:
                raise _NoKeys(f"status {answer.status}")
            self._keys, self._fetched_at = _read(answer.body), started
        except (HttpError, _NoKeys) as error:
            if not self._failed:
                LOGGER.error("The keys of sign-ins cannot be fetched: %s. Known ones serve up to an hour.", error)
            self._failed = True
        else:
            if self._failed:
                LOGGER.warning("The keys of sign-ins can be fetched again.")
            self._failed = False
        finally:
            self._fetching = None


def _read(body: bytes) -> dict[str, PyJWK]:
    import jwt

    try:
        listed = orjson.loads(body)["keys"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise _NoKeys("the answer is no JWKS") from None
    keys: dict[str, PyJWK] = {}
    for one in listed[:KEYS_MOST] if isinstance(listed, list) else []:
        if not _signs(one):
            continue
        try:
            keys[one["kid"]] = jwt.PyJWK(one, algorithm="ES256")
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    if not keys:
        raise _NoKeys("the answer holds no ES256 key")
    return keys


def _signs(key: Any) -> bool:
    return (
        isinstance(key, dict)
        and isinstance(key.get("kid"), str)
        and key.get("kty") == "EC"
        and key.get("crv") == "P-256"
        and key.get("alg", "ES256") == "ES256"
        and key.get("use", "sig") == "sig"
        and "d" not in key  # nobody publishes a private key on purpose
    )
