"""The daemon as a process: stale records, deaths at birth, deaf ones; with small modules in its place."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import control, processes
from infra.local.places import Places
from infra.local.processes import CLOUD, Record
from infra.local.trouble import Trouble
from tests.processes import freeze

SERVES = """
import json, os, signal, sys, time
root = sys.argv[2]
open(root + "/cloud.json", "w").write(json.dumps({"pid": os.getpid(), "control_port": 1, "control_token": "t"}))
time.sleep(120)
"""
DIES = "import sys; sys.exit('The port 20000 is taken by another program.')"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVES


@pytest.fixture
def daemon(places: Places) -> Iterator[Path]:
    """The module that runs in the daemon's place; write its text."""
    module = places.repo / "infra" / "local" / "cloud" / "__main__.py"
    module.parent.mkdir(parents=True)
    places.python.parent.mkdir(parents=True)
    places.python.symlink_to(sys.executable)
    yield module
    for pid in processes.matching(places, CLOUD):
        os.kill(pid, signal.SIGKILL)


def test_start_and_stop(places: Places, daemon: Path) -> None:
    daemon.write_text(SERVES)
    (record,) = processes.start(places, CLOUD)
    assert processes.living(places, CLOUD) == record
    asked: list[Record] = []

    def ask(cloud: Record) -> None:
        asked.append(cloud)
        os.kill(cloud.pid, signal.SIGTERM)

    assert processes.stop(places, CLOUD, ask=ask)
    assert asked == [record]
    assert processes.living(places, CLOUD) is None
    assert not places.cloud_record.exists()
    assert not processes.stop(places, CLOUD)


def test_one_that_dies_at_birth_says_why(places: Places, daemon: Path) -> None:
    daemon.write_text(DIES)
    with pytest.raises(Trouble, match=r"did not start: The port 20000 is taken by another program\. Details: .*\.log"):
        processes.start(places, CLOUD)
    assert processes.matching(places, CLOUD) == []


def test_one_that_never_serves_is_ended(places: Places, daemon: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.write_text("import time; time.sleep(120)")
    monkeypatch.setattr(processes, "START_SECONDS", 0.3)
    with pytest.raises(Trouble, match="did not start within"):
        processes.start(places, CLOUD)
    assert processes.matching(places, CLOUD) == []


def test_a_record_whose_process_is_a_stranger_does_not_count(places: Places, daemon: Path) -> None:
    daemon.write_text(SERVES)
    places.root.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        places.cloud_record.write_text(json.dumps({"pid": stranger.pid, "control_port": 1, "control_token": "t"}))
        assert processes.living(places, CLOUD) is None
        processes.stop(places, CLOUD)
        assert stranger.poll() is None, "a stranger is left alone"
        stranger.communicate(b"\n")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "{}"])
def test_half_a_record_does_not_count(text: str, places: Places) -> None:
    places.root.mkdir()
    places.cloud_record.write_text(text)
    assert processes.living(places, CLOUD) is None


def test_another_root_is_another_environment(places: Places, daemon: Path) -> None:
    daemon.write_text(SERVES)
    processes.start(places, CLOUD)
    other = Places.of(".local-two", places.repo)
    shutil.copytree(places.root, other.root)
    assert processes.living(other, CLOUD) is None
    assert not processes.stop(other, CLOUD)
    assert processes.living(places, CLOUD) is not None


def test_a_deaf_one_is_killed(places: Places, daemon: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.write_text(DEAF)
    processes.start(places, CLOUD)
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    assert processes.stop(places, CLOUD, ask=control.ask_to_stop)
    assert processes.matching(places, CLOUD) == []


def test_one_whose_record_cannot_be_removed_is_ended(
    places: Places, daemon: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.write_text(SERVES)
    processes.start(places, CLOUD)

    def refuse(path: Path, *, missing_ok: bool = False) -> None:  # noqa: ARG001  Path.unlink's own signature
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        assert processes.stop(places, CLOUD)
    assert processes.matching(places, CLOUD) == []
    assert processes.living(places, CLOUD) is None


def test_a_frozen_one_is_ended(places: Places, daemon: Path) -> None:
    daemon.write_text(SERVES)
    (record,) = processes.start(places, CLOUD)
    freeze(record.pid)
    assert processes.stop(places, CLOUD)
    assert processes.matching(places, CLOUD) == []


def test_a_daemon_that_does_not_answer_is_named(places: Places) -> None:
    silent = Record(4711, {"control_port": 1, "control_token": "t"})
    with pytest.raises(Trouble, match=r"process 4711\) runs but does not answer.*make down.*make up"):
        control.status(silent)
    with pytest.raises(Trouble, match="not running"):
        control.running(places)
