"""Numbered SQL files on a real SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from core import migrations
from core.adapters.sqlite import SqliteDatabase
from core.ports import Result, Statement, StatementFailed

TRIGGER = """-- a trigger's body holds semicolons
CREATE TABLE t (a INTEGER); -- the table
CREATE TRIGGER t_full BEFORE INSERT ON t WHEN (SELECT count(*) FROM t) >= 1 BEGIN
    SELECT RAISE(ABORT, 'full; really');
    SELECT 1;
END;
INSERT INTO t VALUES (1);
"""


def write(folder: Path, **files: str) -> Path:
    (folder / "sqlite").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "sqlite" / f"{name}.sql").write_text(text)
    return folder


def test_split_keeps_a_trigger_whole() -> None:
    statements = migrations.split(TRIGGER)
    assert [statement.sql.split()[0] for statement in statements] == ["--", "CREATE", "INSERT"]
    with pytest.raises(ValueError, match="inside a statement"):
        migrations.split("SELECT 1")


async def test_applied_in_order_and_once(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "db")
    folder = write(tmp_path, **{"0001_first": TRIGGER})
    assert await migrations.apply(database, migrations.load("sqlite", folder)) == 1
    write(tmp_path, **{"0002_second": "ALTER TABLE t ADD COLUMN b TEXT;"})
    for _ in range(2):
        assert await migrations.apply(database, migrations.load("sqlite", folder)) == 2
    (found,) = await database.batch([Statement("SELECT a, b FROM t")], write=False)
    assert found.rows == [(1, None)]


async def test_a_refused_file_leaves_no_trace(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "db")
    folder = write(tmp_path, **{"0001_first": "CREATE TABLE t (a INTEGER);\nINSERT INTO nowhere VALUES (1);"})
    with pytest.raises(StatementFailed):
        await migrations.apply(database, migrations.load("sqlite", folder))
    write(tmp_path, **{"0001_first": TRIGGER})
    assert await migrations.apply(database, migrations.load("sqlite", folder)) == 1


class SendsTwice:
    """A database whose every write arrives twice, as when a kept connection breaks before the answer."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        await self._database.batch(statements, write=write)
        return await self._database.batch(statements, write=write)


async def test_a_batch_that_arrives_twice_is_done(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "db")
    folder = write(tmp_path, **{"0001_first": TRIGGER})
    assert await migrations.apply(SendsTwice(database), migrations.load("sqlite", folder)) == 1
    (found,) = await database.batch([Statement("SELECT count(*) FROM t")], write=False)
    assert found.rows == [(1,)]


@pytest.mark.parametrize("names", [[], ["0002_second"], ["0001_a", "0001_b"], ["first"], ["0001-dash"]])
def test_gaps_and_other_names_are_refused(tmp_path: Path, names: list[str]) -> None:
    folder = write(tmp_path, **dict.fromkeys(names, "SELECT 1;"))
    with pytest.raises(ValueError, match=r"named|numbered"):
        migrations.load("sqlite", folder)


def test_our_own_files_load() -> None:
    assert migrations.load("sqlite")
