"""One HTTP request of Cloud Tasks or Cloud Scheduler to its target, signed as the identity that was asked for."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from core.adapters.http1 import HttpClient, HttpError, HttpRefused, HttpTimeout
from infra.local.cloud.vendors.google.identities import Identities

CONNECT_SECONDS = 5.0
GOOD = range(200, 300)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One request. `email` empty: unsigned. `audience` empty: the URL, as Google has it."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    email: str = ""
    audience: str = ""
    deadline_seconds: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How it went: the target's status, or 0 and why there was none."""

    status: int = 0
    reason: str = ""

    @property
    def good(self) -> bool:
        return self.status in GOOD

    def __str__(self) -> str:
        return self.reason or f"HTTP {self.status}"


class Delivery:
    """Sends attempts over connections of its own."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self._client = HttpClient(connections_per_origin=1000)  # queues have limits of their own

    async def send(self, attempt: Attempt) -> Outcome:
        """Make one attempt; never raises."""
        headers = dict(attempt.headers)
        if attempt.email:
            if not await asyncio.to_thread(self._identities.exists, attempt.email):
                return Outcome(reason=f"UNAUTHENTICATED: service account {attempt.email} does not exist")
            audience = attempt.audience or attempt.url
            token = await asyncio.to_thread(self._identities.identity_token, attempt.email, audience)
            headers["Authorization"] = f"Bearer {token}"
        try:
            answer = await self._client.request(
                attempt.method,
                attempt.url,
                attempt.body,
                headers,
                timeout=attempt.deadline_seconds,
                connect_timeout=CONNECT_SECONDS,
                retry=False,
            )
        except HttpTimeout:
            return Outcome(reason=f"DEADLINE_EXCEEDED: no answer within {attempt.deadline_seconds:g} s")
        except HttpRefused:
            return Outcome(reason="UNAVAILABLE: the target refuses connections")
        except (HttpError, ValueError):
            return Outcome(reason="UNAVAILABLE: the target's answer is not HTTP, or its URL is none")
        return Outcome(status=answer.status)

    async def close(self) -> None:
        await self._client.close()


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """When to try again: first after `least`, doubled `doublings` times, then growing by the last step, up to `most`.

    `attempts` includes the first one; -1 is no limit. `seconds` 0 is no limit; with both, both must be reached.
    """

    least: float
    most: float
    doublings: int
    attempts: int
    seconds: float = 0.0

    def pause(self, made: int) -> float:
        """Seconds to wait after `made` attempts, at least one."""
        retry = made - 1
        if retry <= self.doublings:
            return float(min(self.least * 2**retry, self.most))
        return float(min(self.least * 2**self.doublings * (retry - self.doublings + 1), self.most))

    def is_over(self, made: int, elapsed: float) -> bool:
        if self.attempts < 0:
            return bool(self.seconds) and elapsed >= self.seconds
        return made >= self.attempts and (not self.seconds or elapsed >= self.seconds)


def seconds(duration: object, default: float) -> float:
    """Google's duration (`3.5s`) in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d{1,9})?)s", str(duration))
    return float(match[1]) if match else default
