"""The databases that the suites run on: one sqld process for the whole session; a namespace or a file for each test."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core.adapters.hrana import HranaDatabases
from core.adapters.http1 import HttpClient
from core.adapters.sqlite import SqliteDatabase
from core.ports import Database, Statement
from memories.stores.sqlite import SqliteMemoryStore
from tests.functions.adapters.sqld import REPOSITORY, Sqld

MIGRATIONS = REPOSITORY / "functions" / "migrations" / "sqlite"
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


@pytest.fixture(params=["file", "sqld"])
async def database(
    request: pytest.FixtureRequest, tmp_path: Path, sqld: Sqld, http: HttpClient
) -> AsyncIterator[Database]:
    """An empty tenant database of each kind, with its schema."""
    if request.param == "sqld":
        served = HranaDatabases(http).open(sqld.create(f"w{next(_numbers)}"))
        await migrate(served)
        yield served
    else:
        local = SqliteDatabase(tmp_path / "memories.db")
        await migrate(local)
        yield local
        await local.close()


@pytest.fixture
def store(database: Database) -> SqliteMemoryStore:
    return SqliteMemoryStore(database)


async def migrate(database: Database) -> None:
    for path in sorted(MIGRATIONS.glob("*.sql")):
        await database.batch([Statement(sql) for sql in split(path.read_text())], write=True)


def split(script: str) -> Iterator[str]:
    """The statements of a script."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
