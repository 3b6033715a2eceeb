"""`make bench`: run what can be run here, write docs/benchmarks.md and docs/benchmarks.svg.

    python -m tests.bench [--root DIR] [--quick] [--out DIR] [--peers NAME,...] [--report FILE]

Uses the local cloud that runs in DIR, or makes one there and destroys it in the end. BENCH_SECONDS sets how long a load
lasts. The figures are kept beside the cloud (results.json); `--report` writes the documents from such a file again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

import uvloop

from infra.local.places import DEFAULT_ROOT, REPO, Places, make_private
from tests.bench import plot, report
from tests.bench.cloud import standing
from tests.bench.peers import PEERS, Site
from tests.bench.runner import Extent, Run
from tests.bench.workload import SEED

SECONDS = float(os.environ.get("BENCH_SECONDS") or 5)
FULL = Extent(
    seconds=SECONDS,
    sizes=(1000, 10_000),
    clients=(1, 8, 32),
    clients_when_large=(1, 8, 32),
    starts=10,
    peers=tuple(PEERS),
)
QUICK = Extent(
    seconds=min(SECONDS, 1.0), sizes=(300,), clients=(32,), clients_when_large=(32,), starts=2, peers=tuple(PEERS)
)


def main() -> int:
    given = _parse()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if given.report:
        _write(json.loads(Path(given.report).read_text()), Path(given.out))
        return 0
    places = Places.of(given.root)
    folder = places.root / "bench"
    make_private(folder)
    extent = QUICK if given.quick else FULL
    chosen = [name for name in PEERS if any(word in name for word in given.peers.split(","))]
    extent = Extent(**{**extent.__dict__, "peers": tuple(chosen)})
    machine = _machine()
    with standing(str(places.root), folder, keep=given.keep) as cloud:
        run = Run(cloud, Site(places, folder), extent, _say)
        try:
            uvloop.run(run.all())
        except KeyboardInterrupt:
            _say("Stopped; what was measured so far is not written.")
            return 130
        # Before the cloud goes: should that fail, nothing is lost.
        results = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "quick": given.quick,
            "seconds": extent.seconds,
            "seed": SEED,
            "machine": machine,
            "versions": _versions(),
            "cells": run.cells,
            **run.found,
            "skipped": run.skipped,
        }
        (folder / "results.json").write_text(json.dumps(results, indent=1))
        _write(results, Path(given.out))
        _say(f"Written: {Path(given.out) / report.NAME}; the figures: {folder / 'results.json'}")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="The memories beside peers.")
    parser.add_argument("--root", default=os.environ.get("LOCAL_ROOT") or DEFAULT_ROOT)
    parser.add_argument("--quick", action="store_true", help="about a minute, to see whether all of it works")
    parser.add_argument("--keep", action="store_true", help="leave a cloud that was made for this")
    parser.add_argument("--peers", default="", help="parts of names, separated by commas; all by default")
    parser.add_argument("--out", default=str(REPO / "docs"), help="the folder of the two documents")
    parser.add_argument("--report", default="", help="write the documents from this results.json; measure nothing")
    return parser.parse_args()


def _write(results: dict[str, Any], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / report.NAME).write_text(report.markdown(results))
    (out / plot.NAME).write_text(plot.svg(results))


def _machine() -> dict[str, str]:
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?"
    )
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "processor": f"{len(os.sched_getaffinity(0))} x {model}",
        "memory": f"{int(memory) / (1 << 20):.0f} GiB",
        "system": " ".join(os.uname()[index] for index in (0, 2, 4)),
        "load before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _versions() -> dict[str, str]:
    asked = ["git", "describe", "--always", "--dirty", "--tags"]
    done = subprocess.run(asked, cwd=REPO, capture_output=True, text=True, check=False)
    names = ("functions-framework", "uvicorn", "uvloop", "httptools", "psycopg", "pydantic")
    return {
        "this": done.stdout.strip() or "?",
        "Python": sys.version.split()[0],
        **{name: metadata.version(name) for name in names},
    }


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
