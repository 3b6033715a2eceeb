"""How Stripe's objects are read, where its stand-in cannot bring them about."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from billing.model import Status
from billing.stripe.reading import EPOCH, read_subscription
from declarations import PRO


def subscription(**more: Any) -> dict[str, Any]:
    item = {"id": "si_1", "quantity": 2, "current_period_end": 500, "price": {"lookup_key": PRO.lookup_key}}
    return {"id": "sub_1", "status": "past_due", "created": 100, "items": {"data": [item]}, **more}


def at(seconds: int) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


OPEN = {"status": "open", "attempted": True}
NEW = {"status": "open", "attempted": False, "attempt_count": 0}


@pytest.mark.parametrize(
    ("invoices", "since"),
    [
        ([], None),
        ([{"status": "paid", "created": 9}], None),
        ([{**OPEN, "created": 9}], 9),
        ([{**OPEN, "created": 9}, {**OPEN, "created": 8}, {"status": "paid", "created": 7}], 8),
        ([{"status": "draft", "created": 9}, {**OPEN, "created": 8}], 8),
        ([{**OPEN, "created": 9}, {"status": "void", "created": 8}, {**OPEN, "created": 7}], 7),
        ([{**OPEN, "created": 9}, {"status": "paid", "created": 8}, {**OPEN, "created": 7}], 9),
        ([{**NEW, "created": 9}], 9),  # or it would be due for ever
        ([{**NEW, "created": 9}, {**OPEN, "created": 8}], 8),
        ([{**OPEN, "created": 9}, {**NEW, "created": 8}], 9),
        ([{"status": "uncollectible", "attempted": True, "created": 9}, {"status": "paid", "created": 8}], 9),
        ([{"status": "paid", "created": 9}, {**NEW, "created": 8}], None),
        ([{"status": "open", "attempted": False, "attempt_count": 1, "created": 9}], 9),
    ],
)
def test_since_when_nothing_was_paid(invoices: list[dict[str, Any]], since: int | None) -> None:
    assert read_subscription(subscription(), None, invoices).unpaid_since == (at(since) if since else None)


@pytest.mark.parametrize(
    ("invoices", "ever"),
    [([], True), ([OPEN], False), ([OPEN, {"status": "void"}], False), ([OPEN, {"status": "paid"}], True)],
)
def test_whether_anything_was_ever_paid(invoices: list[dict[str, Any]], ever: bool) -> None:  # noqa: FBT001
    made = [{**invoice, "created": 9} for invoice in invoices]
    assert read_subscription(subscription(), None, made).ever_paid is ever


def test_of_several_items_ours_counts() -> None:
    other = {"id": "si_0", "quantity": 1, "current_period_end": 400, "price": {"lookup_key": "other"}}
    both = subscription(items={"data": [other, *subscription()["items"]["data"]]})
    read = read_subscription(both, None, [])
    assert (read.item, read.lookup_key, read.seats, read.period_end) == ("si_1", PRO.lookup_key, 2, at(500))


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, Status.INCOMPLETE),
        ({"status": "trialing"}, Status.TRIALING),
        ({"status": "past_due"}, Status.PAST_DUE),
        ({"collection_method": "send_invoice"}, Status.ACTIVE),
        ({"latest_invoice": "in_1"}, Status.ACTIVE),
        ({"latest_invoice": None}, Status.ACTIVE),
        ({"latest_invoice": {"status": "paid", "billing_reason": "subscription_create"}}, Status.ACTIVE),
        ({"latest_invoice": {"status": "open", "billing_reason": "subscription_cycle"}}, Status.ACTIVE),
    ],
)
def test_what_was_never_paid_for_does_not_run(more: dict[str, Any], status: Status) -> None:
    first = {"id": "in_1", "status": "open", "billing_reason": "subscription_create"}
    found = {"status": "active", "collection_method": "charge_automatically", "latest_invoice": first, **more}
    read = read_subscription(subscription(**found), None, [])
    assert (read.status, read.pending) == (status, status is Status.INCOMPLETE)


@pytest.mark.parametrize(
    ("more", "when"),
    [
        ({}, None),
        ({"cancel_at": 450}, 450),
        ({"cancel_at_period_end": True}, 500),
        ({"cancel_at_period_end": True, "cancel_at": 500}, 500),
    ],
)
def test_when_it_ends(more: dict[str, Any], when: int | None) -> None:
    assert read_subscription(subscription(**more), None, []).cancel_at == (at(when) if when else None)


def test_what_a_schedule_brings() -> None:
    def phase(start: int, price: Any) -> dict[str, Any]:
        return {"start_date": start, "end_date": start + 100, "items": [{"price": price, "quantity": 1}]}

    price = {"lookup_key": PRO.lookup_key}
    schedule = {
        "status": "active",
        "current_phase": {"start_date": 400, "end_date": 500},
        "phases": [phase(300, None), phase(400, {"lookup_key": "now"}), phase(500, price), phase(600, None)],
    }
    read = read_subscription(subscription(schedule="sub_sched_1"), schedule, [])
    assert (read.schedule, read.next_lookup_key, read.next_at) == ("sub_sched_1", PRO.lookup_key, at(500))
    for status in ("released", "canceled", "completed", "of the future"):
        assert read_subscription(subscription(), {**schedule, "status": status}, []).next_lookup_key is None
    assert read_subscription(subscription(), {**schedule, "phases": schedule["phases"][:2]}, []).next_at is None  # type: ignore[index]
    unknown = read_subscription(subscription(), {**schedule, "phases": [phase(500, "price_1")]}, [])
    assert (unknown.next_lookup_key, unknown.next_at) == (None, at(500))
