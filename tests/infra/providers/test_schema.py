"""The schema on a real PostgreSQL, as an owner who is no superuser."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from infra.providers import migrations
from infra.providers.provider import MemorygraphProvider
from infra.providers.schema import Schema
from tests.infra.providers import engine, postgres
from tests.infra.providers.engine import Engine, Failed
from tests.infra.wire import UNKNOWN, is_secret, plain, secret

TOKEN = "memorygraph:postgres:Schema"
FIRST = """
CREATE TABLE app.things (id int PRIMARY KEY);
GRANT USAGE ON SCHEMA app TO reader;
GRANT SELECT ON app.things TO reader;
"""
SECOND = "ALTER TABLE app.things ADD COLUMN note text; -- 100% done"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text(FIRST)
    return tmp_path


@pytest.fixture
def schema(folder: Path) -> Iterator[Engine]:
    kind = Schema(folder, sleep=lambda _: None)
    with ExitStack() as stack:
        stub = stack.enter_context(engine.serving(MemorygraphProvider(make=lambda _: {kind.token: kind})))
        yield Engine(stub, TOKEN)


@pytest.fixture
def inputs(database: str, folder: Path) -> dict[str, Any]:
    return _inputs(database, folder)


def _inputs(database: str, folder: Path, **roles: str) -> dict[str, Any]:
    return {
        "databaseUrl": secret(database),
        "runtimeUrl": secret(database),
        "digest": migrations.digest(migrations.load(folder)),
        "roles": secret(roles or {"reader": "one:two/three%"}),
    }


def _rows(url: str, query: str) -> list[Any]:
    with psycopg.connect(url, connect_timeout=5) as connection:
        return connection.execute(query.encode()).fetchall()


def test_create_applies_and_lets_roles_in(schema: Engine, inputs: dict[str, Any], server: postgres.Server) -> None:
    held = schema.create(inputs)
    assert held["version"] == 1
    assert {n for n, v in held.properties.items() if is_secret(v)} == {"databaseUrl", "runtimeUrl", "roles", "urls"}
    url = held["urls"]["reader"]
    assert urlsplit(url).username == "reader"
    assert _rows(url, "SELECT count(*) FROM app.things") == [(0,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(url) as connection:
        connection.execute("INSERT INTO app.things VALUES (1)")
    with server.admin() as admin:
        query = (
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolinherit FROM pg_roles WHERE rolname='reader'"
        )
        assert admin.execute(query.encode()).fetchone() == (False, False, False, False, False)


def test_the_record_names_file_and_checksum(schema: Engine, inputs: dict[str, Any], database: str) -> None:
    schema.create(inputs)
    checksum = hashlib.sha256(FIRST.encode()).hexdigest()
    assert _rows(database, "SELECT version, name, checksum FROM app.schema_migrations") == [(1, "first", checksum)]


def test_twice_is_once(schema: Engine, inputs: dict[str, Any], database: str) -> None:
    schema.create(inputs)
    schema.create(inputs)
    assert _rows(database, "SELECT count(*) FROM app.schema_migrations") == [(1,)]


def test_update_applies_what_is_new(schema: Engine, inputs: dict[str, Any], database: str, folder: Path) -> None:
    held = schema.create(inputs)
    (folder / "0002_second.sql").write_text(SECOND)
    new = _inputs(database, folder)
    assert list(schema.diff(held, new).diffs) == ["digest"]
    assert not schema.diff(held, new).replaces
    shown = schema.update(held, new, preview=True)
    assert shown["version"] == UNKNOWN
    assert shown["urls"] == held["urls"]
    assert schema.update(held, new)["version"] == 2
    assert _rows(database, "SELECT id, note FROM app.things") == []


def test_a_new_password_replaces_the_old_one(
    schema: Engine, inputs: dict[str, Any], database: str, folder: Path
) -> None:
    held = schema.create(inputs)
    new = _inputs(database, folder, reader="another")
    assert plain(schema.update(held, new, preview=True).properties["urls"]) == UNKNOWN
    updated = schema.update(held, new)
    assert _rows(updated["urls"]["reader"], "SELECT 1") == [(1,)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        _rows(held["urls"]["reader"], "SELECT 1")


def test_a_failing_migration_leaves_no_half(schema: Engine, database: str, folder: Path) -> None:
    (folder / "0002_second.sql").write_text("CREATE TABLE app.half (); SELECT 1/0;")
    with pytest.raises(Failed, match=r"0002_second\.sql failed and was rolled back: division by zero"):
        schema.create(_inputs(database, folder))
    assert _rows(database, "SELECT max(version), to_regclass('app.half') FROM app.schema_migrations") == [(1, None)]


def test_an_edited_migration_is_refused(schema: Engine, inputs: dict[str, Any], database: str, folder: Path) -> None:
    held = schema.create(inputs)
    (folder / "0001_first.sql").write_text(FIRST + " ")
    with pytest.raises(Failed, match=r"0001_first\.sql was edited after it was applied"):
        schema.update(held, _inputs(database, folder))


def test_an_older_checkout_is_refused(schema: Engine, database: str, folder: Path) -> None:
    (folder / "0002_second.sql").write_text(SECOND)
    held = schema.create(_inputs(database, folder))
    (folder / "0002_second.sql").unlink()
    with pytest.raises(Failed, match="0002_second, which this checkout does not know"):
        schema.update(held, _inputs(database, folder))


def test_files_that_changed_since_the_preview_are_refused(schema: Engine, inputs: dict[str, Any], folder: Path) -> None:
    (folder / "0002_second.sql").write_text(SECOND)
    with pytest.raises(Failed, match="run `pulumi up` again"):
        schema.create(inputs)


def test_refresh_of_an_unchanged_one(schema: Engine, inputs: dict[str, Any]) -> None:
    held = schema.create(inputs)
    assert schema.refresh(held) == held


def test_refresh_sees_a_lost_role_and_a_restored_database(
    schema: Engine, database: str, folder: Path, server: postgres.Server
) -> None:
    (folder / "0002_second.sql").write_text(SECOND)
    inputs = _inputs(database, folder, reader="x", passing="y")
    held = schema.create(inputs)
    with server.admin() as admin:
        admin.execute("DROP ROLE passing")
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM app.schema_migrations WHERE version = 2")
    found = schema.refresh(held)
    assert found is not None
    assert found["version"] == 1
    assert list(schema.diff(found, inputs).diffs) == ["digest", "roles"]


def test_an_empty_database_has_no_schema(schema: Engine, inputs: dict[str, Any], server: postgres.Server) -> None:
    held = schema.create(inputs)
    with server.database() as empty:
        held.inputs["databaseUrl"] = secret(empty)
        assert schema.refresh(held) is None


def test_a_moved_database_does_not_stop_a_refresh(schema: Engine, inputs: dict[str, Any]) -> None:
    """The address of the state is old until the coming update brings the new one."""
    held = schema.create(inputs)
    held.inputs["databaseUrl"] = secret("postgresql://postgres:x@127.0.0.1:1/postgres?sslmode=disable")
    found = schema.refresh(held)
    assert found is not None
    assert found["version"] == 1


def test_a_database_that_is_away_is_named_without_its_password(schema: Engine, inputs: dict[str, Any]) -> None:
    inputs["databaseUrl"] = secret("postgresql://postgres.ref:hidden@127.0.0.1:1/postgres?sslmode=disable")
    with pytest.raises(Failed, match=r"database at 127\.0\.0\.1:1 refused user 'postgres\.ref'") as failure:
        schema.create(inputs)
    assert "hidden" not in str(failure.value)


def test_delete_drops_nothing(schema: Engine, inputs: dict[str, Any], database: str) -> None:
    schema.delete(schema.create(inputs))
    assert _rows(database, "SELECT count(*) FROM app.things") == [(0,)]


def test_no_password_reaches_the_server_in_plain_text(
    schema: Engine, database: str, folder: Path, server: postgres.Server
) -> None:
    schema.update(
        schema.create(_inputs(database, folder, reader="first-in-clear")),
        _inputs(database, folder, reader="second-in-clear"),
    )
    log = server.log.read_text()
    assert "ALTER ROLE" in log
    assert "in-clear" not in log


@pytest.mark.parametrize(
    ("user", "expected"), [("postgres", "reader"), ("postgres.abcdef", "reader.abcdef"), ("po%73tgres.x", "reader.x")]
)
def test_a_role_gets_the_suffix_of_the_poolers_user(user: str, expected: str) -> None:
    from infra.providers.postgres import with_login

    url = with_login(f"postgresql://{user}:old@host:6543/postgres?sslmode=require", "reader", "p@w")
    assert url == f"postgresql://{expected}:p%40w@host:6543/postgres?sslmode=require"


@pytest.mark.parametrize(
    "names", [["0002_b.sql"], ["0001_a.sql", "0001_b.sql"], ["1_a.sql"], ["0001_a.sql", "0003_c.sql"]]
)
def test_numbers_must_be_gapless(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(migrations.MigrationError):
        migrations.load(tmp_path)


def test_our_own_migrations_are_sound() -> None:
    assert migrations.digest() == migrations.digest(migrations.load())


def test_a_twin_overlaps_with_its_role_and_then_takes_its_place(schema: Engine, folder: Path, database: str) -> None:
    (folder / "0001_first.sql").write_text(FIRST + "ALTER ROLE reader SET statement_timeout = '5s';")
    alone = schema.create(_inputs(database, folder, reader="old"))
    both = schema.update(alone, _inputs(database, folder, reader="old", reader_twin="new"))
    for url in both["urls"].values():
        assert _rows(url, "SELECT count(*) FROM app.things") == [(0,)]
        assert _rows(url, "SHOW statement_timeout") == [("5s",)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        _rows(both["urls"]["reader_twin"], "SET ROLE reader")
    after = schema.update(both, _inputs(database, folder, reader_twin="new"))
    assert _rows(after["urls"]["reader_twin"], "SELECT count(*) FROM app.things") == [(0,)]
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        _rows(both["urls"]["reader"], "SELECT 1")
    again = schema.update(after, _inputs(database, folder, reader="newest", reader_twin="new"))
    assert _rows(again["urls"]["reader"], "SELECT count(*) FROM app.things") == [(0,)]


def test_a_twin_alone_has_a_role_to_inherit_from(schema: Engine, folder: Path, database: str) -> None:
    held = schema.create(_inputs(database, folder, reader_twin="new"))
    assert _rows(held["urls"]["reader_twin"], "SELECT count(*) FROM app.things") == [(0,)]
