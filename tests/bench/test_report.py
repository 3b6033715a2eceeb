"""The report judges targets by the figures it is given, and can be written from few of them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from tests.bench import plot, report, targets
from tests.bench.runner import EDGE_FREE, EDGE_TEAM

MS = {"p50": 1.0, "p95": 8.0, "p99": 9.0}
ONE = {"rate": 1000.0, "p50": 1.0, "p95": 2.0, "errors": 0, "load_cpu": 0.1}


def cell(system: str, rate: float, *, size: int = 1000, clients: int = 32, lost: int = 0) -> dict[str, Any]:
    return {
        "system": system,
        "size": size,
        "clients": clients,
        "seconds": 5.0,
        "rate": rate,
        "count": int(rate * 5),
        "ms": dict.fromkeys(("search", "get", "store", "all"), MS),
        "errors": {},
        "acknowledged": 10,
        "lost": lost,
        "load_cpu": 0.1,
        "machine_cpu": 0.9,
        "answer_bytes": {},
    }


def results(*cells: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "date": "2026-11-27 12:00 UTC",
        "quick": False,
        "seconds": 5.0,
        "seed": 1,
        "machine": {"processor": "2 x something"},
        "versions": {"Python": "3.11"},
        "cells": list(cells),
        "skipped": [],
        **more,
    }


def verdicts(found: dict[str, Any]) -> dict[str, bool | None]:
    return {target.what: target.met for target in targets.targets(found)}


def of(found: dict[str, Any], start: str) -> bool | None:
    [met] = [met for what, met in verdicts(found).items() if what.startswith(start)]
    return met


def test_the_best_peer_counts() -> None:
    peers = (cell("one", 90), cell("two", 120), cell("two", 900, clients=1))
    assert of(results(cell(EDGE_TEAM, 1200), *peers), "mixed load, Team") is True
    assert of(results(cell(EDGE_TEAM, 1199), *peers), "mixed load, Team") is False


def test_a_peer_that_loses_is_judged_apart() -> None:
    found = results(cell(EDGE_TEAM, 1200), cell("one", 100), cell("two", 300, lost=1))
    assert of(found, "mixed load, Team") is True
    assert of(found, "the same, against the best peer") is False


def test_a_missed_target_is_explained_by_the_ceiling_of_its_run() -> None:
    bare = {"bare PostgreSQL": {"1000": {"4 connections": dict(ONE, rate=2000.0)}}}
    assert "gives 2,000 on these processors, which is 10.0x that peer" in report.markdown(
        results(cell(EDGE_TEAM, 900), cell("one", 200), **bare)
    )
    assert "What stops" not in report.markdown(results(cell(EDGE_TEAM, 2000), cell("one", 200), **bare))


def test_sixty_percent_of_bare_sqld() -> None:
    bare = {"bare sqld": {"100": {"rate": 1000.0, "p50": 1.0, "p95": 2.0, "errors": 0, "load_cpu": 0.1}}}
    assert of(results(cell(EDGE_FREE, 600, size=100), **bare), "mixed load, Free") is True
    assert of(results(cell(EDGE_FREE, 599, size=100), **bare), "mixed load, Free") is False


def test_a_larger_size_may_be_a_third_slower() -> None:
    small = cell(EDGE_TEAM, 900)
    assert of(results(small, cell(EDGE_TEAM, 600, size=10_000)), "Team, 1,000") is True
    assert of(results(small, cell(EDGE_TEAM, 599, size=10_000)), "Team, 1,000") is False


def test_one_lost_write_is_too_many_and_a_peers_does_not_count() -> None:
    assert of(results(cell(EDGE_TEAM, 1), cell("peer", 1, lost=3)), "acknowledged") is True
    assert of(results(cell(EDGE_TEAM, 1, lost=1)), "acknowledged") is False


def test_redis_counts_every_command_of_each_call() -> None:
    redis = {"steady": {"calls": 100, "commands": {"EVAL": 8, "GET": 3}}, "after a pause": {"calls": 1, "commands": {}}}
    found = results(redis=redis)
    assert of(found, "commands to Redis") is False
    assert of(found, "the same after 6 s") is True


def test_what_was_not_measured_is_not_judged() -> None:
    assert set(verdicts(results()).values()) == {None}
    text = report.markdown(results(skipped=[{"what": "a peer", "why": "no | Python"}]))
    assert "Not measured in this run." in text
    assert "| a peer | no \\| Python |" in text


def test_ratios_stand_beside_ours_only() -> None:
    text = report.markdown(results(cell(EDGE_TEAM, 1000), cell("peer", 100)))
    [ours] = [line for line in text.splitlines() if line.startswith(f"| {EDGE_TEAM} | 32")]
    [peer] = [line for line in text.splitlines() if line.startswith("| peer | 32")]
    assert [column.strip() for column in ours.split("|")][3:5] == ["1,000", "10.0"]
    assert [column.strip() for column in peer.split("|")][3:5] == ["100", ""]


def test_the_plot_is_svg_with_a_bar_for_each_system() -> None:
    drawn = plot.svg(results(cell(EDGE_TEAM, 1000), cell("a & b", 100), cell("a & b", 10, clients=1)))
    root = ElementTree.fromstring(drawn)
    widths = [float(bar.attrib["width"]) for bar in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(widths) == 2
    assert abs(widths[0] / widths[1] - 10) < 0.1
    assert "a & b" in "".join(root.itertext())
