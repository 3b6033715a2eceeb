"""What Stripe tells us of, one event at a time. An event only says where to look: what is true is asked for.

    signature -> written down -> looked at -> handled

It is answered once all of that is done, so what fails is delivered again (for three days), and what was handled is
answered at once. An event of a customer that is no workspace's is handled by leaving it alone, without asking Stripe:
other programs may sell with the same account.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from billing.model import Event
from billing.ports import Ledger, Payments
from billing.settling import Settler
from core import logs
from core.adapters.postgres import StatementRefused
from core.problems import NotFound, Problem, Unavailable
from core.settings import Secret

Secrets = Callable[[], Awaitable[Sequence[Secret]]]

RETRY_SECONDS = 30


class WebhookService:
    """One for the process.

    Args:
        secrets: those that deliveries may be signed with, read at use; none: nothing is received.
    """

    def __init__(self, payments: Payments, ledger: Ledger, settler: Settler, secrets: Secrets) -> None:
        self._payments = payments
        self._ledger = ledger
        self._settler = settler
        self._secrets = secrets

    async def receive(self, body: bytes, signature: str) -> None:
        """One delivery, to its end.

        Args:
            body: as it was sent.
            signature: the header `Stripe-Signature`; empty: there was none.

        Raises:
            NotFound: no webhooks are received here.
            Invalid: it is not signed by Stripe, is too old, or holds no event. Nothing was done.
            Unavailable: it was not handled. Stripe delivers it again.
        """
        secrets = [secret for secret in await self._secrets() if secret.reveal()]
        if not secrets:
            raise NotFound("No webhooks are received here, because no secret for them is set.")
        event = self._payments.event(body, signature, secrets)
        if not await self._ledger.begin_event(event):
            return
        try:
            await self._handle(event)
        except (Problem, StatementRefused) as error:
            reason = error.detail if isinstance(error, Problem) else str(error)
            await self._remember(event, reason)
            raise Unavailable(
                "This event could not be handled right now. It is handled when it is delivered again.",
                part=getattr(error, "part", "billing"),
                retry_after_seconds=RETRY_SECONDS,
            ) from error
        await self._ledger.end_event(event.id, None)

    async def _handle(self, event: Event) -> None:
        customer = event.customer
        known = customer is not None and await self._ledger.knows(customer)
        if event.kind.startswith("charge.dispute.") and (known or customer is None):
            whose = await self._dispute(event)
            if customer is None and whose is not None:
                customer, known = whose, await self._ledger.knows(whose)
        if customer is None or not known:
            fields = {"event": event.id, "kind": event.kind, "customer": customer}
            logs.LOGGER.info("A webhook is about nobody here.", extra={"fields": fields})
            return
        settled = await self._settler.settle(customer)
        if event.kind == "charge.refunded" and settled.workspace is not None:
            await self._ledger.record_refund(event)

    async def _dispute(self, event: Event) -> str | None:
        """Write a dispute down as it is now; whose it is, which only Stripe knows: it names a charge."""
        async with self._settler.holding(event.subject):  # fetched later is written later
            dispute = await self._payments.dispute(event.subject)
            if dispute is None:
                logs.LOGGER.warning("Stripe tells of the dispute %s, and does not have it.", event.subject)
                return None
            await self._ledger.record_dispute(dispute)
        return dispute.customer

    async def _remember(self, event: Event, reason: str) -> None:
        """Why it failed, for the operator; what cannot be written is in the log."""
        fields = {"event": event.id, "kind": event.kind, "reason": reason}
        logs.LOGGER.warning("A webhook could not be handled.", extra={"fields": fields})
        try:
            await self._ledger.end_event(event.id, reason)
        except (Problem, StatementRefused):
            return
