"""The same database port on a local SQLite file, with the standard library.

For tests, tools and a machine without a network. One worker thread owns the connection, so batches of one object run
one after another; several objects (or processes) may share a file.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from core import timing
from core.ports import Result, Statement, StatementFailed
from core.problems import Unavailable

BUSY_SECONDS = 5.0

# What may hold a moment later, by primary result code; every other error is the statement's own.
_TRANSIENT = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
    )
)


class SqliteDatabase:
    """`ports.Database` on `path`, which is made when it does not exist (its folder is not)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        """See `ports.Database.batch`."""
        loop = asyncio.get_running_loop()
        with timing.storing():
            return await loop.run_in_executor(self._thread, self._run, tuple(statements), write)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    def _run(self, statements: tuple[Statement, ...], write: bool) -> list[Result]:  # noqa: FBT001 - see run_in_executor
        index: int | None = None
        try:
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                results = []
                for index, statement in enumerate(statements):  # noqa: B007 - tells which one failed
                    cursor = connection.execute(statement.sql, statement.args)
                    results.append(Result(cursor.fetchall(), max(cursor.rowcount, 0)))
                index = None
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _failure(error, index) from error
        return results

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _failure(error: sqlite3.Error, index: int | None) -> Exception:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the primary code of an extended one
    if index is None or code in _TRANSIENT:
        return Unavailable("The memory store is busy. Please try again in a few seconds.", part="store")
    return StatementFailed(index, str(error))
