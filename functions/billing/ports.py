"""What billing needs of the outside. Every method may raise `problems.Unavailable`: no answer in time, nothing is known
of what happened, and asking again with the same key is safe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from accounts.asker import Asker
from billing.model import Checkout, Customer, Dispute, Event, Projection, Subscription
from core.ports import Voids
from core.settings import Secret
from declarations import Plan

Body = dict[str, Any]


class Payments(Protocol):
    """Stripe. `key` makes asking twice the same as asking once (Idempotency-Key)."""

    def event(self, body: bytes, signature: str, secrets: Sequence[Secret]) -> Event:
        """The event of a delivery that one of `secrets` signed.

        Raises:
            problems.Invalid: it is not signed so, is older than five minutes, or holds no event.
        """
        ...

    async def customer(self, customer: str) -> Customer:
        """As it is now; one that was deleted is `deleted`.

        Raises:
            problems.Internal: Stripe never knew it, by this key.
        """
        ...

    async def dispute(self, dispute: str) -> Dispute | None:
        """As it is now; without a customer when its charge is gone. None: it is gone itself."""
        ...

    async def list_customers(self, after: str | None, most: int) -> list[Customer]:
        """Customers that are not deleted, without their subscriptions, in Stripe's order, after one of them."""
        ...

    async def create_customer(self, workspace: str, email: str | None, name: str, key: str) -> str: ...

    async def hand_over(self, customer: str, email: str | None, name: str, key: str) -> None:
        """Somebody else pays from now on: theirs are the name and the address, pages that are open end, and every card
        goes, so that nothing is charged before they add their own. What is planned stays. The same key again changes
        nothing once all of it was done, however long ago; one that is deleted is left.

        Raises:
            problems.Conflict: a page was paid meanwhile.
        """
        ...

    async def delete_customer(self, customer: str) -> None:
        """It and its subscriptions end at once. One that is gone is deleted."""
        ...

    async def expire_checkouts(self, customer: str) -> None:
        """End every page of theirs that is still open."""
        ...

    async def open_checkout(
        self, customer: str, workspace: str, plan: Plan, seats: int, site_url: str, key: str
    ) -> Checkout:
        """Every other page of theirs ends first; the same key again gets the same page.

        Raises:
            problems.Conflict: the key is that of another order or of a page that is over, or another was just paid on.
            problems.TooManyRequests: too many were opened within the hour.
        """
        ...

    async def open_portal(self, customer: str, configuration: str, return_url: str) -> str:
        """The address of the page where they change how they pay and see invoices.

        Raises:
            problems.Conflict: the customer is gone.
        """
        ...

    async def change_plan(self, subscription: Subscription, plan: Plan, seats: int, key: str) -> None:
        """At once, and charged at once for what is left of the period. What was planned is dropped.

        Raises:
            problems.PaymentRequired: the payment failed; nothing was changed.
        """
        ...

    async def schedule_change(self, subscription: Subscription, plan: Plan, seats: int, key: str) -> None:
        """At the end of the period."""
        ...

    async def schedule_end(self, subscription: Subscription, key: str) -> None:
        """It ends with the period."""
        ...

    async def keep(self, subscription: Subscription, key: str) -> None:
        """Take back what was planned."""
        ...

    async def set_seats(self, subscription: Subscription, seats: int, key: str) -> None:
        """From now on. More are charged at once for what is left of the period (when that fails, a payment is due);
        what fewer give back is on the next invoice."""
        ...

    async def cancel(self, subscription: str, *, refund: bool, key: str) -> int:
        """End it at once. `refund`: and give back what its newest invoice took. How much was given back, in cents.
        One that has ended already is not an error."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """A workspace and who pays for it."""

    workspace: str
    plan: str
    seats: int
    customer: str | None
    customers: int  # how many it had before
    email: str | None
    name: str
    owners: int  # how often it was handed over


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a settlement changed, in words for the operator (empty: nothing), and what is to be voided."""

    workspace: str | None
    changes: tuple[str, ...]
    voids: Voids


class Ledger(Protocol):
    """What the control plane keeps of billing (functions/migrations/postgres/0019_billing.sql)."""

    async def hold(self, customer: str, holder: str, seconds: float) -> bool:
        """Whether nobody else works at this customer for so long, from now. Again by the same holder: longer."""
        ...

    async def release(self, customer: str, holder: str) -> None: ...

    async def settle(
        self, customer: Customer, projection: Projection, holder: str, store_kind: str | None, now: datetime
    ) -> Settled:
        """Make the workspace what its customer pays for, and the jobs and mails that follow, in one transaction.

        Args:
            store_kind: where the plan's memories are; None: they stay where they are.

        Raises:
            problems.Conflict: the holder does not hold the customer any more.
        """
        ...

    async def begin_event(self, event: Event) -> bool:
        """Write down that it came. False: it was handled before."""
        ...

    async def knows(self, customer: str) -> bool:
        """Whether this customer is a workspace's, or was until it was deleted."""
        ...

    async def end_event(self, event: str, error: str | None) -> None:
        """It was handled, or (with an error) not yet."""
        ...

    async def record_dispute(self, dispute: Dispute) -> bool:
        """Tell the operator; whether that is news. One that is no workspace's is none."""
        ...

    async def record_refund(self, event: Event) -> None:
        """Tell the operator of a payment that was given back, once for each event."""
        ...

    async def read(self, asker: Asker) -> Body:
        """What the workspace has and pays for, as `GET /billing` tells it."""
        ...

    async def payer(self, asker: Asker) -> Payer:
        """The workspace of a person who owns it.

        Raises:
            problems.Forbidden: they do not own it.
        """
        ...

    async def payer_of(self, workspace: str) -> Payer | None:
        """The same for a job, also of a workspace that was closed; None: there is no such workspace."""
        ...

    async def attach_customer(self, workspace: str, customer: str) -> str:
        """The workspace's customer; the one that it had already, when there is one.

        Raises:
            problems.NotFound: the workspace was deleted meanwhile.
        """
        ...

    async def note(self, asker: Asker, action: str, detail: Body) -> None:
        """Write into the audit log."""
        ...

    async def list_customers(self, after: str | None, most: int) -> list[tuple[str, str]]:
        """Customers and their workspaces, by customer, after one of them."""
        ...

    async def list_strangers(self) -> set[str]:
        """Customers that are nobody's here and that the operator was told of."""
        ...

    async def note_strangers(self, customers: Sequence[str]) -> None:
        """The operator was told of them."""
        ...

    async def list_due(self, now: datetime, most: int) -> list[str]:
        """Customers whose grace or period is over and who were not looked at since."""
        ...
