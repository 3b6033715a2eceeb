"""One deployment with billing for each test. They share a database, which is emptied between them: that takes a tenth
of the time of a copy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import cache
from graphlib import TopologicalSorter

import psycopg
import pytest
from psycopg import sql

from tests.functions.accounts.conftest import accounts_login
from tests.functions.billing.world import World
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.postgres import Server

__all__ = ["accounts_login"]


@pytest.fixture(scope="session")
def billing_login(postgres_server: Server, shared_control_plane: ControlPlaneUrls) -> str:
    """The role `billing` may log in; what stands for it in a URL."""
    statement = sql.SQL("ALTER ROLE billing LOGIN PASSWORD {}").format(sql.Literal(postgres_server.password))
    with psycopg.connect(shared_control_plane.owner, autocommit=True) as connection:
        connection.execute(statement)
    return f"postgresql://billing:{postgres_server.password}@127.0.0.1:{postgres_server.port}"


@pytest.fixture(scope="session")
def billing_urls(
    postgres_server: Server, shared_control_plane: ControlPlaneUrls, accounts_login: str, billing_login: str
) -> dict[str, str]:
    """A copy of the migrated control plane, for `postgres` and for each login role."""
    copy = shared_control_plane.at(postgres_server.new_database(template=shared_control_plane.database))
    logins = {"accounts": f"{accounts_login}/{copy.database}", "billing": f"{billing_login}/{copy.database}"}
    return {**asdict(copy), **logins}


@pytest.fixture
async def world(billing_urls: dict[str, str]) -> AsyncIterator[World]:
    empty(billing_urls["owner"])
    made = World(billing_urls)
    yield made
    await made.close()


def empty(url: str) -> None:
    """No rows in the control plane any more; whatever a test has shut is open."""
    server, _, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))
    with psycopg.connect(url) as connection:
        connection.execute("SET ROLE app_owner")
        connection.execute("; ".join(f"DELETE FROM app.{table}" for table in _tables(url)).encode())


@cache
def _tables(url: str) -> list[str]:
    """Those that name others first. (To truncate them would make a hundred new files each time.)"""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT c.relname, array_remove(array_agg(o.relname), NULL) FROM pg_class c"
            " LEFT JOIN pg_constraint f ON f.contype = 'f' AND f.confrelid = c.oid AND f.conrelid <> c.oid"
            " LEFT JOIN pg_class o ON o.oid = f.conrelid"
            " WHERE c.relnamespace = 'app'::regnamespace AND c.relkind = 'r' AND c.relname <> 'schema_migrations'"
            " GROUP BY c.relname"
        ).fetchall()
    return list(TopologicalSorter({str(table): set(before) for table, before in found}).static_order())
