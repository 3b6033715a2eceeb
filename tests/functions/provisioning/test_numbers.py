"""What the sweep says of itself, which metrics and alerts live of: its line, and the numbers of the business."""

from __future__ import annotations

import json
import logging
from typing import Any

import psycopg
import pytest

from core import logs
from core.problems import Unavailable
from infra.watching.metrics import METRICS
from provisioning import sweep
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.provisioning.world import World


async def swept(world: World, caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The lines that metrics count."""
    caplog.clear()
    with caplog.at_level(logging.INFO, logger=logs.LOGGER.name):
        await sweep.sweep(world.parts, world.runner)
    lines = [json.loads(logs.JsonFormatter().format(record)) for record in caplog.records]
    return [line for line in lines if any(metric.counts(line) for metric in METRICS)]


def number(line: dict[str, Any], path: str) -> object:
    found: Any = line
    for name in path.split("."):
        found = found[name]
    return found


async def test_the_line_of_a_sweep_has_every_number_that_a_metric_takes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    _, first = world.new_workspace("free")
    _, second = world.new_workspace("free")
    _, closed = world.new_workspace("free")
    world.owner.run("UPDATE app.workspaces SET closed_at = now() WHERE id = %s", closed)
    for workspace, day, memories in ((first, 3, 90), (first, 1, 30), (second, 2, 12), (closed, 1, 500)):
        world.owner.run(
            "INSERT INTO app.usage_daily (workspace_id, day, memories, bytes, measured_at)"
            " VALUES (%s, current_date - %s::int, %s, 1, now())",
            workspace,
            day,
            memories,
        )
    world.owner.run("INSERT INTO app.usage_daily (workspace_id, day) VALUES (%s, current_date)", first)  # unmeasured
    world.owner.run("INSERT INTO app.jobs (kind, state, finished_at) VALUES ('send_mail', 'dead', now())")
    *_, line = await swept(world, caplog)  # Redis is not here, which is a line of its own
    took = {metric.name: number(line, metric.value) for metric in METRICS if metric.value}
    assert took == {"databases": 0, "accounts": 3, "paying": 0, "memories": 42}
    assert line["sweep"]["numbers"] == {"accounts": 3, "workspaces": 2, "paying": 0, "memories": 42, "dead": 1}


async def test_a_sweep_whose_step_fails_is_told_of_and_is_done_all_the_same(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: object) -> int:
        raise Unavailable("Turso does not answer.", part="turso")

    monkeypatch.setattr("provisioning.ceiling.watch_ceiling", refuse)
    lines = await swept(world, caplog)
    counted = [{metric.name for metric in METRICS if metric.counts(line) and not metric.value} for line in lines]
    assert counted == [{"sweep_steps_failed"}, {"sweeps"}]
    assert lines[1]["sweep"]["databases"] == "failed"


def test_only_provisioning_counts(shared_control_plane: ControlPlaneUrls) -> None:
    refused = pytest.raises(psycopg.errors.InsufficientPrivilege)
    with psycopg.connect(shared_control_plane.memories) as connection, refused:
        connection.execute("SELECT app.count_numbers()")
