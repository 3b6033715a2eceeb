"""What the product needs from the outside, as small protocols. Adapters are in `core/adapters/`.

Every method is async, bounded by the adapter's own timeouts, and raises `problems.Unavailable` when the part does not
answer in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.settings import Secret

SqlValue = None | int | float | str | bytes


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where the memories of one workspace are: `kind` is `sqlite` (Turso or sqld over Hrana)."""

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
    """What one statement gave: rows of values, and the number of rows that it changed."""

    rows: list[tuple[SqlValue, ...]] = field(default_factory=list)
    changed: int = 0


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
        answer arrives, so writes must be idempotent (ids are chosen by the caller).

        Raises:
            StatementFailed: the database refused one statement.
            problems.Unavailable: no answer in time, or no connection.
        """
        ...


class Databases(Protocol):
    """Opens the database of a workspace; holds the connections."""

    def open(self, address: StoreAddress) -> Database: ...
