"""Running tools: nothing is left behind, and a failure is told by its cause."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from infra.local import tools
from infra.local.tools import Done

NAP = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); " + NAP


def test_output_is_kept_shown_and_logged(tmp_path: Path) -> None:
    shown: list[str] = []
    log = tmp_path / "logs" / "tool.log"
    words = [sys.executable, "-c", "import sys; print(sys.stdin.read()); print('b', file=sys.stderr); sys.exit(3)"]
    done = tools.run(words, stdin="a", log=log, on_line=shown.append)
    assert done.code == 3
    assert sorted(done.output.split()) == ["a", "b"]
    assert sorted(shown) == ["a", "b"]
    assert sorted(log.read_text().splitlines()[1:]) == ["a", "b"]


def test_logs_are_private(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        log = tmp_path / "root" / "cloud" / "logs" / "log"
        tools.run([sys.executable, "-c", ""], log=log)
        tools.run([sys.executable, "-c", "print(2)"], log=log)
    finally:
        os.umask(before)
    assert log.read_text().count("$ ") == 2
    assert log.stat().st_mode & 0o777 == 0o600
    for folder in list(log.parents)[:3]:
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("program", [NAP, STUBBORN])
def test_ctrl_c_ends_the_tool(program: str) -> None:
    """The tool's group is gone when KeyboardInterrupt comes out, whether it obeys or not."""
    pids: list[int] = []
    script = f"import os; print(os.getpid(), flush=True); {program}"

    def on_line(line: str) -> None:
        if line.isdigit():
            pids.append(int(line))
        elif line == "ready":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        tools.run([sys.executable, "-c", script], on_line=on_line, grace=0.3)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("error: Failed to fetch\n  Caused by: dns error: failed to lookup address information", "cannot be reached"),
        ("npm error code EAI_AGAIN\nnpm error A complete log", "cannot be reached"),
        ("go: module: dial tcp: lookup proxy: no such host", "cannot be reached"),
        ("npm error ENOSPC: no space left on device, write", "disk is full"),
        ("error: failed to create file: Read-only file system (os error 30)", "read-only"),
        ("noise\nerror: hash mismatch for x\n", "failed: error: hash mismatch for x. Run the same command again."),
        ("", "failed: exit code 1. "),
    ],
)
def test_a_failure_is_told_by_its_cause(output: str, words: str, tmp_path: Path) -> None:
    told = str(tools.failure("Installing", Done(1, output), tmp_path / "log"))
    assert told.startswith("Installing failed: ")
    assert words in told
    assert str(tmp_path / "log") in told
