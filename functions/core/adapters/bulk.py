"""PostgreSQL for what is large: one transaction over a connection of its own, rows streamed out by COPY and put in by
the thousand. For backups and restores; requests go through `core.adapters.postgres`.

Through the session pooler or to the server itself. A statement's time is bounded by the role (0021_backups.sql), the
whole by whoever calls. Statements are put together by the caller from names of our own, with `%s` for values.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from core.problems import Internal, Unavailable
from core.settings import Secret

CONNECT_SECONDS = 5
PART = "backup database"


class Bulk:
    """What is done in the one transaction."""

    def __init__(self, connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        self._connection = connection

    async def fetch(self, statement: str, args: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        cursor = await self._connection.execute(statement.encode(), args or None)
        return await cursor.fetchall() if cursor.description else []

    async def copy(self, query: str, args: Sequence[object] = ()) -> AsyncGenerator[str, None]:
        """The only column of a query, row by row, never all at once. Close it (`aclosing`) when you stop early."""
        async with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY ({query}) TO STDOUT".encode(), args or None) as rows,
        ):
            async for (text,) in rows.rows():
                yield str(text)


@asynccontextmanager
async def snapshot(url: Secret) -> AsyncIterator[Bulk]:
    """Everything as it was at one moment (repeatable read), and nothing is written.

    Raises:
        Unavailable: there is no connection, or it broke.
        Internal: the server refuses: a right or a migration is missing.
    """
    async with _opened(url, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "COMMIT") as bulk:
        yield bulk


@asynccontextmanager
async def change(url: Secret, *, keep: bool) -> AsyncIterator[Bulk]:
    """One transaction that writes. Raises as `snapshot` does, and then nothing was written.

    Args:
        keep: False: it is rolled back at its end, too.
    """
    async with _opened(url, "BEGIN READ WRITE", "COMMIT" if keep else "ROLLBACK") as bulk:
        yield bulk


@asynccontextmanager
async def _opened(url: Secret, begin: str, end: str) -> AsyncIterator[Bulk]:
    try:
        connection = await psycopg.AsyncConnection.connect(
            url.reveal(),
            autocommit=True,  # begun and ended here
            prepare_threshold=None,
            connect_timeout=CONNECT_SECONDS,
            application_name="memorygraph backup",
        )
    except psycopg.Error as error:  # names host, role and reason; never the password
        raise Unavailable(f"No connection for backups: {' '.join(str(error).split())}", part=PART) from None
    try:
        await connection.execute(begin.encode())
        yield Bulk(connection)
        await connection.execute(end.encode())
    except psycopg.OperationalError as error:
        raise Unavailable(f"The connection for backups broke (SQLSTATE {error.sqlstate}).", part=PART) from None
    except psycopg.Error as error:  # its text may quote a value
        name = error.diag.constraint_name or error.diag.table_name or ""
        raise Internal(
            f"PostgreSQL refuses (SQLSTATE {error.sqlstate}{', ' + name if name else ''}). Run `pulumi up`: a "
            "migration or a right of the role `backup` may be missing."
        ) from None
    finally:
        await connection.close()  # what was not committed is rolled back
