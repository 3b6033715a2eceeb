"""SQLite databases of Turso or sqld, over Hrana: one POST to /v2/pipeline is one batch is one transaction.

Conditions of Hrana see only whether a step succeeded, so each statement runs only if the one before it did, COMMIT only
if all did, and ROLLBACK if COMMIT did not. The pipeline ends with `close`: no baton, no state on the server between
batches. Protocol: https://github.com/tursodatabase/libsql/blob/main/docs/HRANA_3_SPEC.md

Left out: interactive transactions, named arguments, cursors, WebSockets.
"""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from core import timing
from core.adapters.http1 import HttpAnswer, HttpClient, HttpError
from core.ports import Result, SqlValue, Statement, StatementFailed, StoreAddress
from core.problems import Unavailable
from core.settings import Secret

PART = "store"
CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 5.0
WAKE_SECONDS = 10.0
"""How long the first request after `IDLE_SECONDS` may take: Turso puts idle databases to sleep."""
IDLE_SECONDS = 60.0
REMEMBERED_DATABASES = 4096
WRITERS = 2
"""How many batches of this process may write to one database at once. SQLite has one writer; sqld lets the others race
for its place, and with eight of them throughput falls by half and some starve (SQLITE_BUSY after 0.7 s, measured)."""
BUSY_PAUSE_SECONDS = (0.005, 0.05)

# What may hold a moment later; every other error of a statement is the statement's own.
_TRANSIENT = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_IOERR",
    "SQLITE_FULL",
    "SQLITE_NOMEM",
    "SQLITE_INTERRUPT",
    "SQLITE_CANTOPEN",
    "SQLITE_PROTOCOL",
    "SQLITE_READONLY",
)
_OF_THE_STATEMENT = ("SQLITE_", "SQL_", "ARGS_")


class StoreRefused(Unavailable):
    """The store no longer takes this address or token (401, 403, 404): it moved, or the token was renewed.

    The caller drops what it remembers of the principal (`stale_address`), looks it up again and may retry once.
    """

    stale_address = True


class _Busy(Unavailable):
    """Another writer held the database when the batch wanted to begin: nothing was done."""


class HranaDatabases:
    """Opens databases over one HTTP client, and remembers which of them are awake and who writes to them."""

    def __init__(self, client: HttpClient, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self.monotonic = monotonic
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def open(self, address: StoreAddress) -> HranaDatabase:
        return HranaDatabase(self, address.url, address.token)

    def known(self, url: str) -> _Known:
        """What this process remembers of a database."""
        known = self._known.pop(url, None) or _Known()
        self._known[url] = known
        if len(self._known) > REMEMBERED_DATABASES:
            self._known.popitem(last=False)
        return known


@dataclass(slots=True)
class _Known:
    asked: float | None = None
    wakes_until: float = 0.0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WRITERS))

    def patience(self, now: float) -> float:
        """Seconds for a batch. Batches that meet a database while it wakes share the time that it may take."""
        if self.asked is None or now - self.asked > IDLE_SECONDS:
            self.wakes_until = now + WAKE_SECONDS
        self.asked = now
        return max(ANSWER_SECONDS, self.wakes_until - now)

    def answered(self, now: float) -> None:
        self.asked = now
        self.wakes_until = 0.0


class HranaDatabase:
    """`ports.Database` on one namespace."""

    def __init__(self, databases: HranaDatabases, url: str, token: Secret) -> None:
        self._client = databases.client
        self._monotonic = databases.monotonic
        self._known = databases.known(url)
        self._url = url.rstrip("/") + "/v2/pipeline"
        self._token = token

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        """See `ports.Database.batch`. Waiting for a turn to write counts towards the time of the batch.

        Raises:
            StoreRefused: an `Unavailable` that asks for a new address or token.
        """
        with timing.storing():
            return await self._batch(statements, write=write)

    async def _batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        bare = not write and len(statements) == 1  # one read is its own transaction
        steps = [_step(statements[0])] if bare else _transaction(statements, write=write)
        body = orjson.dumps({"requests": [{"type": "batch", "batch": {"steps": steps}}, {"type": "close"}]})
        ends = self._monotonic() + self._known.patience(self._monotonic())
        if not write:
            return _results(_batch_result(await self._post(body, ends)), len(statements), bare=bare)
        repeated = False
        async with self._turn(ends):
            while True:
                answer = await self._post(body, ends)
                repeated = repeated or answer.resent
                try:
                    return _results(_batch_result(answer), len(statements), bare=False, repeated=repeated)
                except _Busy:
                    pause = random.uniform(*BUSY_PAUSE_SECONDS)  # noqa: S311 - spreads writers, guards nothing
                    if self._monotonic() + pause >= ends:
                        raise
                    await asyncio.sleep(pause)

    async def _post(self, body: bytes, ends: float) -> HttpAnswer:
        try:
            answer = await self._client.post(
                self._url,
                body,
                {"Authorization": f"Bearer {self._token.reveal()}", "Content-Type": "application/json"},
                timeout=max(ends - self._monotonic(), 0.0),
                connect_timeout=CONNECT_SECONDS,
            )
        except HttpError as error:
            raise _unavailable() from error
        self._known.answered(self._monotonic())
        return answer

    @asynccontextmanager
    async def _turn(self, ends: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(max(ends - self._monotonic(), 0.0)):
                await self._known.turns.acquire()
        except TimeoutError as error:
            raise _unavailable() from error
        try:
            yield
        finally:
            self._known.turns.release()


def _step(statement: Statement) -> dict[str, Any]:
    return {"stmt": {"sql": statement.sql, "args": [encode(value) for value in statement.args]}}


def _transaction(statements: Sequence[Statement], *, write: bool) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"stmt": {"sql": "BEGIN IMMEDIATE" if write else "BEGIN"}}]
    for position, statement in enumerate(statements):
        steps.append({**_step(statement), "condition": {"type": "ok", "step": position}})
    last = len(statements)
    steps.append({"stmt": {"sql": "COMMIT"}, "condition": {"type": "ok", "step": last}})
    begun = {"type": "ok", "step": 0}
    not_committed = {"type": "not", "cond": {"type": "ok", "step": last + 1}}
    steps.append({"stmt": {"sql": "ROLLBACK"}, "condition": {"type": "and", "conds": [begun, not_committed]}})
    return steps


def _batch_result(answer: HttpAnswer) -> dict[str, Any]:
    """The result of the batch, once the request as a whole was taken."""
    if answer.status in (401, 403, 404):
        raise StoreRefused(_REFUSED, part=f"{PART} (answers {answer.status})")
    if answer.status != 200:
        raise _unavailable() from RuntimeError(f"the store answered {answer.status}")
    try:
        first = orjson.loads(answer.body)["results"][0]
        if first["type"] == "ok":
            result: dict[str, Any] = first["response"]["result"]
            return {"step_results": result["step_results"], "step_errors": result["step_errors"]}
        code = str(first["error"].get("code"))
    except (orjson.JSONDecodeError, LookupError, TypeError) as error:
        raise _unavailable() from error
    if code.startswith("SQL_"):  # a statement that cannot be parsed refuses the batch as a whole, without its place
        raise StatementFailed(0, code)
    raise _unavailable() from RuntimeError(f"the store refused the batch: {code}")


def _results(batch: dict[str, Any], count: int, *, bare: bool, repeated: bool = False) -> list[Result]:
    """The results of the caller's `count` statements, which stand between BEGIN and COMMIT unless they are `bare`."""
    first = 0 if bare else 1
    needed = count if bare else count + 2  # ROLLBACK, the last step, is expected to be left out
    for index, error in enumerate(batch["step_errors"][:needed]):
        if error:
            _raise(error, index - first if first <= index < first + count else None, begin=index < first)
    steps = batch["step_results"]
    if len(steps) < needed or None in steps[:needed]:
        raise _unavailable() from RuntimeError("the store left a step out")
    try:
        return [
            Result(
                [tuple([decode(cell) for cell in row]) for row in step["rows"]], step["affected_row_count"], repeated
            )
            for step in steps[first : first + count]
        ]
    except (LookupError, TypeError, ValueError) as error:
        raise _unavailable() from error


def _raise(error: dict[str, Any], index: int | None, *, begin: bool) -> None:
    """Raise for an error of one statement, or (`index` None) of BEGIN, COMMIT or the batch as a whole."""
    code = str(error.get("code"))
    if begin and code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        raise _Busy(_DETAIL, part=PART) from RuntimeError(f"the store failed with {code}")
    if index is None or not code.startswith(_OF_THE_STATEMENT) or code.startswith(_TRANSIENT):
        raise _unavailable() from RuntimeError(f"the store failed with {code}")
    message = str(error.get("message", ""))
    raise StatementFailed(index, message.removeprefix("SQLite error: ").removeprefix("SQL input error: "))


_DETAIL = "The memory store does not answer. Please try again in a few seconds."
_REFUSED = (
    "The memory store of this workspace cannot be opened: it is being moved, or is gone. Please try again in a few "
    "seconds; if that does not help, tell support the request id."
)


def _unavailable() -> Unavailable:
    return Unavailable(_DETAIL, part=PART)


def encode(value: SqlValue) -> dict[str, Any]:
    """A value as Hrana writes it: integers as decimal text, blobs as base64."""
    if value is None:
        return {"type": "null"}
    if isinstance(value, str):
        return {"type": "text", "value": value}
    if isinstance(value, int):
        return {"type": "integer", "value": str(int(value))}
    if isinstance(value, float):
        return {"type": "float", "value": value}
    return {"type": "blob", "base64": base64.b64encode(value).decode()}


def decode(cell: dict[str, Any]) -> SqlValue:
    """A value as Python has it.

    Raises:
        LookupError, TypeError, ValueError: this is no value of Hrana's.
    """
    kind = cell["type"]
    if kind == "text":
        text: str = cell["value"]
        return text
    if kind == "integer":
        return int(cell["value"])
    if kind == "float":
        return float(cell["value"])
    if kind == "null":
        return None
    if kind == "blob":
        encoded: str = cell["base64"]  # sqld leaves the padding out
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    raise ValueError(f"a value of type {kind}")
