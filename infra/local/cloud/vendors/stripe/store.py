"""All objects in memory, and the same in one SQLite file.

Used on one thread only (the loop of the daemon): a `transaction()` holds no await, so it is one step for everybody. At
its end what changed is written in one SQLite transaction; after an error nothing has changed, in memory or on disk.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.local.cloud.errors import CloudError, disk_sentence

Json = dict[str, Any]
SCHEMA = """
    create table if not exists objects (
        number integer primary key autoincrement,
        id text not null unique,
        kind text not null,
        body text not null
    );
"""


class Store:
    """Objects by id and by kind, in the order in which they were made.

    A kind with a leading underscore is the stand-in's own (deliveries, idempotency keys, settings).
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Open or make the file in `folder`; None keeps everything in memory.

        Raises:
            CloudError: the disk refuses, or the file is damaged.
        """
        self._kinds: dict[str, dict[str, Json]] = {}
        self._kind_of: dict[str, str] = {}
        self._before: dict[str, str | None] | None = None  # id -> its text when the transaction began; None: not there
        self._removed: dict[str, tuple[str, Json]] = {}
        try:
            if folder is not None:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = ":memory:" if folder is None else folder / "stripe.sqlite"
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = normal")
            self._connection.executescript(SCHEMA)
            rows = self._connection.execute("select id, kind, body from objects order by number").fetchall()
            for id, kind, body in rows:
                self._keep(kind, id, json.loads(body))
        except OSError as error:
            raise CloudError(disk_sentence(error, "opening what the stand-in of Stripe holds")) from None
        except (sqlite3.Error, ValueError) as error:
            raise CloudError(
                f"What the stand-in of Stripe holds cannot be read in {folder}: {error}. "
                "`make clean` starts anew; what it held is lost."
            ) from None

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing; one inside another belongs to the outer one. No await inside."""
        if self._before is not None:
            yield
            return
        self._before, self._removed = {}, {}
        try:
            yield
            self._write()
        except BaseException:
            self._restore()
            raise
        finally:
            self._before = None

    def get(self, id: str) -> Json | None:
        """The object itself: what is changed in it within a transaction is kept."""
        kind = self._kind_of.get(id)
        if kind is None:
            return None
        found = self._kinds[kind][id]
        if self._before is not None and id not in self._before:
            self._before[id] = json.dumps(found)
        return found

    def kind_of(self, id: str) -> str | None:
        return self._kind_of.get(id)

    def all(self, kind: str) -> list[Json]:
        """Every object of a kind, the oldest first, to read; `get` what is to be changed."""
        return list(self._kinds.get(kind, {}).values())

    def find(self, kind: str, **fields: object) -> list[Json]:
        """Those whose fields have these values, the oldest first; they may be changed."""
        ids = [
            id
            for id, body in self._kinds.get(kind, {}).items()
            if all(body.get(name) == value for name, value in fields.items())
        ]
        return [body for id in ids if (body := self.get(id)) is not None]

    def put(self, kind: str, id: str, body: Json) -> Json:
        """Add an object, or put another in its place."""
        assert self._before is not None, "changes happen in a transaction"
        if id in self._kind_of:
            self.get(id)
        else:
            self._before.setdefault(id, None)
        self._keep(kind, id, body)
        return body

    def remove(self, id: str) -> None:
        assert self._before is not None, "changes happen in a transaction"
        found = self.get(id)
        if found is not None:
            kind = self._kind_of.pop(id)
            self._removed[id] = (kind, self._kinds[kind].pop(id))

    def clear(self) -> None:
        """Remove everything."""
        for id in list(self._kind_of):
            self.remove(id)

    def original(self, id: str) -> Json | None:
        """What it was when the transaction began; None when it was not there."""
        text = (self._before or {}).get(id)
        return None if text is None else json.loads(text)

    def _keep(self, kind: str, id: str, body: Json) -> None:
        self._kinds.setdefault(kind, {})[id] = body
        self._kind_of[id] = kind

    def _write(self) -> None:
        assert self._before is not None
        put, gone = [], []
        for id, before in self._before.items():
            kind = self._kind_of.get(id)
            if kind is None:
                gone.append((id,))
            elif (text := json.dumps(self._kinds[kind][id])) != before:
                put.append((id, kind, text))
        if not put and not gone:
            return
        self._connection.execute("begin immediate")
        try:
            self._connection.executemany("delete from objects where id = ?", gone)
            self._connection.executemany(
                "insert into objects (id, kind, body) values (?, ?, ?)"
                " on conflict (id) do update set kind = excluded.kind, body = excluded.body",
                put,
            )
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    def _restore(self) -> None:
        for id, before in (self._before or {}).items():
            kind = self._kind_of.get(id)
            if before is None:
                if kind is not None:
                    del self._kinds[kind][id], self._kind_of[id]
                continue
            if kind is None:
                kind, body = self._removed[id]
                self._keep(kind, id, body)
            body = self._kinds[kind][id]
            body.clear()
            body.update(json.loads(before))
