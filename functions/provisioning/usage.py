"""The roll-up: counters of calls from Redis, and the contents of stores that were called, into `app.usage_daily`.

Counters are written as they stand, never added up: rolling up twice counts once. A day is counted until one roll-up has
begun an hour after its end, when no grant of a process is refunded to it any more.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time, timedelta

from core import logs
from core.adapters.postgres import StatementRefused
from core.problems import Problem
from core.seal import SealBroken
from provisioning.parts import Parts

PAGE = 200
"""Counters that one command reads."""
SETTLES_AFTER = timedelta(hours=1)
MEASURED_EVERY_SECONDS = 900.0
MEASURED_AT_ONCE = 8
MEASURED_MOST = 400
"""Stores that one sweep measures: the others come with the next ones, those that waited the longest first."""


async def roll_up(parts: Parts) -> int:
    """Count the days that are open; how many counters were written."""
    now = parts.clock.now()
    written = 0
    for day in (*await parts.ledger.unclosed_days(now.date()), now.date()):
        written += await _count(parts, day)
        if now >= datetime.combine(day + timedelta(days=1), time(), UTC) + SETTLES_AFTER:
            await parts.ledger.close_day(day)
    return written


async def measure(parts: Parts) -> int:
    """Measure the stores that were called since; how many. One that does not answer is left for the next time."""
    day = parts.clock.now().date()
    waiting = await parts.ledger.list_unmeasured(day, MEASURED_EVERY_SECONDS, MEASURED_MOST)
    measured = 0
    for start in range(0, len(waiting), MEASURED_AT_ONCE):
        some = waiting[start : start + MEASURED_AT_ONCE]
        measured += sum(await asyncio.gather(*(_measure(parts, day, workspace, calls) for workspace, calls in some)))
    return measured


async def _count(parts: Parts, day: date) -> int:
    written, after = 0, None
    while page := await parts.ledger.list_callable(after, PAGE):
        calls = await parts.counters.read(page, day)
        if calls:
            await parts.ledger.record_usage(day, calls)
        written += len(calls)
        after = page[-1]
    return written


async def _measure(parts: Parts, day: date, workspace: str, calls: int) -> bool:
    placement = await parts.stores.placements.read(workspace)
    if placement is None or placement.url is None:
        return False
    try:
        use = await parts.contents.open(parts.stores.address(workspace, placement)).read_usage()
    except (Problem, SealBroken, StatementRefused) as error:
        fields = {"workspace": workspace}
        logs.LOGGER.warning("A store cannot be measured: %s.", type(error).__name__, extra={"fields": fields})
        return False
    await parts.ledger.record_measure(workspace, day, calls, use.memories, use.bytes)
    return True
