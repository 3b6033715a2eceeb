"""From signing up to an agent's first memory, with the clients that people and agents have, through the Worker."""

from __future__ import annotations

import secrets
from functools import partial

import pytest
from supabase import AuthApiError

from tests.cloud.conftest import Conversation
from tests.cloud.people import PASSWORD, Person, assert_ends, client, confirm
from tests.cloud.stack import Stack


@pytest.fixture(scope="module")
def person(stack: Stack) -> Person:
    return Person(stack)


def test_sign_up_confirm_key_store_and_find(stack: Stack, person: Person, converse: Conversation) -> None:
    key = person.key()
    answers = converse(
        stack.api_url,
        key,
        [
            ("store_memory", {"type": "solution", "title": "Raised the pool size", "content": "Pool of 50."}),
            ("search_memories", {"query": "pool"}),
        ],
    )
    _, stored, found = answers
    assert not stored["error"], stored
    assert "Raised the pool size" in found["text"]
    seen = person.call("GET", "/dashboard/stats").body
    assert (seen["memory_count"], seen["subscription_tier"]) == (1, "free")


def test_an_address_that_is_not_confirmed_does_not_sign_in(stack: Stack) -> None:
    email = f"{secrets.token_hex(6)}@example.com"
    with client(stack) as made:
        made.auth.sign_up({"email": email, "password": PASSWORD})
        with pytest.raises(AuthApiError, match="not confirmed"):
            made.auth.sign_in_with_password({"email": email, "password": PASSWORD})


def test_a_forgotten_password_is_set_anew_by_a_mailed_link(stack: Stack) -> None:
    person, fresh = Person(stack), "battery staple horse"
    workspace = person.workspace()
    with client(stack) as made:
        made.auth.reset_password_for_email(person.email)
        confirm(made.auth, stack.mail(person.email, "new password"))
        made.auth.update_user({"password": fresh})
    with client(stack) as made:
        with pytest.raises(AuthApiError, match="credentials"):
            person.sign_in(made, PASSWORD)
        person.sign_in(made, fresh)
    assert person.workspace() == workspace


def test_who_is_this(stack: Stack, person: Person) -> None:
    by_token = person.call("GET", "/auth/verify")
    by_key = stack.call("GET", "/auth/verify", key=person.key(name="other"))
    assert (by_token.status, by_key.status) == (200, 200)
    assert by_token.body["workspace"]["id"] == by_key.body["workspace"]["id"]
    assert int(by_key.headers["x-ratelimit-limit"]) == 1000
    assert stack.call("GET", "/auth/verify", key="mg_" + "x" * 52).status == 401
    assert stack.call("GET", "/auth/verify").status == 401


def test_a_revoked_and_a_rotated_key_stop_working(stack: Stack, person: Person) -> None:
    lost, old = person.key(name="lost"), person.key(name="old")
    ids = {one["name"]: one["id"] for one in person.call("GET", "/api-keys").body["keys"]}
    rotated = person.call("POST", f"/api-keys/{ids['old']}/rotate", {"overlap_hours": 1})
    assert rotated.status == 201
    newer = rotated.body["key"]
    for key in (lost, old, newer):
        assert stack.call("GET", "/memories/recent", key=key).status == 200
    assert lost not in str(person.call("GET", "/api-keys").body)
    newest = person.call("POST", f"/api-keys/{rotated.body['id']}/rotate", {"overlap_hours": 0})
    revoked = person.call("DELETE", f"/api-keys/{ids['lost']}")
    assert newest.body["holds_within_seconds"] == revoked.body["holds_within_seconds"] == 5
    # Of those that took each other's place two work at most, whatever overlap was wished before.
    for key in (newer, lost, old):
        assert_ends(partial(stack.call, "GET", "/memories/recent", key=key))
    assert stack.call("GET", "/memories/recent", key=newest.body["key"]).status == 200
