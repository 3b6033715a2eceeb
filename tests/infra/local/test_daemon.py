"""The daemon as a process: alone on its ROOT, leaving nothing behind, bringing back what it held."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local import control
from infra.local.processes import Record
from infra.local.trouble import Trouble
from tests.infra.local.program import BUCKET, DOMAIN, REDIS, SCRIPT, ZONE
from tests.infra.local.running import REPOSITORY, Daemon, Json, call, wait_for
from tests.processes import alive

GROUPS = "/v1/organizations/local/groups"
DATABASE = {"databaseName": "memorygraph", "region": "global", "primaryRegion": "us-east-1"}

EDGE: tuple[tuple[str, Json], ...] = (
    (ZONE, {"name": "a.localhost", "account": {"id": "local"}}),
    (
        SCRIPT,
        {
            "accountId": "local",
            "scriptName": "edge",
            "mainModule": "worker.js",
            "content": "export default { async fetch() { return new Response('here'); } };",
        },
    ),
    (DOMAIN, {"accountId": "local", "hostname": "api.a.localhost", "service": "edge", "zoneName": "a.localhost"}),
)


def fill(daemon: Daemon) -> str:
    """One part of each cheap kind; the id of the Redis database."""
    daemon.api("turso")("POST", GROUPS, {"name": "default", "location": "aws-us-east-1"})
    id_, _ = daemon.engine().create(REDIS, DATABASE)
    return id_


def said(root: Path) -> tuple[int, str]:
    """Run a daemon to its end: its exit code and what it said."""
    command = [sys.executable, "-m", "infra.local.cloud", "--root", str(root)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_a_killed_daemon_leaves_no_process(own_daemon: Daemon) -> None:
    own_daemon.start()
    fill(own_daemon)
    project = {"organization_slug": "local", "name": "m", "region": "us-east-1", "db_pass": "x"}
    api = own_daemon.api("supabase")
    _, made = api("POST", "/v1/projects", project)
    wait_for(lambda: api("GET", f"/v1/projects/{made['ref']}")[1]["status"] == "ACTIVE_HEALTHY")
    children = own_daemon.descendants()
    assert len(children) >= 4  # sqld, Redis, PostgreSQL and its workers
    frozen = own_daemon.part("postgres")["pid"]
    os.kill(frozen, signal.SIGSTOP)  # not even a frozen one
    own_daemon.stop(signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in children))
    own_daemon.start()
    assert {part["state"] for part in own_daemon.parts().values()} == {"running"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_daemon_ends_cleanly(own_daemon: Daemon, number: signal.Signals) -> None:
    own_daemon.start()
    fill(own_daemon)
    children = own_daemon.descendants()
    assert own_daemon.stop(number) == 0
    assert not any(alive(pid) for pid in children)
    assert not (own_daemon.root / "cloud.json").exists()


def test_it_stops_when_asked_and_comes_back_as_it_was(own_daemon: Daemon) -> None:
    own_daemon.start()
    redis = fill(own_daemon)
    before, address = own_daemon.parts(), own_daemon.address
    outputs = own_daemon.engine().read(REDIS, redis)
    own_daemon.control("POST", "/stop")
    wait_for(lambda: not alive(address["pid"]))
    own_daemon.start()
    assert own_daemon.address["provider_port"] == address["provider_port"]
    assert own_daemon.address["control_token"] != address["control_token"]
    after = own_daemon.parts()
    assert {name: part["port"] for name, part in after.items()} == {name: part["port"] for name, part in before.items()}
    assert {part["state"] for part in after.values()} == {"running"}
    assert own_daemon.engine().read(REDIS, redis) == outputs
    assert own_daemon.api("turso")("GET", f"{GROUPS}/default")[0] == 200


def stranger(port: int) -> socket.socket:
    """Another program that listens on a port."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", port))
    sock.listen()
    return sock


def test_a_taken_port_of_the_edge_moves(own_daemon: Daemon) -> None:
    own_daemon.start()
    engine = own_daemon.engine()
    for type_, inputs in EDGE:
        engine.create(type_, inputs)
    taken = own_daemon.part("worker")["port"]
    own_daemon.stop()
    with stranger(taken):
        own_daemon.start()
        moved = own_daemon.part("worker")
        assert moved["state"] == "running"
        assert moved["port"] != taken
        assert own_daemon.control("GET", "/addresses")["edge_url"] == f"http://127.0.0.1:{moved['port']}"


def test_a_port_that_others_wrote_down_is_waited_for(own_daemon: Daemon) -> None:
    own_daemon.start()
    fill(own_daemon)
    before = {kind: own_daemon.part(kind)["port"] for kind in ("sqld", "redis")}
    own_daemon.stop()
    name = Path("/proc/self/comm").read_text().strip()
    with stranger(before["sqld"]), stranger(before["redis"]):
        own_daemon.start()
        for kind, port in before.items():
            part = own_daemon.part(kind)
            assert (part["state"], part["pid"], part["port"]) == ("blocked", None, port)
            assert part["detail"].startswith(
                f"Port {port} of {part['name']} is held by {name} (process {os.getpid()}), and cannot move"
            )
        cloud = Record(own_daemon.address["pid"], own_daemon.address)
        with pytest.raises(Trouble, match=rf"process {os.getpid()}\).*\n.*process {os.getpid()}\)"):
            control.check_ports(cloud)
    control.check_ports(cloud)  # waits for the daemon's next look
    for kind, port in before.items():
        wait_for(lambda kind=kind: own_daemon.part(kind)["state"] == "running")
        assert own_daemon.part(kind)["port"] == port


def test_a_killed_part_is_started_again(own_daemon: Daemon) -> None:
    own_daemon.start()
    fill(own_daemon)
    for kind in ("sqld", "redis"):
        part = own_daemon.part(kind)
        os.kill(part["pid"], signal.SIGKILL)
        wait_for(lambda part=part: not alive(part["pid"]))
        wait_for(lambda kind=kind: own_daemon.part(kind)["state"] == "running")
        assert own_daemon.part(kind)["port"] == part["port"]
        assert own_daemon.part(kind)["restarts"] == 1


def test_a_second_daemon_on_the_same_root_refuses(daemon: Daemon) -> None:
    code, words = said(daemon.root)
    assert code == 1
    assert words.strip().splitlines() == [
        f"A local cloud already serves {daemon.root}: use that one, or stop it with `make down`."
    ]
    assert daemon.control("GET", "/status")


def test_a_root_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, words = said(tmp_path / "file" / "root")
    assert code == 1
    assert len(words.strip().splitlines()) == 1
    assert "Traceback" not in words


def test_a_damaged_store_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "cloud").mkdir()
    (tmp_path / "cloud" / "resources.json").write_text('{"format": 1, "sect')
    code, words = said(tmp_path)
    assert code == 1
    assert "is damaged" in words
    assert "make clean" in words
    assert "Traceback" not in words


def test_missing_parts_are_named(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "root")
    try:
        daemon.start()
        status, body = daemon.api("turso")("POST", GROUPS, {"name": "default", "location": "x"})
        assert status == 400
        assert "@sqld is not installed" in body["error"]
        assert "make up" in body["error"]
        assert daemon.api("turso")("GET", GROUPS) == (200, {"groups": []})
    finally:
        daemon.clean()


def test_the_control_api_needs_its_token(daemon: Daemon) -> None:
    port = daemon.address["control_port"]
    for method, path in (("GET", "/status"), ("GET", "/addresses"), ("POST", "/stop")):
        assert call(port, method, path, token="wrong")[0] == 401
        assert call(port, method, path)[0] == 401
    assert daemon.control("GET", "/status")["resources"] >= 0


def test_a_full_disk_refuses_in_one_sentence_and_leaves_nothing(own_daemon: Daemon) -> None:
    own_daemon.start()
    engine = own_daemon.engine()
    engine.create(BUCKET, {"name": "before", "location": "us-east4"}, name="before")
    kept = own_daemon.root / "cloud" / "resources.json"
    content = kept.read_text()
    (own_daemon.root / "cloud" / "resources.json.new").mkdir()  # what a write needs is not to be had
    with pytest.raises(Exception, match="Keeping what the local cloud holds failed"):
        engine.create(BUCKET, {"name": "after", "location": "us-east4"}, name="after")
    assert kept.read_text() == content
    assert not (own_daemon.root / "cloud" / "buckets" / "after").exists()
    assert engine.read(BUCKET, "after") is None
