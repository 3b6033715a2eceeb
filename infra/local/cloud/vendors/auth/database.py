"""The users of one project and all that hangs on them, in one SQLite file of the project's folder.

One connection, used on the daemon's loop alone: what happens between two awaits is one step for everybody. Times are
unix seconds; `JSON` columns hold text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.local.cloud.errors import CloudError, disk_sentence

SCHEMA = """
    create table if not exists users (
        id text primary key,
        email text unique,
        password text,
        role text not null default 'authenticated',
        email_confirmed_at real,
        confirmation_sent_at real,
        recovery_sent_at real,
        email_change text not null default '',
        email_change_sent_at real,
        email_change_confirmed integer not null default 0,
        last_sign_in_at real,
        banned_until real,
        app_metadata text not null default '{}',
        user_metadata text not null default '{}',
        created_at real not null,
        updated_at real not null
    );
    create table if not exists identities (
        id text primary key,
        user_id text not null references users on delete cascade,
        provider text not null,
        provider_id text not null,
        data text not null,
        last_sign_in_at real not null,
        created_at real not null,
        updated_at real not null,
        unique (provider, provider_id)
    );
    create table if not exists one_time_tokens (
        user_id text not null references users on delete cascade,
        kind text not null,
        hash text not null,
        sent_at real not null,
        primary key (user_id, kind)
    );
    create index if not exists one_time_tokens_by_hash on one_time_tokens (hash);
    create table if not exists sessions (
        id text primary key,
        user_id text not null references users on delete cascade,
        amr text not null,
        created_at real not null,
        refreshed_at real not null
    );
    create table if not exists refresh_tokens (
        token text primary key,
        session_id text not null references sessions on delete cascade,
        parent text,
        revoked integer not null default 0,
        updated_at real not null
    );
    create table if not exists flows (
        id text primary key,
        auth_code text unique,
        challenge text not null,
        challenge_method text not null,
        provider text not null,
        method text not null,
        user_id text references users on delete cascade,
        referrer text not null,
        created_at real not null
    );
    create table if not exists consents (
        code text primary key,
        provider text not null,
        email text not null,
        name text not null,
        verified integer not null
    );
"""
Row = dict[str, Any]


class Database:
    """The open file. `change()` makes several statements one step."""

    def __init__(self, folder: Path) -> None:
        """Open or make it.

        Raises:
            CloudError: the disk refuses.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = sqlite3.connect(folder / "auth.sqlite", isolation_level=None)
            self._connection.row_factory = _row
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = normal")
            self._connection.execute("pragma foreign_keys = on")
            self._connection.executescript(SCHEMA)
        except OSError as error:
            raise CloudError(disk_sentence(error, "opening the users of a project")) from None
        except sqlite3.Error as error:
            raise CloudError(
                f"The users of a project cannot be opened in {folder}: {error}. "
                "`make clean` starts anew; what it held is lost."
            ) from None

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def change(self) -> Iterator[None]:
        """All of it or nothing. No await inside."""
        self._connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    def one(self, sql: str, *values: object) -> Row | None:
        found: Row | None = self._connection.execute(sql, values).fetchone()
        return found

    def all(self, sql: str, *values: object) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()

    def run(self, sql: str, *values: object) -> int:
        """How many rows changed."""
        return self._connection.execute(sql, values).rowcount

    def insert(self, table: str, row: Row) -> None:
        """Add a row; the table and its columns are named by our own code."""
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        self._connection.execute(f"insert into {table} ({names}) values ({marks})", tuple(row.values()))  # noqa: S608  our own names

    def update(self, table: str, id_: str, **values: object) -> None:
        names = ", ".join(f"{name} = ?" for name in values)
        self._connection.execute(f"update {table} set {names} where id = ?", (*values.values(), id_))  # noqa: S608  our own names


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}
