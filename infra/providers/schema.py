"""memorygraph:postgres:Schema: the control plane's tables, as the migrations make them, and its login roles.

Migrations run in order, each in a transaction of its own together with the row that records it, under an advisory
lock, so two updates at once cannot mix. One that was applied is never run again; one that was edited afterwards is
refused. Roles are made first, because migrations grant to them.

Deleting this resource drops nothing: the data belongs to the project, and goes with it. What a role may do is in the
migrations; here are only its name and password.

PostgreSQL knows one password of a role, so a password is rotated by a second role: `ROLE_twin` may do what ROLE may, by
inheriting from it. While both are declared both can log in; who is no longer declared can not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from infra.providers import migrations, postgres
from infra.providers.kind import Found, Input, Kind, Log, Output, ProviderError
from infra.providers.logins import TWIN
from infra.providers.migrations import Migration
from infra.providers.properties import Properties

LOCK = 0x6D656D6F7279  # "memory": any number that nobody else on this database locks
ID = "control-plane"

_RECORD = """
CREATE SCHEMA IF NOT EXISTS app;
CREATE TABLE IF NOT EXISTS app.schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""
_LOGIN = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT"

Connection = psycopg.Connection[tuple[object, ...]]


class Schema(Kind):
    """`digest` is `migrations.digest()` of the files the program saw: it changes when there is something to apply."""

    token = "memorygraph:postgres:Schema"  # noqa: S105  the type's name
    inputs = (
        Input(name="databaseUrl", secret=True),
        Input(name="runtimeUrl", secret=True),
        Input(name="digest"),
        Input(name="roles", kind=dict, secret=True),
    )
    outputs = (
        Output(name="version", follows=("digest",)),
        Output(name="urls", secret=True, follows=("runtimeUrl", "roles")),
    )

    def __init__(self, folder: Path = migrations.FOLDER, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._folder, self._sleep = folder, sleep

    def create(self, inputs: Properties, log: Log) -> tuple[str, Properties]:
        return ID, self._apply(inputs, log)

    def update(self, id: str, old: Properties, inputs: Properties, log: Log) -> Properties:  # noqa: ARG002  the interface
        return self._apply(inputs, log)

    def read(self, id: str, inputs: Properties, outputs: Properties, log: Log) -> Found | None:
        if "databaseUrl" not in inputs:
            raise ProviderError(
                "A schema is not imported: `pulumi up` applies what is missing, and keeps what is there."
            )
        try:
            connection = postgres.connect(inputs["databaseUrl"])
        except postgres.ConnectionFailed as error:
            # The address may have changed, and only the coming update knows the new one: that must not stop a refresh.
            log(f"cannot be looked at, so it is taken to be as it was. {error}")
            return Found(id, inputs, outputs)
        with connection:
            applied = _applied(connection)
            present = _roles(connection, list(inputs["roles"]))
        if not applied:
            return None
        return Found(
            id,
            {
                **inputs,
                "digest": migrations.digest(applied),
                "roles": {role: password for role, password in inputs["roles"].items() if role in present},
            },
            {**outputs, "version": applied[-1].version},
        )

    def delete(self, id: str, old: Properties, log: Log) -> None:  # noqa: ARG002  the interface
        log("nothing is dropped: the data goes with its project")

    def _apply(self, inputs: Properties, log: Log) -> Properties:
        wanted = self._wanted(inputs["digest"])
        roles: dict[str, str] = inputs["roles"]
        with postgres.connect_patiently(inputs["databaseUrl"], log, self._sleep) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])  # released with the connection
            connection.execute(_RECORD)
            for role, password in sorted(roles.items()):  # a twin comes after its role
                _set_login(connection, role, password)
            applied = _applied(connection)
            _check_history(applied, wanted)
            for migration in wanted[len(applied) :]:
                log(f"applying {migration.version:04} {migration.name}")
                _run(connection, migration)
            for role in roles:
                _match_twin(connection, role, roles)
        return {
            "version": wanted[-1].version if wanted else 0,
            "urls": {
                role: postgres.with_login(inputs["runtimeUrl"], role, password) for role, password in roles.items()
            },
        }

    def _wanted(self, digest: str) -> Sequence[Migration]:
        try:
            wanted = migrations.load(self._folder)
        except migrations.MigrationError as error:
            raise ProviderError(f"functions/migrations/postgres: {error}") from None
        if migrations.digest(wanted) != digest:
            raise ProviderError("The migrations changed after the program read them: run `pulumi up` again.")
        return wanted


def _set_login(connection: Connection, role: str, password: str) -> None:
    """Make the role or change its password. The server gets a SCRAM verifier: no log can hold the password."""
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    if _roles(connection, [role]):  # its other attributes are not touched: only a superuser may name them here
        statement = sql.SQL("ALTER ROLE {} WITH LOGIN PASSWORD {}")
    else:
        statement = sql.SQL(f"CREATE ROLE {{}} WITH {_LOGIN} PASSWORD {{}}")
    connection.execute(statement.format(sql.Identifier(role), sql.Literal(verifier)))


def _match_twin(connection: Connection, role: str, declared: Mapping[str, str]) -> None:
    """Give a twin what its role has, and lock out the one of the two that is not declared."""
    base = role.removesuffix(TWIN)
    twin = base + TWIN
    if twin in declared:
        if not _roles(connection, [base]):
            connection.execute(sql.SQL(f"CREATE ROLE {{}} WITH NO{_LOGIN}").format(sql.Identifier(base)))
        grant = sql.SQL("GRANT {} TO {} WITH INHERIT TRUE, SET FALSE, ADMIN FALSE")
        connection.execute(grant.format(sql.Identifier(base), sql.Identifier(twin)))
        for setting in _settings(connection, base):
            name, _, value = setting.partition("=")
            change = sql.SQL("ALTER ROLE {} SET {} = {}")
            connection.execute(change.format(sql.Identifier(twin), sql.Identifier(name), sql.Literal(value)))
    for other in {base, twin} - set(declared):
        if _roles(connection, [other]):
            connection.execute(sql.SQL("ALTER ROLE {} WITH NOLOGIN").format(sql.Identifier(other)))


def _settings(connection: Connection, role: str) -> list[str]:
    """What is set for a role in every database: `name=value`."""
    rows = connection.execute(
        "SELECT unnest(s.setconfig) FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole"
        " WHERE r.rolname = %s AND s.setdatabase = 0",
        [role],
    ).fetchall()
    return [str(setting) for (setting,) in rows]


def _run(connection: Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.sql.encode())  # bytes: the text is ours, not a template
            connection.execute(
                "INSERT INTO app.schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
                [migration.version, migration.name, migration.checksum],
            )
    except psycopg.Error as error:
        raise ProviderError(
            f"Migration {migration.version:04}_{migration.name}.sql failed and was rolled back: "
            f"{' '.join(str(error).split())} Correct the file, then run `pulumi up` again."
        ) from None


def _applied(connection: Connection) -> list[Migration]:
    """What the database says was applied, in order; the texts are not kept there."""
    if connection.execute("SELECT to_regclass('app.schema_migrations')").fetchone() == (None,):
        return []
    rows = connection.execute("SELECT version, name, checksum FROM app.schema_migrations ORDER BY version").fetchall()
    return [Migration(version=int(str(v)), name=str(n), sql="", checksum=str(c)) for v, n, c in rows]


def _check_history(applied: Sequence[Migration], wanted: Sequence[Migration]) -> None:
    if len(applied) > len(wanted):
        raise ProviderError(
            f"The database has migration {applied[-1].version:04}_{applied[-1].name}, which this checkout does not "
            "know: deploy from a newer one."
        )
    for before, now in zip(applied, wanted, strict=False):
        if (before.version, before.checksum) != (now.version, now.checksum):
            raise ProviderError(
                f"Migration {now.version:04}_{now.name}.sql was edited after it was applied: restore the file, and put "
                "the change into a new migration. (If this is a local environment that a checkout from before the "
                "first release made: `make destroy` and `make up` make it anew, and its data goes.)"
            )


def _roles(connection: Connection, names: Sequence[str]) -> frozenset[str]:
    rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(names)]).fetchall()
    return frozenset(str(name) for (name,) in rows)
