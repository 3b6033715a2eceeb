"""What is started, what is removed, and what is left alone. Whole environments: tests/cloud."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import ClassVar

import pytest

from infra.local import accounts, control, drivers, engine, lifecycle, processes, stack, stamps
from infra.local.places import Places, write_private
from infra.local.processes import CLOUD, HOST
from infra.local.progress import Progress

SERVES = """
import json, os, sys, time
name = "cloud" if "cloud" in sys.argv[0] else "host"
values = {"pid": os.getpid(), "port": 1, "provider_port": 2, "control_port": 1, "control_token": "t"}
open(f"{sys.argv[2]}/{name}.json", "w").write(json.dumps(values))
time.sleep(120)
"""


class _Driver:
    """What the lifecycle asks of a driver."""

    name: ClassVar = "a test"
    needs_host = True

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} is not asked for here")


@pytest.fixture
def checkout(places: Places, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    """A checkout whose daemon and host only write their records."""
    for name in ("cloud", "host"):
        write_private(places.repo / "infra" / "local" / name / "__main__.py", SERVES)
    places.python.parent.mkdir(parents=True)
    places.python.symlink_to(sys.executable)
    monkeypatch.setattr(engine, "find", lambda _places: None)
    answer = {"edge_url": None, **dict.fromkeys(stack.ADDRESSES.values(), "http://127.0.0.1:1")}
    monkeypatch.setattr(control, "addresses", lambda _cloud: answer)
    yield places
    for module in (CLOUD, HOST):
        for pid in processes.matching(places, module):
            os.kill(pid, signal.SIGKILL)


def _start(places: Places, progress: Progress) -> tuple[int, int]:
    driver: drivers.Driver = _Driver()  # type: ignore[assignment]  # the rest of a driver is not asked for
    lifecycle.start(places, progress, driver)
    cloud, host = processes.living(places, CLOUD), processes.living(places, HOST)
    assert cloud is not None
    assert host is not None
    return cloud.pid, host.pid


def test_a_second_start_leaves_both_alone(checkout: Places, progress: Progress) -> None:
    assert _start(checkout, progress) == _start(checkout, progress)
    assert "PULUMI_DEBUG_PROVIDERS=gcp:2,cloudflare:2,upstash:2" in checkout.pulumi_env.read_text().splitlines()
    assert "PULUMI_DEBUG_LANGUAGES=python:1" in checkout.pulumi_env.read_text().splitlines()
    assert lifecycle.down(checkout, progress)
    assert not lifecycle.down(checkout, progress)


def test_new_packages_restart_both(checkout: Places, progress: Progress) -> None:
    before = _start(checkout, progress)
    checkout.lock_file.write_text(checkout.lock_file.read_text() + "# changed\n")
    after = _start(checkout, progress)
    assert not set(before) & set(after)


def test_a_host_that_died_is_started_alone(checkout: Places, progress: Progress) -> None:
    cloud, host = _start(checkout, progress)
    os.kill(host, signal.SIGKILL)
    os.waitpid(host, 0)
    again, another = _start(checkout, progress)
    assert again == cloud
    assert another != host


def test_a_moved_api_is_told(
    places: Places, progress: Progress, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = iter((1, 1, 2))
    driver = SimpleNamespace(up=lambda: None)
    monkeypatch.setattr(lifecycle, "install", lambda *_: False)
    monkeypatch.setattr(lifecycle, "start", lambda *_: None)
    monkeypatch.setattr(drivers, "choose", lambda *_: driver)
    monkeypatch.setattr(control, "running", lambda _places: processes.Record(1, {}))
    monkeypatch.setattr(control, "check_ports", lambda _cloud: None)
    monkeypatch.setattr(accounts, "api_url", lambda _places: f"http://127.0.0.1:{next(ports)}/api/v1")
    monkeypatch.setattr(accounts, "first_key", lambda *_: "mg_key")
    for _ in range(2):
        lifecycle.up(places, progress)
    assert said.getvalue() == ""
    lifecycle.up(places, progress)
    assert "The API URL changed: it was http://127.0.0.1:1/api/v1." in said.getvalue()


def test_removing_the_data_keeps_logs_and_installed_parts(places: Places) -> None:
    kept = [places.logs / "cloud.log", places.parts / "bin" / "node", places.stack_config]
    gone = [places.cloud / "sqld" / "x.db", places.cloud / "resources.json", places.env, places.driver_state]
    for path in [*kept, *gone]:
        write_private(path, "x")
    lifecycle.remove_data(places)
    assert [path for path in kept if not path.exists()] == []
    assert [path for path in gone if path.exists()] == []


def test_clean_leaves_nothing(places: Places, progress: Progress) -> None:
    stamps_and_caches = [places.venv / "bin" / "x", places.repo / "infra" / "__pycache__" / "x.pyc"]
    for path in [*stamps_and_caches, places.root / "any" / "thing"]:
        write_private(path, "x")
    lifecycle.clean(places, progress)
    assert not places.root.exists()
    assert not places.venv.exists()
    assert not (places.repo / "infra" / "__pycache__").exists()
    assert (places.repo / "Pulumi.yaml").exists()
    lifecycle.clean(places, progress)  # of nothing


def test_clean_of_one_environment_leaves_the_other(places: Places, progress: Progress) -> None:
    other = Places.of(".local-two", places.repo)
    stack.write(places, {})
    for path in (other.root / "any" / "thing", places.venv / "bin" / "x"):
        write_private(path, "x")
    stamps.write(places.venv, "whole")
    lifecycle.clean(other, progress)
    assert not other.root.exists()
    assert places.stack_config.exists()
    assert stamps.read(places.venv) == "whole"
