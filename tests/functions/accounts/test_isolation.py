"""Nothing crosses: what the function's login role may do, and what callers try."""

from __future__ import annotations

import subprocess
import sys
import uuid
from urllib.parse import quote

import psycopg
import pytest

from declarations import ACCOUNTS
from tests.functions.accounts.world import SETTINGS, Person, World

SQL = [
    "'; DROP TABLE app.accounts; --",
    "' OR '1'='1",
    "$$; SELECT pg_sleep(10); $$",
    "\\'); DELETE FROM app.members; --",
    '"; RESET ROLE; --',
    "%s%s%s {0} ${jndi}",
    "Robert\u2019); DROP TABLE app.api_keys;--",
]


@pytest.mark.parametrize("text", SQL)
async def test_sql_in_every_field_is_text(world: World, text: str) -> None:
    ada, workspace = await world.team()
    before = world.run("SELECT count(*) FROM app.members")
    key = (await world.ask("POST", "/api-keys", ada, {"name": text, "scopes": ["account"]})).json()
    assert key["name"] == text
    path = f"/api-keys/{key['id']}"
    assert (await world.ask("PATCH", path, ada, {"name": text + "2"})).json()["name"] == text + "2"
    assert (await world.ask("PATCH", "/account", ada, {"name": text, "settings": {"a": text}})).json()["name"] == text
    assert (await world.ask("PATCH", f"/workspaces/{workspace}", ada, {"name": text})).json()["name"] == text
    mails = len(world.jobs("send_mail"))
    sent = await world.ask("POST", f"/workspaces/{workspace}/invitations", ada, {"email": f"{text}@example.com"})
    assert sent.status in (201, 400)
    assert len(world.jobs("send_mail")) == mails + (sent.status == 201)
    for method, target, body in (
        ("POST", "/invitations/accept", {"token": text}),
        ("POST", "/account/erasure/confirm", {"token": text}),
        ("PATCH", f"/workspaces/{workspace}/members/{quote(text)}", {"role": "admin"}),
        ("PATCH", f"/workspaces/{workspace}/members/{ada.account}", {"role": text}),
        ("PATCH", f"/workspaces/{quote(text)}", {"name": "x"}),
        ("DELETE", f"/workspaces/{workspace}/invitations/{quote(text)}", b""),
        ("DELETE", f"/api-keys/{quote(text)}", b""),
        ("GET", f"/usage?days={quote(text)}", b""),
        ("POST", "/api-keys", {"name": "x", "scopes": [text]}),
        ("POST", "/api-keys", {"name": "x", "expires_at": text}),
    ):
        answer = await world.ask(method, target, ada, body)
        assert answer.status in (400, 404), target
    assert (await world.ask("GET", "/auth/verify", ada, workspace=quote(text))).status in (400, 401, 403)
    assert (await world.ask("GET", "/auth/verify", quote(text))).status == 401
    assert world.run("SELECT count(*) FROM app.members") == before


async def test_a_name_from_a_token_is_text(world: World) -> None:
    for text in SQL:
        person = await world.sign_in(f"{uuid.uuid4()}@example.com", text)
        assert (await world.ask("GET", "/account", person)).json()["name"] == text


async def test_a_person_sees_memories_of_their_workspaces_only(world: World) -> None:
    ada, workspace = await world.team()
    eve = await world.sign_in("eve@example.com")
    body = {"id": "m1", "type": "task", "title": "secret", "content": "c"}
    assert (await world.ask("POST", "/memories", ada, body, workspace=workspace, memories=True)).status == 201
    assert (await world.ask("GET", "/memories/m1", ada, memories=True)).status == 404  # in their own there is none
    assert (await world.ask("GET", "/memories/m1", ada, workspace=workspace, memories=True)).status == 200
    assert (await world.ask("GET", "/memories/m1", eve, memories=True)).status == 404
    answer = await world.ask("GET", "/memories/m1", eve, workspace=workspace, memories=True)
    assert answer.status in (401, 403)
    assert "secret" not in answer.body.decode()


async def test_a_memory_says_who_wrote_it(world: World) -> None:
    ada, workspace = await world.team()
    eve = await world.sign_in("eve@example.com")
    await world.join(ada, workspace, eve)
    text, key = await world.key(eve, workspace)
    body = {"type": "task", "title": "t", "content": "c"}
    assert (await world.ask("POST", "/memories", text, body, memories=True)).status == 201
    assert (await world.ask("POST", "/memories", ada, body, workspace=workspace, memories=True)).status == 201
    with psycopg.connect(world.urls["owner"]) as connection:
        connection.execute("SET ROLE memory_owner")
        connection.execute("SELECT set_config('memory.workspace', %s, true)", [workspace])
        rows = connection.execute(
            "SELECT created_by_account, created_by_key FROM memory.memories ORDER BY created_at"
        ).fetchall()
    assert rows == [(eve.account, key), (ada.account, "")]


@pytest.mark.parametrize("method_path", ["GET /account", "GET /api-keys", "GET /usage", "POST /account/erasure"])
async def test_nobody_gets_in_without_a_credential(world: World, method_path: str) -> None:
    method, _, path = method_path.partition(" ")
    assert (await world.ask(method, path, None)).status == 401
    stranger = Person(str(uuid.uuid4()), "x@example.com", "a.b.c")
    assert (await world.ask(method, path, stranger)).status == 401


# Rights in the database.

INNER = [
    "SELECT app.enqueue('erase_account', gen_random_uuid())",
    "SELECT app.forget_account(gen_random_uuid())",
    "SELECT app.open_account(gen_random_uuid(), gen_random_uuid(), 'x', 'team')",
    "SELECT app.attach_store(gen_random_uuid(), 'sqlite', 'x', 'x')",
    "SELECT app.add_key(gen_random_uuid(), gen_random_uuid(), 'x', 'x', 'x', '{}', NULL)",
    "SELECT app.revoke_key('x')",
    "SELECT app.note(NULL, NULL, NULL, 'x', 'x')",
    "SELECT app.outdate(gen_random_uuid(), NULL, NULL, true)",
    "SELECT app.close_workspace(gen_random_uuid())",
    "SELECT app.count_seats(gen_random_uuid())",
    "SELECT app.key_body(gen_random_uuid())",
    "SELECT app.invitation_body(gen_random_uuid())",
    "SELECT app.ending_with(gen_random_uuid())",
    "SELECT 1 FROM app.accounts",
    "SELECT token_hash FROM app.invitations",
    "SELECT 1 FROM app.erased",
    "DELETE FROM app.audit_log",
    "UPDATE app.members SET role = 'owner'",
    "INSERT INTO app.erased VALUES (gen_random_uuid(), '{}')",
    "CREATE TABLE app.mine (a int)",
    "SET ROLE app_owner",
    "SET ROLE memory_owner",
    "SELECT 1 FROM memory.memories",
    "SELECT memory.erase('x', 1, 1)",
    "SELECT memory.fence('x', 1, 'open')",
    "SELECT memory.enter('x', 1, NULL, NULL)",
    "SELECT memory.put_rows('x', '[]', NULL, true)",
    "SELECT memory.open_workspace('x')",
]


@pytest.mark.parametrize("statement", INNER)
async def test_the_login_role_may_not(world: World, statement: str) -> None:
    with psycopg.connect(world.urls["accounts"]) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


async def test_nobody_else_runs_what_is_for_accounts(world: World) -> None:
    names = [
        "describe",
        "create_key",
        "list_keys",
        "rename_key",
        "rotate_key",
        "list_workspaces",
        "create_workspace",
        "rename_workspace",
        "delete_workspace",
        "list_members",
        "change_member",
        "remove_member",
        "invite_member",
        "list_invitations",
        "withdraw_invitation",
        "accept_invitation",
        "read_account",
        "update_account",
        "export_account",
        "request_erasure",
        "confirm_erasure",
    ]
    rows = world.run(
        """
        SELECT p.proname, r.rolname FROM pg_proc p, pg_roles r
        WHERE p.pronamespace = 'app'::regnamespace AND p.proname = ANY (%s)
            AND r.rolname IN ('memories', 'provisioning', 'accounts', 'anon', 'authenticated', 'service_role')
            AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
        """,
        names,
    )
    assert sorted(rows) == sorted((name, "accounts") for name in names)


# The cold start.

NOT_BEFORE_NEED = ("psycopg", "pydantic", "jwt", "supabase", "stripe", "zipfile_deflate64", "httpx", "requests")


def test_serving_accounts_imports_nothing_it_does_not_need() -> None:
    environment = {}
    for variable in ACCOUNTS.settings.variables():
        value = getattr(SETTINGS, variable.field)
        environment[variable.name] = value.reveal() if variable.secret else str(value)
    program = 'import sys\nimport accounts.main\nprint("\\n".join(sys.modules))'
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    loaded = set(done.stdout.split())
    assert "accounts.handlers" in loaded
    assert [name for name in NOT_BEFORE_NEED if name in loaded] == []
