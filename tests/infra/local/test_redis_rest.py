"""The stand-in of Upstash's REST API, by the rules that Upstash's own client relies on."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.infra.local.program import REDIS
from tests.infra.local.running import Daemon, Engine, call

DATABASE = {"databaseName": "memorygraph", "region": "global", "primaryRegion": "us-east-1"}
ADD = "#!lua flags=allow-key-locking\nlocal n = redis.call('INCRBY', KEYS[1], ARGV[1]) return {n, 'é'}"


@dataclass(frozen=True)
class Client:
    """A declared database: its port and its two tokens."""

    port: int
    token: str
    reader: str


@pytest.fixture(scope="module")
def database(engine: Engine) -> Iterator[Client]:
    id_, outputs = engine.create(REDIS, DATABASE)
    assert outputs["endpoint"] == f"memorygraph.localhost:{outputs['port']}"
    yield Client(int(outputs["port"]), outputs["restToken"], outputs["readOnlyRestToken"])
    engine.delete(REDIS, id_)
    with pytest.raises(ConnectionRefusedError):
        call(int(outputs["port"]), "POST", "/", ["PING"])


@pytest.fixture
def client(database: Client) -> Client:
    """The database, empty."""
    assert post(database, ["FLUSHALL"]) == (200, {"result": "OK"})
    return database


def post(client: Client, body: Any, path: str = "/", *, token: str = "", **headers: str) -> tuple[int, Any]:
    return call(client.port, "POST", path, body, token=token or client.token, headers=headers)


def test_commands(client: Client) -> None:
    assert post(client, ["SET", "k", "välue", "EX", 60]) == (200, {"result": "OK"})
    assert post(client, ["GET", "k"]) == (200, {"result": "välue"})
    assert post(client, ["TTL", "k"]) == (200, {"result": 60})
    assert post(client, ["GET", "none"]) == (200, {"result": None})
    assert post(client, ["HSET", "h", "a", "1", "b", "2"]) == (200, {"result": 2})
    assert post(client, ["HGETALL", "h"]) == (200, {"result": ["a", "1", "b", "2"]})
    assert post(client, ["ZADD", "z", 1.5, "m"]) == (200, {"result": 1})
    assert post(client, ["ZSCORE", "z", "m"]) == (200, {"result": "1.5"})


def test_base64_when_asked_for(client: Client) -> None:
    post(client, ["SET", "k", "välue"])
    wanted = base64.b64encode("välue".encode()).decode()
    assert post(client, ["GET", "k"], **{"Upstash-Encoding": "base64"}) == (200, {"result": wanted})
    assert post(client, ["SET", "k", "v"], **{"Upstash-Encoding": "base64"}) == (200, {"result": "OK"})
    assert post(client, ["INCR", "n"], **{"Upstash-Encoding": "base64"}) == (200, {"result": 1})


def test_scripts_with_upstashs_first_line(client: Client) -> None:
    assert post(client, ["EVAL", ADD, 1, "n", 5]) == (200, {"result": [5, "é"]})
    _, loaded = post(client, ["SCRIPT", "LOAD", ADD])
    assert post(client, ["EVALSHA", loaded["result"], 1, "n", 5]) == (200, {"result": [10, "é"]})
    status, body = post(client, ["EVALSHA", "0" * 40, 0])
    assert status == 400
    assert body["error"].startswith("NOSCRIPT")


def test_a_failing_command_is_400(client: Client) -> None:
    post(client, ["SET", "text", "x"])
    status, body = post(client, ["INCR", "text"])
    assert (status, body) == (400, {"error": "ERR value is not an integer or out of range"})
    assert post(client, ["NOSUCH"])[0] == 400
    assert post(client, {"not": "a command"})[0] == 400
    assert post(client, [])[0] == 400


def test_a_pipeline_goes_on_after_a_failure(client: Client) -> None:
    status, body = post(client, [["SET", "a", "x"], ["INCR", "a"], ["GET", "a"]], "/pipeline")
    assert status == 200
    assert [list(item) for item in body] == [["result"], ["error"], ["result"]]
    assert body[2] == {"result": "x"}


def test_a_transaction(client: Client) -> None:
    assert post(client, [["SET", "a", "1"], ["INCR", "a"]], "/multi-exec") == (200, [{"result": "OK"}, {"result": 2}])
    assert post(client, [["SET", "a", "9"], ["NOSUCH"]], "/multi-exec")[0] == 400
    assert post(client, ["GET", "a"]) == (200, {"result": "2"})


def test_tokens(client: Client) -> None:
    assert post(client, ["PING"], token="wrong") == (401, {"error": "Unauthorized"})
    assert post(client, ["GET", "k"], token=client.reader)[0] == 200
    status, body = post(client, ["SET", "k", "v"], token=client.reader)
    assert status == 400
    assert body["error"].startswith("NOPERM")
    assert post(client, [["SET", "k", "v"]], "/multi-exec", token=client.reader)[0] == 400


def test_it_is_a_process_of_its_own(client: Client, daemon: Daemon) -> None:
    assert daemon.part("redis")["port"] == client.port
    assert daemon.part("redis")["state"] == "running"
