"""The sweep, every five minutes: what a lost wake-up left, and what is due by time. A step that fails stops none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from core import logs
from core.adapters.postgres import StatementRefused
from core.problems import Problem
from provisioning import ceiling, grace, misplaced, quotas, renewals, usage
from provisioning.backups import taking
from provisioning.jobs import Runner
from provisioning.parts import Parts

RUN_SECONDS = 240.0
"""The next sweep comes after five minutes."""
BACKUP_SECONDS = 60.0
"""For a backup that was cut off: what is left of it comes with the next sweeps."""
DONE_DAYS = 30
MARK_DAYS = 7
EVENT_DAYS = 60
"""Stripe tells of something again for three days at most."""
AUDIT_DAYS = 400
KEY_DAYS = 400
LINK_DAYS = 30
FORGOTTEN_MOST = 1_000
"""Rows of a table that one sweep deletes: the others go with the next ones."""


async def sweep(parts: Parts, runner: Runner) -> dict[str, Any]:
    """Do all of it; what each step said: a number, several by name, or `failed`. The same is logged, in one line, of
    which metrics and alerts live (infra/watching/): that it was done, and the numbers."""
    steps: dict[str, Callable[[], Awaitable[object]]] = {
        "renewals": lambda: renewals.enqueue_renewals(parts),
        "upgrades": lambda: renewals.enqueue_upgrades(parts),
        "counted": lambda: usage.roll_up(parts),
        "measured": lambda: usage.measure(parts),
        "quota mails": lambda: quotas.tell_owners(parts),
        "due": lambda: grace.look_again(parts),
        "grace mails": lambda: grace.warn_owners(parts),
        "moves": lambda: misplaced.move_what_fits(parts),
        "databases": lambda: ceiling.watch_ceiling(parts),
        "numbers": lambda: parts.watch.count_numbers(),
        "dead": lambda: parts.outbox.report_dead(parts.settings.operator_email),
        "backed up": lambda: taking.go_on(parts, BACKUP_SECONDS),
        "forgotten": lambda: parts.outbox.forget(DONE_DAYS),
        "events": lambda: parts.watch.forget_events(EVENT_DAYS),
        "marks": lambda: parts.ledger.forget_marks(MARK_DAYS),
        "old rows": lambda: parts.ledger.forget_old(AUDIT_DAYS, KEY_DAYS, LINK_DAYS, FORGOTTEN_MOST),
    }
    said: dict[str, Any] = {}
    for name, step in steps.items():
        try:
            said[name] = await step()
        except Exception as error:
            said[name] = "failed"
            foreseen = isinstance(error, Problem | StatementRefused)
            reason = str(error) if foreseen else type(error).__name__
            logs.LOGGER.error("The sweep's step %r failed: %s", name, reason, exc_info=None if foreseen else error)
            if not foreseen:
                await runner.tell(error, f"sweep: {name}")
    said["jobs"] = asdict(await runner.run(RUN_SECONDS))
    logs.LOGGER.info("The sweep is done.", extra={"fields": {"sweep": said}})
    return said
