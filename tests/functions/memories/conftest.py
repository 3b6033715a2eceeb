"""The databases that the suites run on: one sqld process for the whole session; a namespace or a file for each test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core import migrations
from core.adapters.hrana import HranaDatabase, HranaDatabases
from core.adapters.http1 import HttpClient
from core.adapters.sqlite import SqliteDatabase
from core.ports import Database
from memories.stores.sqlite import SqliteMemoryStore
from tests.functions.adapters.sqld import Sqld

_numbers = itertools.count()


@pytest.fixture(scope="session")
def sqld(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sqld]:
    """The one place that decides which sqld the tests talk to."""
    server = Sqld(tmp_path_factory.mktemp("sqld"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """An empty tenant database in a file, with its schema."""
    local = SqliteDatabase(tmp_path / "memories.db")
    await migrations.apply(local, migrations.load("sqlite"))
    yield local
    await local.close()


@pytest.fixture
async def served(sqld: Sqld, http: HttpClient) -> HranaDatabase:
    """The same behind sqld."""
    database = HranaDatabases(http).open(sqld.create(f"w{next(_numbers)}"))
    await migrations.apply(database, migrations.load("sqlite"))
    return database


@pytest.fixture(params=["file", "served"])
def database(request: pytest.FixtureRequest) -> Database:
    """Each kind in turn."""
    found: Database = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def store(database: Database) -> SqliteMemoryStore:
    return SqliteMemoryStore(database)
