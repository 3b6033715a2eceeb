"""Workspaces, members and invitations: who may do what, and what ends with a membership."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from accounts.control import INVITATIONS_MOST, WORKSPACES_MOST
from accounts.links import Links
from core.credentials import person_name
from core.keys import hash_key
from tests.functions.accounts.world import SITE, Person, World

Staff = tuple[str, Person, Person, Person]


@pytest.fixture
async def staffed(world: World) -> Staff:
    """A team: its workspace, owner, admin, member."""
    owner, workspace = await world.team()
    admin, member = await world.sign_in("bob@example.com"), await world.sign_in("eve@example.com")
    await world.join(owner, workspace, admin, "admin")
    await world.join(owner, workspace, member)
    return workspace, owner, admin, member


async def roles(world: World, by: Person, workspace: str) -> dict[str, str]:
    members = (await world.ask("GET", f"/workspaces/{workspace}/members", by)).json()["members"]
    return {member["account_id"]: member["role"] for member in members}


# Workspaces.


async def test_a_person_has_their_own(world: World) -> None:
    ada = await world.sign_in("ada@example.com", "Ada")
    body = (await world.ask("GET", "/workspaces", ada)).json()
    assert body["current"] == ada.workspace
    [own] = body["workspaces"]
    assert own.pop("created_at")
    assert own == {
        "id": ada.workspace,
        "name": "Personal",
        "plan": "free",
        "role": "owner",
        "personal": True,
        "seats": 1,
        "ready": True,
    }


async def test_named_workspaces_need_the_team_plan(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    for plan in ("free", "pro"):
        world.set_plan(ada.workspace, plan)
        answer = await world.ask("POST", "/workspaces", ada, {"name": "Named"})
        assert answer.status == 403
        assert "Team" in answer.json()["detail"]
    world.set_plan(ada.workspace, "team")
    made = await world.ask("POST", "/workspaces", ada, {"name": "Named"})
    assert made.status == 201
    assert (made.json()["plan"], made.json()["personal"], made.json()["ready"]) == ("free", False, False)
    assert {"plan": "free"} in world.jobs("open_store")[1:]
    assert world.queue.woken


async def test_one_person_owns_so_many_at_most_also_at_once(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    world.set_plan(ada.workspace, "team")
    answers = await asyncio.gather(
        *(world.ask("POST", "/workspaces", ada, {"name": f"w{number}"}) for number in range(WORKSPACES_MOST + 3))
    )
    assert sorted(answer.status for answer in answers) == [201] * WORKSPACES_MOST + [409] * 3
    made = next(answer.json()["id"] for answer in answers if answer.status == 201)
    assert (await world.ask("DELETE", f"/workspaces/{made}", ada)).status == 200
    again = await world.ask("POST", "/workspaces", ada, {"name": "another"})  # with a credit of calls of its own
    assert again.status == 429
    assert int(again.headers["retry-after"]) > 0
    world.run("UPDATE app.audit_log SET at = at - interval '1 day'")
    assert (await world.ask("POST", "/workspaces", ada, {"name": "another"})).status == 201


async def test_switching_is_a_header(world: World, staffed: Staff) -> None:
    workspace, owner, _, member = staffed
    own = (await world.ask("GET", "/auth/verify", member)).json()
    theirs = (await world.ask("GET", "/auth/verify", member, workspace=workspace)).json()
    assert (own["workspace"]["id"], own["role"]) == (member.workspace, "owner")
    assert (theirs["workspace"]["id"], theirs["role"], theirs["workspace"]["plan"]) == (workspace, "member", "team")
    assert (await world.ask("GET", "/auth/verify", owner, workspace=member.workspace)).status in (401, 403)
    assert (await world.ask("GET", "/auth/verify", owner, workspace=str(uuid.uuid4()))).status in (401, 403)


async def test_renaming(world: World, staffed: Staff) -> None:
    workspace, owner, admin, member = staffed
    for who, status in ((owner, 200), (admin, 200), (member, 403)):
        answer = await world.ask("PATCH", f"/workspaces/{workspace}", who, {"name": f"of {who.email}"})
        assert answer.status == status
    assert (await world.ask("GET", "/workspaces", member)).json()["workspaces"][-1]["name"] == f"of {admin.email}"


async def test_deleting_ends_everything_of_it(world: World, staffed: Staff) -> None:
    workspace, owner, admin, member = staffed
    text, _ = await world.key(member, workspace)
    assert (await world.ask("GET", "/memories", text, memories=True)).status == 200
    for who in (admin, member):
        assert (await world.ask("DELETE", f"/workspaces/{workspace}", who)).status == 403
    answer = await world.ask("DELETE", f"/workspaces/{workspace}", owner)
    assert answer.json() == {"deleted": True, "holds_within_seconds": 5}
    world.clock.advance(6.0)
    assert (await world.ask("GET", "/memories", text, memories=True)).status == 401
    for who in (owner, member):
        assert (await world.ask("GET", "/auth/verify", who, workspace=workspace)).status == 401
        listed = (await world.ask("GET", "/workspaces", who)).json()["workspaces"]
        assert workspace not in [one["id"] for one in listed]
    assert (await world.ask("GET", f"/workspaces/{workspace}/members", owner)).status == 404
    assert (await world.ask("DELETE", f"/workspaces/{workspace}", owner)).status == 404
    assert len(world.jobs("close_store")) == 1


async def test_ones_own_cannot_be_deleted(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    answer = await world.ask("DELETE", f"/workspaces/{ada.workspace}", ada)
    assert answer.status == 409
    assert "account" in answer.json()["detail"]


# Members.


async def test_who_may_change_a_role(world: World, staffed: Staff) -> None:
    workspace, owner, admin, member = staffed
    path = f"/workspaces/{workspace}/members"
    assert (await world.ask("PATCH", f"{path}/{admin.account}", member, {"role": "member"})).status == 403
    assert (await world.ask("PATCH", f"{path}/{member.account}", member, {"role": "admin"})).status == 403
    assert (await world.ask("PATCH", f"{path}/{member.account}", admin, {"role": "admin"})).status == 200
    assert (await world.ask("PATCH", f"{path}/{member.account}", admin, {"role": "owner"})).status == 403
    assert (await world.ask("PATCH", f"{path}/{owner.account}", admin, {"role": "member"})).status == 409
    assert (await world.ask("PATCH", f"{path}/{uuid.uuid4()}", owner, {"role": "admin"})).status == 404
    assert (await world.ask("PATCH", f"{path}/{member.account}", owner, {"role": "king"})).status == 400
    assert await roles(world, member, workspace) == {
        owner.account: "owner",
        admin.account: "admin",
        member.account: "admin",
    }


async def test_a_changed_role_holds_for_keys_and_people(world: World, staffed: Staff) -> None:
    workspace, owner, admin, member = staffed
    text, _ = await world.key(admin, workspace, scopes=["account"])
    body = {"name": "x"}
    assert (await world.ask("PATCH", f"/workspaces/{workspace}", text, body)).status == 200
    change = await world.ask("PATCH", f"/workspaces/{workspace}/members/{admin.account}", owner, {"role": "member"})
    assert change.json()["holds_within_seconds"] == 5
    # At once, whatever is cached: the control plane checks again.
    assert (await world.ask("PATCH", f"/workspaces/{workspace}", text, body)).status == 403
    assert (await world.ask("PATCH", f"/workspaces/{workspace}", admin, body)).status == 403
    world.clock.advance(6.0)
    assert (await world.ask("GET", "/auth/verify", text)).json()["role"] == "member"
    assert member  # untouched: their cached principal is no part of it
    assert len(world.jobs("void_keys")) == 1
    again = await world.ask("PATCH", f"/workspaces/{workspace}/members/{admin.account}", owner, {"role": "member"})
    assert again.json()["holds_within_seconds"] == 60  # who was first may have voided nothing


async def test_handing_over(world: World, staffed: Staff) -> None:
    workspace, owner, admin, member = staffed
    text, _ = await world.key(owner, workspace, scopes=["account"])
    path = f"/workspaces/{workspace}/members"
    assert (await world.ask("PATCH", f"{path}/{admin.account}", text, {"role": "owner"})).status == 403  # by a key
    assert (await world.ask("PATCH", f"{path}/{admin.account}", owner, {"role": "owner"})).status == 200
    assert await roles(world, member, workspace) == {
        owner.account: "admin",
        admin.account: "owner",
        member.account: "member",
    }
    assert (await world.ask("DELETE", f"{path}/{owner.account}", owner)).status == 200  # now they may leave


async def test_a_workspace_is_never_without_its_owner(world: World, staffed: Staff) -> None:
    workspace, owner, admin, member = staffed
    path = f"/workspaces/{workspace}/members"
    assert (await world.ask("DELETE", f"{path}/{owner.account}", owner)).status == 409
    assert (await world.ask("PATCH", f"{path}/{owner.account}", owner, {"role": "admin"})).status == 409
    assert (await world.ask("DELETE", f"{path}/{owner.account}", admin)).status == 409
    # Handed over to two at once: one of them has it. Handed over and left at once: never nobody.
    await asyncio.gather(
        *(world.ask("PATCH", f"{path}/{who.account}", owner, {"role": "owner"}) for who in (admin, member)),
        *(world.ask("DELETE", f"{path}/{who.account}", who) for who in (owner, admin, member)),
    )
    held = world.run("SELECT role, account_id::text FROM app.members WHERE workspace_id = %s", workspace)
    assert [role for role, _ in held].count("owner") == 1


async def test_who_leaves_or_is_removed_loses_their_keys(world: World, staffed: Staff) -> None:
    workspace, owner, admin, member = staffed
    texts = {who.account: (await world.key(who, workspace))[0] for who in (admin, member)}
    own, _ = await world.key(member)
    for text in texts.values():
        assert (await world.ask("GET", "/memories", text, memories=True)).status == 200
    person = person_name(member.account, workspace)
    assert (await world.ask("GET", "/auth/verify", member, workspace=workspace)).status == 200
    cached = {name: world.cache.entries[name][0] for name in (person, hash_key(texts[member.account]))}
    path = f"/workspaces/{workspace}/members"
    assert (await world.ask("DELETE", f"{path}/{admin.account}", member)).status == 403
    removed = await world.ask("DELETE", f"{path}/{member.account}", admin)
    assert removed.json() == {"removed": True, "holds_within_seconds": 5}
    assert all(world.cache.entries[name][0] > version for name, version in cached.items())
    assert (await world.ask("DELETE", f"{path}/{admin.account}", admin)).status == 200  # leaves
    # What is cached does not help: the control plane knows.
    assert (await world.ask("GET", f"{path}", member)).status == 404
    assert (await world.ask("GET", "/api-keys", member, workspace=workspace)).status == 404
    world.clock.advance(6.0)
    for text in texts.values():
        assert (await world.ask("GET", "/memories", text, memories=True)).status == 401
    assert (await world.ask("GET", "/auth/verify", member, workspace=workspace)).status in (401, 403)
    assert (await world.ask("GET", "/memories", own, memories=True)).status == 200
    assert await roles(world, owner, workspace) == {owner.account: "owner"}
    voided = {name for job in world.jobs("void_keys") for name, _ in job["keys"]}
    assert {name for name, (_, entry, _) in world.cache.entries.items() if entry == b""} == voided


async def test_seats_are_counted(world: World, staffed: Staff) -> None:
    workspace, owner, admin, _ = staffed
    await world.ask("DELETE", f"/workspaces/{workspace}/members/{admin.account}", owner)
    changes = world.run("SELECT seats FROM app.seat_changes WHERE workspace_id = %s ORDER BY id", workspace)
    assert [seats for (seats,) in changes] == [1, 2, 3, 2]
    assert world.run("SELECT seats FROM app.workspaces WHERE id = %s", workspace) == [(2,)]


async def test_strangers_learn_nothing(world: World, staffed: Staff) -> None:
    workspace, owner, _, _ = staffed
    mallory = await world.sign_in("mallory@example.com")
    text, _ = await world.key(mallory, scopes=["account"])
    invited = await world.ask("POST", f"/workspaces/{workspace}/invitations", owner, {"email": "z@example.com"})
    asks = [
        ("PATCH", "", {"name": "x"}),
        ("GET", "/members", b""),
        ("PATCH", f"/members/{mallory.account}", {"role": "owner"}),
        ("PATCH", f"/members/{owner.account}", {"role": "member"}),
        ("DELETE", f"/members/{owner.account}", b""),
        ("GET", "/invitations", b""),
        ("POST", "/invitations", {"email": "mallory@example.com", "role": "admin"}),
        ("DELETE", f"/invitations/{invited.json()['id']}", b""),
    ]
    for by in (mallory, text):
        for method, tail, body in asks:
            answer = await world.ask(method, f"/workspaces/{workspace}{tail}", by, body)
            unknown = await world.ask(method, f"/workspaces/{uuid.uuid4()}{tail}", by, body)
            assert answer.status == unknown.status == 404
            assert answer.json()["detail"] == unknown.json()["detail"]
    assert (await world.ask("DELETE", f"/workspaces/{workspace}", mallory)).status == 404
    assert len(await roles(world, owner, workspace)) == 3


async def test_a_key_is_for_its_own_workspace_only(world: World, staffed: Staff) -> None:
    workspace, owner, _, _ = staffed
    text, _ = await world.key(owner, scopes=["account"])
    assert (await world.ask("PATCH", f"/workspaces/{workspace}", text, {"name": "x"})).status == 404
    assert (await world.ask("GET", f"/workspaces/{workspace}/members", text, workspace=workspace)).status == 404
    listed = (await world.ask("GET", "/workspaces", text, workspace=workspace)).json()
    assert [one["id"] for one in listed["workspaces"]] == [owner.workspace]


async def test_what_only_a_person_may_do(world: World) -> None:
    owner, workspace = await world.team()
    text, _ = await world.key(owner, workspace, scopes=["account"])
    for method, path, body in (
        ("POST", "/workspaces", {"name": "x"}),
        ("DELETE", f"/workspaces/{workspace}", b""),
        ("POST", "/invitations/accept", {"token": "x"}),
        ("POST", "/account/erasure", b""),
    ):
        assert (await world.ask(method, path, text, body)).status == 403


# Invitations.


async def test_an_invitation_goes_by_mail_and_makes_a_member(world: World) -> None:
    owner, workspace = await world.team()
    eve = await world.sign_in("eve@example.com")
    path = f"/workspaces/{workspace}/invitations"
    sent = await world.ask("POST", path, owner, {"email": " Eve@Example.com ", "role": "admin"})
    assert sent.status == 201
    body = sent.json()
    assert (body["email"], body["role"], body["status"]) == ("eve@example.com", "admin", "open")
    [mail] = world.jobs("send_mail")
    assert mail["template"] == "invitation"
    assert mail["to"] == "Eve@Example.com"
    assert set(mail["data"]) == {"link", "workspace", "inviter", "role", "expires_at"}
    assert mail["data"]["link"].startswith(f"{SITE}/invitation#token=")
    token = mail["data"]["link"].partition("#token=")[2]
    assert token not in sent.body.decode()
    assert world.run("SELECT token_hash FROM app.invitations") == [(Links.hash(token),)]
    assert (await world.ask("GET", path, owner)).json()["invitations"] == [body]
    accepted = await world.ask("POST", "/invitations/accept", eve, {"token": token})
    assert (accepted.status, accepted.json()["id"], accepted.json()["role"]) == (200, workspace, "admin")
    assert (await world.ask("GET", path, owner)).json()["invitations"] == []
    # Again, as after an answer that was lost.
    again = await world.ask("POST", "/invitations/accept", eve, {"token": token})
    assert again.json() == accepted.json()
    assert (await world.ask("GET", "/auth/verify", eve, workspace=workspace)).status == 200


async def test_only_the_one_with_that_address_can_accept(world: World) -> None:
    owner, workspace = await world.team()
    mallory = await world.sign_in("mallory@example.com")
    await world.ask("POST", f"/workspaces/{workspace}/invitations", owner, {"email": "eve@example.com"})
    token = world.mailed_token("eve@example.com")
    answer = await world.ask("POST", "/invitations/accept", mallory, {"token": token})
    assert answer.status == 403
    assert "eve@" not in answer.body.decode()
    eve = await world.sign_in("eve@example.com")
    assert (await world.ask("POST", "/invitations/accept", eve, {"token": token})).status == 200


async def test_an_invitation_works_once_also_at_once(world: World) -> None:
    owner, workspace = await world.team()
    eve = await world.sign_in("eve@example.com")
    await world.ask("POST", f"/workspaces/{workspace}/invitations", owner, {"email": "eve@example.com"})
    token = world.mailed_token("eve@example.com")
    answers = await asyncio.gather(*(world.ask("POST", "/invitations/accept", eve, {"token": token}) for _ in range(5)))
    assert [answer.status for answer in answers] == [200] * 5
    changes = world.run("SELECT seats FROM app.seat_changes WHERE workspace_id = %s ORDER BY id", workspace)
    assert changes == [(1,), (2,)]
    await world.ask("DELETE", f"/workspaces/{workspace}/members/{eve.account}", owner)
    used = await world.ask("POST", "/invitations/accept", eve, {"token": token})
    assert used.status == 409


async def test_an_invitation_ends(world: World) -> None:
    owner, workspace = await world.team()
    eve = await world.sign_in("eve@example.com")
    path = f"/workspaces/{workspace}/invitations"
    sent = await world.ask("POST", path, owner, {"email": "eve@example.com"})
    [(days,)] = world.run("SELECT extract(epoch FROM expires_at - created_at)::int / 86400 FROM app.invitations")
    assert days == 7
    token = world.mailed_token("eve@example.com")
    world.run("UPDATE app.invitations SET expires_at = now()")
    assert (await world.ask("POST", "/invitations/accept", eve, {"token": token})).status == 409
    # Withdrawn, or replaced by another one: not known any more.
    await world.ask("POST", path, owner, {"email": "eve@example.com"})
    assert (await world.ask("POST", "/invitations/accept", eve, {"token": token})).status == 404
    [open_one] = (await world.ask("GET", path, owner)).json()["invitations"]
    assert open_one["id"] != sent.json()["id"]
    token = world.mailed_token("eve@example.com")
    assert (await world.ask("DELETE", f"{path}/{open_one['id']}", owner)).status == 204
    assert (await world.ask("DELETE", f"{path}/{open_one['id']}", owner)).status == 404
    assert (await world.ask("POST", "/invitations/accept", eve, {"token": token})).status == 404


async def test_two_invitations_to_one_address_at_once_leave_one(world: World) -> None:
    owner, workspace = await world.team()
    path = f"/workspaces/{workspace}/invitations"
    answers = await asyncio.gather(*(world.ask("POST", path, owner, {"email": "eve@example.com"}) for _ in range(4)))
    assert {answer.status for answer in answers} == {201}
    assert len((await world.ask("GET", path, owner)).json()["invitations"]) == 1


async def test_who_may_invite(world: World, staffed: Staff) -> None:
    workspace, owner, admin, member = staffed
    path = f"/workspaces/{workspace}/invitations"
    for who, status in ((owner, 201), (admin, 201), (member, 403)):
        assert (await world.ask("POST", path, who, {"email": "z@example.com"})).status == status
        assert (await world.ask("GET", path, who)).status == (200 if status == 201 else 403)
    assert (await world.ask("POST", path, owner, {"email": member.email.upper()})).status == 409  # is in it already
    for email in ("", "z", "z@", "a@b", "a b@c.de", "a@b.c\nBcc: x@y.z", "a,b@c.de", "<a@b.cd>", f"{'x' * 250}@b.cd"):
        assert (await world.ask("POST", path, owner, {"email": email})).status == 400
    assert (await world.ask("POST", path, owner, {"email": "z@example.com", "role": "owner"})).status == 400


async def test_an_invitation_needs_the_team_plan(world: World, staffed: Staff) -> None:
    workspace, owner, _, _ = staffed
    eve = await world.sign_in("late@example.com")
    path = f"/workspaces/{workspace}/invitations"
    await world.ask("POST", path, owner, {"email": eve.email})
    world.set_plan(workspace, "pro")
    assert (await world.ask("POST", path, owner, {"email": "z@example.com"})).status == 403
    accept = {"token": world.mailed_token(eve.email)}
    assert (await world.ask("POST", "/invitations/accept", eve, accept)).status == 403


async def test_open_invitations_are_few(world: World) -> None:
    owner, workspace = await world.team()
    path = f"/workspaces/{workspace}/invitations"
    for number in range(INVITATIONS_MOST):
        assert (await world.ask("POST", path, owner, {"email": f"p{number}@example.com"})).status == 201
    assert (await world.ask("POST", path, owner, {"email": "more@example.com"})).status == 409
