"""Failed credentials by client address, and workspaces that are not theirs by person: who fails too often within a
minute is told to wait.

Of this process only, and in bounded memory: it slows down who guesses, and guessing a key is hopeless anyway. A good
credential from the same address is not held up. An IPv6 client is its network of 64 bits.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from dataclasses import dataclass

from core.leases import Leases
from core.problems import TooManyRequests

FAILURES_MOST = 20
FAILURES_SECONDS = 60.0
CLIENTS = 10_000

CREDENTIALS = (
    f"More than {FAILURES_MOST} credentials from your address failed within a minute. "
    "Check the key that you send, and try again in {wait} seconds."
)
WORKSPACES = (
    f"You named more than {FAILURES_MOST} workspaces that you are no member of within a minute. "
    "Check the header X-Workspace, and try again in {wait} seconds."
)


@dataclass(slots=True)
class _Count:
    ends: float
    failures: int = 0


class Failures:
    """Args: detail: what who fails too often is told; it says `{wait}` seconds."""

    def __init__(self, monotonic: Callable[[], float], detail: str = CREDENTIALS) -> None:
        self._monotonic = monotonic
        self._detail = detail
        self._counts: Leases[_Count] = Leases(CLIENTS, monotonic)

    def add(self, client: str) -> None:
        """Count one. An empty address is nobody's.

        Raises:
            TooManyRequests: it is one too many.
        """
        if not client:
            return
        name, now = _network(client), self._monotonic()
        count = self._counts.get(name)
        if count is None:
            count = _Count(now + FAILURES_SECONDS)
            self._counts.put(name, count, count.ends)
        count.failures += 1
        self._judge(count, now)

    def check(self, client: str) -> None:
        """Raises: TooManyRequests: there were too many; none is counted."""
        count = self._counts.get(_network(client))
        if count is not None:
            self._judge(count, self._monotonic())

    def _judge(self, count: _Count, now: float) -> None:
        if count.failures > FAILURES_MOST:
            wait = max(1, math.ceil(count.ends - now))
            raise TooManyRequests(self._detail.format(wait=wait), retry_after_seconds=wait)


def _network(client: str) -> str:
    if ":" not in client:
        return client
    try:
        address = ipaddress.IPv6Address(client.partition("%")[0])
    except ValueError:
        return client
    return str(address.ipv4_mapped or int(address) >> 64)
