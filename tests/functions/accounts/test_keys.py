"""API keys: made once the store is there, shown once, listed masked, renamed, rotated, revoked; and by whom."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.keys import service as key_service
from core.keys import hash_key
from declarations import KEYS_MOST
from tests.functions.accounts.world import Person, World


async def test_a_key_is_shown_once_and_works(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    answer = await world.ask("POST", "/api-keys", ada, {"name": "  laptop  "})
    assert answer.status == 201
    body = answer.json()
    text = body.pop("key")
    assert text.startswith(body["prefix"])
    assert body["name"] == "laptop"
    assert body["scopes"] == ["memories:read", "memories:write"]
    assert body["status"] == "active"
    assert body["masked"] == body["prefix"] + "****"
    assert body["owner"] == {"id": ada.account, "name": "ada"}
    assert {"expires_at", "project", "calls_per_day", "last_used_at"} & set(body) == set()
    stored = await world.ask("POST", "/memories", text, {"type": "task", "title": "t", "content": "c"}, memories=True)
    assert stored.status == 201
    listed = await world.ask("GET", "/api-keys", ada)
    assert listed.json()["most"] == KEYS_MOST
    [shown] = listed.json()["keys"]
    assert shown.pop("last_used_at") >= body["created_at"]
    assert shown == body
    assert text not in listed.body.decode()
    assert text not in str(world.run("SELECT * FROM app.api_keys")) + str(world.run("SELECT * FROM app.audit_log"))


async def test_all_that_a_key_may_be_told(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    end = datetime.now(UTC) + timedelta(days=30)
    fields = {
        "name": "ci",
        "scopes": ["account", "memories:read"],
        "calls_per_day": 50,
        "expires_at": end.isoformat(),
    }
    text, _ = await world.key(ada, **fields)
    verified = (await world.ask("GET", "/auth/verify", text)).json()
    assert verified["key"]["calls_per_day"] == 50
    assert datetime.fromisoformat(verified["key"]["expires_at"]) == end
    assert verified["scopes"] == ["account", "memories:read"]
    assert verified["limits"]["key_calls_per_day"] == 50
    days = (await world.ask("POST", "/api-keys", ada, {"name": "week", "expires_in_days": 7})).json()
    left = datetime.fromisoformat(days["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)


BAD = [
    ({}, "name"),
    ({"name": " "}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"name": "a", "scopes": []}, "scopes"),
    ({"name": "a", "scopes": ["memories:read", "admin"]}, "scopes"),
    ({"name": "a", "scopes": "account"}, "scopes"),
    ({"name": "a", "expires_at": "2020-01-01"}, "expires_at"),
    ({"name": "a", "expires_at": "2099-01-01", "expires_in_days": 3}, "expires_in_days"),
    ({"name": "a", "expires_in_days": 0}, "expires_in_days"),
    ({"name": "a", "expires_in_days": 4000}, "expires_in_days"),
    ({"name": "a", "calls_per_day": 0}, "calls_per_day"),
    ({"name": "a", "calls_per_day": 10**12}, "calls_per_day"),
    ({"name": "a", "project": ""}, "project"),
    ({"name": "a", "project": " \t"}, "project"),
    ({"name": "a", "project": "a\0b"}, "project"),
    ({"name": "a", "project": "x" * 1001}, "project"),
    ({"name": "a", "project": 7}, "project"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
async def test_bad_fields_are_named(world: World, body: dict[str, object], field: str) -> None:
    ada = await world.sign_in("ada@example.com")
    answer = await world.ask("POST", "/api-keys", ada, body)
    assert answer.status == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await world.ask("GET", "/api-keys", ada)).json()["keys"] == []


async def test_a_workspace_has_so_many_keys_at_most_also_at_once(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    answers = await asyncio.gather(
        *(world.ask("POST", "/api-keys", ada, {"name": f"k{number}"}) for number in range(KEYS_MOST + 5))
    )
    assert sorted(answer.status for answer in answers) == [201] * KEYS_MOST + [409] * 5
    assert str(KEYS_MOST) in next(answer for answer in answers if answer.status == 409).json()["detail"]
    keys = (await world.ask("GET", "/api-keys", ada)).json()["keys"]
    assert len(keys) == KEYS_MOST
    # A revoked one, an ended one and a rotated one make room.
    assert (await world.ask("DELETE", f"/api-keys/{keys[0]['id']}", ada)).status == 200
    assert (await world.ask("POST", f"/api-keys/{keys[1]['id']}/rotate", ada)).status == 201
    assert (await world.ask("POST", "/api-keys", ada, {"name": "one more"})).status == 201
    assert (await world.ask("POST", "/api-keys", ada, {"name": "too many"})).status == 409
    world.run("UPDATE app.api_keys SET expires_at = now() WHERE id = %s", keys[2]["id"])
    assert (await world.ask("POST", "/api-keys", ada, {"name": "in its place"})).status == 201


async def test_making_a_key_waits_for_the_store(world: World) -> None:
    ada = await world.sign_in("ada@example.com", store=False)
    woken = world.queue.woken

    async def provision() -> None:
        world.queue.work = None
        await world.open_store(ada.workspace)

    world.queue.work = provision
    answer = await world.ask("POST", "/api-keys", ada, {"name": "first"})
    assert answer.status == 201
    assert world.queue.woken > woken
    assert (await world.ask("GET", "/memories", answer.json()["key"], memories=True)).status == 200


async def test_without_a_store_no_key_is_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_service, "STORE_WAIT_SECONDS", 0.4)
    ada = await world.sign_in("ada@example.com", store=False)
    answer = await world.ask("POST", "/api-keys", ada, {"name": "first"})
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert world.run("SELECT count(*) FROM app.api_keys") == [(0,)]


async def test_renaming(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    text, key = await world.key(ada)
    renamed = await world.ask("PATCH", f"/api-keys/{key}", ada, {"name": "desk"})
    assert renamed.json()["name"] == "desk"
    assert (await world.ask("GET", "/auth/verify", text)).json()["key"]["name"] == "desk"
    assert (await world.ask("PATCH", f"/api-keys/{key}", ada, {"name": ""})).status == 400


async def test_revoking_holds_at_once_elsewhere_too(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    text, key = await world.key(ada)
    assert (await world.ask("GET", "/memories", text, memories=True)).status == 200  # in the shared cache now
    cached = world.cache.entries[hash_key(text)][0]
    answer = await world.ask("DELETE", f"/api-keys/{key}", ada)
    assert answer.json() == {"revoked": True, "holds_within_seconds": 5}
    assert world.cache.entries[hash_key(text)][0] > cached  # whoever fills late has an older one
    world.clock.advance(6.0)  # leases end; the tombstone stays
    refused = await world.ask("GET", "/memories", text, memories=True)
    assert refused.status == 401
    assert "revoked" in refused.json()["detail"]
    [job] = world.jobs("void_keys")
    [(name, version)] = job["keys"]
    assert world.cache.entries[name][0] == version
    again = await world.ask("DELETE", f"/api-keys/{key}", ada)
    assert again.json()["revoked"]
    assert len(world.jobs("void_keys")) == 1
    assert (await world.ask("PATCH", f"/api-keys/{key}", ada, {"name": "x"})).status == 404


async def test_revoking_while_redis_is_down_says_that_it_takes_longer(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    _, key = await world.key(ada)
    world.cache.down = True
    answer = await world.ask("DELETE", f"/api-keys/{key}", ada)
    assert answer.json() == {"revoked": True, "holds_within_seconds": 60}
    assert len(world.jobs("void_keys")) == 1


async def test_rotating_with_an_overlap(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    text, key = await world.key(ada, scopes=["memories:read"], calls_per_day=9)
    answer = await world.ask("POST", f"/api-keys/{key}/rotate", ada, {"overlap_hours": 2})
    assert answer.status == 201
    body = answer.json()
    assert body["rotated_from"] == key
    assert (body["scopes"], body["calls_per_day"]) == (["memories:read"], 9)
    assert body["previous"]["status"] == "rotated"
    left = datetime.fromisoformat(body["previous"]["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=1, minutes=59) < left <= timedelta(hours=2)
    world.forget()
    for both in (text, body["key"]):
        assert (await world.ask("GET", "/memories", both, memories=True)).status == 200
    again = await world.ask("POST", f"/api-keys/{key}/rotate", ada)
    assert again.status == 409
    # Rotating the new one ends the oldest: there are two of a kind at most.
    third = await world.ask("POST", f"/api-keys/{body['id']}/rotate", ada)
    assert third.status == 201
    world.forget()
    assert (await world.ask("GET", "/memories", text, memories=True)).status == 401
    assert (await world.ask("GET", "/memories", body["key"], memories=True)).status == 200


async def test_rotating_without_an_overlap_ends_the_old_key(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    text, key = await world.key(ada)
    assert (await world.ask("GET", "/memories", text, memories=True)).status == 200
    answer = await world.ask("POST", f"/api-keys/{key}/rotate", ada, {"overlap_hours": 0})
    assert answer.json()["holds_within_seconds"] == 5
    world.clock.advance(6.0)
    assert (await world.ask("GET", "/memories", text, memories=True)).status == 401
    for hours in (-1, 169, "1"):
        body = {"overlap_hours": hours}
        assert (await world.ask("POST", f"/api-keys/{answer.json()['id']}/rotate", ada, body)).status == 400


async def test_a_rotation_that_is_sent_twice_says_that_it_takes_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the connection breaks before the answer: the first try may have voided nothing."""
    ada = await world.sign_in("ada@example.com")
    _, key = await world.key(ada)
    fetch = world.postgres.fetch

    async def twice(statement: str, args: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        await fetch(statement, args)
        return await fetch(statement, args)

    monkeypatch.setattr(world.postgres, "fetch", twice)
    answer = await world.ask("POST", f"/api-keys/{key}/rotate", ada, {"overlap_hours": 0})
    assert (answer.status, answer.json()["holds_within_seconds"]) == (201, 60)
    assert len(world.jobs("void_keys")) == 1
    answer = await world.ask("DELETE", f"/api-keys/{answer.json()['id']}", ada)
    assert answer.json()["holds_within_seconds"] == 5  # the second try names what to void again


async def test_two_rotations_at_once_make_one_key(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    _, key = await world.key(ada)
    answers = await asyncio.gather(*(world.ask("POST", f"/api-keys/{key}/rotate", ada) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]


# What a key may do with keys.


async def test_a_key_needs_the_scope(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    text, key = await world.key(ada)
    for method, path, body in (
        ("GET", "/api-keys", b""),
        ("POST", "/api-keys", {"name": "x"}),
        ("DELETE", f"/api-keys/{key}", b""),
        ("GET", "/account", b""),
        ("GET", "/usage", b""),
    ):
        answer = await world.ask(method, path, text, body)
        assert answer.status == 403
        assert "account" in answer.json()["detail"]


MORE = [
    {"scopes": ["memories:read", "memories:write", "account"], "expires_in_days": 1},
    {"scopes": ["memories:read"]},
    {"scopes": ["memories:read"], "expires_in_days": 30},
]


@pytest.mark.parametrize("fields", MORE)
async def test_a_key_cannot_make_one_that_may_more(world: World, fields: dict[str, object]) -> None:
    ada = await world.sign_in("ada@example.com")
    text, _ = await world.key(ada, scopes=["memories:read", "account"], expires_in_days=2)
    answer = await world.ask("POST", "/api-keys", text, {"name": "more", **fields})
    assert answer.status == 403
    assert len((await world.ask("GET", "/api-keys", ada)).json()["keys"]) == 1


async def test_a_key_can_make_one_that_may_as_much(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    fields = {"scopes": ["memories:read", "account"], "expires_in_days": 2}
    text, _ = await world.key(ada, **fields)
    assert await world.key(text, **{**fields, "calls_per_day": 10, "expires_in_days": 1})


async def test_a_key_with_a_cap_makes_none(world: World) -> None:
    """Each key counts by itself, so another one, or a rotation, would begin the cap anew."""
    ada = await world.sign_in("ada@example.com")
    text, key = await world.key(ada, scopes=["account"], calls_per_day=10)
    fields = {"name": "more", "scopes": ["account"], "calls_per_day": 1}
    for path, body in (("/api-keys", fields), (f"/api-keys/{key}/rotate", {})):
        answer = await world.ask("POST", path, text, body)
        assert answer.status == 403
        assert "limit of calls" in answer.json()["detail"]
    assert len((await world.ask("GET", "/api-keys", ada)).json()["keys"]) == 1
    assert (await world.ask("POST", f"/api-keys/{key}/rotate", ada)).status == 201


SCOPES = ["memories:read", "memories:write", "account"]


async def test_a_key_of_one_project_sees_no_other(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    wide, _ = await world.key(ada)
    body = {"type": "task", "title": "t", "content": "c"}
    for name, context in (("ours", {"project_path": " P/a"}), ("theirs", {"project_path": "P/a"}), ("none", None)):
        sent = {**body, "id": name, "context": context}
        assert (await world.ask("POST", "/memories", wide, sent, memories=True)).status == 201
    made = await world.ask("POST", "/api-keys", ada, {"name": "bound", "scopes": SCOPES, "project": " P/a"})
    assert made.json()["project"] == " P/a"  # letter for letter, as memories have it
    text = made.json()["key"]
    assert (await world.ask("GET", "/auth/verify", text)).json()["key"]["project"] == " P/a"
    listed = (await world.ask("GET", "/api-keys", ada)).json()["keys"]
    assert [key.get("project") for key in listed] == [" P/a", None]
    found = (await world.ask("GET", "/memories", text, memories=True)).json()
    assert [one["id"] for one in found["memories"]] == ["ours"]
    assert (await world.ask("GET", "/memories/theirs", text, memories=True)).status == 404
    stored = (await world.ask("POST", "/memories", text, body, memories=True)).json()
    assert stored["context"] == {"project_path": " P/a"}
    assert (await world.ask("GET", "/memories", text, memories=True)).json()["total"] == 2
    assert (await world.ask("GET", "/memories", wide, memories=True)).json()["total"] == 4


async def test_a_bound_key_makes_bound_keys_only(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    text, _ = await world.key(ada, scopes=SCOPES, project="p")
    for project in (None, "q", "p/", "P"):
        answer = await world.ask("POST", "/api-keys", text, {"name": "more", "project": project})
        assert answer.status == 403
        assert "project" in answer.json()["detail"]
    assert (await world.ask("POST", "/api-keys", text, {"name": "same", "project": "p"})).json()["project"] == "p"
    _, free = await world.key(ada, scopes=SCOPES)
    assert (await world.ask("POST", f"/api-keys/{free}/rotate", text)).status == 403
    assert (await world.ask("GET", "/account/export", text)).status == 403


async def test_a_rotated_key_keeps_its_project(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    _, key = await world.key(ada, scopes=SCOPES, project="p")
    rotated = await world.ask("POST", f"/api-keys/{key}/rotate", ada)
    assert (rotated.json()["project"], rotated.json()["previous"]["project"]) == ("p", "p")
    body = {"type": "task", "title": "t", "content": "c", "context": {"project_path": "q"}}
    refused = await world.ask("POST", "/memories", rotated.json()["key"], body, memories=True)
    assert refused.status == 403
    assert "bound to the project p" in refused.json()["detail"]


async def test_a_key_cannot_rotate_itself_into_more(world: World) -> None:
    """The answer of a rotation holds a key with the powers of the old one."""
    ada = await world.sign_in("ada@example.com")
    weak, weak_id = await world.key(ada, scopes=["account"])
    _, strong_id = await world.key(ada, scopes=["account", "memories:read"])
    assert (await world.ask("POST", f"/api-keys/{strong_id}/rotate", weak)).status == 403
    assert (await world.ask("POST", f"/api-keys/{weak_id}/rotate", weak)).status == 201


# Whose keys.


@pytest.fixture
async def staffed(world: World) -> tuple[str, Person, Person, Person]:
    """A team: its workspace, owner, admin, member."""
    owner, workspace = await world.team()
    admin, member = await world.sign_in("bob@example.com"), await world.sign_in("eve@example.com")
    await world.join(owner, workspace, admin, "admin")
    await world.join(owner, workspace, member)
    return workspace, owner, admin, member


async def test_members_manage_their_own_keys_and_those_who_run_the_workspace_all(
    world: World, staffed: tuple[str, Person, Person, Person]
) -> None:
    workspace, owner, admin, member = staffed
    ids = {who.account: (await world.key(who, workspace))[1] for who in (owner, admin, member)}

    async def seen(who: Person) -> set[str]:
        keys = (await world.ask("GET", "/api-keys", who, workspace=workspace)).json()["keys"]
        return {key["owner"]["id"] for key in keys}

    assert await seen(member) == {member.account}
    assert await seen(admin) == await seen(owner) == set(ids)
    for other in (owner, admin):
        path = f"/api-keys/{ids[other.account]}"
        for method, tail, body in (("PATCH", "", {"name": "x"}), ("DELETE", "", b""), ("POST", "/rotate", {})):
            assert (await world.ask(method, path + tail, member, body, workspace=workspace)).status == 404
    # A rotation shows the new key, which acts in its owner's name and role: nobody rotates another's.
    path = f"/api-keys/{ids[owner.account]}/rotate"
    assert (await world.ask("POST", path, admin, workspace=workspace)).status == 403
    path = f"/api-keys/{ids[member.account]}"
    assert (await world.ask("PATCH", path, admin, {"name": "renamed"}, workspace=workspace)).status == 200
    assert (await world.ask("DELETE", path, admin, workspace=workspace)).status == 200


async def test_keys_of_another_workspace_are_not_there(world: World) -> None:
    ada, eve = await world.sign_in("ada@example.com"), await world.sign_in("eve@example.com")
    text, key = await world.key(ada, scopes=["account"])
    other, _ = await world.key(eve, scopes=["account"])
    for by in (eve, other):
        for method, tail, body in (("PATCH", "", {"name": "x"}), ("DELETE", "", b""), ("POST", "/rotate", {})):
            answer = await world.ask(method, f"/api-keys/{key}{tail}", by, body)
            assert answer.status == 404
        unknown = await world.ask("DELETE", f"/api-keys/{uuid.uuid4()}", by)
        assert unknown.json()["detail"] == answer.json()["detail"]  # nothing tells that it is there
    assert (await world.ask("GET", "/auth/verify", text)).status == 200


async def test_an_id_that_is_none_is_unknown(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    for bad in ("1", "'; DROP TABLE app.api_keys; --", "%00", "x" * 500):
        assert (await world.ask("DELETE", f"/api-keys/{bad.replace(' ', '%20')}", ada)).status == 404
