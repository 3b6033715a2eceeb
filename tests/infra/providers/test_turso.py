from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.infra.providers.conftest import Start
from tests.infra.providers.engine import Failed
from tests.infra.providers.vendor import Vendor

TOKEN = "memorygraph:turso:Group"
INPUTS = {"organization": "acme", "name": "memorygraph", "location": "aws-us-east-1"}
GROUPS = "/v1/organizations/acme/groups"
GROUP = f"{GROUPS}/memorygraph"


@pytest.fixture
def turso(api: Vendor) -> Vendor:
    """A Turso that keeps its groups."""
    groups: dict[str, Any] = {}

    def create(body: Any) -> Any:
        if body["name"] in groups:
            return 409, {"error": "group already exists"}
        groups[body["name"]] = {"name": body["name"], "primary": body["location"], "locations": [body["location"]]}
        return 200, {"group": groups[body["name"]]}

    def one(_: Any) -> Any:
        return (200, {"group": groups["memorygraph"]}) if groups else (404, {"error": "group not found"})

    def delete(_: Any) -> Any:
        return (200, {"group": groups.pop("memorygraph")}) if groups else (404, {"error": "group not found"})

    api.routes = {
        f"POST {GROUPS}": create,
        f"GET {GROUP}": one,
        f"DELETE {GROUP}": delete,
        "GET /v1/organizations/acme/databases?group=memorygraph": lambda _: (200, {"databases": []}),
    }
    return api


def test_life(turso: Vendor, start: Start) -> None:
    group = start(TOKEN)
    held = group.create(INPUTS)
    assert (held.id, held["name"]) == ("acme/memorygraph", "memorygraph")
    assert turso.tokens == {"Bearer tu"}
    same = group.diff(held, INPUTS)
    assert same.changes == same.DIFF_NONE
    assert group.refresh(held) == held
    group.delete(held)
    assert group.refresh(held) is None
    group.delete(held)  # gone already: done


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.usefixtures("turso")
def test_every_input_replaces_it_old_one_first(start: Start, name: str) -> None:
    group = start(TOKEN)
    diff = group.diff(group.create(INPUTS), {**INPUTS, name: "other"})
    assert list(diff.replaces) == [name]
    assert diff.deleteBeforeReplace


def test_drift_is_seen(turso: Vendor, start: Start) -> None:
    group = start(TOKEN)
    held = group.create(INPUTS)
    turso.routes[f"GET {GROUP}"] = lambda _: (200, {"group": {"name": "memorygraph", "locations": ["aws-eu-west-1"]}})
    found = group.refresh(held)
    assert found is not None
    assert found.inputs["location"] == "aws-eu-west-1"
    assert list(group.diff(found, INPUTS).replaces) == ["location"]


@pytest.mark.usefixtures("turso")
def test_import(start: Start) -> None:
    group = start(TOKEN)
    group.create(INPUTS)
    found = group.take_over("acme/memorygraph")
    assert found is not None
    assert found.inputs == INPUTS
    with pytest.raises(Failed, match="ORGANIZATION/NAME"):
        group.take_over("memorygraph")


def test_what_an_interrupted_update_left_is_taken_over(turso: Vendor, start: Start) -> None:
    group = start(TOKEN)
    group.create(INPUTS)
    assert group.create(INPUTS).id == "acme/memorygraph"
    turso.routes["GET /v1/organizations/acme/databases?group=memorygraph"] = lambda _: (200, {"databases": [{}]})
    with pytest.raises(Failed, match="pulumi import memorygraph:turso:Group group acme/memorygraph"):
        group.create(INPUTS)


def test_check_names_what_is_wrong(start: Start) -> None:
    faults = start(TOKEN).check({"organization": "", "name": 3, "place": "x"})
    assert set(faults) == {"organization", "name", "location", "place"}


def test_names_cannot_reach_another_address(turso: Vendor, start: Start) -> None:
    group = start(TOKEN)
    with pytest.raises(Failed):
        group.create({**INPUTS, "organization": "../../v1/organizations/acme"})
    assert turso.calls == ["POST /v1/organizations/..%2F..%2Fv1%2Forganizations%2Facme/groups"]


def test_busy_and_broken_answers_are_tried_again(turso: Vendor, start: Start, pauses: list[float]) -> None:
    group = start(TOKEN)
    held = group.create(INPUTS)
    turso.first_fail(f"GET {GROUP}", (429, {"error": "slow down"}, {"Retry-After": "7"}), (502, b"<html>"), (500, None))
    assert group.refresh(held) == held
    assert pauses == [7.0, 2.0, 4.0]


def test_a_post_is_not_repeated_after_a_server_error(turso: Vendor, start: Start, pauses: list[float]) -> None:
    turso.first_fail(f"POST {GROUPS}", (500, {"error": "half done"}))
    with pytest.raises(Failed, match=r"Turso: POST .* answered 500 \(half done\)"):
        start(TOKEN).create(INPUTS)
    assert pauses == []
    turso.first_fail(f"POST {GROUPS}", (429, None))
    start(TOKEN).create(INPUTS)
    assert pauses == [1.0]


def test_it_gives_up_at_last(turso: Vendor, start: Start, pauses: list[float]) -> None:
    group = start(TOKEN)
    held = group.create(INPUTS)
    turso.routes[f"GET {GROUP}"] = lambda _: (503, {"error": "maintenance"})
    with pytest.raises(Failed, match=r"503.*maintenance"):
        group.refresh(held)
    assert len(pauses) == 4


def test_a_wrong_token_says_how_to_set_it(turso: Vendor, start: Start) -> None:
    turso.routes[f"POST {GROUPS}"] = lambda _: (401, {"error": "invalid token"})
    with pytest.raises(Failed, match="pulumi config set --secret memorygraph:tursoToken"):
        start(TOKEN).create(INPUTS)


def test_a_missing_token_says_how_to_set_it(turso: Vendor, start: Start) -> None:
    with pytest.raises(Failed, match="pulumi config set --secret memorygraph:tursoToken"):
        start(TOKEN, tursoToken="").create(INPUTS)
    assert turso.calls == []


def test_nobody_there_says_where_it_looked(start: Start, pauses: list[float]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but not listening: refuses connections
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(Failed, match=rf"no answer from {url} .*memorygraph:tursoApi"):
            start(TOKEN, tursoApi=url).create(INPUTS)
    assert len(pauses) == 4  # a refused connection reached nobody, so even a POST may be repeated


def test_redirects_are_refused(turso: Vendor, start: Start) -> None:
    turso.routes[f"POST {GROUPS}"] = lambda _: (307, None, {"Location": "http://127.0.0.1:9/"})
    with pytest.raises(Failed, match="307"):
        start(TOKEN).create(INPUTS)


def test_no_json_is_a_clear_failure(turso: Vendor, start: Start) -> None:
    turso.routes[f"POST {GROUPS}"] = lambda _: (200, b"<html>welcome</html>")
    with pytest.raises(Failed, match="no JSON: is memorygraph:tursoApi right"):
        start(TOKEN).create(INPUTS)
