"""The stand-in's clock: this machine's, moved on as far as somebody asked for (POST /_local/advance)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from infra.local.cloud.vendors.stripe.store import Store

KIND, ID = "_clock", "_clock"
DAY = 86_400
HOUR = 3_600


class Clock:
    """Unix seconds. It never goes back, and how far it was moved outlives a restart."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._at: int | None = None  # set while something is done that was due at that time
        self.frozen: int | None = None  # set while the clock is moved on: the goal

    def now(self) -> int:
        return self._at if self._at is not None else self.limit()

    def limit(self) -> int:
        """The present, whatever is being caught up with."""
        if self.frozen is not None:
            return self.frozen
        return int(time.time()) + self.offset

    @property
    def offset(self) -> int:
        kept = self._store.get(ID)
        return int(kept["seconds"]) if kept is not None else 0

    def move(self, seconds: int) -> None:
        """Be `seconds` later than now, from now on."""
        self._store.put(KIND, ID, {"seconds": self.offset + seconds})

    @contextmanager
    def at(self, moment: int) -> Iterator[None]:
        """Do something as of `moment`."""
        before, self._at = self._at, moment
        try:
            yield
        finally:
            self._at = before
