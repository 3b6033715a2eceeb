from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from infra.providers import postgres
from tests.infra.providers.conftest import Start
from tests.infra.providers.engine import Failed, Held
from tests.infra.providers.vendor import Vendor
from tests.infra.wire import UNKNOWN, is_secret, plain, secret

TOKEN = "memorygraph:supabase:Project"
REF = "abcdefghijklmnopqrst"
PROJECT = f"/v1/projects/{REF}"
POOLER = f"GET {PROJECT}/config/database/pooler"
INPUTS = {"organization": "acme", "name": "memorygraph", "region": "us-east-1", "databasePassword": secret("p/w ü")}
HOST = "aws-0-us-east-1.pooler.supabase.com"


@pytest.fixture
def supabase(api: Vendor) -> Vendor:
    """A Supabase with room for one project, which is healthy after three looks."""
    projects: list[dict[str, Any]] = []
    looks = iter(["COMING_UP", "COMING_UP"])

    def create(body: Any) -> Any:
        made = {"id": REF, "organization_id": body["organization_id"], "status": "COMING_UP"}
        projects.append({**made, "name": body["name"], "region": body["region"]})
        return 201, projects[0]

    def one(_: Any) -> Any:
        if not projects:
            return 404, {"message": "Project not found"}
        projects[0]["status"] = next(looks, "ACTIVE_HEALTHY")
        return 200, projects[0]

    def rename(body: Any) -> Any:
        projects[0]["name"] = body["name"]
        return 200, {}

    def delete(_: Any) -> Any:
        return (200, projects.pop()) if projects else (404, {"message": "Project not found"})

    pooler = {"database_type": "PRIMARY", "db_user": f"postgres.{REF}", "db_host": HOST, "db_port": 6543}
    api.routes = {
        "GET /v1/projects": lambda _: (200, projects),
        "POST /v1/projects": create,
        f"GET {PROJECT}": one,
        f"PATCH {PROJECT}": rename,
        f"PATCH {PROJECT}/database/password": lambda _: (200, {}),
        f"DELETE {PROJECT}": delete,
        POOLER: lambda _: (200, [{**pooler, "db_name": "postgres", "pool_mode": "transaction"}]),
    }
    return api


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Database URLs that let us in; any other is refused."""
    good: list[str] = []

    class Connection:
        def close(self) -> None:
            pass

    def connect(url: str) -> Connection:
        if url not in good:
            raise postgres.ConnectionFailed("password authentication failed")
        return Connection()

    monkeypatch.setattr(postgres, "connect", connect)
    return good


def _url(port: int, password: str = "p%2Fw%20%C3%BC") -> str:
    return f"postgresql://postgres.{REF}:{password}@{HOST}:{port}/postgres?sslmode=require"


def test_create_waits_and_gives_both_addresses(supabase: Vendor, start: Start, pauses: list[float]) -> None:
    held = start(TOKEN).create(INPUTS)
    assert (held.id, held["ref"]) == (REF, REF)
    assert (held["sessionUrl"], held["transactionUrl"]) == (_url(5432), _url(6543))
    assert {n for n, v in held.properties.items() if is_secret(v)} == {
        "databasePassword",
        "sessionUrl",
        "transactionUrl",
    }
    assert len(pauses) == 2
    assert supabase.bodies[1] == {
        "organization_id": "acme",
        "name": "memorygraph",
        "region": "us-east-1",
        "db_pass": "p/w ü",
    }
    assert supabase.tokens == {"Bearer sb"}


def test_a_server_without_a_pooler_has_one_port_and_no_tls_on_this_machine(supabase: Vendor, start: Start) -> None:
    pooler = {"db_user": "postgres", "db_host": "127.0.0.1", "db_port": 23456, "db_name": "postgres"}
    supabase.routes[POOLER] = lambda _: (
        200,
        [{**pooler, "pool_mode": "transaction"}, {**pooler, "pool_mode": "session"}],
    )
    held = start(TOKEN).create(INPUTS)
    assert held["sessionUrl"] == "postgresql://postgres:p%2Fw%20%C3%BC@127.0.0.1:23456/postgres?sslmode=disable"
    assert held["transactionUrl"] == held["sessionUrl"]


def test_preview_knows_nothing_yet(start: Start) -> None:
    previewed = start(TOKEN).preview({**INPUTS, "databasePassword": secret(UNKNOWN)})
    assert previewed["ref"] == UNKNOWN
    assert is_secret(previewed["sessionUrl"])
    assert plain(previewed["sessionUrl"]) == UNKNOWN


@pytest.mark.parametrize(("name", "replaces"), [("organization", True), ("region", True), ("name", False)])
@pytest.mark.usefixtures("supabase")
def test_what_a_change_does(start: Start, name: str, replaces: bool) -> None:  # noqa: FBT001  a table
    project = start(TOKEN)
    diff = project.diff(project.create(INPUTS), {**INPUTS, name: "other"})
    assert (list(diff.diffs), bool(diff.replaces), diff.deleteBeforeReplace) == ([name], replaces, replaces)


def test_rename_and_new_password_in_place(supabase: Vendor, start: Start) -> None:
    project = start(TOKEN)
    held = project.create(INPUTS)
    new = {**INPUTS, "name": "renamed", "databasePassword": secret("other")}
    shown = project.update(held, new, preview=True)
    assert (plain(shown.properties["sessionUrl"]), shown["ref"]) == (UNKNOWN, REF)
    updated = project.update(held, new)
    assert updated["sessionUrl"] == _url(5432, "other")
    assert supabase.calls[-3:] == [f"PATCH {PROJECT}", f"PATCH {PROJECT}/database/password", POOLER]
    assert supabase.bodies[-3:-1] == [{"name": "renamed"}, {"password": "other"}]


@pytest.mark.usefixtures("supabase")
def test_a_rename_leaves_addresses_known_at_preview(start: Start) -> None:
    project = start(TOKEN)
    held = project.create(INPUTS)
    assert project.update(held, {**INPUTS, "name": "x"}, preview=True)["sessionUrl"] == _url(5432)


def test_refresh_sees_drift_and_a_new_address(supabase: Vendor, start: Start) -> None:
    project = start(TOKEN)
    held = project.create(INPUTS)
    supabase.routes[f"PATCH {PROJECT}"]({"name": "renamed by hand"})
    pooler = {"db_user": "postgres", "db_host": "127.0.0.1", "db_port": 1234, "db_name": "postgres"}
    supabase.routes[POOLER] = lambda _: (200, [pooler])
    found = project.refresh(held)
    assert found is not None
    assert found.inputs["name"] == "renamed by hand"
    assert "127.0.0.1:1234" in found["sessionUrl"]
    assert is_secret(found.inputs["databasePassword"])
    assert list(project.diff(found, INPUTS).diffs) == ["name"]


@pytest.mark.usefixtures("supabase")
def test_delete_and_delete_again(start: Start) -> None:
    project = start(TOKEN)
    held = project.create(INPUTS)
    project.delete(held)
    assert project.refresh(held) is None
    project.delete(held)


@pytest.mark.usefixtures("supabase")
def test_import_leaves_the_password_to_the_next_update(start: Start) -> None:
    project = start(TOKEN)
    project.create(INPUTS)
    found = project.take_over(REF)
    assert found is not None
    assert found.inputs == {"organization": "acme", "name": "memorygraph", "region": "us-east-1"}
    assert list(project.diff(found, INPUTS).diffs) == ["databasePassword"]


@pytest.mark.parametrize("status", ["INIT_FAILED", "REMOVED"])
def test_one_that_never_came_up_is_gone(supabase: Vendor, start: Start, status: str) -> None:
    project = start(TOKEN)
    held = project.create(INPUTS)
    supabase.routes[f"GET {PROJECT}"] = lambda _: (200, {"status": status, "name": "memorygraph"})
    assert project.refresh(held) is None


def test_a_paused_one_is_kept_as_it_was(supabase: Vendor, start: Start) -> None:
    project = start(TOKEN)
    held = project.create(INPUTS)
    known = {"organization_id": "acme", "name": "memorygraph", "region": "us-east-1"}
    supabase.routes[f"GET {PROJECT}"] = lambda _: (200, {**known, "status": "INACTIVE"})
    assert project.refresh(held) == held
    with pytest.raises(Failed, match=r"paused .* restore it in the dashboard"):
        project.update(held, {**INPUTS, "name": "x"})


def test_one_that_fails_to_come_up_keeps_its_id(supabase: Vendor, start: Start) -> None:
    supabase.routes[f"GET {PROJECT}"] = lambda _: (200, {"status": "INIT_FAILED"})
    with pytest.raises(Failed, match="INIT_FAILED") as failure:
        start(TOKEN).create(INPUTS)
    detail = failure.value.detail
    assert detail is not None
    assert detail.id == REF
    assert is_secret(json_format.MessageToDict(detail.properties)["databasePassword"])


def test_patience_ends(supabase: Vendor, start: Start, pauses: list[float]) -> None:
    supabase.routes[f"GET {PROJECT}"] = lambda _: (200, {"status": "COMING_UP"})
    with pytest.raises(Failed, match="still COMING_UP after 10 minutes: run `pulumi up` again"):
        start(TOKEN).create(INPUTS)
    assert 600 <= sum(pauses) < 605


def test_a_project_of_an_interrupted_update_is_taken_over(supabase: Vendor, start: Start, opens: list[str]) -> None:
    project = start(TOKEN)
    project.create(INPUTS)
    opens.append(_url(5432))
    assert project.create(INPUTS).id == REF
    assert supabase.calls.count("POST /v1/projects") == 1


@pytest.mark.usefixtures("supabase")
def test_a_strangers_project_of_that_name_is_not(start: Start, opens: list[str]) -> None:
    project = start(TOKEN)
    project.create(INPUTS)
    assert opens == []
    with pytest.raises(Failed, match=f"pulumi import {TOKEN} project {REF}"):
        project.create(INPUTS)


def test_an_answer_that_got_lost_is_looked_up(supabase: Vendor, start: Start) -> None:
    """The vendor made the project, but the connection broke before it could say so."""
    make = supabase.routes["POST /v1/projects"]

    def made_and_broken(body: Any) -> Any:
        make(body)
        raise ConnectionAbortedError

    supabase.routes["POST /v1/projects"] = made_and_broken
    held: Held = start(TOKEN).create(INPUTS)
    assert held.id == REF
    assert supabase.calls.count("POST /v1/projects") == 1
