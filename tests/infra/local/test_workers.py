"""A Worker runs in workerd with its bindings; its hostname is what makes it the edge."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.infra.local.program import DOMAIN, REDIS, SCRIPT, ZONE, secret
from tests.infra.local.running import Daemon, Engine, Json, Refused, call

CODE = """export default { async fetch(request, env) {
  if (new URL(request.url).pathname === "/out") return fetch(env.ORIGIN + "/v1/projects");
  const client = request.headers.get("CF-Connecting-IP");
  return Response.json({version: VERSION, text: env.TEXT, json: env.DATA, secret: env.SECRET, client});
} };
"""
TEXT = 'a "quoted"\\ line\nand é'


def script(version: str, origin: str, **changes: object) -> Json:
    bindings = [
        {"type": "plain_text", "name": "TEXT", "text": TEXT},
        {"type": "plain_text", "name": "ORIGIN", "text": origin},
        {"type": "json", "name": "DATA", "json": '{"a": [1, "é"]}'},
        {"type": "secret_text", "name": "SECRET", "text": secret("s3cr3t-of-the-hop")},
    ]
    return {
        "accountId": "local",
        "scriptName": "edge",
        "mainModule": "worker.js",
        "content": CODE.replace("VERSION", repr(version)),
        "compatibilityDate": "2026-10-01",
        "bindings": bindings,
        **changes,
    }


@pytest.fixture(scope="module")
def origin(daemon: Daemon) -> str:
    """Something on this machine that answers: a vendor's API, with 401."""
    return str(daemon.control("GET", "/addresses")["supabase_api"])


@pytest.fixture(scope="module")
def edge(engine: Engine, daemon: Daemon, origin: str) -> Iterator[int]:
    """The port of a script that has a hostname."""
    assert daemon.control("GET", "/addresses")["edge_url"] is None
    zone, outputs = engine.create(ZONE, {"name": "memorygraph.localhost", "account": {"id": "local"}})
    assert len(outputs["nameServers"]) == 2
    id_, _ = engine.create(SCRIPT, script("one", origin))
    domain, _ = engine.create(
        DOMAIN, {"accountId": "local", "hostname": "api.memorygraph.localhost", "service": id_, "zoneId": zone}
    )
    yield int(daemon.control("GET", "/addresses")["edge_url"].rpartition(":")[2])
    for type_, made in ((DOMAIN, domain), (SCRIPT, id_), (ZONE, zone)):
        engine.delete(type_, made)
    assert daemon.control("GET", "/addresses")["edge_url"] is None


def test_bindings_arrive_as_they_were_given(edge: int) -> None:
    status, told = call(edge, "GET", "/")
    assert status == 200
    assert told["text"] == TEXT
    assert told["json"] == {"a": [1, "é"]}
    assert told["secret"] == "s3cr3t-of-the-hop"


@pytest.mark.usefixtures("edge")
def test_no_file_but_the_store_holds_the_secret(daemon: Daemon) -> None:
    files = [path for path in (daemon.root / "cloud").rglob("*") if path.is_file() and "venvs" not in path.parts]
    holding = [path.name for path in files if b"s3cr3t-of-the-hop" in path.read_bytes()]
    assert holding == ["resources.json"]


def test_the_client_address_is_the_platforms_to_set(edge: int) -> None:
    assert call(edge, "GET", "/", headers={"CF-Connecting-IP": "203.0.113.9"})[1]["client"] == "127.0.0.1"


def test_it_reaches_this_machine(edge: int) -> None:
    assert call(edge, "GET", "/out")[0] == 401


def test_an_update_takes_over_at_the_same_address(edge: int, engine: Engine, origin: str) -> None:
    engine.update(SCRIPT, "edge", script("one", origin), script("two", origin))
    assert call(edge, "GET", "/")[1]["version"] == "two"


def test_a_script_that_the_runtime_refuses_leaves_the_old_one(edge: int, engine: Engine, origin: str) -> None:
    before = call(edge, "GET", "/")[1]["version"]
    with pytest.raises(Refused, match=r"(?s)refused by the Workers runtime.*SyntaxError"):
        engine.update(SCRIPT, "edge", script(before, origin), script("x", origin, content="export default {"))
    assert call(edge, "GET", "/")[1]["version"] == before


def test_a_date_that_the_runtime_does_not_know_is_refused(engine: Engine, daemon: Daemon, origin: str) -> None:
    with pytest.raises(Refused, match=r"(?s)refused by the Workers runtime.*compatibility date"):
        engine.create(SCRIPT, script("x", origin, scriptName="future", compatibilityDate="2099-01-01"))
    assert "worker-future" not in daemon.parts()


@pytest.mark.usefixtures("edge")
def test_a_hostname_must_be_in_the_zone_and_lead_to_a_script(engine: Engine) -> None:
    zone = hashlib.md5(b"memorygraph.localhost", usedforsecurity=False).hexdigest()
    domain = {"accountId": "local", "hostname": "api.example.com", "service": "edge", "zoneId": zone}
    with pytest.raises(Refused, match=r"not in the zone memorygraph\.localhost"):
        engine.create(DOMAIN, domain)
    with pytest.raises(Refused, match="10007"):
        engine.create(DOMAIN, {**domain, "hostname": "x.memorygraph.localhost", "service": "none"})
    with pytest.raises(Refused, match="100117"):
        engine.create(DOMAIN, {**domain, "hostname": "api.memorygraph.localhost"}, name="another")


def test_what_an_interrupted_update_left_is_taken_over(engine: Engine, daemon: Daemon, origin: str) -> None:
    """The engine was killed after each was made and before it wrote its state: it asks for all of them again."""
    made: list[tuple[str, str]] = []
    zone = {"name": "left.localhost", "account": {"id": "local"}}
    domain = {"accountId": "local", "hostname": "api.left.localhost", "service": "left", "zoneName": "left.localhost"}
    redis = {"databaseName": "left", "region": "global", "primaryRegion": "us-east-1"}
    work = {"scriptName": "left"}
    for type_, inputs in ((ZONE, zone), (SCRIPT, script("one", origin, **work)), (DOMAIN, domain), (REDIS, redis)):
        id_, outputs = engine.create(type_, inputs)
        made.append((type_, id_))
        assert engine.create(type_, inputs) == (id_, outputs)
    for type_, inputs, words in (
        (ZONE, zone, "Error 1061: left.localhost"),
        (DOMAIN, domain, "Error 100117: Hostname 'api.left.localhost'"),
        (REDIS, redis, "database name left already exists"),
    ):
        with pytest.raises(Refused, match=words):
            engine.create(type_, inputs, name="another")
    for type_, id_ in reversed(made):
        engine.delete(type_, id_)
    assert not [part for part in daemon.parts().values() if part["kind"] == "redis"]
