"""The stand-in of Supabase's Management API, and the real PostgreSQL behind it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from infra.local.cloud.paths import outside
from tests.infra.local.running import Api, Daemon, Json, call, wait_for
from tests.processes import alive, freeze

PASSWORD = "a 'quoted' password"
PROJECT = {"organization_slug": "local", "name": "memorygraph", "region": "us-east-1", "db_pass": PASSWORD}


@pytest.fixture(scope="module")
def api(daemon: Daemon) -> Api:
    return daemon.api("supabase")


@pytest.fixture(scope="module")
def project(api: Api) -> Iterator[Json]:
    status, made = api("POST", "/v1/projects", PROJECT)
    assert status == 201
    assert made["status"] == "COMING_UP"
    wait_for(lambda: api("GET", f"/v1/projects/{made['ref']}")[1]["status"] != "COMING_UP")
    yield api("GET", f"/v1/projects/{made['ref']}")[1]
    assert api("DELETE", f"/v1/projects/{made['ref']}")[0] == 200


@pytest.fixture
def login(api: Api, project: Json) -> dict[str, Any]:
    _, poolers = api("GET", f"/v1/projects/{project['ref']}/config/database/pooler")
    assert {pooler["pool_mode"] for pooler in poolers} == {"transaction", "session"}
    pooler = poolers[0]
    return {
        "host": pooler["db_host"],
        "port": pooler["db_port"],
        "user": pooler["db_user"],
        "dbname": pooler["db_name"],
        "password": PASSWORD,
    }


def test_a_project_becomes_healthy(project: Json) -> None:
    assert project["status"] == "ACTIVE_HEALTHY"
    assert project["database"]["version"] == "17"
    assert "password" not in str(project)
    assert "auth" not in project  # keys and secrets are asked for one by one
    assert call(int(project["api_url"].rpartition(":")[2]), "GET", "/auth/v1/.well-known/jwks.json")[0] == 200


def test_errors_are_the_vendors(api: Api) -> None:
    assert api("GET", "/v1/projects", token="wrong") == (401, {"message": "Unauthorized"})
    assert api("GET", "/v1/projects/nope") == (404, {"message": "Project not found"})
    status, body = api("POST", "/v1/projects", {"name": "x", "region": "moon"})
    assert status == 400
    assert "db_pass: Required" in body["message"]
    assert "region" in body["message"]


def test_the_owner_is_no_superuser_as_on_supabase(login: dict[str, Any]) -> None:
    with psycopg.connect(**login) as connection:
        rights = "rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication"
        row = connection.execute(f"select {rights} from pg_roles where rolname = current_user").fetchone()
        assert row == (False, True, True, True, True)
        roles = connection.execute("select rolname from pg_roles where rolname !~ '^pg_'").fetchall()
        assert {"anon", "authenticated", "service_role"} <= {role for (role,) in roles}
        assert connection.execute("show synchronous_commit").fetchone() == ("on",)
        assert connection.execute("show fsync").fetchone() == ("on",)
        assert str(connection.execute("show server_version").fetchone()).startswith("('17.")


def test_passwords_are_needed_and_kept_as_scram(login: dict[str, Any]) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**{**login, "password": "wrong"})
    with psycopg.connect(**login) as connection:
        assert connection.execute("show password_encryption").fetchone() == ("scram-sha-256",)


def test_the_extensions_that_the_product_needs_can_be_made(login: dict[str, Any]) -> None:
    with psycopg.connect(**login) as connection:
        connection.execute("create extension if not exists pg_trgm with schema extensions")
        connection.execute("create extension if not exists pgcrypto")
        assert connection.execute("select similarity('word', 'word'), length(gen_random_bytes(8))").fetchone() == (1, 8)
        connection.rollback()


def test_it_recovers_from_a_kill_with_every_acknowledged_write(
    login: dict[str, Any], project: Json, daemon: Daemon
) -> None:
    with psycopg.connect(**login, autocommit=True) as connection:
        connection.execute("create table if not exists kept (n int)")
        connection.execute("insert into kept select generate_series(1, 1000)")
    name = f"postgres-{project['ref']}"
    part = daemon.parts()[name]
    os.kill(part["pid"], signal.SIGKILL)
    wait_for(lambda: not alive(part["pid"]))
    wait_for(lambda: daemon.parts()[name]["state"] == "running")
    assert daemon.parts()[name]["port"] == part["port"]
    with psycopg.connect(**login) as connection:
        assert connection.execute("select count(*) from kept").fetchone() == (1000,)


def test_a_frozen_server_is_shown_as_unwell(project: Json, daemon: Daemon) -> None:
    name = f"postgres-{project['ref']}"
    pid = daemon.parts()[name]["pid"]
    freeze(pid)
    try:
        assert daemon.parts()[name]["state"] == "unhealthy"
    finally:
        os.kill(pid, signal.SIGCONT)
    assert daemon.parts()[name]["state"] == "running"


def test_deleting_a_project_leaves_nothing(api: Api, daemon: Daemon) -> None:
    _, made = api("POST", "/v1/projects", {**PROJECT, "name": "short-lived"})
    wait_for(lambda: api("GET", f"/v1/projects/{made['ref']}")[1]["status"] == "ACTIVE_HEALTHY")
    pid = daemon.parts()[f"postgres-{made['ref']}"]["pid"]
    port = int(api("GET", f"/v1/projects/{made['ref']}")[1]["api_url"].rpartition(":")[2])
    assert api("DELETE", f"/v1/projects/{made['ref']}")[0] == 200
    assert not alive(pid)
    assert api("GET", f"/v1/projects/{made['ref']}")[0] == 404
    assert api("GET", f"/v1/projects/{made['ref']}/config/auth")[0] == 404
    with pytest.raises(ConnectionRefusedError):
        call(port, "GET", "/auth/v1/health")
    for folder in (daemon.root / "cloud", outside(daemon.root)):
        assert not list(folder.rglob(f"*{made['ref']}*"))
