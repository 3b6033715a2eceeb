"""Who asks, their account, and its end.

The first sign-in makes the account and its workspace during admission, and a job for the store with it. Whoever is seen
without a store wakes that job, so that it is there before the first key is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from accounts.asker import Asker
from accounts.links import Links
from accounts.ports import Accounts, Body
from accounts.refusals import gone, no_link
from core.leases import Leases
from core.outdated import Outdated

WAKE_SECONDS = 10.0
"""Between two wake-ups for the same workspace."""
WAKES_KEPT = 10_000


class AccountService:
    """One for the process; each call says who asks."""

    def __init__(
        self,
        directory: Accounts,
        outdated: Outdated,
        links: Links,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._outdated = outdated
        self._links = links
        self._monotonic = monotonic
        self._woken: Leases[bool] = Leases(WAKES_KEPT, monotonic)

    async def describe(self, asker: Asker) -> Body:
        """The account, the workspace, the role and the key.

        Raises:
            Unauthorized: one of them is gone since the caller was admitted.
        """
        body = await self._directory.describe(asker)
        if body is None:
            raise gone()
        if not body["workspace"]["ready"] and not self._woken.get(asker.workspace):
            self._woken.put(asker.workspace, True, self._monotonic() + WAKE_SECONDS)  # noqa: FBT003  the value of a set
            await self._outdated.wake()
        return body

    async def read(self, asker: Asker) -> Body:
        """Raises: Unauthorized: the account is closed."""
        body = await self._directory.read(asker)
        if body is None:
            raise gone()
        return body

    async def update(self, asker: Asker, name: str | None, settings: Body | None) -> Body:
        """A name or settings that are None stay."""
        return await self._directory.update(asker, name, settings)

    async def request_erasure(self, asker: Asker) -> Body:
        """Mail the link that erases the account of who asks.

        Raises:
            Conflict: others work in a workspace that they own.
        """
        ticket = self._links.erasure()
        body = await self._directory.request_erasure(asker, ticket.token_hash, ticket.link)
        await self._outdated.wake()
        return body

    async def confirm_erasure(self, token: str) -> int:
        """Close the account for good; a job erases it. The seconds after which none of its credentials is accepted.

        Raises:
            NotFound: the link is not valid any more.
            Conflict: see `request_erasure`.
        """
        if not self._links.is_genuine(token):
            raise no_link()
        return await self._outdated.void(await self._directory.confirm_erasure(self._links.hash(token)))
