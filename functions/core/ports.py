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

Voids = Sequence[tuple[str, int]]
"""Cached principals that are outdated: names, and the version that they must not be older than."""


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where the memories of one workspace are.

    `kind` is `sqlite` (Turso or sqld over Hrana) or `postgres` (the control plane's own database, where `url` says only
    which workspace: `core.urls.workspace_url`). `epoch` grows with every move; a store of another epoch refuses.
    """

    kind: str
    url: str
    token: Secret
    epoch: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: one API key of one account in one workspace, or a person who is signed in (`key_id` is then empty).

    `project` is the only one whose memories the key sees (None: all); `key_calls_per_day` is its own cap.
    `workspace_created` is unix seconds. `suspended` is what its store refuses until further notice: `writes`, `all`, or
    None.
    """

    key_id: str
    account_id: str
    workspace_id: str
    plan: str
    scopes: frozenset[str]
    store: StoreAddress
    role: str = "owner"
    project: str | None = None
    key_calls_per_day: int | None = None
    workspace_created: float = 0.0
    suspended: str | None = None

    @property
    def is_person(self) -> bool:
        return not self.key_id


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
    role: str = "owner"
    project: str | None = None
    key_calls_per_day: int | None = None
    epoch: int = 1
    workspace_created: float = 0.0
    suspended: str | None = None


@dataclass(frozen=True, slots=True)
class KeyRefused:
    """The control plane knows the credential and refuses it.

    `reason` is `revoked`, `expired`, `closed` (the account), `erased` (the account), `no member` (of the workspace) or
    `alone` (its plan has room for its owner only).
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a person's token proves: the Supabase user and until when (unix seconds)."""

    account_id: str
    email: str
    name: str
    expires_at: float


class TokenVerifier(Protocol):
    """Proves the tokens of signed-in people, without a call for each of them."""

    async def verify(self, token: str) -> Claims:
        """What the token says.

        Raises:
            problems.Unauthorized: it is malformed, expired, for another audience, or not signed by the issuer.
            problems.Unavailable: the issuer's keys are not known and cannot be had.
        """
        ...


class Directory(Protocol):
    """The control plane, as admission needs it."""

    async def find_member(self, claims: Claims, workspace_id: str | None) -> KeyRecord | KeyRefused | None:
        """The person in a workspace, by default their own, which is made with the account at the first sign-in.

        None: there is no such workspace. A person's record has an empty `key_id`.

        Raises:
            problems.Unavailable: no answer in time.
        """
        ...

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


@dataclass(frozen=True, slots=True)
class Fill:
    """An entry for the shared cache, see `PrincipalCache.put`."""

    version: int
    entry: bytes
    ttl_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a process wants of the calls that a workspace may make.

    `day` is YYYYMMDD and `minute` the minute of that day, both in UTC. `key_id` and `key_calls` are those of a key with
    a cap of its own; other keys leave them out. `want` calls are asked for, and `back` of those that were given in
    `back_minute` of the same day are returned, unused. `name` is the hash of the caller's key when its entry in the
    shared cache is wanted as well, or to be filled with `fill`.
    """

    workspace_id: str
    day: str
    minute: int
    calls_per_day: int
    calls_per_minute: int
    credit: int
    key_id: str = ""
    key_calls: int | None = None
    want: int = 0
    back: int = 0
    back_minute: int = 0
    name: str = ""
    fill: Fill | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a process was given. `limit` is the one that decided how much: `day`, `minute` or `key`.

    `calls`, `minute_calls`, `key_calls` and `credit` are the use of each, this grant included: an upper bound of the
    calls that were made. `entry` is that of the shared cache; `filled` says that the cache has seen the fill.
    """

    granted: int
    limit: str
    calls: int
    minute_calls: int
    key_calls: int
    credit: int
    filled: bool = False
    entry: bytes | None = None


class CallCounter(Protocol):
    """Counts the calls of all processes."""

    async def take(self, ask: Ask) -> Taken | None:
        """Give and take back calls, in one step. None: no answer in time; the calls may have been counted."""
        ...


class Wake(Protocol):
    """Whoever does the jobs of the outbox."""

    async def wake(self) -> bool:
        """Have it look soon. False when that was not possible; never fails: what a lost wake-up leaves, the sweep
        picks up."""
        ...
