"""Cron schedules in the unix format that Cloud Scheduler takes: minute, hour, day of the month, month, day of the week.

A day matches when either of the two day fields does, if both are restricted. In a time zone with summer time, an hour
that is skipped runs an hour later, and one that comes twice runs once. Left out: `every 5 minutes` and other English.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FURTHEST_DAYS = 366 * 8 + 1  # from one 29 February to the next, over a century


@dataclass(frozen=True)
class Schedule:
    """The values that each field allows. Days of the week count from Sunday, 0."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def after(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The first time after an aware `moment`, in UTC; None when there is none (30 February)."""
        day = moment.astimezone(zone).date()
        for _ in range(FURTHEST_DAYS):
            if self._on(day.month, day.day, (day.weekday() + 1) % 7):
                for hour in self.hours:
                    for minute in self.minutes:
                        found = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(UTC)
                        if found > moment:
                            return found
            day += timedelta(days=1)
        return None

    def _on(self, month: int, day: int, weekday: int) -> bool:
        if month not in self.months:
            return False
        if self.any_day or self.any_weekday:
            return day in self.days and weekday in self.weekdays
        return day in self.days or weekday in self.weekdays


def parse(text: str) -> Schedule:
    """Read a schedule.

    Raises:
        ValueError: naming the field that is wrong.
    """
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"it has {len(fields)} fields, not 5 (minute, hour, day of month, month, day of week)")
    minutes = _values(fields[0], 0, 59, "minute")
    hours = _values(fields[1], 0, 23, "hour")
    days = _values(fields[2], 1, 31, "day of month")
    months = _values(fields[3], 1, 12, "month", MONTHS, 1)
    weekdays = {value % 7 for value in _values(fields[4], 0, 7, "day of week", DAYS)}
    return Schedule(
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(weekdays),
        any_day=fields[2].startswith("*"),
        any_weekday=fields[4].startswith("*"),
    )


def zone_of(name: str) -> tzinfo:
    """A time zone of the tz database.

    Raises:
        ValueError: there is none of this name.
    """
    if name in ("", "UTC", "Etc/UTC"):  # known even on a machine without the database
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r} in the tz database") from None


def _values(text: str, least: int, most: int, title: str, names: tuple[str, ...] = (), offset: int = 0) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = int(step_text) if slash and step_text.isdigit() else 1 if not slash else 0
        first_text, dash, last_text = span.partition("-")
        if span == "*":
            first, last = least, most
        else:
            first = _number(first_text, names, offset)
            last = _number(last_text, names, offset) if dash else most if slash else first
        if step < 1 or not least <= first <= last <= most:
            raise ValueError(f"{part!r} is no {title} ({least} to {most}, lists, ranges and steps of them)")
        values.update(range(first, last + 1, step))
    return values


def _number(text: str, names: tuple[str, ...], offset: int) -> int:
    if text.lower() in names:
        return names.index(text.lower()) + offset
    return int(text) if text.isdigit() else -1
