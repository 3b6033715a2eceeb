"""Processes of the system under test: which there are, whether they live, and freezing them as a hung machine would."""

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


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def family(pid: int) -> list[int]:
    """A process and all that descend from it, whichever of their threads started them."""
    members = [pid]
    for member in members:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                members.extend(int(child) for child in children.read_text().split())
    return members
