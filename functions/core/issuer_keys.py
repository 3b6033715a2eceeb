"""The public keys of who issues tokens (a JSON Web Key Set), kept so that hardly a request waits for them.

    younger than `fresh_seconds`   they serve
    up to `keep_seconds`           they serve, and newer ones are fetched meanwhile
    older                          whoever asks waits for newer ones
    while the issuer is down       they serve, up to `outage_seconds`
    a key that is not known        fetched anew, but seldom (`cooldown_seconds`), because anybody can make up a name

Concurrent askers share one fetch. An answer without one usable key is a failure, as is a silent issuer: no keys are
thrown away for it. Whose keys are kept how long is said where they are used: `core.tokens`, `core.oidc`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from core.adapters.http1 import HttpAnswer, HttpClient, HttpError
from core.logs import LOGGER
from core.problems import Unavailable

if TYPE_CHECKING:
    from jwt import PyJWK

CONNECT_SECONDS = 1.0
KEYS_MOST = 50

_MAX_AGE = re.compile(r"max-age=(\d+)")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How the keys of one issuer are kept.

    `algorithm` is the one that they sign with, `is_ours` says of an entry of the set whether it is such a key at all.
    `fresh_seconds` and so on: see the module. `age_most_seconds`, where the issuer says itself how long its keys are
    good (`Cache-Control: max-age`): that counts instead of `fresh_seconds` and `keep_seconds`, up to so long.
    `first_cooldown_seconds` is between tries while no key is known. `whose` names them in the log, `unknown` and `part`
    are what a caller is told and the log says when nobody can be proven.
    """

    algorithm: str
    is_ours: Callable[[Mapping[str, Any]], bool]
    answer_seconds: float
    fresh_seconds: float
    keep_seconds: float
    outage_seconds: float
    cooldown_seconds: float
    first_cooldown_seconds: float
    whose: str
    unknown: str
    part: str
    age_most_seconds: float | None = None


class _NoKeys(Exception):
    """The issuer's answer holds no keys; the message says why, for the log."""


class IssuerKeys:
    """Belongs to one event loop.

    Args:
        url: of the JSON Web Key Set.
    """

    def __init__(
        self, http: HttpClient, url: str, policy: Policy, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._http = http
        self._url = url
        self._policy = policy
        self._monotonic = monotonic
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = 0.0
        self._fresh_seconds = self._keep_seconds = 0.0
        self._tried_at: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> PyJWK | None:
        """The key of that name; None when the issuer has none.

        Raises:
            Unavailable: it is not known, and the issuer does not answer.
        """
        age = self._monotonic() - self._fetched_at
        if not self._keys or age >= (self._policy.outage_seconds if self._failed else self._keep_seconds):
            await self._fetch()
        elif age >= self._fresh_seconds:
            self._begin()
        key = self._usable(kid)
        if key is None:
            await self._fetch()
            key = self._usable(kid)
        if key is None and self._failed:
            raise Unavailable(self._policy.unknown, part=self._policy.part)
        return key

    def _usable(self, kid: str) -> PyJWK | None:
        age = self._monotonic() - self._fetched_at
        return self._keys.get(kid) if age <= self._policy.outage_seconds else None

    async def _fetch(self) -> None:
        """Wait for the fetch that is under way or begins now. Nothing happens when the last one is a moment ago."""
        fetching = self._begin()
        if fetching is not None:
            await asyncio.shield(fetching)  # a caller who goes away must not take it from the others

    def _begin(self) -> asyncio.Task[None] | None:
        if self._fetching is not None:
            return self._fetching
        pause = self._policy.cooldown_seconds if self._keys else self._policy.first_cooldown_seconds
        now = self._monotonic()
        if self._tried_at is not None and now - self._tried_at < pause:
            return None
        self._tried_at = now
        self._fetching = asyncio.get_running_loop().create_task(self._renew())
        return self._fetching

    async def _renew(self) -> None:
        started, whose = self._monotonic(), self._policy.whose
        try:
            answer = await self._http.request(
                "GET", self._url, timeout=self._policy.answer_seconds, connect_timeout=CONNECT_SECONDS
            )
            if answer.status != 200:
                raise _NoKeys(f"status {answer.status}")
            self._keys, self._fetched_at = self._read(answer.body), started
            self._fresh_seconds, self._keep_seconds = self._lifetime(answer)
        except (HttpError, _NoKeys) as error:
            if not self._failed:
                LOGGER.error("The keys of %s cannot be fetched: %s. Known ones serve on.", whose, error)
            self._failed = True
        else:
            if self._failed:
                LOGGER.warning("The keys of %s can be fetched again.", whose)
            self._failed = False
        finally:
            self._fetching = None

    def _lifetime(self, answer: HttpAnswer) -> tuple[float, float]:
        found = _MAX_AGE.search(answer.headers.get("cache-control", ""))
        if self._policy.age_most_seconds is None or found is None:
            return self._policy.fresh_seconds, self._policy.keep_seconds
        seconds = min(float(found[1]), self._policy.age_most_seconds)
        return seconds, seconds

    def _read(self, body: bytes) -> dict[str, PyJWK]:
        import jwt

        try:
            listed = orjson.loads(body)["keys"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise _NoKeys("the answer is no JWKS") from None
        keys: dict[str, PyJWK] = {}
        for one in listed[:KEYS_MOST] if isinstance(listed, list) else []:
            if not (_names_a_public_key(one) and self._policy.is_ours(one)):
                continue
            try:
                keys[one["kid"]] = jwt.PyJWK(one, algorithm=self._policy.algorithm)
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
        if not keys:
            raise _NoKeys(f"the answer holds no {self._policy.algorithm} key")
        return keys


def _names_a_public_key(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(one.get("kid"), str)
        and one.get("use", "sig") == "sig"
        and "d" not in one  # nobody publishes a private key on purpose
    )
