"""How much of each thing a number of users and calls takes: the assumptions, each with its reason, and the products.

What can be read from the declarations is; what was measured names the measurement; the rest are guesses on the high
side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from declarations import DEPLOYED, FREE
from infra.watching.metrics import METRICS

GIB = 1024**3


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """Per call, per user, or in all. Change one on the command line: `make cost ARGS="--seconds-per-call 0.05"`."""

    seconds_per_call: float = 0.15  # billed time, one call at a time: 0.1 s is the least that is billed
    paid_share: float = 0.0  # of users whose memories are in Postgres; nobody has to pay for the figures to hold
    redis_scripts_per_call: float = 0.5  # 0.03 for busy keys, 1 after a pause of 5 s (docs/benchmarks.md)
    commands_per_script: float = 4.0  # EVAL and three inner ones, each of which is billed
    page_calls_per_user: float = 60.0  # of the dashboard, in a month
    busiest_day: float = 2.0  # times the average
    store_mb_per_free_user: float = 1.0  # 100 memories of 4 kB with their history, twice over
    store_mb_per_paid_user: float = 20.0
    control_kb_per_user: float = 20.0
    rows_read_per_call: float = 300.0  # a search reads each of 100 memories, and some of it twice
    rows_written_per_call: float = 2.0
    answer_kb: float = 4.0
    log_kb_per_call: float = 1.0
    deploys: int = 30  # of every function, in a month
    backup_days: int = 30


@dataclass(frozen=True, kw_only=True)
class Load:
    users: int
    calls: int


SWEEPS = 30 * 24 * 12
"""A month's, each some seconds long (infra/components/jobs.py)."""
SWEEP_SECONDS = 5.0
SCHEDULES = 3
"""The sweep, the nightly reconcile, the daily backup."""
CHECKS = 30 * 24 * 12 * 3
"""A month's: every five minutes, from three places (infra/components/watching.py)."""
NUMBERS_MIB = sum(80 if metric.value else 8 for metric in METRICS) * 30 * 1440 / 1024**2
"""A month's, as if each metric had a point every minute: 8 bytes, or 80 with its distribution."""
SECRET_LIFE_MINUTES = 5
"""A process reads a rotating secret that often; the sweep is the only one that does so all month."""


def amounts(load: Load, given: Assumptions) -> Mapping[str, float]:
    """How much of each meter (by its name in prices.py) a month takes."""
    calls = load.calls + load.users * given.page_calls_per_user
    seconds = calls * given.seconds_per_call + SWEEPS * SWEEP_SECONDS
    memory_gib = max(function.sizing.memory_mb for function in DEPLOYED) / 1024
    paid = load.users * given.paid_share
    free = load.users - paid
    stores_gb = free * min(given.store_mb_per_free_user, FREE.storage_mb) / 1000
    postgres_gb = (paid * given.store_mb_per_paid_user + load.users * given.control_kb_per_user / 1000) / 1000
    versions = sum(variable.secret for function in DEPLOYED for variable in function.settings.variables())
    return {
        "function CPU": seconds,
        "function memory": seconds * memory_gib,
        "function requests": calls + SWEEPS,
        "secret versions": versions,
        "secret reads": SWEEPS * 4 + given.deploys * versions,
        "schedules": SCHEDULES,
        "task operations": load.users * 10,
        "build time": given.deploys * len(DEPLOYED) * 2,
        "images": len(DEPLOYED) * 0.12,
        "archives and backups": given.backup_days * (stores_gb + postgres_gb) * 0.3,
        "logs": calls * given.log_kb_per_call * 1000 / GIB,
        "checks from outside": CHECKS,
        "numbers from logs": NUMBERS_MIB,
        "answers sent out": calls * given.answer_kb * 1000 / GIB,
        "edge requests": calls,
        "edge requests of the busiest day": calls / 30 * given.busiest_day,
        "database": postgres_gb,
        "people who sign in": load.users,
        "database answers": calls * given.answer_kb / 1e6,
        "databases": free,
        "Turso storage": stores_gb,
        "rows read": load.calls * given.rows_read_per_call,
        "rows written": load.calls * given.rows_written_per_call,
        "Redis commands": calls * given.redis_scripts_per_call * given.commands_per_script,
    }
