"""The stand-in of Turso's Platform API, and the real sqld behind it, spoken to as the product does: Hrana over HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.infra.local.running import Api, Daemon, call
from tests.processes import alive

BASE = "/v1/organizations/local"
GROUP = {"name": "default", "location": "aws-us-east-1"}


@pytest.fixture(scope="module")
def api(daemon: Daemon) -> Iterator[Api]:
    """The API with one group."""
    api = daemon.api("turso")
    status, made = api("POST", f"{BASE}/groups", GROUP)
    assert status == 200
    assert made["group"]["name"] == "default"
    yield api
    pid = daemon.part("sqld")["pid"]
    assert api("DELETE", f"{BASE}/groups/default")[0] == 200
    assert not alive(pid)
    assert not list((daemon.root / "cloud" / "sqld").iterdir())
    assert api("GET", f"{BASE}/databases")[1] == {"databases": []}


def database(api: Api, name: str) -> tuple[str, int]:
    """A new database; its host and port."""
    status, made = api("POST", f"{BASE}/databases", {"name": name, "group": "default"})
    assert status == 200, made
    host = made["database"]["Hostname"]
    assert host.startswith(f"{name}.localhost:")
    return host, int(host.rpartition(":")[2])


def token(api: Api, name: str, query: str = "") -> str:
    status, made = api("POST", f"{BASE}/databases/{name}/auth/tokens{query}")
    assert status == 200, made
    return str(made["jwt"])


def execute(host: str, port: int, jwt: str, sql: str) -> tuple[int, Any]:
    requests = [{"type": "execute", "stmt": {"sql": sql}}, {"type": "close"}]
    return call(port, "POST", "/v2/pipeline", {"requests": requests}, token=jwt, headers={"Host": host})


def result(answer: tuple[int, Any]) -> str:
    status, body = answer
    assert status == 200, body
    return str(body["results"][0]["type"])


def test_errors_are_the_vendors(api: Api) -> None:
    assert api("GET", f"{BASE}/databases", token="wrong") == (401, {"error": "Unauthorized"})
    assert api("POST", f"{BASE}/groups", GROUP) == (409, {"error": "group already exists"})
    missing = {"error": "could not find database with name none: record not found"}
    assert api("GET", f"{BASE}/databases/none") == (404, missing)
    assert api("POST", f"{BASE}/databases", {"name": "x", "group": "none"})[0] == 404
    assert api("POST", f"{BASE}/databases", {"name": "Has Space", "group": "default"})[0] == 400


def test_the_admin_port_asks_for_a_key(api: Api, daemon: Daemon) -> None:
    """Every program of this machine reaches it, and it can delete databases."""
    database(api, "guarded")
    held = json.loads((daemon.root / "cloud" / "resources.json").read_text())
    port = held["sections"]["ports"]["sqld-default-admin"]
    for token in ("", "local"):
        assert call(port, "DELETE", "/v1/namespaces/guarded", {}, token=token)[0] == 401
        assert call(port, "POST", "/v1/namespaces/evil/create", {}, token=token)[0] == 401
    assert api("GET", f"{BASE}/databases/guarded/usage")[0] == 200


def test_creating_twice_is_a_conflict(api: Api) -> None:
    database(api, "twice")
    assert api("POST", f"{BASE}/databases", {"name": "twice", "group": "default"})[0] == 409
    assert api("DELETE", f"{BASE}/databases/twice") == (200, {"database": "twice"})
    database(api, "twice")


def test_a_token_opens_its_own_database_only(api: Api) -> None:
    mine, port = database(api, "mine")
    other, _ = database(api, "other")
    jwt = token(api, "mine")
    assert result(execute(mine, port, jwt, "create table t (a)")) == "ok"
    assert execute(other, port, jwt, "select 1")[0] in (401, 404)
    assert execute(mine, port, "wrong", "select 1")[0] == 401


def test_a_reading_token_cannot_write(api: Api) -> None:
    host, port = database(api, "readable")
    assert result(execute(host, port, token(api, "readable"), "create table t (a)")) == "ok"
    reader = token(api, "readable", "?authorization=read-only")
    assert result(execute(host, port, reader, "select * from t")) == "ok"
    assert execute(host, port, reader, "insert into t values (1)")[0] == 403


def test_a_token_expires_as_asked(api: Api) -> None:
    database(api, "expiring")

    def claims(query: str) -> dict[str, Any]:
        part = token(api, "expiring", query).split(".")[1]
        return dict(json.loads(base64.urlsafe_b64decode(part + "==")))

    found = claims("?expiration=1d12h")
    assert found["exp"] - found["iat"] == 36 * 3600
    assert "exp" not in claims("?expiration=never")
    assert api("POST", f"{BASE}/databases/expiring/auth/tokens?expiration=soon")[0] == 400


def test_what_is_blocked_is_refused(api: Api) -> None:
    host, port = database(api, "blocked")
    jwt = token(api, "blocked")
    assert result(execute(host, port, jwt, "create table t (a)")) == "ok"
    path = f"{BASE}/databases/blocked/configuration"
    status, changed = api("PATCH", path, {"block_writes": True})
    assert (status, changed["block_reads"], changed["block_writes"]) == (200, False, True)
    assert result(execute(host, port, jwt, "select * from t")) == "ok"
    assert result(execute(host, port, jwt, "insert into t values (1)")) == "error"
    api("PATCH", path, {"block_reads": True})
    assert result(execute(host, port, jwt, "select * from t")) == "error"
    shown = api("GET", f"{BASE}/databases/blocked")[1]["database"]
    assert (shown["block_reads"], shown["block_writes"]) == (True, True)
    api("PATCH", path, {"block_reads": False, "block_writes": False})
    assert result(execute(host, port, jwt, "insert into t values (1)")) == "ok"
    assert api("PATCH", path, {"block_reads": "yes"})[0] == 400
    assert api("PATCH", f"{BASE}/databases/none/configuration", {})[0] == 404


def test_a_full_database_takes_no_more(api: Api) -> None:
    asked = {"name": "small", "group": "default", "size_limit": "1mb"}
    status, made = api("POST", f"{BASE}/databases", asked)
    assert status == 200
    host = made["database"]["Hostname"]
    port, jwt = int(host.rpartition(":")[2]), token(api, "small")
    assert api("GET", f"{BASE}/databases/small/configuration")[1]["size_limit"] == "1mb"
    assert result(execute(host, port, jwt, "create table t (a)")) == "ok"
    assert result(execute(host, port, jwt, "insert into t values (randomblob(500000))")) == "ok"
    assert result(execute(host, port, jwt, "insert into t values (randomblob(700000))")) == "error"
    assert result(execute(host, port, jwt, "select count(*) from t")) == "ok"
    assert api("POST", f"{BASE}/databases", {**asked, "name": "odd", "size_limit": "much"})[0] == 400


def test_usage_counts_rows(api: Api) -> None:
    host, port = database(api, "used")
    jwt = token(api, "used")
    for sql in ("create table t (a)", "insert into t values (1), (2)", "select * from t"):
        assert result(execute(host, port, jwt, sql)) == "ok"
    _, body = api("GET", f"{BASE}/databases/used/usage")
    assert body["database"]["usage"]["rows_written"] >= 2
    assert body["database"]["usage"]["rows_read"] >= 2


def test_deleting_a_database_removes_its_data(api: Api) -> None:
    host, port = database(api, "reborn")
    assert result(execute(host, port, token(api, "reborn"), "create table t (a)")) == "ok"
    api("DELETE", f"{BASE}/databases/reborn")
    host, port = database(api, "reborn")
    assert result(execute(host, port, token(api, "reborn"), "select * from t")) == "error"
