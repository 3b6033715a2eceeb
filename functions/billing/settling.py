"""Making the control plane say what Stripe says. An event, a return from a page, a job: each only names a customer, and
all of them end here. So it does not matter in which order they come, how often, or whether one was lost.

    hold -> fetch -> project -> settle -> void what is cached -> release

One at a time of each customer, under a lease that is taken before the fetch: what is settled later was fetched later.
The lease is a row, so that no connection waits for Stripe. Whoever loses it changes nothing (`ports.Ledger.settle`).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from billing.model import Projection
from billing.ports import Ledger, Payments, Settled
from billing.projecting import project
from core import logs
from core.outdated import Outdated
from core.ports import Clock
from core.problems import Conflict, Problem, Unavailable
from declarations import FREE, Plan, Store

LEASE_SECONDS = 60.0
"""Longer than all of Stripe's answers that one look takes, with their retries."""
WAIT_SECONDS = 8.0
"""How long another one is waited for: within Stripe's patience with a webhook, and a person's."""
PAUSE_SECONDS = 0.1
PAUSE_MOST_SECONDS = 0.8


class Settler:
    """One for the process.

    Args:
        free: where the free plan's workspaces are, as the stack says.
        wait_seconds: how long another one is waited for.
    """

    def __init__(
        self,
        payments: Payments,
        ledger: Ledger,
        outdated: Outdated,
        clock: Clock,
        *,
        free: Store = Store.SQLITE,
        lease_seconds: float = LEASE_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._payments = payments
        self._ledger = ledger
        self._outdated = outdated
        self._clock = clock
        self._free = free
        self._lease_seconds = lease_seconds
        self._wait_seconds = wait_seconds
        self._monotonic = monotonic

    async def settle(self, customer: str) -> Settled:
        """Make the workspace of a customer what they pay for, now.

        Raises:
            Unavailable: Stripe or the control plane does not answer, or somebody else was at this customer all the
                time. Nothing is lost by trying again.
        """
        async with self.holding(customer) as holder:
            found = await self._payments.customer(customer)
            now = self._clock.now()
            projection = project(found, now)
            try:
                settled = await self._ledger.settle(found, projection, holder, self._store(projection), now)
            except Conflict as error:
                raise Unavailable(error.detail, part="billing") from None
            if settled.changes:
                await self._outdated.void(settled.voids)
        if settled.changes:
            fields = {"workspace": settled.workspace, "customer": customer, "changes": list(settled.changes)}
            logs.LOGGER.info("A customer was settled.", extra={"fields": fields})
        return settled

    @asynccontextmanager
    async def holding(self, what: str) -> AsyncIterator[str]:
        """Be the only one who works at a customer, or at what else has an id at Stripe; gives the holder's name.

        Raises:
            Unavailable: another one was at it all the time.
        """
        holder = str(uuid.uuid4())
        ends = self._monotonic() + self._wait_seconds
        pause = PAUSE_SECONDS
        while not await self._ledger.hold(what, holder, self._lease_seconds):
            if self._monotonic() + pause >= ends:
                raise Unavailable(
                    "The payments of this workspace are being looked at already. Try again in a few seconds.",
                    part="billing",
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_MOST_SECONDS)
        try:
            yield holder
        finally:
            try:
                await self._ledger.release(what, holder)
            except Problem:  # it ends by itself; what was done is done
                logs.LOGGER.warning("A lease of billing was not given back.")

    def _store(self, projection: Projection) -> str | None:
        """Where the plan's memories are."""
        plan: Plan | None = projection.plan
        if plan is None:
            return None
        return (self._free if plan is FREE else plan.store).value
