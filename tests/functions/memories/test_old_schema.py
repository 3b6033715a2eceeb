"""New code on a tenant database that is one migration behind (DESIGN, section 5): it works, fenced and unlimited."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from core import migrations
from core.adapters.hrana import HranaDatabases
from core.adapters.http1 import HttpClient
from core.adapters.sqlite import SqliteDatabase
from core.ports import Database, Result, Statement
from memories.model import Changes, Search
from memories.quotas import QuotaReached, Resource, StoreLimits, Usage
from memories.stores.fence import Fenced
from memories.stores.rows import RELATIONSHIP_COST
from memories.stores.sqlite import SqliteStore
from memories.transfer.model import NoRoom, Outcome, Stored
from tests.functions.adapters.sqld import Sqld
from tests.functions.memories.samples import ANN, NOW, SECOND, edge, found, memory, once, put, relate

LIMITS = StoreLimits(2, 100)
ALL = migrations.load("sqlite")


class Counting:
    """`ports.Database`: counts batches."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.batches = 0

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        self.batches += 1
        return await self._database.batch(statements, write=write)


@pytest.fixture(params=["file", "sqld"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Counting]:
    if request.param == "file":
        local = SqliteDatabase(tmp_path / "old.db")
        await migrations.apply(local, ALL[:1])
        yield Counting(local)
        await local.close()
        return
    sqld: Sqld = request.getfixturevalue("sqld")
    client = HttpClient()
    served = HranaDatabases(client).open(sqld.create(f"old{uuid.uuid4().hex}"))
    await migrations.apply(served, ALL[:1])
    yield Counting(served)
    await client.close()


@pytest.fixture
def store(database: Counting) -> SqliteStore:
    return SqliteStore(database, limits=LIMITS)


async def fence(database: Database, epoch: int, mode: str) -> None:
    await database.batch([Statement("UPDATE _fence SET epoch = ?, mode = ?", (epoch, mode))], write=True)


async def test_everything_works_without_limits(store: SqliteStore) -> None:
    await put(store, *(memory(f"m{number}") for number in range(4)))
    await relate(store, edge("m0", "m1", context="c"))
    stored = await store.put_some([memory("s"), memory("m0", title="t")], ANN, once("key"))
    assert [one.version for one in stored if isinstance(one, Stored)] == [1, 2]
    assert await store.put_some([memory("s"), memory("m0", title="t")], ANN, once("key")) == stored
    assert await store.import_memories([memory("i"), memory("s")], ANN) == [Outcome.CREATED, Outcome.UNCHANGED]
    assert await store.delete("m3")
    assert await found(store, Search()) == ["i", "m0", "m1", "m2", "s"]
    size = sum(len(f"Title {one}Content {one}[]") for one in ("i", "m0", "m1", "m2", "s"))
    assert await store.read_usage() == Usage(5, 1, size + len("tContent m0[]") + RELATIONSHIP_COST + 1)


async def test_it_is_fenced(store: SqliteStore, database: Counting) -> None:
    await put(store, memory("a"))
    await fence(database, 1, "read_only")
    with pytest.raises(Fenced):
        await put(store, memory("b"))
    assert await store.get("a") is not None
    await fence(database, 2, "open")
    for call in (store.get("a"), store.put(memory("b"), ANN), store.delete("a")):
        with pytest.raises(Fenced):
            await call
    await put(SqliteStore(database, epoch=2, limits=LIMITS), memory("b"))


async def test_an_operation_is_one_batch_once_the_schema_is_known(store: SqliteStore, database: Counting) -> None:
    await put(store, memory("a"))
    before = database.batches
    await put(store, memory("b"))
    await store.update("a", Changes({"title": "t"}), NOW, ANN)
    await store.get("a")
    assert database.batches == before + 3


async def test_limits_hold_from_the_upgrade_on(store: SqliteStore, database: Counting) -> None:
    """Also for a process that has known the schema of before."""
    await put(store, memory("a"), memory("b"), memory("c"))
    await store.update("a", Changes({"title": "t"}), NOW + SECOND, ANN)
    await relate(store, edge("a", "b", edge_id="e", context="context"))
    await store.invalidate("e", NOW, ANN, reason="because")
    counted = await store.read_usage()
    await migrations.apply(database, ALL)
    assert await store.read_usage() == counted
    with pytest.raises(QuotaReached, match="holds 2 memories and 3 are stored"):
        await put(store, memory("d"))
    assert await store.put_some([memory("d")], ANN) == [NoRoom("d", Resource.MEMORIES)]
    # Whoever still comes without the gate is refused loudly: a row that is left out would be lost on them.
    [left_over] = await database.batch([Statement("SELECT memories_most, each FROM _usage")], write=False)
    assert left_over.rows == [(2, 0)]
    for name in ("a", "b", "c"):
        await store.delete(name)
    assert await store.read_usage() == Usage(0, 0, 0)
