"""A function runs from the very zip that was declared, as the platform would run it, with the rights it was given."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from tests.infra.local.program import ECHO, FUNCTION, INVOKER, PROJECT_GRANT, SECRET_GRANT, VERSION, Deployed, secret
from tests.infra.local.running import Daemon, Engine, Json, Refused, call, wait_for
from tests.processes import alive, freeze

MIB = 1 << 20


@pytest.fixture
def undeployed(engine: Engine) -> Iterator[Deployed]:
    """Everything around a function but the grant on its secret, and the function itself."""
    deployed = Deployed(engine, "waiting")
    deployed.surroundings()
    deployed.upload()
    try:
        yield deployed
    finally:
        deployed.remove()


def port_of(outputs: Json | None) -> int:
    assert outputs is not None
    assert outputs["url"] == outputs["serviceConfig"]["uri"]
    return int(outputs["url"].rpartition(":")[2])


@pytest.fixture(scope="module")
def function(deployed: Deployed) -> tuple[str, int]:
    """Its id and its port."""
    id_ = dict(deployed.made)[FUNCTION]
    return id_, port_of(deployed.engine.read(FUNCTION, id_))


def test_it_answers_with_its_declared_environment_only(function: tuple[str, int]) -> None:
    status, told = call(function[1], "GET", "/")
    assert status == 200
    assert told["PLAIN"] == "text"
    assert told["SECRET"] == "hunter2"
    assert told["K_REVISION"].startswith("echo-")
    assert told["PORT"] == str(function[1])
    assert told["HOME"] is None


def test_requests_over_32_mib_are_refused(function: tuple[str, int]) -> None:
    assert call(function[1], "POST", "/", b"x" * (32 * MIB))[1]["bytes"] == 32 * MIB
    assert call(function[1], "POST", "/", b"x" * (32 * MIB + 1))[0] == 413


def test_a_body_of_unknown_length_is_counted(function: tuple[str, int]) -> None:
    chunk = b"100000\r\n" + b"x" * MIB + b"\r\n"
    body = chunk * 33 + b"0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", function[1]), timeout=30) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):  # it may hang up as soon as it has answered
            connection.sendall(body)
        assert connection.recv(64).startswith(b"HTTP/1.1 413")


def test_only_an_invoker_may_call(deployed: Deployed, function: tuple[str, int]) -> None:
    grant = dict(deployed.made)[INVOKER]
    deployed.engine.delete(INVOKER, grant)
    try:
        status, text = call(function[1], "GET", "/")
        assert status == 403
        assert "run.invoker" in text
    finally:
        deployed.invoker()
    assert call(function[1], "GET", "/")[0] == 200


def test_an_update_makes_a_new_revision_at_the_same_address(deployed: Deployed, function: tuple[str, int]) -> None:
    id_, port = function
    before = call(port, "GET", "/")[1]
    inputs = deployed.inputs(timeoutSeconds=1)
    planned = deployed.engine.update(FUNCTION, id_, deployed.inputs(), inputs, preview=True)
    assert port_of(planned) == port  # so that what depends on the address shows no change
    assert port_of(deployed.engine.update(FUNCTION, id_, deployed.inputs(), inputs)) == port
    after = call(port, "GET", "/")[1]
    assert after["K_REVISION"] > before["K_REVISION"]
    assert not alive(before["pid"])
    status, text = call(port, "GET", "/sleep")
    assert (status, text) == (504, "upstream request timeout\n")
    deployed.engine.update(FUNCTION, id_, inputs, deployed.inputs())


def test_it_is_started_again_when_it_dies(daemon: Daemon, function: tuple[str, int]) -> None:
    first = daemon.part("function")
    os.kill(first["pid"], signal.SIGKILL)
    # Nobody is refused meanwhile: the socket stays open, and the request waits for the next process.
    status, told = call(function[1], "GET", "/")
    assert status == 200
    assert told["pid"] != first["pid"]
    assert daemon.part("function")["restarts"] == first["restarts"] + 1


def test_one_that_ends_answers_what_comes_by_connections_that_it_has(daemon: Daemon, function: tuple[str, int]) -> None:
    """A client may use one again before it hears that it is closed; what it sends so is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", function[1], timeout=10)
    told = "keep it"
    with contextlib.closing(connection):
        while told != "close":
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            if told == "keep it":
                os.kill(daemon.part("function")["pid"], signal.SIGTERM)
            told = answer.getheader("Connection", "")
    wait_for(lambda: call(function[1], "GET", "/")[0] == 200)


def test_while_it_cannot_be_started_callers_get_503(daemon: Daemon, function: tuple[str, int]) -> None:
    pid = daemon.part("function")["pid"]
    home = daemon.root / "cloud" / "functions" / "echo"
    home.rename(home.with_name("away"))
    try:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid))
        assert call(function[1], "GET", "/")[0] == 503
        assert daemon.part("function")["state"] == "restarting"
    finally:
        home.with_name("away").rename(home)
    wait_for(lambda: daemon.part("function")["state"] == "running")
    assert call(function[1], "GET", "/")[0] == 200


@pytest.mark.usefixtures("function")
def test_a_frozen_function_is_shown_as_unwell(daemon: Daemon) -> None:
    pid = daemon.part("function")["pid"]
    freeze(pid)
    try:
        assert daemon.part("function")["state"] == "unhealthy"
    finally:
        os.kill(pid, signal.SIGCONT)
    assert daemon.part("function")["state"] == "running"


def test_a_revision_that_does_not_start_leaves_the_old_one(deployed: Deployed, function: tuple[str, int]) -> None:
    id_, port = function
    before = call(port, "GET", "/")[1]
    deployed.upload("raise RuntimeError('broken at import')\n" + ECHO, "broken.zip")
    with pytest.raises(Refused, match=r"(?s)Container Healthcheck failed.*broken at import"):
        deployed.engine.update(FUNCTION, id_, deployed.inputs(), deployed.inputs("broken.zip"))
    assert call(port, "GET", "/")[1]["pid"] == before["pid"]


def test_no_grant_on_the_secret_no_function(undeployed: Deployed, daemon: Daemon) -> None:
    with pytest.raises(Refused) as refused:
        undeployed.make(FUNCTION, undeployed.inputs())
    for named in ("Permission denied on secret", "waiting-secret", undeployed.runner, "function waiting"):
        assert named in str(refused.value)
    assert "waiting" not in daemon.parts()
    undeployed.grant()
    undeployed.make(FUNCTION, undeployed.inputs())
    assert daemon.parts()["waiting"]["state"] == "running"


def test_no_version_of_the_secret_no_function(undeployed: Deployed) -> None:
    undeployed.grant()
    undeployed.engine.delete(VERSION, dict(undeployed.made)[VERSION])
    with pytest.raises(Refused, match=r"versions/latest was not found.*SECRET.*waiting-run@"):
        undeployed.make(FUNCTION, undeployed.inputs())


@pytest.mark.parametrize("role", ["roles/logging.logWriter", "roles/artifactregistry.writer"])
def test_no_build_rights_no_function(undeployed: Deployed, role: str) -> None:
    undeployed.grant()
    id_ = next(id_ for type_, id_ in undeployed.made if type_ == PROJECT_GRANT and role in id_)
    undeployed.engine.delete(PROJECT_GRANT, id_)
    with pytest.raises(Refused, match=f"missing permission on the build service account.*waiting-build@.*{role}"):
        undeployed.make(FUNCTION, undeployed.inputs())


def test_the_build_account_must_reach_the_source(undeployed: Deployed) -> None:
    undeployed.grant()
    inputs = undeployed.inputs()
    inputs["buildConfig"]["serviceAccount"] = f"projects/memorygraph-local/serviceAccounts/{undeployed.runner}"
    with pytest.raises(Refused, match="You must grant Storage Object Viewer permission to waiting-run@"):
        undeployed.make(FUNCTION, inputs)


@pytest.mark.usefixtures("function")
def test_a_grant_in_use_is_kept(deployed: Deployed) -> None:
    grant = dict(deployed.made)[SECRET_GRANT]
    with pytest.raises(Refused) as refused:
        deployed.engine.delete(SECRET_GRANT, grant)
    for named in ("function echo", "secret echo-secret", deployed.runner):
        assert named in str(refused.value)
    assert deployed.engine.read(SECRET_GRANT, grant) is not None


@pytest.mark.usefixtures("function")
def test_a_replacement_that_was_refused_can_be_put_right(deployed: Deployed) -> None:
    engine, grant = deployed.engine, dict(deployed.made)[SECRET_GRANT]
    with pytest.raises(Refused):  # the end of a replacement by a grant that is not enough
        engine.delete(SECRET_GRANT, grant)
    deployed.grant()  # the program is right again: the engine makes it anew,
    engine.delete(SECRET_GRANT, grant)  # and then deletes what it could not delete
    assert engine.read(SECRET_GRANT, grant) is not None
    with pytest.raises(Refused, match="still needed"):
        engine.delete(SECRET_GRANT, grant)


def test_latest_means_the_newest_version_at_a_start(
    deployed: Deployed, function: tuple[str, int], daemon: Daemon
) -> None:
    name = f"projects/memorygraph-local/secrets/{deployed.secret_id}"
    version, _ = deployed.engine.create(VERSION, {"secret": name, "secretData": secret("newer")}, name="newer")
    try:
        assert call(function[1], "GET", "/")[1]["SECRET"] == "hunter2"
        pid = daemon.part("function")["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid))
        assert call(function[1], "GET", "/")[1]["SECRET"] == "newer"
    finally:
        deployed.engine.delete(VERSION, version)


def test_a_function_that_moves_to_another_region_goes_on(undeployed: Deployed) -> None:
    undeployed.grant()
    old, _ = undeployed.make(FUNCTION, undeployed.inputs())
    open_old = undeployed.invoker()
    new, outputs = undeployed.make(FUNCTION, {**undeployed.inputs(), "location": "us-east1"})
    grant = {"name": undeployed.name, "location": "us-east1", "role": "roles/run.invoker", "member": "allUsers"}
    undeployed.make(INVOKER, grant)
    undeployed.engine.delete(INVOKER, open_old)
    undeployed.engine.delete(FUNCTION, old)
    assert old != new
    assert call(port_of(outputs), "GET", "/")[0] == 200


def test_deleting_leaves_nothing(undeployed: Deployed, daemon: Daemon) -> None:
    undeployed.grant()
    undeployed.make(FUNCTION, undeployed.inputs())
    pid = daemon.parts()["waiting"]["pid"]
    undeployed.remove()
    assert not alive(pid)
    assert "waiting" not in daemon.parts()
    left = [path for path in (daemon.root / "cloud").rglob("*waiting*") if "venvs" not in path.parts]
    assert left == []
