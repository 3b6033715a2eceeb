"""Numbers that Google counts from our logs, line by line: failures that wake somebody, and what the business does.

A metric names the members of a line that make it count. Lines are written by `functions/core/logs.py`, as JSON; the
tests hold these conditions against lines that the code writes. In PromQL a metric is `counted(NAME)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from declarations import BILLING, PREFIX
from infra.watching.conditions import Is, Like, Within


@dataclass(frozen=True, kw_only=True)
class LogMetric:
    """Lines of `logged_by` (a path in this repository) whose members are as `where` says are counted.

    `value`: the member of a line that is the number, instead of the count of lines; dots lead into objects. `by`: the
    member that tells one series from another.
    """

    name: str
    shows: str
    logged_by: str
    where: Mapping[str, Like | Is | Within]
    value: str | None = None
    by: str | None = None

    @property
    def filter(self) -> str:
        """In the query language of Cloud Logging."""
        parts = [condition.filter(f"jsonPayload.{member}") for member, condition in self.where.items()]
        return " AND ".join(['resource.type="cloud_run_revision"', *parts])

    def counts(self, line: Mapping[str, Any]) -> bool:
        """Whether it counts a line."""
        return all(condition.holds(line.get(member)) for member, condition in self.where.items())


SWEEP = "functions/provisioning/sweep.py"
JOBS = "functions/provisioning/jobs.py"
PIPELINE = "functions/core/http.py"
SETTLING = "functions/billing/settling.py"
BACKUPS = "functions/provisioning/backups"
SWEPT = Is(("The sweep is done.",))

METRICS = (
    LogMetric(
        name="unhandled",
        shows="requests that ended in a failure nobody foresaw (500)",
        logged_by=PIPELINE,
        where={"status": Is((500,))},
    ),
    LogMetric(
        name="unavailable",
        shows="requests refused because a part did not answer (503), by part",
        logged_by=PIPELINE,
        where={"status": Is((503,)), "part": Like(".")},
        by="part",
    ),
    LogMetric(
        name="control_plane_down",
        shows="processes that lost the control plane",
        logged_by="functions/core/adapters/postgres.py",
        where={"message": Like("^The control plane does not answer")},
    ),
    LogMetric(
        name="redis_down",
        shows="processes that lost Redis",
        logged_by="functions/core/adapters/redis.py",
        where={"message": Like("^Redis does not answer")},
    ),
    LogMetric(
        name="limits_open",
        shows="processes that admit calls without counting them",
        logged_by="functions/core/limits.py",
        where={"limits": Is(("open",))},
    ),
    LogMetric(
        name="jobs_dead",
        shows="jobs that were given up",
        logged_by=JOBS,
        where={"became": Is(("dead",))},
    ),
    LogMetric(
        name="backups_failed",
        shows="troubles of backups",
        logged_by=f"{BACKUPS}/taking.py",
        where={"message": Like("^Backups: ")},
    ),
    LogMetric(
        name="restores_failed",
        shows="restores tried that failed",
        logged_by=f"{BACKUPS}/checking.py",
        where={"message": Like("^The check of backups failed")},
    ),
    LogMetric(
        name="webhooks_failed",
        shows="what Stripe told and was not handled",
        logged_by=PIPELINE,
        where={"route": Is((BILLING.path_of("receive_event"),)), "status": Within(500, 600)},
    ),
    LogMetric(name="sweeps", shows="sweeps that came to their end", logged_by=SWEEP, where={"message": SWEPT}),
    LogMetric(
        name="sweep_steps_failed",
        shows="steps of sweeps that failed",
        logged_by=SWEEP,
        where={"message": Like("^The sweep's step")},
    ),
    LogMetric(
        name="databases",
        shows="databases at Turso",
        logged_by=SWEEP,
        where={"message": SWEPT},
        value="sweep.databases",
    ),
    LogMetric(
        name="accounts",
        shows="accounts",
        logged_by=SWEEP,
        where={"message": SWEPT},
        value="sweep.numbers.accounts",
    ),
    LogMetric(
        name="paying",
        shows="workspaces that pay",
        logged_by=SWEEP,
        where={"message": SWEPT},
        value="sweep.numbers.paying",
    ),
    LogMetric(
        name="memories",
        shows="memories, as last measured",
        logged_by=SWEEP,
        where={"message": SWEPT},
        value="sweep.numbers.memories",
    ),
    LogMetric(
        name="workspaces_opened",
        shows="new workspaces: sign-ups, and further ones of who is here",
        logged_by=JOBS,
        where={"kind": Is(("open_store",)), "became": Is(("done",))},
    ),
    LogMetric(
        name="writes",
        shows="requests that wrote memories, by route: one, a batch, a part of an import",
        logged_by=PIPELINE,
        where={
            "method": Is(("POST",)),
            "route": Is((f"{PREFIX}/memories", f"{PREFIX}/memories/batch", f"{PREFIX}/import")),
            "status": Within(200, 300),
        },
        by="route",
    ),
    LogMetric(
        name="plans_begun",
        shows="workspaces that began to pay",
        logged_by=SETTLING,
        where={"changes": Like("^workspace: plan free -> ")},
    ),
    LogMetric(
        name="plans_ended",
        shows="workspaces that went back to the free plan",
        logged_by=SETTLING,
        where={"changes": Like("^workspace: plan [a-z]+ -> free$")},
    ),
)

NAMES = frozenset(metric.name for metric in METRICS)


def counted(name: str, matchers: str = "", *, of: str = "") -> str:
    """A metric in PromQL. `of` is `sum` or `count` for one with a `value`.

    Raises:
        KeyError: there is no such metric.
    """
    if name not in NAMES:
        raise KeyError(name)
    more = f",{matchers}" if matchers else ""
    suffix = f"_{of}" if of else ""
    return f'logging_googleapis_com:user_{name}{suffix}{{monitored_resource="cloud_run_revision"{more}}}'


def mean(name: str) -> str:
    """What a metric with a `value` was lately, in PromQL: the sweep says it every five minutes."""
    return f"sum(rate({counted(name, of='sum')}[15m])) / sum(rate({counted(name, of='count')}[15m]))"
