"""The databases that the suites run on: one sqld and one PostgreSQL for the whole session; a namespace, a file or a
workspace for each test."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from core import migrations
from core.adapters.hrana import HranaDatabase, HranaDatabases
from core.adapters.http1 import HttpClient
from core.adapters.postgres import Postgres
from core.adapters.sqlite import SqliteDatabase
from core.ports import Database, Result, Statement, StoreAddress
from core.settings import Secret
from core.urls import workspace_url
from memories.ports import Store
from memories.quotas import StoreLimits
from memories.stores.ports_move import MovableStore
from memories.stores.postgres import PostgresStore, PostgresStores
from memories.stores.postgres.moves import PostgresMovable
from memories.stores.sqlite import SqliteStore
from memories.stores.sqlite.moves import SqliteMovable
from tests.functions.adapters.sqld import Sqld
from tests.functions.conftest import ControlPlaneUrls

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


class Rows:
    """One workspace's rows in PostgreSQL, as a test looks at them past the store: read only."""

    def __init__(self, owner_url: str, store: PostgresStore, workspace: str) -> None:
        self._url = owner_url
        self.store = store
        self.workspace = workspace

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        assert not write
        async with await psycopg.AsyncConnection.connect(self._url, options="-c search_path=memory") as connection:
            await connection.execute("SET ROLE memory_owner")
            await connection.execute("SELECT set_config('memory.workspace', %s, true)", [self.workspace])
            return [Result(await (await connection.execute(one.sql.encode())).fetchall()) for one in statements]


@pytest.fixture
async def postgres(shared_control_plane: ControlPlaneUrls) -> AsyncIterator[Postgres]:
    """As the function `memories` logs in."""
    adapter = Postgres(Secret(shared_control_plane.memories))
    yield adapter
    await adapter.close()


@pytest.fixture
def rows(postgres: Postgres, shared_control_plane: ControlPlaneUrls) -> Rows:
    """An empty workspace in PostgreSQL."""
    workspace = str(uuid.uuid4())
    store = PostgresStores(postgres).open(StoreAddress("postgres", workspace_url(workspace), Secret("")))
    return Rows(shared_control_plane.owner, store, workspace)


@pytest.fixture(params=["file", "served", "rows"])
def database(request: pytest.FixtureRequest) -> Database:
    """Each kind in turn."""
    found: Database = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def store(database: Database) -> Store:
    return database.store if isinstance(database, Rows) else SqliteStore(database)


Opens = Callable[..., Store]


@pytest.fixture
def opens(database: Database) -> Opens:
    """The same workspace for another caller: `opens(limits, epoch=...)`."""

    def opened(limits: StoreLimits | None = None, *, epoch: int = 1) -> Store:
        if isinstance(database, Rows):
            return PostgresStore(database.store._postgres, uuid.UUID(database.workspace), epoch=epoch, limits=limits)
        return SqliteStore(database, epoch=epoch, limits=limits)

    return opened


@pytest.fixture
async def mover(shared_control_plane: ControlPlaneUrls) -> AsyncIterator[Postgres]:
    """As the function `provisioning` logs in."""
    adapter = Postgres(Secret(shared_control_plane.provisioning))
    yield adapter
    await adapter.close()


@pytest.fixture
def movable(database: Database, mover: Postgres) -> MovableStore:
    """The same workspace, as a move sees it."""
    if isinstance(database, Rows):
        return PostgresMovable(mover, uuid.UUID(database.workspace))
    return SqliteMovable(database)
