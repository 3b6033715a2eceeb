"""Making a change hold: cached principals are voided before the answer, and the outbox is woken for the rest."""

from __future__ import annotations

import asyncio
from typing import Any

from core.ports import PrincipalCache, Voids, Wake
from core.principals import LEASE_SECONDS, SHARED_SECONDS

AT_ONCE = 50
"""More than a busy workspace has keys; what is beyond is left to the job, and told so."""


class Outdated:
    """Args: wake: None where nobody does jobs."""

    def __init__(self, cache: PrincipalCache, wake: Wake | None) -> None:
        self._cache = cache
        self._wake = wake

    async def void(self, voids: Voids) -> int:
        """Leave the tombstones, which the job `void_keys` of the same transaction repeats, and wake it.

        Every change that makes principals outdated names some. None are named when it was made before: by a statement
        that was sent twice, or by a request whose answer was lost. Whoever made it may not have come to leave
        tombstones, so what the change said holds once cached principals have ended by themselves.

        Returns the seconds after which no process accepts what was voided.
        """
        now = voids[:AT_ONCE]
        certain = all(await asyncio.gather(*(self._cache.void(name, version) for name, version in now)))
        await self.wake()
        return int(LEASE_SECONDS if voids and certain and len(now) == len(voids) else SHARED_SECONDS)

    async def wake(self) -> None:
        """After a change that made jobs."""
        if self._wake is not None:
            await self._wake.wake()


def voids_of(pairs: list[list[Any]]) -> Voids:
    """What a function of schema `app` returns as `voids`."""
    return [(str(name), int(version)) for name, version in pairs]
