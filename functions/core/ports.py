"""What the product needs from the outside, as small protocols. Adapters are in `core/adapters/`.

Every method is async, bounded by the adapter's own timeouts, and raises `problems.Unavailable` when the part does not
answer in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from core.settings import Secret

SqlValue = None | int | float | str | bytes


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where the memories of one workspace are.

    `kind` is `sqlite` (Turso or sqld over Hrana) or `postgres` (the control plane's own database, where `url` says only
    which workspace: `core.urls.workspace_url`).
    """

    kind: str
    url: str
    token: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: one API key of one account in one workspace."""

    key_id: str
    account_id: str
    workspace_id: str
    plan: str
    scopes: frozenset[str]
    store: StoreAddress


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement with positional `?` arguments."""

    sql: str
    args: tuple[SqlValue, ...] = ()


@dataclass(slots=True)
class Result:
    """What one statement gave: rows of values, and the number of rows that it changed.

    `repeated`: its batch was sent twice, so it may have changed them the first time.
    """

    rows: list[tuple[SqlValue, ...]] = field(default_factory=list)
    changed: int = 0
    repeated: bool = False


class StatementFailed(Exception):
    """A statement of a batch was refused by the database (constraint, RAISE); the whole batch was rolled back."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index
        self.message = message


class Database(Protocol):
    """One SQLite database: a file, or one namespace of Turso or sqld."""

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        """Run all statements in one round trip and one transaction (BEGIN IMMEDIATE when `write`).

        Either every statement holds or none does. A batch may be sent twice when a kept connection breaks before an
        answer arrives, so writes must be idempotent (ids are chosen by the caller); `Result.repeated` tells.

        Raises:
            StatementFailed: the database refused one statement.
            problems.Unavailable: no answer in time, or no connection.
        """
        ...


class Databases(Protocol):
    """Opens the database of a workspace; holds the connections."""

    def open(self, address: StoreAddress) -> Database: ...


class Clock(Protocol):
    """The time of day."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What the control plane knows of one API key: a principal before its store token is opened.

    `version` grows with every change of the key, its workspace or its account. `store_token` is sealed; only functions
    that reach the stores can open it. `store_url` is None while the store is being made; `expires_at` is unix seconds.
    """

    key_id: str
    account_id: str
    workspace_id: str
    plan: str
    scopes: tuple[str, ...]
    version: int
    store_kind: str
    store_url: str | None
    store_token: str
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class KeyRefused:
    """The control plane knows the key and refuses it; `reason` is `revoked`, `expired` or `closed` (the account)."""

    reason: str


class Directory(Protocol):
    """The control plane, as admission needs it."""

    async def find_key(self, key_hash: str) -> KeyRecord | KeyRefused | None:
        """The key with this SHA-256 (hex); None when there is none.

        Raises:
            problems.Unavailable: no answer in time.
        """
        ...


class PrincipalCache(Protocol):
    """A shared cache in front of the directory. It never fails: what it cannot do, it leaves out."""

    async def get(self, key_hash: str) -> bytes | None:
        """The newest entry, or None: unknown, void by a tombstone, or no answer."""
        ...

    async def put(self, key_hash: str, version: int, entry: bytes, ttl_seconds: float) -> None:
        """Keep `entry`, unless something of a newer version is there."""
        ...

    async def void(self, key_hash: str, version: int) -> bool:
        """Leave a tombstone: nothing older than `version` is given or taken any more. True when it is certain."""
        ...
