"""Two commands at once: real processes, since the kernel is what keeps them apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local import lock

HOLDER = """
import pathlib, sys, time
from infra.local import lock
with lock.hold(pathlib.Path(sys.argv[1]), "up", print):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""


def _holder(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _release(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=20)


def test_a_second_command_waits_and_says_for_whom(tmp_path: Path) -> None:
    path = tmp_path / "root" / "lock"
    first = _holder(path)
    assert _line(first) == "held"
    assert lock.holder(path) == f"`make up` (process {first.pid})"
    second = _holder(path)
    assert f"Waiting for `make up` (process {first.pid})" in _line(second)
    _release(first)
    assert _line(second) == "held"
    _release(second)
    assert lock.holder(path) is None


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = _holder(path)
    assert _line(first) == "held"
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=20)
    assert lock.holder(path) is None


def test_a_waiter_outlives_the_removal_of_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "root" / "lock"
    first, second = _holder(path), None
    try:
        assert _line(first) == "held"
        second = _holder(path)
        assert "Waiting" in _line(second)
        path.unlink()  # as `make clean` does
        path.parent.rmdir()
        _release(first)
        assert _line(second) == "held"
        assert lock.holder(path) == f"`make up` (process {second.pid})", "the lock that it holds is the one others see"
    finally:
        for process in filter(None, (first, second)):
            if process.poll() is None:
                _release(process)


def test_a_failure_releases(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    def fail() -> None:
        with lock.hold(path, "up", print):
            assert lock.holder(path) == f"`make up` (process {os.getpid()})"
            raise OSError

    with pytest.raises(OSError, match=r"^$"):
        fail()
    assert lock.holder(path) is None
