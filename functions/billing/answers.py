"""What clients get: typed dictionaries. Times are ISO 8601 with microseconds, in UTC; what is not there is null.

The control plane makes the largest (0019_billing.sql), so a test compares it with these.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class MoveBody(TypedDict):
    """Where the memories go after a change of the plan. `state`: none, waiting, moving or stays (`note` says why)."""

    state: str
    to: str | None
    note: str | None


class BillingBody(TypedDict):
    """GET /billing, and what every change answers. `note`: what a change means for others in the workspace."""

    plan: str
    status: str | None
    price_usd: int
    seats: int
    members: int
    period_end: str | None
    cancel_at: str | None
    next_plan: str | None
    next_at: str | None
    grace_until: str | None
    disputed: bool
    move: MoveBody
    customer: bool
    subscription: bool
    note: NotRequired[str]


class CheckoutBody(TypedDict):
    """POST /billing/checkout: a page at Stripe, and until when it is there."""

    id: str
    url: str
    expires_at: str


class PortalBody(TypedDict):
    """POST /billing/portal: a page at Stripe, for one visit."""

    url: str


class ReceivedBody(TypedDict):
    """POST /webhooks/stripe."""

    received: bool
