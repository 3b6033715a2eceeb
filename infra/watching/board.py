"""The dashboard, as the JSON that Cloud Monitoring takes: how we serve, what fails, what the business does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.watching.metrics import METRICS, counted, mean
from infra.watching.rule import Facts, latencies, requests

WIDTH, HEIGHT = 24, 14
"""Of a tile; a board has 48 columns."""


@dataclass(frozen=True)
class Chart:
    """A tile. `lines` are legends with their PromQL."""

    title: str
    lines: Mapping[str, str]


def charts(facts: Facts) -> tuple[Chart, ...]:
    """In the order of reading."""
    quantile = "histogram_quantile({}, sum by (le) (rate({}[5m])))"
    instances = (
        'sum by (service_name) (run_googleapis_com:container_instance_count{monitored_resource="cloud_run_revision"})'
    )
    failures = ("unhandled", "control_plane_down", "redis_down", "limits_open", "webhooks_failed", "sweep_steps_failed")
    business = ("workspaces_opened", "plans_begun", "plans_ended")
    return (
        Chart(
            "Requests a second, by status",
            {"status": f"sum by (response_code_class) (rate({requests(facts)}[5m]))"},
        ),
        Chart(
            "Latency, ms",
            {share: quantile.format(number, latencies(facts)) for share, number in (("p50", 0.5), ("p95", 0.95))},
        ),
        Chart("Instances", {"function": instances}),
        Chart(
            "Refused because a part does not answer",
            {"part": f"sum by (part) (increase({counted('unavailable')}[5m]))"},
        ),
        Chart("Failures", {_shows(name): f"sum(increase({counted(name)}[5m]))" for name in failures}),
        Chart(
            "Work behind",
            {
                _shows(name): f"sum(increase({counted(name)}[15m]))"
                for name in ("sweeps", "jobs_dead", "backups_failed", "restores_failed")
            },
        ),
        Chart(
            "Workspaces and plans, an hour", {_shows(name): f"sum(increase({counted(name)}[1h]))" for name in business}
        ),
        Chart(
            "Requests that write memories, an hour", {"route": f"sum by (route) (increase({counted('writes')}[1h]))"}
        ),
        *(
            Chart(_shows(name).capitalize(), {name: mean(name)})
            for name in ("databases", "accounts", "paying", "memories")
        ),
    )


def board(title: str, facts: Facts) -> dict[str, Any]:
    """The dashboard. Source: https://cloud.google.com/monitoring/dashboards/api-dashboard (mosaicLayout)."""
    tiles = [
        {
            "xPos": WIDTH * (place % 2),
            "yPos": HEIGHT * (place // 2),
            "width": WIDTH,
            "height": HEIGHT,
            "widget": {"title": chart.title, "xyChart": {"dataSets": _data(chart)}},
        }
        for place, chart in enumerate(charts(facts))
    ]
    return {"displayName": title, "mosaicLayout": {"columns": 2 * WIDTH, "tiles": tiles}}


def _data(chart: Chart) -> list[dict[str, Any]]:
    return [
        {
            "plotType": "LINE",
            "targetAxis": "Y1",
            **({"legendTemplate": legend} if len(chart.lines) > 1 else {}),
            "timeSeriesQuery": {"prometheusQuery": query},
        }
        for legend, query in chart.lines.items()
    ]


def _shows(name: str) -> str:
    return next(metric.shows for metric in METRICS if metric.name == name)
