"""Who a credential is; the account, its settings and its end; the first sign-in; when a key was last used."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable
from datetime import datetime, timedelta

import psycopg
import pytest

from accounts.control import ERASURE_MAILS_MOST
from accounts.links import Links
from core.adapters.postgres import StatementRefused
from core.tokens import JwtVerifier
from tests.functions.accounts.world import SITE, Person, World
from tests.functions.asgi import Answer
from tests.functions.core.test_tokens import ISSUER, OTHER, Issuer, claims, sign

# Signing in.


async def test_the_first_sign_in_makes_an_account_once(world: World) -> None:
    account = str(uuid.uuid4())
    token = world.token(account, "Ada@Example.com", "Ada Lovelace")
    processes = [world.control for _ in range(6)]
    found = await asyncio.gather(*(one.find_member(world.tokens.known[token], None) for one in processes))
    assert len(set(found)) == 1
    assert world.run("SELECT name, email FROM app.accounts") == [("Ada Lovelace", "Ada@Example.com")]
    [(workspace, seats, personal)] = world.run("SELECT id::text, seats, personal FROM app.workspaces")
    assert (seats, personal) == (1, True)
    assert world.run("SELECT kind, subject::text, payload FROM app.jobs") == [
        ("open_store", workspace, {"plan": "free"})
    ]
    assert world.run("SELECT role FROM app.members") == [("owner",)]


async def test_a_name_is_found_for_who_gives_none(world: World) -> None:
    for email, name in (("ada@example.com", "ada"), ("@example.com", "Account")):
        claims = world.tokens.known[world.token(str(uuid.uuid4()), email, "")]
        await world.control.find_member(claims, None)
        assert world.run("SELECT name FROM app.accounts WHERE email = %s", email) == [(name,)]


async def test_a_changed_address_is_taken_over(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    newer = world.token(ada.account, "ada@new.example")
    for token in (newer, ada.token):  # the older one is good for a while, and says less
        await world.control.find_member(world.tokens.known[token], None)
        assert (await world.ask("GET", "/account", ada)).json()["email"] == "ada@new.example"


async def test_a_real_token_signs_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = JwtVerifier(Issuer(), ISSUER, world.clock)  # type: ignore[arg-type]  # the one method that it uses
    monkeypatch.setattr(world.tokens, "verify", verifier.verify)
    account = str(uuid.uuid4())
    good = sign(claims(world.clock, sub=account))
    answer = await world.ask("GET", "/auth/verify", Person(account, "", good))
    assert answer.json()["account"] == {"id": account, "name": "Ada Lovelace", "email": "ada@example.com"}
    for bad in (sign(claims(world.clock, sub=account), OTHER), sign(claims(world.clock, exp=1))):
        assert (await world.ask("GET", "/auth/verify", Person(account, "", bad))).status == 401


async def test_what_was_revoked_a_moment_ago_changes_nothing(world: World) -> None:
    """Its lease in this process may still stand."""
    ada = await world.sign_in("ada@example.com")
    text, key = await world.key(ada, scopes=["account", "memories:read"])
    assert (await world.ask("GET", "/auth/verify", text)).status == 200
    world.run("UPDATE app.api_keys SET revoked_at = now() WHERE id = %s", key)
    for method, path, body in (
        ("GET", "/auth/verify", b""),
        ("GET", "/account", b""),
        ("PATCH", "/account", {"name": "x"}),
        ("GET", "/account/export", b""),
    ):
        assert (await world.ask(method, path, text, body)).status == 401
    assert (await world.ask("GET", "/api-keys", text)).status == 404
    assert (await world.ask("GET", "/workspaces", text)).json()["workspaces"] == []


async def test_without_the_control_plane_it_says_when_to_come_again(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    await world.ask("GET", "/account", ada)  # there is a lease
    await world.shut()
    for path in ("/account", "/auth/verify", "/api-keys"):
        answer = await world.ask("GET", path, ada)
        assert (answer.status, int(answer.headers["retry-after"])) == (503, 2)


@pytest.mark.parametrize(
    "workspace", ["0b6f1b0e-5a0f-4d0e-9c53-8f6d3f1a7c11", "not a uuid", "'; DROP TABLE app.accounts; --"]
)
async def test_a_workspace_that_is_not_theirs(world: World, workspace: str) -> None:
    ada, eve = await world.sign_in("ada@example.com"), await world.sign_in("eve@example.com")
    for other in (workspace, eve.workspace):
        answer = await world.ask("GET", "/auth/verify", ada, workspace=other)
        assert answer.status in (400, 401, 403)
        assert eve.workspace not in answer.body.decode()


# Who is this.


async def test_who_is_a_person(world: World) -> None:
    ada = await world.sign_in("ada@example.com", "Ada")
    body = (await world.ask("GET", "/auth/verify", ada)).json()
    assert body["workspace"].pop("created_at")
    assert body == {
        "account": {"id": ada.account, "name": "Ada", "email": "ada@example.com"},
        "workspace": {
            "id": ada.workspace,
            "name": "Personal",
            "plan": "free",
            "personal": True,
            "seats": 1,
            "ready": True,
        },
        "role": "owner",
        "key": None,
        "scopes": ["account", "memories:read", "memories:write"],
        "limits": {"calls_per_day": 1000, "calls_per_minute": 2000, "memories": 100, "storage_mb": 500},
    }


async def test_why_the_store_is_elsewhere_is_for_the_operator(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    world.run("UPDATE app.workspaces SET store_note = 'turso refused' WHERE id = %s", ada.workspace)
    for path in ("/auth/verify", "/workspaces", "/dashboard/stats"):
        answer = await world.ask("GET", path, ada)
        assert answer.status == 200
        assert "turso" not in answer.body.decode()


async def test_who_is_a_key(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    world.set_plan(ada.workspace, "team")
    text, key = await world.key(ada)
    body = (await world.ask("GET", "/auth/verify", text)).json()
    assert body["key"] == {
        "id": key,
        "name": "a key",
        "prefix": text[:15],
        "scopes": ["memories:read", "memories:write"],
    }
    assert "email" not in body["account"]  # whoever holds it need not know
    assert body["limits"]["memories"] is None  # no limit
    for bad in (text[:-1] + "0", text + "x", "mg_", None):
        assert (await world.ask("GET", "/auth/verify", bad)).status == 401


async def test_whoever_is_seen_without_a_store_wakes_its_job(world: World) -> None:
    ada = await world.sign_in("ada@example.com", store=False)
    assert world.queue.woken == 1
    body = (await world.ask("GET", "/auth/verify", ada)).json()
    assert body["workspace"]["ready"] is False
    assert world.queue.woken == 1  # not again and again
    memories = await world.ask("GET", "/memories", ada, memories=True)
    assert memories.status == 503
    assert int(memories.headers["retry-after"]) > 0


# The account.


async def test_the_account_and_its_settings(world: World) -> None:
    ada = await world.sign_in("ada@example.com", "Ada")
    body = (await world.ask("GET", "/account", ada)).json()
    assert body.pop("created_at")
    assert body == {"id": ada.account, "name": "Ada", "email": "ada@example.com", "settings": {}}
    changed = await world.ask("PATCH", "/account", ada, {"name": "A. L.", "settings": {"theme": "dark", "mails": True}})
    assert changed.json()["settings"] == {"theme": "dark", "mails": True}
    changed = await world.ask("PATCH", "/account", ada, {"settings": {"theme": None, "page": 50}})
    assert (changed.json()["name"], changed.json()["settings"]) == ("A. L.", {"mails": True, "page": 50})
    assert (await world.ask("PATCH", "/account", ada, {})).json()["name"] == "A. L."


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": 3},
        {"settings": []},
        {"settings": {"Bad Name": 1}},
        {"settings": {"a": {"b": 1}}},
        {"settings": {"a": "x" * 501}},
        {"settings": {"a": "\0"}},
        {"settings": {f"k{number}": "x" * 490 for number in range(20)}},
        {"settings": {f"k{number}": 1 for number in range(51)}},
        {"settings": {"a'); DROP TABLE app.accounts; --": 1}},
    ],
)
async def test_bad_changes_change_nothing(world: World, body: dict[str, object]) -> None:
    ada = await world.sign_in("ada@example.com", "Ada")
    before = (await world.ask("GET", "/account", ada)).json()
    assert (await world.ask("PATCH", "/account", ada, body)).status == 400
    assert (await world.ask("GET", "/account", ada)).json() == before


# When a key was last used.


async def test_that_a_key_was_used_is_written_once_an_hour(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    text, _ = await world.key(ada)
    last = "SELECT last_used_at FROM app.api_keys"
    assert world.run(last) == [(None,)]

    async def use() -> datetime:
        world.forget()
        assert (await world.ask("GET", "/memories", text, memories=True)).status == 200
        [(used,)] = world.run(last)
        assert isinstance(used, datetime)
        return used

    first = await use()
    assert await use() == first
    world.run("UPDATE app.api_keys SET last_used_at = last_used_at - interval '61 minutes'")
    assert await use() > first - timedelta(minutes=1)


async def test_writing_that_keeps_nobody_waiting(world: World) -> None:
    """Neither a change of the key that is under way, nor a server that takes no writes (its disk is full)."""
    ada = await world.sign_in("ada@example.com")
    text, _ = await world.key(ada)
    with psycopg.connect(world.urls["owner"]) as other:
        other.execute("UPDATE app.api_keys SET name = 'changing'")
        assert (await world.ask("GET", "/memories", text, memories=True)).status == 200
        other.rollback()
    database = world.urls["owner"].rpartition("/")[2]
    world.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    await world.memories_postgres.close()
    world.forget()
    assert (await world.ask("GET", "/memories", text, memories=True)).status == 200
    assert (await world.ask("GET", "/memories", ada, memories=True)).status == 200


# Its end.


async def test_an_erasure_is_confirmed_by_mail(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ada = await world.sign_in("ada@example.com")
    eve, workspace = await world.team("eve@example.com")
    await world.join(eve, workspace, ada)
    texts = [(await world.key(ada))[0], (await world.key(ada, workspace))[0]]
    for text in texts:
        assert (await world.ask("GET", "/memories", text, memories=True)).status == 200
    asked = await world.ask("POST", "/account/erasure", ada)
    assert (asked.status, asked.json()["mailed"]) == (202, True)
    mail = world.jobs("send_mail")[-1]
    assert (mail["template"], mail["to"]) == ("erasure", "ada@example.com")
    assert mail["data"]["link"].startswith(f"{SITE}/erasure#token=")
    token = world.mailed_token("ada@example.com")
    assert token not in asked.body.decode()
    assert "erasure" in (await world.ask("GET", "/account", ada)).json()

    done = await world.ask("POST", "/account/erasure/confirm", None, {"token": token})
    assert (done.status, done.json()) == (202, {"erasing": True, "holds_within_seconds": 5})
    world.clock.advance(6.0)
    for text in texts:
        assert (await world.ask("GET", "/memories", text, memories=True)).status == 401
    for path in ("/auth/verify", "/account"):
        assert (await world.ask("GET", path, ada)).status == 401
    assert world.jobs("erase_account") == [{"workspaces": [ada.workspace]}]
    members = (await world.ask("GET", f"/workspaces/{workspace}/members", eve)).json()["members"]
    assert [member["account_id"] for member in members] == [eve.account]
    assert world.run("SELECT seats FROM app.workspaces WHERE id = %s", workspace) == [(1,)]
    again = await world.ask("POST", "/account/erasure/confirm", None, {"token": token})
    assert (again.status, again.json()["holds_within_seconds"]) == (202, 60)  # who was first may have voided nothing
    assert len(world.jobs("erase_account")) == 1
    assert "@example.com" not in caplog.text
    assert token not in caplog.text


async def test_an_erased_account_leaves_nothing_and_does_not_come_back(world: World) -> None:
    ada = await world.sign_in("ada@example.com", "Ada Lovelace")
    eve, workspace = await world.team("eve@example.com")
    await world.join(eve, workspace, ada, "admin")
    await world.key(ada, workspace)
    await world.ask("POST", f"/workspaces/{workspace}/invitations", ada, {"email": "zoe@example.com"})
    with pytest.raises(StatementRefused):  # not before it was confirmed
        await world.provisioning.fetch("SELECT app.forget_account(%s::uuid)", [ada.account])
    await world.ask("POST", "/account/erasure", ada)
    token = world.mailed_token("ada@example.com")
    await world.ask("POST", "/account/erasure/confirm", None, {"token": token})
    world.run("DELETE FROM app.jobs")
    for _ in range(2):
        await world.provisioning.fetch("SELECT app.forget_account(%s::uuid)", [ada.account])
    tables = [
        name
        for (name,) in world.run("SELECT tablename FROM pg_tables WHERE schemaname = 'app' AND tablename <> 'erased'")
    ]
    held = json.dumps([world.run(f"SELECT t::text FROM app.{table} t") for table in tables])
    for trace in (ada.account, ada.workspace, "ada@", "Ada Lovelace"):
        assert trace not in held
    [(account, finished)] = world.run("SELECT account_id::text, finished_at IS NOT NULL FROM app.erased")
    assert (account, finished) == (ada.account, True)
    # The token of the sign-in may still be good.
    world.forget()
    assert (await world.ask("GET", "/auth/verify", ada)).status == 401
    assert world.run("SELECT count(*) FROM app.accounts WHERE id = %s", ada.account) == [(0,)]
    # What it did in the team is still known, without its name.
    assert (await world.ask("GET", f"/workspaces/{workspace}/members", eve)).status == 200
    assert ("invitation.accepted", None) in world.run("SELECT action, account_id FROM app.audit_log")


async def test_whoever_owns_what_others_work_in_hands_it_over_first(world: World) -> None:
    owner, workspace = await world.team("ada@example.com")
    eve = await world.sign_in("eve@example.com")
    assert (await world.ask("POST", "/account/erasure", owner)).status == 202
    token = world.mailed_token("ada@example.com")
    await world.join(owner, workspace, eve)
    for path, by, body in (
        ("/account/erasure", owner, b""),
        ("/account/erasure/confirm", None, {"token": token}),  # since it was asked for, somebody came
    ):
        answer = await world.ask("POST", path, by, body)
        assert answer.status == 409
        assert "Hand it over" in answer.json()["detail"]
    assert world.run("SELECT count(*) FROM app.erased") == [(0,)]
    path = f"/workspaces/{workspace}/members/{eve.account}"
    assert (await world.ask("PATCH", path, owner, {"role": "owner"})).status == 200
    assert (await world.ask("POST", "/account/erasure/confirm", None, {"token": token})).status == 202
    assert world.jobs("erase_account") == [{"workspaces": [owner.workspace]}]
    assert (await world.ask("GET", "/auth/verify", eve, workspace=workspace)).json()["role"] == "owner"


async def test_links_that_do_not_work(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    await world.ask("POST", "/account/erasure", ada)
    first = world.mailed_token("ada@example.com")
    await world.ask("POST", "/account/erasure", ada)
    second = world.mailed_token("ada@example.com")
    for token in (first, "x", "'; DROP TABLE app.accounts; --", second[:-1]):
        answer = await world.ask("POST", "/account/erasure/confirm", None, {"token": token})
        assert answer.status == 404
    world.run("UPDATE app.erasure_requests SET expires_at = now()")
    assert (await world.ask("POST", "/account/erasure/confirm", None, {"token": second})).status == 404
    for body in ({}, {"token": ""}, {"token": None}, {"token": "x" * 101}):
        assert (await world.ask("POST", "/account/erasure/confirm", None, body)).status == 400
    assert (await world.ask("GET", "/auth/verify", ada)).status == 200


async def test_a_link_that_is_made_up_does_not_reach_the_control_plane(world: World) -> None:
    """Nobody is signed in there, so nothing else would hold them up."""
    ada = await world.sign_in("ada@example.com")
    await world.ask("POST", "/account/erasure", ada)
    token = world.mailed_token("ada@example.com")
    await world.shut()
    for wrong in (
        "x",
        ".",
        token[:-1],
        f"x{token[1:]}",
        Links(SITE, ["another secret"]).erasure().link.partition("=")[2],
    ):
        assert (await world.ask("POST", "/account/erasure/confirm", None, {"token": wrong})).status == 404
    assert (await world.ask("POST", "/account/erasure/confirm", None, {"token": token})).status == 503


async def test_so_many_mails_a_day_at_most(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    answers = [await world.ask("POST", "/account/erasure", ada) for _ in range(ERASURE_MAILS_MOST + 1)]
    assert [answer.status for answer in answers] == [202] * ERASURE_MAILS_MOST + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert len(world.jobs("send_mail")) == ERASURE_MAILS_MOST
    world.run("UPDATE app.audit_log SET at = at - interval '1 day'")
    assert (await world.ask("POST", "/account/erasure", ada)).status == 202


async def test_signing_in_while_an_erasure_ends_makes_no_account(world: World) -> None:
    ada = await world.sign_in("ada@example.com")
    await world.ask("POST", "/account/erasure", ada)
    await world.ask("POST", "/account/erasure/confirm", None, {"token": world.mailed_token("ada@example.com")})
    claims = world.tokens.known[ada.token]
    await asyncio.gather(
        world.provisioning.fetch("SELECT app.forget_account(%s::uuid)", [ada.account]),
        *(world.control.find_member(claims, None) for _ in range(8)),
    )
    assert world.run("SELECT count(*) FROM app.accounts") == [(0,)]


async def overlap(world: World, first: str, *args: object, then: Awaitable[Answer]) -> Answer:
    """What `then` is answered when it begins before the change `first` is committed, and must wait for it."""
    waiting = (
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        "WHERE a.datname = current_database() AND NOT l.granted"
    )
    async with await psycopg.AsyncConnection.connect(world.urls["owner"]) as connection:
        await connection.execute(first.encode(), args)
        second = asyncio.ensure_future(then)
        while world.run(waiting) == [(0,)]:
            assert not second.done()
            await asyncio.sleep(0.01)
        await connection.commit()
    return await second


async def test_a_workspace_that_is_handed_over_during_an_erasure_keeps_its_owner(world: World) -> None:
    owner, workspace = await world.team("ada@example.com")
    eve = await world.sign_in("eve@example.com")
    await world.join(owner, workspace, eve)
    await world.ask("POST", "/account/erasure", eve)
    token = world.mailed_token("eve@example.com")
    answer = await overlap(
        world,
        "SELECT app.change_member(%s, NULL, %s, %s, 'owner')",
        *(owner.account, workspace, eve.account),
        then=world.ask("POST", "/account/erasure/confirm", None, {"token": token}),
    )
    assert answer.status == 409
    assert "Hand it over" in answer.json()["detail"]
    assert world.run(
        "SELECT account_id::text FROM app.members WHERE workspace_id = %s AND role = 'owner'", workspace
    ) == [(eve.account,)]


async def test_whoever_joins_during_their_erasure_takes_no_seat(world: World) -> None:
    owner, workspace = await world.team("ada@example.com")
    eve = await world.sign_in("eve@example.com")
    await world.ask("POST", f"/workspaces/{workspace}/invitations", owner, {"email": eve.email})
    invited = Links.hash(world.mailed_token(eve.email))
    await world.ask("POST", "/account/erasure", eve)
    answer = await overlap(
        world,
        "SELECT app.accept_invitation(%s, %s, 'team')",
        *(eve.account, invited),
        then=world.ask("POST", "/account/erasure/confirm", None, {"token": world.mailed_token(eve.email)}),
    )
    assert answer.status == 202
    assert world.run("SELECT account_id::text FROM app.members WHERE workspace_id = %s", workspace) == [
        (owner.account,)
    ]
    assert world.run("SELECT seats FROM app.workspaces WHERE id = %s", workspace) == [(1,)]
