"""Billing periods: a price's interval counted from an anchor, so that the 31st comes back after a short month."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime
from typing import Any

from infra.local.cloud.vendors.stripe.clock import DAY

Json = dict[str, Any]
MONTHS = {"month": 1, "year": 12}
DAYS = {"day": 1, "week": 7}


def later(anchor: int, interval: str, count: int) -> int:
    """`count` intervals after `anchor`."""
    if interval in DAYS:
        return anchor + DAYS[interval] * count * DAY
    start = datetime.fromtimestamp(anchor, UTC)
    month = start.month - 1 + MONTHS[interval] * count
    year, month = start.year + month // 12, month % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())


def next_end(anchor: int, start: int, recurring: Json) -> int:
    """When the period ends that holds `start`."""
    interval, step = str(recurring["interval"]), int(recurring["interval_count"])
    count = step
    while (end := later(anchor, interval, count)) <= start:
        count += step
    return end
