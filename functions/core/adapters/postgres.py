"""PostgreSQL through a transaction pooler: one statement, one round trip, and an answer in bounded time, always.

Prepared statements are off (Supavisor's transaction mode has none), and nothing is pipelined: it hands the server's
connection on at the first ReadyForQuery, and the answers behind it are lost (supabase/supavisor#1061). So connections
times round trip bound what one process can ask: with 20 ms to the server about 180 statements a second. psycopg is
imported with the first connection, so that a function which is served from its caches never pays for it.

A statement whose time is over, or whose caller goes away, is never cancelled on the server, which hangs when that is
frozen: its connection is closed (postgres_session.py).

    no connection within 1 s, no answer within 5 s, or no free connection   -> Unavailable
    a kept connection was closed meanwhile                                  -> all kept ones go, one more try
    two transactions stood in each other's way (deadlock, serialization)    -> again, until the time is over
    the server refuses the statement                                        -> StatementRefused: a fault of ours
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.logs import LOGGER
from core.problems import Unavailable
from core.settings import Secret

if TYPE_CHECKING:
    from core.adapters.postgres_session import Session

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 5.0
CONNECTIONS = 4
KEEP_SECONDS = 60.0
"""A pooler or a NAT forgets idle connections silently; older ones are not used again."""

CONFLICTS = frozenset({"40001", "40P01"})
"""SQLSTATEs of a transaction that was rolled back because of another one, and may succeed the next time."""
CONFLICT_PAUSE_SECONDS = (0.005, 0.05)


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a statement. `repeated`: it was sent twice, and may have had its effect the first time."""

    rows: list[tuple[Any, ...]]
    repeated: bool = False


class StatementRefused(Exception):
    """The server refuses a statement: a right or a migration is missing, a constraint, or what a function raises.

    Quotes no value. `sqlstate` says which it is.
    """

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class _Broken(Exception):
    """The connection ended before an answer."""


class _Conflict(Exception):
    """The transaction was rolled back because of another one."""


class Postgres:
    """At most `CONNECTIONS` connections of one process, for one event loop. Connects when first asked."""

    def __init__(
        self, url: Secret, *, connect_seconds: float = CONNECT_SECONDS, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._url = url
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[tuple[Session, float]] = []
        self._down = False

    async def fetch(self, statement: str, args: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement in a transaction of its own and give its rows.

        It may run twice when a kept connection breaks before an answer, so a statement that writes must be idempotent.

        Args:
            statement: with `%s` for each of `args`.

        Raises:
            Unavailable: no answer in time, or no connection.
            StatementRefused: the server is well, the statement is not.
        """
        return (await self.ask(statement, args)).rows

    async def ask(self, statement: str, args: Sequence[object] = ()) -> Answer:
        """The same, and whether it ran twice."""
        ends = time.monotonic() + self._answer_seconds
        if self._slots.locked():
            await self._wait_for_a_slot()
        else:
            await self._slots.acquire()
        try:
            answer = await self._settle(statement, args, ends)
        finally:
            self._slots.release()
        if self._down:
            LOGGER.warning("The control plane answers again.")
            self._down = False
        return answer

    async def _wait_for_a_slot(self) -> None:
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise self._unavailable("all connections are busy") from None

    async def close(self) -> None:
        """Close the kept connections."""
        for session, _ in self._idle:
            session.close()
        self._idle.clear()

    async def _settle(self, statement: str, args: Sequence[object], ends: float) -> Answer:
        while True:
            try:
                return await self._fetch(statement, args)
            except _Conflict as error:
                pause = random.uniform(*CONFLICT_PAUSE_SECONDS)  # noqa: S311 - spreads writers, guards nothing
                if time.monotonic() + pause >= ends:
                    raise self._unavailable(str(error)) from None
                await asyncio.sleep(pause)

    async def _fetch(self, statement: str, args: Sequence[object]) -> Answer:
        kept = self._take()
        if kept is not None:
            try:
                return Answer(await self._ask(kept, statement, args))
            except _Broken:
                await self.close()  # the others came through the same pooler, before the same restart
        try:
            return Answer(await self._ask(await self._connect(), statement, args), repeated=kept is not None)
        except _Broken as error:
            raise self._unavailable(f"the connection broke: {error}") from None

    def _take(self) -> Session | None:
        while self._idle:
            session, since = self._idle.pop()
            if time.monotonic() - since < KEEP_SECONDS and not session.closed:
                return session
            session.close()
        return None

    async def _connect(self) -> Session:
        import psycopg

        from core.adapters.postgres_session import Session

        try:
            async with asyncio.timeout(self._connect_seconds):
                connection = await psycopg.AsyncConnection.connect(
                    self._url.reveal(), autocommit=True, prepare_threshold=None, application_name="memorygraph"
                )
        except TimeoutError:
            raise self._unavailable(f"no connection within {self._connect_seconds:g} s") from None
        except psycopg.OperationalError as error:
            # Names the host, the role and the server's reason; never the password.
            raise self._unavailable(" ".join(str(error).split())) from None
        return Session(connection)

    async def _ask(self, session: Session, statement: str, args: Sequence[object]) -> list[tuple[Any, ...]]:
        import psycopg

        try:
            rows = await session.ask(statement, args, self._answer_seconds)
        except TimeoutError:
            raise self._unavailable(f"no answer within {self._answer_seconds:g} s") from None
        except psycopg.Error as error:
            if session.closed:
                session.close()
                raise _Broken(" ".join(str(error).split())) from None
            self._keep(session)
            if error.sqlstate in CONFLICTS:
                raise _Conflict(f"SQLSTATE {error.sqlstate}") from None
            if isinstance(error, psycopg.OperationalError):  # it is shutting down, recovering, out of something
                raise self._unavailable(f"SQLSTATE {error.sqlstate}") from None
            raise StatementRefused(f"{type(error).__name__}, SQLSTATE {error.sqlstate}", error.sqlstate) from None
        self._keep(session)
        return rows

    def _keep(self, session: Session) -> None:
        self._idle.append((session, time.monotonic()))

    def _unavailable(self, reason: str) -> Unavailable:
        if not self._down:
            LOGGER.error("The control plane does not answer: %s.", reason)
            self._down = True
        return Unavailable(
            "Accounts and keys cannot be looked up right now. Please try again in a moment.", part="control plane"
        )
