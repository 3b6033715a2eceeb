"""Several people in one workspace, and the end of an account, through the Worker."""

from __future__ import annotations

import http.client
import io
import json
import zipfile
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from supabase import AuthApiError

from tests.cloud import inside
from tests.cloud.conftest import Conversation
from tests.cloud.people import Person, Team, assert_ends, client, confirm, token
from tests.cloud.stack import Stack, wait_until

MEMORY = {"type": "solution", "title": "Raised the pool size", "content": "Pool of 50."}


@pytest.fixture(scope="module")
def team(stack: Stack) -> Team:
    return Team(stack)


def test_a_second_person_comes_by_a_mail_and_goes_again(stack: Stack, team: Team, converse: Conversation) -> None:
    eve, mallory = Person(stack, "Eve"), Person(stack)
    invitation = team.invite(eve)
    [asked] = team.call("GET", f"{team.path}/invitations").body["invitations"]
    assert (asked["email"], asked["status"]) == (eve.email, "open")
    assert mallory.call("POST", "/invitations/accept", {"token": invitation}).status == 403, "it is for one address"
    joined = eve.call("POST", "/invitations/accept", {"token": invitation})
    assert (joined.status, joined.body["id"], joined.body["role"]) == (200, team.id, "member")
    assert team.seats() == 2
    members = team.call("GET", f"{team.path}/members").body["members"]
    assert {one["account_id"]: one["role"] for one in members} == {team.owner: "owner", eve.account: "member"}

    mine = team.call("POST", "/memories", {**MEMORY, "id": "owners"})
    key = eve.key(team.id)
    said = converse(
        stack.api_url, key, [("store_memory", {**MEMORY, "title": "Eve's"}), ("search_memories", {"query": "pool"})]
    )
    assert mine.status == 201
    assert "Raised the pool size" in said[2]["text"]
    assert "Eve's" in said[2]["text"]
    theirs = team.call("POST", "/search/advanced", {"query": "pool"}).body["memories"]
    assert {one["title"] for one in theirs} == {MEMORY["title"], "Eve's"}
    signed_in = eve.call("POST", "/search/advanced", {"query": "pool"}, X_Workspace=team.id).body["memories"]
    assert signed_in == theirs
    eve.ready()
    assert eve.call("POST", "/search/advanced", {"query": "pool"}).body["memories"] == [], "their own is another one"
    assert writers(stack, team.id) == {MEMORY["title"]: team.owner, "Eve's": eve.account}

    removed = team.call("DELETE", f"{team.path}/members/{eve.account}")
    assert removed.body["holds_within_seconds"] == 5
    assert_ends(partial(stack.call, "GET", "/memories/recent", key=key))
    assert_ends(partial(eve.call, "GET", "/memories/recent", X_Workspace=team.id), 403)
    assert eve.call("GET", "/memories/recent").status == 200
    assert team.seats() == 1
    assert len(team.call("POST", "/search/advanced", {"query": "pool"}).body["memories"]) == 2, "what they wrote stays"


def writers(stack: Stack, workspace: str) -> dict[str, str]:
    """Title -> account that wrote it, as stored."""
    rows = inside.sql(
        stack, "SELECT title, created_by_account FROM memory.memories WHERE workspace_id = %s::uuid", workspace
    )
    return dict(rows)


def test_a_withdrawn_invitation_leads_nowhere(stack: Stack, team: Team) -> None:
    person = Person(stack)
    invitation = team.invite(person)
    [asked] = team.call("GET", f"{team.path}/invitations").body["invitations"]
    assert team.call("DELETE", f"{team.path}/invitations/{asked['id']}").status in {200, 204}
    assert person.call("POST", "/invitations/accept", {"token": invitation}).status == 404


def test_a_free_workspace_is_for_one(stack: Stack) -> None:
    person = Person(stack)
    sent = person.call("POST", f"/workspaces/{person.workspace()}/invitations", {"email": "x@example.com"})
    assert sent.status == 403
    assert "Team plan" in sent.body["detail"]


def test_the_archive_holds_what_is_held_and_an_erased_account_is_gone(stack: Stack, team: Team) -> None:
    person = Person(stack, "Ada")
    key, workspace = person.key(), person.workspace()
    assert person.call("POST", "/invitations/accept", {"token": team.invite(person)}).status == 200
    assert stack.call("POST", "/memories", {**MEMORY, "id": "m1"}, key=key).status == 201
    held = archive(stack, person)
    assert json.loads(held.read("account.json"))["account"]["email"] == person.email
    lines = [json.loads(line) for line in held.read(f"memories/{workspace}.jsonl").splitlines()]
    assert [one["title"] for one in lines if one["kind"] == "memory"] == [MEMORY["title"]]
    assert key not in held.read("keys.json").decode()
    assert [name for name in held.namelist() if name.startswith("memories/")] == [f"memories/{workspace}.jsonl"]

    assert stack.call("POST", "/account/erasure", key=key).status == 403, "a key does not erase its account"
    assert person.call("POST", "/account/erasure").status == 202
    proof = {"token": token(stack.mail(person.email, "Confirm that"))}
    assert stack.call("GET", "/memories/recent", key=key).status == 200, "asked is not confirmed"
    assert traces(stack, person.account, workspace) > {
        "app.accounts.id",
        "app.workspaces.id",
        "app.api_keys.account_id",
    }
    assert mentions(stack, person.email) == {"app.accounts.email", "app.invitations.email"}
    confirmed = stack.call("POST", "/account/erasure/confirm", proof)
    assert (confirmed.status, confirmed.body["holds_within_seconds"]) == (202, 5)
    assert_ends(partial(stack.call, "GET", "/memories/recent", key=key))
    assert_ends(partial(person.call, "GET", "/account"))
    stack.mail(person.email, "is erased")
    assert stack.call("POST", "/account/erasure/confirm", proof).status == 404
    assert_forgotten(stack, person, workspace)
    members = team.call("GET", f"{team.path}/members").body["members"]
    assert person.account not in [one["account_id"] for one in members]

    with client(stack) as made:
        with pytest.raises(AuthApiError, match="credentials"):
            person.sign_in(made)
        # The address is free again, and whoever comes by it is somebody else.
        made.auth.sign_up({"email": person.email, "password": "another long one"})
        wait_until(lambda: len(stack.mails(person.email, "Confirm your")) == 2, 20, "another mail")
        confirm(made.auth, stack.mail(person.email, "Confirm your"))
        before = person.account
        person.sign_in(made, "another long one")
    assert person.account != before
    assert person.workspace() != workspace


def archive(stack: Stack, person: Person) -> zipfile.ZipFile:
    url = urlsplit(stack.api_url)
    assert url.hostname is not None
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
    try:
        connection.request("GET", f"{url.path}/account/export", headers={"Authorization": f"Bearer {person.token}"})
        answer = connection.getresponse()
        content = answer.read()
        assert (answer.status, answer.getheader("Content-Type")) == (200, "application/zip")
        return zipfile.ZipFile(io.BytesIO(content))
    finally:
        connection.close()


def assert_forgotten(stack: Stack, person: Person, workspace: str) -> None:
    """Neither store, nor the control plane, nor Supabase Auth holds anything; the ledger of erasures does."""
    settings = inside.environment(stack, "provisioning")
    path = f"/v1/organizations/{settings['TURSO_ORGANIZATION']}/databases"
    listed = ask(settings["TURSO_API_URL"] + path, Authorization=f"Bearer {settings['TURSO_API_TOKEN']}")
    assert f"ws-{workspace.replace('-', '')}" not in [one["Name"] for one in listed[1]["databases"]]
    users = f"{settings['AUTH_URL']}/admin/users/{person.account}"
    assert ask(users, apikey=settings["AUTH_SECRET_KEY"])[0] == 404
    assert traces(stack, person.account, workspace) <= KEPT
    wait_until(lambda: not mentions(stack, person.email), 5, "the last mail is forgotten once it is sent")


KEPT = {"app.erased.account_id", "app.jobs.subject", "memory.fences.workspace_id"}
"""Ids that say nothing of a person: the ledger that a restored backup is compared with; jobs, for 30 days; the fence
that stops requests which were let in before."""

COLUMNS = """
    SELECT c.table_schema, c.table_name, c.column_name
    FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE c.table_schema IN ('app', 'memory') AND c.data_type = ANY (%(kinds)s) AND t.table_type = 'BASE TABLE'
"""


def traces(stack: Stack, *ids: str) -> set[str]:
    """The columns of our schemas that hold one of these ids."""
    return searched(stack, ["uuid"], "{} = ANY (%(wanted)s::uuid[])", list(ids))


def mentions(stack: Stack, text: str) -> set[str]:
    """The columns of our schemas in which a text occurs."""
    kinds = ["text", "jsonb", "ARRAY", "character varying"]
    return searched(stack, kinds, "position(lower(%(wanted)s) IN lower({}::text)) > 0", text)


def searched(stack: Stack, kinds: list[str], condition: str, wanted: object) -> set[str]:
    each = [
        f"SELECT '{schema}.{table}.{column}' FROM {schema}.{table} WHERE " + condition.format(f'"{column}"')
        for schema, table, column in inside.sql(stack, COLUMNS, kinds=kinds)
    ]
    return {name for (name,) in inside.sql(stack, " UNION ALL ".join(each), wanted=wanted)}


def ask(url: str, **headers: str) -> tuple[int, Any]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        connection.request("GET", parts.path, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()
