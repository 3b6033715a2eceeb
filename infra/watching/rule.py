"""What a rule is, what it may take from the stack, and the numbers that several of them ask for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from infra.watching.metrics import counted


class Severity(StrEnum):
    CRITICAL = "CRITICAL"  # nobody is served
    ERROR = "ERROR"  # somebody is not, or data is at risk
    WARNING = "WARNING"  # it will be, if nobody looks


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What rules take from the stack: the API's host, the functions behind the edge, how many databases Turso's plan
    has and how many requests a day the edge's plan serves (0: any number)."""

    host: str
    functions: tuple[str, ...]
    databases_most: int
    edge_requests_most: int


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Fires when `query` has had a value for `minutes`. The texts: what happened, why it matters, what to do first.

    `title` is the section of docs/alerts.md that says more.
    """

    name: str
    title: str
    severity: Severity
    query: str
    minutes: int = 0
    happened: str
    matters: str
    first: str

    @property
    def text(self) -> str:
        """What the mail says, in Markdown."""
        return "\n\n".join(
            (
                f"**What happened.** {self.happened}",
                f"**Why it matters.** {self.matters}",
                f"**What to do first.** {self.first}",
                f"More: docs/alerts.md, section “{self.title}”.",
            )
        )


def requests(facts: Facts, matchers: str = "") -> str:
    """Requests that reached the functions behind the edge."""
    return _of_functions(facts, "request_count", matchers)


def latencies(facts: Facts) -> str:
    """How long they took, in ms, as buckets."""
    return _of_functions(facts, "request_latencies_bucket", "")


def _of_functions(facts: Facts, metric: str, matchers: str) -> str:
    more = f",{matchers}" if matchers else ""
    names = "|".join(sorted(facts.functions))
    return f'run_googleapis_com:{metric}{{monitored_resource="cloud_run_revision",service_name=~"{names}"{more}}}'


def some(name: str, window: str) -> str:
    """Whether a metric (metrics.py) counted anything within a window."""
    return f"sum(increase({counted(name)}[{window}])) > 0"
