"""Freezing a process as a hung machine would be, and being sure of it before the test goes on."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

SECONDS = 10


def freeze(*pids: int) -> None:
    """Stop processes and wait until every thread of theirs stands: SIGSTOP returns before that, and a thread that still
    runs can answer one more request. A process that ended meanwhile is done."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + SECONDS
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, f"processes {pids} do not stop"
        time.sleep(0.005)


def _runs(pid: int) -> bool:
    states = []
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # this thread ended
            states.append(stat.read_text().rpartition(")")[2].split()[0])
    return any(state not in "TtZX" for state in states)
