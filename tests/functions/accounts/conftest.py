"""One deployment for each test, in a copy of the migrated control plane."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict

import psycopg
import pytest
from psycopg import sql

from tests.functions.accounts.world import World
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.postgres import Server


@pytest.fixture(scope="session")
def accounts_login(postgres_server: Server, shared_control_plane: ControlPlaneUrls) -> str:
    """The role `accounts` may log in; what stands for it in a URL."""
    statement = sql.SQL("ALTER ROLE accounts LOGIN PASSWORD {}").format(sql.Literal(postgres_server.password))
    with psycopg.connect(shared_control_plane.owner, autocommit=True) as connection:
        connection.execute(statement)
    return f"postgresql://accounts:{postgres_server.password}@127.0.0.1:{postgres_server.port}"


@pytest.fixture
async def world(control_plane: ControlPlaneUrls, accounts_login: str) -> AsyncIterator[World]:
    made = World({**asdict(control_plane), "accounts": f"{accounts_login}/{control_plane.database}"})
    yield made
    await made.close()
