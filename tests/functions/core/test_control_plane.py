"""The control plane's schema on a real PostgreSQL: what each role may do, and what its functions answer."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest

from core import keys
from core.adapters.control import ControlPlane
from core.adapters.postgres import Postgres
from core.ports import KeyRecord, KeyRefused
from core.settings import Secret
from infra.providers import migrations
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.postgres import running_server

ACCOUNT, WORKSPACE = str(uuid.uuid4()), str(uuid.uuid4())
KEY = keys.issue(["tag"])
SCOPES = ["memories:read", "memories:write"]
OUTSIDERS = ("anon", "authenticated", "service_role")


@pytest.fixture
async def control(control_plane: ControlPlaneUrls) -> AsyncIterator[ControlPlane]:
    """As provisioning logs in."""
    postgres = Postgres(Secret(control_plane.provisioning))
    yield ControlPlane(postgres)
    await postgres.close()


async def open_all(control: ControlPlane) -> None:
    await control.open_account(ACCOUNT, WORKSPACE, "A workspace", "free")
    await control.attach_store(WORKSPACE, "sqlite", "http://db.localhost:1", "sealed")
    await control.add_key(WORKSPACE, ACCOUNT, "a key", prefix=KEY.prefix, key_hash=KEY.hash, scopes=SCOPES)


async def found(control: ControlPlane) -> KeyRecord:
    record = await control.find_key(KEY.hash)
    assert isinstance(record, KeyRecord)
    return record


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


async def test_a_key_is_found_by_the_role_of_the_function(
    control: ControlPlane, control_plane: ControlPlaneUrls
) -> None:
    await open_all(control)
    memories = Postgres(Secret(control_plane.memories))
    record = await ControlPlane(memories).find_key(KEY.hash)
    await memories.close()
    assert record == KeyRecord(
        key_id=(await found(control)).key_id,
        account_id=ACCOUNT,
        workspace_id=WORKSPACE,
        plan="free",
        scopes=tuple(SCOPES),
        version=4,
        store_kind="sqlite",
        store_url="http://db.localhost:1",
        store_token="sealed",
        workspace_created=record.workspace_created if isinstance(record, KeyRecord) else 0.0,
    )


async def test_an_unknown_key(control: ControlPlane) -> None:
    assert await control.find_key("0" * 64) is None
    assert await control.revoke_key("0" * 64) is None


async def test_everything_can_be_run_again(control: ControlPlane) -> None:
    await open_all(control)
    first = await found(control)
    await control.open_account(ACCOUNT, WORKSPACE, "Another name", "team")
    await control.add_key(WORKSPACE, ACCOUNT, "again", prefix=KEY.prefix, key_hash=KEY.hash, scopes=[])
    assert await found(control) == first


async def test_a_key_of_a_half_open_account_has_no_store(control: ControlPlane) -> None:
    await control.open_account(ACCOUNT, WORKSPACE, "A workspace", "free")
    await control.add_key(WORKSPACE, ACCOUNT, "a key", prefix=KEY.prefix, key_hash=KEY.hash, scopes=SCOPES)
    assert (await found(control)).store_url is None


async def test_revoking_raises_the_version_once(control: ControlPlane) -> None:
    await open_all(control)
    before = (await found(control)).version
    assert await control.revoke_key(KEY.hash) == before + 1
    assert await control.find_key(KEY.hash) == KeyRefused("revoked")
    assert await control.revoke_key(KEY.hash) == before + 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE app.api_keys SET expires_at = now()", "expired"),
        ("UPDATE app.accounts SET closed_at = now()", "closed"),
    ],
)
async def test_refusals(control: ControlPlane, control_plane: ControlPlaneUrls, change: str, reason: str) -> None:
    await open_all(control)
    run(control_plane.owner, change)
    assert await control.find_key(KEY.hash) == KeyRefused(reason)


async def test_an_end_that_lies_ahead_is_told(control: ControlPlane, control_plane: ControlPlaneUrls) -> None:
    await open_all(control)
    run(control_plane.owner, "UPDATE app.api_keys SET expires_at = to_timestamp(4000000000)")
    assert (await found(control)).expires_at == 4_000_000_000


@pytest.mark.parametrize("table", ["accounts", "workspaces", "api_keys"])
async def test_any_version_changes_the_principals(
    control: ControlPlane, control_plane: ControlPlaneUrls, table: str
) -> None:
    await open_all(control)
    before = (await found(control)).version
    run(control_plane.owner, f"UPDATE app.{table} SET version = version + 1")
    assert (await found(control)).version == before + 1


# Rights

FORBIDDEN = [
    "SELECT 1 FROM app.accounts",
    "SELECT key_hash FROM app.api_keys",
    "UPDATE app.workspaces SET plan = 'team'",
    "INSERT INTO app.accounts VALUES (gen_random_uuid(), 'x')",
    "DELETE FROM app.api_keys",
    "SELECT 1 FROM app.schema_migrations",
    "CREATE TABLE app.mine (a int)",
    "CREATE TABLE public.mine (a int)",
    "CREATE FUNCTION app.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "SET ROLE app_owner",
    "SET ROLE postgres",
    "SET ROLE service_role",
    "SET SESSION AUTHORIZATION postgres",
    "GRANT app_owner TO CURRENT_USER",
    "ALTER ROLE memories BYPASSRLS",
    "DROP SCHEMA app CASCADE",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
@pytest.mark.parametrize("role", ["memories", "provisioning"])
def test_a_login_role_may_not(shared_control_plane: ControlPlaneUrls, role: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(getattr(shared_control_plane, role), statement)


PROVISIONING_ONLY = [
    "SELECT app.open_account(gen_random_uuid(), gen_random_uuid(), 'x', 'free')",
    "SELECT app.attach_store(gen_random_uuid(), 'sqlite', 'x', 'x')",
    "SELECT app.add_key(gen_random_uuid(), gen_random_uuid(), 'x', 'x', 'x', '{}', NULL)",
    "SELECT app.revoke_key('x')",
]


@pytest.mark.parametrize("statement", PROVISIONING_ONLY)
def test_only_provisioning_changes_accounts(shared_control_plane: ControlPlaneUrls, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(shared_control_plane.memories, statement)


@pytest.mark.parametrize("statement", [*FORBIDDEN[:6], *PROVISIONING_ONLY, "SELECT app.admit('x')"])
@pytest.mark.parametrize("role", OUTSIDERS)
def test_supabases_data_api_reaches_nothing(shared_control_plane: ControlPlaneUrls, role: str, statement: str) -> None:
    """The publishable key is public. Even a grant on the schema by mistake shows nothing."""
    with psycopg.connect(shared_control_plane.owner) as connection:
        connection.execute(f"SET ROLE {role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


@pytest.mark.parametrize("role", ["public", *OUTSIDERS])
def test_the_schema_is_closed_to_others(shared_control_plane: ControlPlaneUrls, role: str) -> None:
    statement = (
        f"SELECT has_schema_privilege('{role}', 'app', 'USAGE'), has_schema_privilege('{role}', 'app', 'CREATE')"
    )
    assert run(shared_control_plane.owner, statement) == [(False, False)]


async def test_a_grant_by_mistake_still_shows_no_row(control: ControlPlane, control_plane: ControlPlaneUrls) -> None:
    await open_all(control)
    with psycopg.connect(control_plane.owner) as connection:
        connection.execute("GRANT USAGE ON SCHEMA app TO anon")
        connection.execute("SET LOCAL ROLE app_owner")
        tables = ("accounts", "workspaces", "members", "api_keys")
        for table in tables:
            connection.execute(f"GRANT SELECT ON app.{table} TO anon".encode())
        connection.execute("SET LOCAL ROLE anon")
        for table in tables:
            assert connection.execute(f"SELECT count(*) FROM app.{table}".encode()).fetchone() == (0,)
        connection.rollback()


def test_every_function_of_the_schema_is_pinned(shared_control_plane: ControlPlaneUrls) -> None:
    """SECURITY DEFINER, a fixed search path with the temporary schema last, owned by the powerless owner role."""
    rows = run(
        shared_control_plane.owner,
        """
        SELECT p.prosecdef, array_to_string(p.proconfig, ';'), r.rolname
        FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner
        WHERE p.pronamespace = 'app'::regnamespace
        """,
    )
    assert len(rows) >= 5
    assert set(rows) == {(True, "search_path=pg_catalog, pg_temp", "app_owner")}


def test_the_roles_are_powerless(shared_control_plane: ControlPlaneUrls) -> None:
    rows = run(
        shared_control_plane.owner,
        """
        SELECT rolname FROM pg_roles
        WHERE rolname IN ('app_owner', 'accounts', 'memories', 'provisioning')
          AND NOT (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolinherit OR rolreplication)
          AND oid NOT IN (SELECT member FROM pg_auth_members)
        """,
    )
    assert {name for (name,) in rows} == {"app_owner", "accounts", "memories", "provisioning"}


def test_every_table_is_the_owners_and_has_row_security(shared_control_plane: ControlPlaneUrls) -> None:
    rows = run(
        shared_control_plane.owner,
        """
        SELECT relname, pg_get_userbyid(relowner), relrowsecurity FROM pg_class
        WHERE relnamespace = 'app'::regnamespace AND relkind = 'r' AND relname <> 'schema_migrations'
        """,
    )
    assert {row[1:] for row in rows} == {("app_owner", True)}


def test_the_files_also_run_alone() -> None:
    """Without the provider, which makes the schema and the login roles before them; then nobody can log in yet."""
    with running_server() as server:
        url = server.new_database()
        with psycopg.connect(url) as connection:
            for migration in migrations.load():
                connection.execute(migration.sql.encode())
        rows = run(url, "SELECT rolcanlogin FROM pg_roles WHERE rolname IN ('app_owner', 'memories', 'provisioning')")
        assert rows == [(False,)] * 3
