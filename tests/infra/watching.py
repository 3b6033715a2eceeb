"""Sample series for alerts, and whether an alert would have fired on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from infra.local.places import Places
from infra.local.promql import Case, evaluate
from infra.watching.rule import Facts, Rule
from infra.watching.rules import rules

FACTS = Facts(
    host="api.memorygraph.dev",
    functions=("memories", "accounts", "billing"),
    databases_most=100,
    edge_requests_most=100_000,
)
RULES = {rule.name: rule for rule in rules(FACTS)}
RUN = 'monitored_resource="cloud_run_revision"'


@dataclass(frozen=True, kw_only=True)
class Story:
    """What was to be seen, minute by minute, and the first minute in which the alert fires; None: in none."""

    rule: str
    told: str
    series: Sequence[str]
    fires: int | None
    minutes: int = 90
    every_minutes: int = 1

    def __str__(self) -> str:
        return f"{self.rule}: {self.told}"


def requests(values: str, code: str = "2xx", service: str = "memories") -> str:
    """Requests so far. `0+100x60` is a hundred a minute for an hour, as `promtool test rules` writes it."""
    labels = f'{RUN},service_name="{service}",response_code_class="{code}"'
    return f"run_googleapis_com:request_count{{{labels}}} {values}"


def latencies(values: dict[str, str]) -> list[str]:
    """Requests so far that took at most so many ms."""
    name = "run_googleapis_com:request_latencies_bucket"
    return [f'{name}{{{RUN},service_name="memories",le="{most}"}} {count}' for most, count in values.items()]


def checks(at: dict[str, Sequence[int]]) -> list[str]:
    """The check's results, one every five minutes, by place."""
    labels = f'monitored_resource="uptime_url",host="{FACTS.host}"'
    return [
        f'monitoring_googleapis_com:uptime_check_check_passed{{{labels},checker_location="{place}"}} '
        + " _x4 ".join(map(str, results))
        for place, results in at.items()
    ]


def lines(metric: str, minutes: Iterable[int], *, until: int, labels: str = "", suffix: str = "", each: int = 1) -> str:
    """A metric of logs that counted a line (or `each`) in each of these minutes; nothing before minute 1."""
    logged = list(minutes)
    counts = [each * sum(1 for one in logged if one <= minute) for minute in range(until + 1)]
    more = f",{labels}" if labels else ""
    return f"logging_googleapis_com:user_{metric}{suffix}{{{RUN}{more}}} " + " ".join(map(str, counts))


def first_minutes(places: Places, stories: Sequence[Story]) -> list[int | None]:
    """When each alert fires: its query has had a value at every evaluation of so many minutes."""
    cases = [
        Case(
            expr=RULES[story.rule].query,
            series=story.series,
            interval_seconds=60 * story.every_minutes,
            at_seconds=[60 * minute for minute in range(0, story.minutes + 1, story.every_minutes)],
        )
        for story in stories
    ]
    return [
        _first(RULES[story.rule], [bool(moment) for moment in answer], story.every_minutes)
        for story, answer in zip(stories, evaluate(places, cases), strict=True)
    ]


def _first(rule: Rule, seen: Sequence[bool], every_minutes: int) -> int | None:
    since: int | None = None
    for place, one in enumerate(seen):
        minute = place * every_minutes
        since = (minute if since is None else since) if one else None
        if since is not None and minute - since >= rule.minutes:
            return minute
    return None
