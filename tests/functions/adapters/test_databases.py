"""Conformance of `ports.Database`: a file and sqld behave alike."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.adapters.hrana import HranaDatabases
from core.adapters.http1 import HttpClient
from core.adapters.sqlite import SqliteDatabase
from core.ports import Database, SqlValue, Statement, StatementFailed
from core.problems import Unavailable
from tests.functions.adapters.sqld import Sqld

_numbers = itertools.count()


@pytest.fixture(params=["file", "sqld"])
async def database(
    request: pytest.FixtureRequest, tmp_path: Path, sqld: Sqld, http: HttpClient
) -> AsyncIterator[Database]:
    if request.param == "sqld":
        yield HranaDatabases(http).open(sqld.create(f"db{next(_numbers)}"))
    else:
        local = SqliteDatabase(tmp_path / "test.db")
        yield local
        await local.close()


async def make(database: Database) -> None:
    await database.batch(
        [
            Statement("CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER CHECK (n <> 13), v)"),
            Statement(
                "CREATE TRIGGER guard BEFORE INSERT ON t WHEN new.id = 'guarded' "
                "BEGIN SELECT RAISE(ABORT, 'quota: memories'); END"
            ),
        ],
        write=True,
    )


async def count(database: Database) -> SqlValue:
    [found] = await database.batch([Statement("SELECT count(*) FROM t")], write=False)
    return found.rows[0][0]


def insert(row_id: str, n: int = 0, v: SqlValue = None) -> Statement:
    return Statement("INSERT INTO t VALUES (?, ?, ?)", (row_id, n, v))


@pytest.mark.parametrize(
    "value",
    [
        *(None, 0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 0.1, -1e300, 1e-300, 3.0),
        *("", "text", "größe 東京 \U0001f600", "quote ' \" \\ \n \x1f", b"", b"\0\xff", b"abcd", bytes(range(256))),
    ],
)
async def test_values_come_back_as_they_were(database: Database, value: SqlValue) -> None:
    [found] = await database.batch([Statement("SELECT ?, typeof(?)", (value, value))], write=False)
    assert type(found.rows[0][0]) is type(value)
    assert found.rows[0][0] == value


async def test_results_are_in_order_with_rows_and_counts(database: Database) -> None:
    await make(database)
    results = await database.batch(
        [
            insert("a", 1),
            Statement("INSERT INTO t VALUES ('b', 2, NULL), ('c', 3, NULL) RETURNING id"),
            Statement("UPDATE t SET v = ?1 || ?2 || ?1 WHERE n > ?3", ("x", "y", 1)),
            Statement("SELECT id, v FROM t ORDER BY id"),
            Statement("DELETE FROM t WHERE id = 'zzz'"),
        ],
        write=True,
    )
    assert [result.changed for result in results] == [1, 2, 2, 0, 0]
    assert sorted(results[1].rows) == [("b",), ("c",)]
    assert results[3].rows == [("a", None), ("b", "xyx"), ("c", "xyx")]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (insert("kept"), "UNIQUE constraint failed: t.id"),
        (insert("x", 13), "CHECK constraint failed: n <> 13"),
        (insert("guarded"), "quota: memories"),
        (Statement("INSERT INTO nowhere VALUES (1)"), "no such table: nowhere"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_refused_statement_undoes_the_whole_batch(
    database: Database, bad: Statement, message: str, place: int
) -> None:
    await make(database)
    await database.batch([insert("kept")], write=True)
    statements = [insert("one"), insert("two")]
    statements.insert(place, bad)
    with pytest.raises(StatementFailed) as caught:
        await database.batch(statements, write=True)
    assert (caught.value.index, caught.value.message) == (place, message)
    assert await count(database) == 1
    await database.batch([insert("one")], write=True)  # nothing is left open
    assert await count(database) == 2


async def test_a_failed_read_tells_which_statement(database: Database) -> None:
    await make(database)
    with pytest.raises(StatementFailed) as caught:
        await database.batch([Statement("SELECT count(*) FROM t"), Statement("SELECT x FROM t")], write=False)
    assert caught.value.index == 1


async def test_sql_that_cannot_be_parsed(database: Database) -> None:
    with pytest.raises(StatementFailed):
        await database.batch([Statement("SELEC 1")], write=False)


async def test_several_reads_see_one_moment(database: Database) -> None:
    await make(database)

    async def write() -> None:
        for number in range(20):
            await database.batch([insert(f"a{number}"), insert(f"b{number}")], write=True)

    async def read() -> None:
        for _ in range(20):
            one, other = await database.batch([Statement("SELECT count(*) FROM t")] * 2, write=False)
            assert one.rows == other.rows
            assert int(one.rows[0][0] or 0) % 2 == 0

    await asyncio.gather(write(), read())


async def test_writers_take_turns(database: Database) -> None:
    await make(database)
    await database.batch([insert("n", 100)], write=True)
    step = [Statement("UPDATE t SET n = n + 1 WHERE id = 'n'"), Statement("SELECT n FROM t WHERE id = 'n'")]
    results = await asyncio.gather(*(database.batch(step, write=True) for _ in range(40)))
    assert sorted(int(read.rows[0][0] or 0) for _, read in results) == list(range(101, 141))


async def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "no" / "such" / "folder.db")
    with pytest.raises(Unavailable):
        await database.batch([Statement("SELECT 1")], write=False)
    await database.close()


async def test_two_objects_share_a_file(tmp_path: Path) -> None:
    one, other = SqliteDatabase(tmp_path / "x.db"), SqliteDatabase(tmp_path / "x.db")
    await make(one)
    await asyncio.gather(
        *(one.batch([insert(f"a{n}")], write=True) for n in range(20)),
        *(other.batch([insert(f"b{n}")], write=True) for n in range(20)),
    )
    assert await count(other) == 40
    await one.close()
    await other.close()
