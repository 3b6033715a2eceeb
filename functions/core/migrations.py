"""Numbered SQL files, and applying them to a SQLite database through the port `Database`.

Tenant databases bring no number of their own (`PRAGMA user_version` is read-only on Turso), so the table
`_schema_version` holds one row for each file that was applied. Each file is one batch: it holds whole or not at all.
PostgreSQL's files are applied by `pulumi up` (infra/providers/schema.py).
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from core.ports import Database, Statement, StatementFailed

FOLDER = Path(__file__).resolve().parent.parent / "migrations"

_NAME = re.compile(r"(\d{4})_\w+\.sql")
_PREPARE = Statement("CREATE TABLE IF NOT EXISTS _schema_version (version INTEGER PRIMARY KEY) STRICT")
_READ = Statement("SELECT coalesce(max(version), 0) FROM _schema_version")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number and its statements, in order."""

    version: int
    statements: tuple[Statement, ...]


def load(dialect: str, folder: Path = FOLDER) -> list[Migration]:
    """The migrations in `folder/dialect`, in order.

    Raises:
        ValueError: a file is misnamed, or a number is missing or taken twice.
    """
    found = []
    for path in sorted((folder / dialect).glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name}: a migration is named NNNN_name.sql")
        found.append(Migration(int(match[1]), split(path.read_text(encoding="utf-8"))))
    numbers = [migration.version for migration in found]
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(f"{dialect}: migrations are numbered 0001, 0002, ... once each; found {numbers}")
    return found


async def apply(database: Database, migrations: list[Migration]) -> int:
    """Bring a SQLite database up to the newest migration; the number it then has. Again: nothing happens.

    Raises:
        StatementFailed: a statement was refused; its file left no trace.
        problems.Unavailable: no answer in time.
    """
    version = await _version(database)
    for migration in migrations:
        if migration.version <= version:
            continue
        record = Statement("INSERT INTO _schema_version (version) VALUES (?)", (migration.version,))
        try:
            await database.batch([record, *migration.statements], write=True)
        except StatementFailed:
            # A batch may be sent twice, and two may apply at once: then it is done, and only the second try failed.
            if await _version(database) < migration.version:
                raise
        version = migration.version
    return version


def split(script: str) -> tuple[Statement, ...]:
    """The statements of a SQLite script; a trigger's body stays whole."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending.strip())
            pending = ""
    if re.sub(r"--.*", "", pending).strip():
        raise ValueError("the script ends inside a statement")
    return tuple(Statement(text) for text in statements)


async def _version(database: Database) -> int:
    results = await database.batch([_PREPARE, _READ], write=True)
    version = results[1].rows[0][0]
    assert isinstance(version, int)
    return version
