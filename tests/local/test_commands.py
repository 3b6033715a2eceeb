"""The command line: every target, exit codes, and no traceback."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local import commands, inspection, result
from infra.local.places import REPO, Places, write_private
from infra.local.trouble import Interrupted, Trouble, told

HOLDER = """
import pathlib, sys
from infra.local import lock
with lock.hold(pathlib.Path(sys.argv[1]), "up", print):
    print("held", flush=True)
    sys.stdin.readline()
"""
BOOTSTRAP = str(REPO / "infra" / "local" / "bootstrap.py")


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, BOOTSTRAP, *words], capture_output=True, text=True, timeout=60, check=False)


def test_make_help_lists_every_command() -> None:
    listed = subprocess.run(["make", "-s", "help"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^make ([\w-]+) +\S", listed, re.MULTILINE)
    assert sorted(targets) == sorted(["help", *commands.LOCKED, *commands.UNLOCKED])
    phony = re.search(r"^\.PHONY: (.*)$", (REPO / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert sorted(phony[1].split()) == sorted(targets)


def test_ci_runs_exactly_make_test() -> None:
    runner = REPO / ".ci" / "run"
    assert os.access(runner, os.X_OK)
    assert runner.read_text().splitlines()[-1] == "exec make test"


def test_make_without_python_says_what_to_do() -> None:
    done = subprocess.run(
        ["make", "-s", "status", "PYTHON=python-of-nowhere"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Install Python 3.11 or newer" in done.stderr


def test_status_of_nothing(tmp_path: Path) -> None:
    done = _run("--root", str(tmp_path / "root"), "status")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not running. `make up` makes one." in done.stderr
    assert not (tmp_path / "root").exists(), "looking makes nothing"


def test_down_and_destroy_of_nothing(tmp_path: Path) -> None:
    for command, words in (("down", "Nothing was running."), ("destroy", "There is nothing to destroy.")):
        done = _run("--root", str(tmp_path / "root"), command)
        assert done.returncode == 0
        assert words in done.stderr


def test_a_root_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = _run("--root", str(tmp_path / "file" / "root"), "down")
    assert done.returncode == 1
    assert done.stderr.startswith("Cannot go on: ")
    assert "Traceback" not in done.stderr


def test_ctrl_c_is_a_sentence_and_130(tmp_path: Path) -> None:
    """While it waits for another command, for example."""
    root = tmp_path / "root"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with subprocess.Popen(
            [sys.executable, BOOTSTRAP, "--root", str(root), "down"], stderr=subprocess.PIPE, text=True
        ) as waiting:
            assert waiting.stderr is not None
            assert "Waiting for `make up`" in waiting.stderr.readline()
            waiting.send_signal(signal.SIGINT)
            assert "Interrupted" in waiting.stderr.read()
        assert waiting.returncode == 130
        other.communicate("\n")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (Trouble("What, why, what to do."), 1, "What, why, what to do."),
        (Interrupted("Kept."), 130, "Kept."),
        (KeyboardInterrupt(), 130, "Run the same command again"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 1, "the disk is full (/x). Free some space"),
        (OSError(errno.EROFS, "Read-only", "/x"), 1, "read-only (/x)"),
        (OSError(errno.ELOOP, "Too many links", "/x"), 1, "Too many links (/x)"),
        (OSError("odd"), 1, "odd"),
    ],
)
def test_what_is_told(error: BaseException, code: int, words: str) -> None:
    sentence, told_code = told(error)
    assert told_code == code
    assert words in sentence


def test_a_bug_is_one_line_and_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sentence, code = told(KeyError("x"))
    assert code == 1
    assert sentence.startswith("This is a bug: KeyError: 'x'")
    (report,) = tmp_path.iterdir()
    assert str(report) in sentence
    assert "KeyError" in report.read_text()


def test_what_clients_need(places: Places) -> None:
    result.write(places, "http://127.0.0.1:1/api/v1", "mg_x")
    assert result.read(places) == {result.API_URL: "http://127.0.0.1:1/api/v1", result.API_KEY: "mg_x"}
    assert places.env.stat().st_mode & 0o777 == 0o600
    text = result.text(places, "http://127.0.0.1:1/api/v1", "mg_x")
    assert {"  MEMORY_BACKEND=cloud", "  MEMORYGRAPH_API_KEY=mg_x"} <= set(text.splitlines())
    server = json.loads(text[text.index("{") : text.rindex("}") + 1])["mcpServers"]["memorygraph"]
    assert server["env"] == result.client_variables("http://127.0.0.1:1/api/v1", "mg_x")


def test_logs(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Trouble, match="no logs yet"):
        inspection.logs(places, "", follow=False)
    write_private(places.logs / "memories.log", "".join(f"line {n}\n" for n in range(100)))
    write_private(places.logs / "cloud.log", "started\n")
    inspection.logs(places, "memories", follow=False)
    shown = capsys.readouterr().out.splitlines()
    assert (len(shown), shown[-1]) == (inspection.TAIL_LINES, "line 99")
    inspection.logs(places, "", follow=False)
    assert {"==> cloud <==", "==> memories <==", "started"} <= set(capsys.readouterr().out.splitlines())
    with pytest.raises(Trouble, match="There are: cloud, memories"):
        inspection.logs(places, "nonsense", follow=False)
