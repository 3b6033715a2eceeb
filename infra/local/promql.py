"""Prometheus's own engine on sample series, for tests of alerts: would this expression have fired?

It is in no package index as a program, so a small one around it (promql/main.go) is built from its Go module (go.py).
Google evaluates PromQL by an engine of its own that promises to agree with it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from infra.local.go import Program, runs
from infra.local.places import Places

SECONDS = 60
"""Of one run."""


PROMQL = Program(
    name="promql",
    folder="promql",
    module="github.com/prometheus/prometheus",
    package=".",
    version_variable="main.version",
    what="Prometheus's engine of queries",
    takes="under a minute",
    disk_mb=500,
    otherwise="run the tests where there is some.",
    works=runs("--version"),
)


class NoSuchQuery(ValueError):
    """The engine refuses an expression or a series, in its words."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """An expression, what there is to see, and when it is asked.

    `series` are written as for `promtool test rules`, `name{label="value"} 0+10x5`: one sample each `interval_seconds`
    from second 0. `at_seconds` empty: the expression is only parsed.
    """

    expr: str
    series: Sequence[str] = ()
    interval_seconds: int = 60
    at_seconds: Sequence[int] = ()


def evaluate(places: Places, cases: Sequence[Case]) -> list[list[dict[str, float]]]:
    """For each case and moment the values that the expression has, by their labels as text. Build PROMQL first.

    Raises:
        NoSuchQuery: naming the first case that the engine refuses.
    """
    asked = json.dumps([asdict(case) for case in cases])
    words = [str(PROMQL.cached(places))]
    done = subprocess.run(words, input=asked, capture_output=True, text=True, timeout=SECONDS, check=True)
    found = []
    for case, answer in zip(cases, json.loads(done.stdout), strict=True):
        if "error" in answer:
            raise NoSuchQuery(f"{case.expr}\n{answer['error']}")
        found.append([{_said(one["labels"]): one["value"] for one in moment} for moment in answer.get("values", ())])
    return found


def _said(labels: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
