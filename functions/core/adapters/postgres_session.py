"""One connection to PostgreSQL, asked through libpq: one statement at a time, its answer in bounded time.

psycopg connects and converts values. Its cursors are left out: they wait in several steps and a task of their own has
to be bounded from outside, because cancelling one makes it talk to the server again, which hangs when the server is
frozen. Here nothing is asked of the server after a wait has ended early: the connection is closed.

`core.adapters.postgres` imports this with its first connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

_ROWS, _NO_ROWS = pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK
LOOK_SECONDS = 0.1
"""How often a waiting session looks for itself: under uvloop, the reader of a socket that was reset was seen not to be
called, ever (tests/functions/core/test_postgres.py, the crowd)."""
_LEAVING = "57P"
"""SQLSTATEs of a server that ends the connection: it is shut down, it crashed, it is starting."""


class Session:
    """A connection of one event loop."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection  # its end would close what is below
        self._pgconn = connection.pgconn
        self._values = Transformer(connection)

    @property
    def closed(self) -> bool:
        return self._connection.closed

    def close(self) -> None:
        """Close the connection, without a wait."""
        self._pgconn.finish()

    async def ask(self, statement: str, args: Sequence[object], seconds: float) -> list[tuple[Any, ...]]:
        """The rows of one statement with `%s` for each of `args`, in a transaction of its own.

        Raises:
            TimeoutError: no answer within `seconds`; the connection is closed, as it is when the caller is cancelled.
            psycopg.Error: the server refuses the statement, or (then it is `closed`) the connection broke.
        """
        values = self._values
        numbered, wanted = _numbered(statement)
        if len(args) != wanted:
            raise psycopg.ProgrammingError(f"the statement has {wanted} places for {len(args)} values")
        params = values.dump_sequence(args, [PyFormat.AUTO] * len(args))
        try:
            self._pgconn.send_query_params(
                numbered, params, values.types, values.formats, result_format=pq.Format.BINARY
            )
            result = await self._result(seconds)
        except BaseException:
            self.close()  # nothing is known of what it would say next
            raise
        if result.status == _ROWS:
            values.set_pgresult(result)
            try:
                return values.load_rows(0, result.ntuples, tuple) if result.nfields else []
            finally:
                values.set_pgresult(None)  # it may be megabytes
        if result.status == _NO_ROWS:
            return []
        error = psycopg.errors.error_from_result(result)
        if (error.sqlstate or "").startswith(_LEAVING):
            self.close()
        raise error

    async def _result(self, seconds: float) -> PGresult:
        loop = asyncio.get_running_loop()
        pgconn = self._pgconn
        done: asyncio.Future[PGresult] = loop.create_future()
        results: list[PGresult] = []
        ends = loop.time() + seconds
        timer: asyncio.TimerHandle

        def stop() -> None:
            """Before libpq's socket is closed, or at once after: the process's next connection gets its number."""
            loop.remove_reader(socket)
            if unsent:
                loop.remove_writer(socket)

        def receive() -> None:
            if done.done():
                return
            try:
                pgconn.consume_input()
                while not pgconn.is_busy():
                    result = pgconn.get_result()
                    if result is None:
                        stop()
                        done.set_result(results[-1])  # a commit that fails adds its error to the rows
                        return
                    results.append(result)
            except psycopg.Error as error:
                stop()
                done.set_exception(error)

        def send() -> None:
            try:
                unsent = pgconn.flush()
            except psycopg.Error:
                unsent = 0  # reading tells why
            if not unsent:
                loop.remove_writer(socket)

        def look() -> None:
            nonlocal timer
            receive()
            if done.done():
                return
            if loop.time() >= ends:
                stop()
                done.set_exception(TimeoutError())
            else:
                timer = loop.call_later(min(LOOK_SECONDS, ends - loop.time()), look)

        unsent = pgconn.flush()
        socket = pgconn.socket
        if unsent:
            loop.add_writer(socket, send)
        loop.add_reader(socket, receive)
        timer = loop.call_later(min(LOOK_SECONDS, seconds), look)
        try:
            return await done
        except asyncio.CancelledError:
            if done.cancelled():
                stop()
            raise
        finally:
            timer.cancel()


@lru_cache(maxsize=200)
def _numbered(statement: str) -> tuple[bytes, int]:
    """With `$1`, `$2`, ... as the server reads them, and how many they are."""
    first, *others = statement.split("%s")
    return (first + "".join(f"${number}{text}" for number, text in enumerate(others, 1))).encode(), len(others)
