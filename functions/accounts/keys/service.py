"""The rules of API keys that the control plane does not check itself: their form, their end, waiting for the store."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from accounts.asker import Asker
from accounts.ports import Body, Keys, NewKey
from core import keys
from core.outdated import Outdated
from core.ports import Clock
from core.problems import Invalid, Unavailable
from core.turns import Turns

STORE_WAIT_SECONDS = 20.0
WAITS_MOST = 4
"""Of one workspace in one process: more are told at once what those who wait in vain are told in the end."""
LOOK_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Rotation:
    """The new key, which is shown once, and the old one with its end. `seconds`: until all know of that end."""

    text: str
    key: Body
    previous: Body
    seconds: int


class KeyService:
    """One for the process; each call says who asks.

    Args:
        tag_secrets: see `keys.is_genuine`; the first one tags new keys.
    """

    def __init__(
        self,
        directory: Keys,
        outdated: Outdated,
        clock: Clock,
        tag_secrets: Sequence[str],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._outdated = outdated
        self._clock = clock
        self._tag_secrets = tag_secrets
        self._sleep = sleep
        self._monotonic = monotonic
        self._waits = Turns(WAITS_MOST, 2 * STORE_WAIT_SECONDS, monotonic=monotonic)

    async def create(self, asker: Asker, wanted: NewKey, expires_in_days: int | None = None) -> tuple[str, Body]:
        """A new key: its text, which is not stored, and what is. It waits for the workspace's store.

        Raises:
            Invalid: it would have ended already, or has two ends.
            Unavailable: the store is still not there, or others wait for it already; nothing was made.
        """
        wanted = replace(wanted, expires_at=self._end(wanted.expires_at, expires_in_days))
        key = keys.issue(self._tag_secrets)
        until = self._monotonic() + STORE_WAIT_SECONDS
        turn = None
        try:
            while True:
                try:
                    return key.text, await self._directory.create(asker, wanted, key)
                except Unavailable as problem:
                    if problem.part != "provisioning" or self._monotonic() + LOOK_SECONDS > until:
                        raise
                    if turn is None:
                        turn = self._waits.begin(asker.workspace)
                        if turn is None:
                            raise
                        await self._outdated.wake()
                await self._sleep(LOOK_SECONDS)
        finally:
            if turn is not None:
                self._waits.end(asker.workspace, turn)

    async def list_(self, asker: Asker) -> list[Body]:
        return await self._directory.list_(asker)

    async def rename(self, asker: Asker, key_id: str, name: str) -> Body:
        return await self._directory.rename(asker, key_id, name)

    async def rotate(self, asker: Asker, key_id: str, overlap_hours: int) -> Rotation:
        """A key in the place of another one, which ends after the overlap."""
        key = keys.issue(self._tag_secrets)
        body, previous, voids = await self._directory.rotate(
            asker, key_id, str(uuid.uuid4()), key, timedelta(hours=overlap_hours)
        )
        return Rotation(key.text, body, previous, await self._outdated.void(voids))

    async def revoke(self, asker: Asker, key_id: str) -> int:
        """The seconds after which it is accepted nowhere."""
        return await self._outdated.void(await self._directory.revoke(asker, key_id))

    def _end(self, at: datetime | None, days: int | None) -> datetime | None:
        now = self._clock.now()
        if at is not None and days is not None:
            raise Invalid.naming({"expires_in_days": "must not be sent together with expires_at"})
        if at is not None and at <= now:
            raise Invalid.naming({"expires_at": "must be in the future"})
        return at if days is None else now + timedelta(days=days)
