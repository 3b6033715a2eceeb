from __future__ import annotations

from typing import Any

import pytest

from tests.infra.providers.conftest import Start
from tests.infra.providers.engine import Failed
from tests.infra.providers.vendor import Vendor
from tests.infra.wire import UNKNOWN, is_secret, plain, secret

TOKEN = "memorygraph:supabase:AuthSettings"
REF = "abcdefghijklmnopqrst"
PROJECT = f"/v1/projects/{REF}"
AUTH, KEYS, API_KEYS = f"{PROJECT}/config/auth", f"{PROJECT}/config/auth/signing-keys", f"{PROJECT}/api-keys"
REVEALED = f"GET {API_KEYS}?reveal=true"
INPUTS = {
    "project": REF,
    "settings": {"site_url": "https://app.test", "jwt_exp": 900, "disable_signup": False},
    "secrets": secret({"smtp_pass": "p/w"}),
}


@pytest.fixture
def supabase(api: Vendor) -> Vendor:
    """A project that still signs with its shared secret."""
    project: dict[str, Any] = {"ref": REF, "status": "ACTIVE_HEALTHY"}
    settings: dict[str, Any] = {"site_url": "http://localhost:3000", "jwt_exp": 3600, "disable_signup": False}
    signing: list[dict[str, Any]] = []
    keys = [
        {"type": "legacy", "name": "service_role", "api_key": "ey"},
        {"type": "publishable", "name": "default", "api_key": "sb_publishable_1"},
        {"type": "secret", "name": "other", "api_key": "sb_secret_2"},
        {"type": "secret", "name": "default", "api_key": "sb_secret_1"},
    ]

    def legacy(_: Any) -> Any:
        signing.append({"id": "old", "algorithm": "HS256", "status": "in_use"})
        return 201, signing[-1]

    def standby(body: Any) -> Any:
        signing.append({"id": f"k{len(signing)}", **body})
        api.routes[f"PATCH {KEYS}/{signing[-1]['id']}"] = promote
        return 201, signing[-1]

    def promote(body: Any) -> Any:
        signing[-1].update(body)
        return 200, signing[-1]

    def change(body: Any) -> Any:
        settings.update(body)
        return 200, settings

    api.routes = {
        f"GET {PROJECT}": lambda _: (200, project),
        f"GET {AUTH}": lambda _: (200, settings),
        f"PATCH {AUTH}": change,
        f"GET {KEYS}": lambda _: (200, {"keys": signing}),
        f"POST {KEYS}/legacy": legacy,
        f"POST {KEYS}": standby,
        REVEALED: lambda _: (200, keys),
    }
    return api


def test_create_signs_with_es256_sets_everything_and_gives_the_keys(supabase: Vendor, start: Start) -> None:
    held = start(TOKEN).create(INPUTS)
    assert held.id == REF
    assert (held["apiUrl"], held["issuer"]) == (f"https://{REF}.supabase.co", f"https://{REF}.supabase.co/auth/v1")
    assert (held["publishableKey"], held["secretKey"]) == ("sb_publishable_1", "sb_secret_1")
    assert {name for name, value in held.properties.items() if is_secret(value)} == {"secrets", "secretKey"}
    assert supabase.calls == [
        f"GET {PROJECT}",
        f"GET {KEYS}",
        f"POST {KEYS}/legacy",
        f"POST {KEYS}",
        f"PATCH {KEYS}/k1",
        f"PATCH {AUTH}",
        REVEALED,
        REVEALED,
    ]
    assert supabase.bodies[3:5] == [{"algorithm": "ES256", "status": "standby"}, {"status": "in_use"}]
    sent = supabase.bodies[5]
    assert sent == {"site_url": "https://app.test", "jwt_exp": 900, "disable_signup": False, "smtp_pass": "p/w"}
    assert isinstance(sent["jwt_exp"], int)


def test_the_local_cloud_says_where_a_project_is(supabase: Vendor, start: Start) -> None:
    supabase.routes[f"GET {PROJECT}"] = lambda _: (200, {"ref": REF, "api_url": "http://127.0.0.1:2345"})
    held = start(TOKEN).create(INPUTS)
    assert (held["apiUrl"], held["issuer"]) == ("http://127.0.0.1:2345", "http://127.0.0.1:2345/auth/v1")


def test_a_key_in_use_is_left_alone(supabase: Vendor, start: Start) -> None:
    resource = start(TOKEN)
    held = resource.create(INPUTS)
    supabase.calls.clear()
    resource.update(held, {**INPUTS, "settings": {"jwt_exp": 60}})
    assert [call for call in supabase.calls if "signing-keys" in call] == [f"GET {KEYS}"]


def test_a_key_that_an_interrupted_update_left_is_put_in_use(supabase: Vendor, start: Start) -> None:
    found = {"id": "k9", "algorithm": "ES256", "status": "standby"}
    supabase.routes[f"GET {KEYS}"] = lambda _: (200, {"keys": [{"id": "old", "algorithm": "HS256"}, found]})
    supabase.routes[f"PATCH {KEYS}/k9"] = lambda _: (200, found)
    start(TOKEN).create(INPUTS)
    assert [call for call in supabase.calls if KEYS in call] == [f"GET {KEYS}", f"PATCH {KEYS}/k9"]


@pytest.mark.parametrize("status", [400, 404, 409])
def test_supabase_may_do_without_the_step_for_older_projects(supabase: Vendor, start: Start, status: int) -> None:
    supabase.routes[f"POST {KEYS}/legacy"] = lambda _: (status, {"message": "not any more"})
    start(TOKEN).create(INPUTS)
    assert f"PATCH {KEYS}/k0" in supabase.calls


def test_api_keys_are_made_for_a_project_that_has_none(supabase: Vendor, start: Start) -> None:
    keys: list[dict[str, Any]] = []

    def make(body: Any) -> Any:
        keys.append({**body, "api_key": f"sb_{body['type']}_new"})
        return 201, keys[-1]

    supabase.routes |= {REVEALED: lambda _: (200, keys), f"POST {API_KEYS}": make}
    held = start(TOKEN).create(INPUTS)
    assert (held["publishableKey"], held["secretKey"]) == ("sb_publishable_new", "sb_secret_new")


def test_refresh_shows_what_was_changed_by_hand(supabase: Vendor, start: Start) -> None:
    resource = start(TOKEN)
    held = resource.create(INPUTS)
    unchanged = resource.refresh(held)
    assert unchanged is not None
    assert list(resource.diff(unchanged, INPUTS).diffs) == []
    supabase.routes[f"PATCH {AUTH}"]({"site_url": "https://evil.test", "mailer_otp_exp": 60})
    found = resource.refresh(held)
    assert found is not None
    assert found.inputs["settings"] == {"site_url": "https://evil.test", "jwt_exp": 900, "disable_signup": False}
    assert plain(found.inputs["secrets"]) == {"smtp_pass": "p/w"}
    assert list(resource.diff(found, INPUTS).diffs) == ["settings"]


def test_a_project_that_is_gone_takes_its_settings_along(supabase: Vendor, start: Start) -> None:
    resource = start(TOKEN)
    held = resource.create(INPUTS)
    supabase.routes[f"GET {PROJECT}"] = lambda _: (404, {"message": "Project not found"})
    assert resource.refresh(held) is None
    with pytest.raises(Failed, match=f"Supabase has no project {REF}: run `pulumi up --refresh`"):
        resource.create(INPUTS)


def test_deleting_asks_nothing_of_supabase(supabase: Vendor, start: Start) -> None:
    resource = start(TOKEN)
    held = resource.create(INPUTS)
    supabase.calls.clear()
    resource.delete(held)
    assert supabase.calls == []


@pytest.mark.usefixtures("supabase")
def test_import_leaves_everything_to_the_next_update(start: Start) -> None:
    resource = start(TOKEN)
    resource.create(INPUTS)
    found = resource.take_over(REF)
    assert found is not None
    assert found.inputs == {"project": REF}
    assert found["secretKey"] == "sb_secret_1"
    assert list(resource.diff(found, INPUTS).diffs) == ["settings", "secrets"]


@pytest.mark.parametrize(("name", "replaces"), [("project", True), ("settings", False), ("secrets", False)])
@pytest.mark.usefixtures("supabase")
def test_what_a_change_does(start: Start, name: str, replaces: bool) -> None:  # noqa: FBT001  a table
    resource = start(TOKEN)
    diff = resource.diff(resource.create(INPUTS), {**INPUTS, name: "x" if name == "project" else {"a": "b"}})
    assert (list(diff.diffs), bool(diff.replaces)) == ([name], replaces)


@pytest.mark.usefixtures("supabase")
def test_a_change_of_settings_leaves_the_keys_known_at_preview(start: Start) -> None:
    resource = start(TOKEN)
    held = resource.create(INPUTS)
    assert resource.update(held, {**INPUTS, "settings": {}}, preview=True)["secretKey"] == "sb_secret_1"
    assert plain(resource.preview(INPUTS)["secretKey"]) == UNKNOWN


def test_what_is_refused_before_anything_is_asked(start: Start) -> None:
    resource = start(TOKEN)
    assert resource.check({**INPUTS, "settings": {"smtp_pass": "x"}}) == {
        "settings": "settings: smtp_pass is a secret: put it into `secrets`, so that it is encrypted"
    }
    assert (
        "external_github_secret" in resource.check({**INPUTS, "settings": {"external_github_secret": "x"}})["settings"]
    )
    assert resource.check({**INPUTS, "settings": {"uri_allow_list": ["a"]}}) == {
        "settings": "settings: uri_allow_list must be a text, a number or a boolean"
    }
    assert resource.check({"settings": {}})["project"] == "project is required"
    assert resource.check({**INPUTS, "settings": {"site_url": UNKNOWN}, "secrets": secret({})}) == {}
