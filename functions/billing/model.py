"""What Stripe says, in our words, and what follows from it. Money and plans are derived from these and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from declarations import Plan


class Status(StrEnum):
    """Of a subscription, by Stripe's names (docs.stripe.com/api/subscriptions/object)."""

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    CANCELED = "canceled"
    UNPAID = "unpaid"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One subscription as it is at Stripe now.

    `item` is the id of its one item and `lookup_key` what the item's price is called (None: it has none). `cancel_at`
    is set when it will end. `next_lookup_key` and `next_at` are what its schedule says comes next. `unpaid_since` is
    when the first of its invoices was made that somebody tried to pay in vain since one was paid, while one is due.
    `ever_paid` is False when none of its invoices ever was, as when a bank debit bounces by which it began; until that
    arrives or bounces it is `pending`, and incomplete.
    """

    id: str
    item: str
    status: Status
    lookup_key: str | None
    seats: int
    created: datetime
    period_end: datetime
    cancel_at: datetime | None = None
    schedule: str | None = None
    next_lookup_key: str | None = None
    next_at: datetime | None = None
    unpaid_since: datetime | None = None
    ever_paid: bool = True
    pending: bool = False
    latest_invoice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """One customer as it is at Stripe now, with every subscription that it ever had.

    `workspace` is what its metadata says: where it was made for, never what it may have.
    """

    id: str
    workspace: str | None = None
    deleted: bool = False
    subscriptions: tuple[Subscription, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What a customer's state means for its workspace.

    `plan` is None when nothing can be said, because the price is not one of ours: the workspace keeps what it has.
    `subscription` is the one that counts (the oldest that runs; else the oldest whose payment is due), or, with the
    free plan, one whose grace is over; `duplicates` are others, paid for beside it, to be ended and refunded. `overdue`
    are those whose grace is over, to be ended. `unknown_prices` names subscriptions that grant nothing. `grace_until`
    is set while a payment is due, and stays when the grace is over.
    """

    plan: Plan | None
    subscription: Subscription | None = None
    next_plan: Plan | None = None
    next_at: datetime | None = None
    grace_until: datetime | None = None
    duplicates: tuple[Subscription, ...] = ()
    overdue: tuple[Subscription, ...] = ()
    unknown_prices: tuple[str, ...] = ()

    @property
    def paid(self) -> Subscription | None:
        """The subscription by which the workspace has its plan."""
        return self.subscription if self.plan is not None and self.plan.price_usd else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One delivery of a webhook. It only names an object: what is true is asked for (services.md, section 4).

    `subject` is the id of the object that it is about, `kind` the event's type, `customer` whose it is, if it says so.
    """

    id: str
    kind: str
    subject: str
    customer: str | None
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A payment that somebody took back through their bank. `status` by Stripe's names; `lost` and `won` are final."""

    id: str
    customer: str | None
    status: str
    amount_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A page at Stripe where a plan is paid for."""

    id: str
    url: str
    expires_at: datetime
