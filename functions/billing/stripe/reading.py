"""Stripe's objects -> ours. What is not there or not known grants nothing, and breaks nothing.

Shapes: docs.stripe.com/api, version `declarations.STRIPE_API_VERSION`: the end of a period is its item's, and a price
is known by its lookup key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.model import Dispute, Status, Subscription
from billing.stripe.refusals import nonsense
from core.logs import LOGGER
from declarations import PLANS_BY_PRICE

Json = dict[str, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ENDED = frozenset({Status.CANCELED, Status.INCOMPLETE_EXPIRED})
DUE = frozenset({Status.PAST_DUE, Status.UNPAID})


def moment(seconds: int) -> datetime:
    """Unix seconds as a time. Raises TypeError or OverflowError: they are none."""
    return EPOCH + timedelta(seconds=seconds)


def id_of(value: Any) -> str | None:
    """The id of what may be shown as its id or as an object."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) and value else None


def status_of(name: str) -> Status:
    """One that Stripe did not have when this was written grants nothing."""
    try:
        return Status(name)
    except ValueError:
        LOGGER.error("Stripe tells of a subscription that is %.40r, which is not known here: it grants nothing.", name)
        return Status.INCOMPLETE


def read_subscription(found: Json, schedule: Json | None, invoices: list[Json]) -> Subscription:
    """A subscription.

    Args:
        found: with its newest invoice expanded.
        schedule: what `schedule` of the subscription names, with the prices of its phases expanded.
        invoices: if a payment is due: its invoices, the newest first.
    """
    item = _item(found)
    period_end = moment(item.get("current_period_end") or found["created"])
    next_lookup_key, next_at = _next(schedule) if schedule else (None, None)
    pending = _awaits_first_payment(found)
    return Subscription(
        id=found["id"],
        item=item.get("id", ""),
        status=Status.INCOMPLETE if pending else status_of(found["status"]),
        lookup_key=(item.get("price") or {}).get("lookup_key"),
        seats=item.get("quantity") or 0,
        created=moment(found["created"]),
        period_end=period_end,
        cancel_at=_cancel_at(found, period_end),
        schedule=id_of(found.get("schedule")),
        next_lookup_key=next_lookup_key,
        next_at=next_at,
        unpaid_since=_unpaid_since(invoices),
        ever_paid=not invoices or any(invoice["status"] == "paid" for invoice in invoices),
        latest_invoice=id_of(found.get("latest_invoice")),
        pending=pending,
    )


def read_dispute(found: Json) -> Dispute:
    """A dispute with its charge expanded."""
    charge = found.get("charge")
    return Dispute(
        id=found["id"],
        customer=id_of(charge.get("customer")) if isinstance(charge, dict) else None,
        status=found["status"],
        amount_cents=found["amount"],
    )


def _item(found: Json) -> Json:
    """The one item; of several, which only an operator makes, the first whose price is ours."""
    items: list[Json] = found["items"]["data"]
    ours = [item for item in items if (item.get("price") or {}).get("lookup_key") in PLANS_BY_PRICE]
    return (ours or items or [{}])[0]


def _cancel_at(found: Json, period_end: datetime) -> datetime | None:
    if found.get("cancel_at"):
        return moment(found["cancel_at"])
    return period_end if found.get("cancel_at_period_end") else None


def _awaits_first_payment(found: Json) -> bool:
    """Whether it was never paid for yet. Stripe has one run from the first day on whose payment takes days, as a bank
    debit, and may bounce. (One that an operator sends invoices for runs on credit.)"""
    invoice = found.get("latest_invoice")
    return (
        isinstance(invoice, dict)
        and found["status"] == Status.ACTIVE
        and found.get("collection_method") != "send_invoice"
        and (invoice.get("billing_reason"), invoice.get("status")) == ("subscription_create", "open")
    )


def _next(schedule: Json) -> tuple[str | None, datetime | None]:
    """What the first phase after the one that runs brings, and when."""
    if schedule["status"] not in ("active", "not_started"):
        return None, None
    running = (schedule.get("current_phase") or {}).get("end_date") or 0
    for phase in schedule["phases"]:
        if phase["start_date"] >= running and phase["items"]:
            price = phase["items"][0]["price"]
            return (price.get("lookup_key") if isinstance(price, dict) else None), moment(phase["start_date"])
    return None, None


def _unpaid_since(invoices: list[Json]) -> datetime | None:
    """When the first invoice was made of those that somebody tried to pay in vain since one was paid. (Not the newest:
    what renews while it is due would be due anew.) When nobody tried, or it was written off, it is due all the same:
    else it would be for ever."""
    tried: datetime | None = None
    made: datetime | None = None
    for invoice in invoices:
        if invoice["status"] == "paid":
            break
        if invoice["status"] in ("open", "uncollectible"):
            made = moment(invoice["created"])
            if invoice["status"] == "open" and (invoice.get("attempted") or invoice.get("attempt_count")):
                tried = made
    return tried or made


@contextmanager
def understood() -> Iterator[None]:
    """Around reading an answer. Raises Unavailable: it is not shaped as Stripe's are."""
    try:
        yield
    except (AttributeError, KeyError, IndexError, OverflowError, TypeError, ValueError) as error:
        raise nonsense() from error
