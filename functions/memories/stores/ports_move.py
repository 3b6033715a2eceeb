"""What moving a workspace between stores needs of each (DESIGN, section 5). One suite runs over every adapter
(tests/functions/memories/test_store_moves.py); the steps are in copying.py, the job that takes them in provisioning.

These calls know no limits, and what reads passes no fence: a move works behind it. What writes rows does so only while
the store is closed at the epoch of its address and, once it was taken over, for who took it over last: so whoever comes
late, were it a call that was sent long ago, spoils nothing that is live. Each is one round trip, unless said otherwise,
and may be repeated; each may raise `problems.Unavailable`. Left out of a copy: what follows from the rest (folded
texts, structures), and is made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from core.ports import StoreAddress


class Mode(StrEnum):
    """What may be done with a store by those who come at its epoch."""

    OPEN = "open"
    READ_ONLY = "read_only"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Fence:
    epoch: int
    mode: Mode


PAUSE_MOST = 15.0
"""Seconds that a pause lasts at most, whatever becomes of the store's clock (0017_move_fences.sql, 0003 of SQLite)."""


class Kind(StrEnum):
    """What a workspace consists of, in the order in which it is copied."""

    MEMORY = "memory"
    VERSION = "version"  # an earlier state of a memory
    RELATIONSHIP = "relationship"
    KEY = "key"  # an idempotency key, and what was answered
    PART = "part"  # a part of an import that was done


Raw = dict[str, Any]
"""One row: every column that does not follow from others, by its name in the SQLite schema, the same in all stores."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something was written or removed: one thing, a memory with its earlier states, or an import with its parts."""

    seq: int
    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Digest:
    """How many there are, and a sum over their rows that does not depend on their order or their store.

    Keys and parts are left out: they expire by themselves, and old ones go whenever others come.
    """

    memories: int
    versions: int
    relationships: int
    checksum: int


class MovableStore(Protocol):
    """All of one workspace, below its fence."""

    async def read_fence(self) -> Fence: ...

    async def fence(self, fence: Fence) -> Fence:
        """Set the fence, unless it is at a later epoch already; the one that then holds. When this returns, nothing
        that the fence forbids is at work any more."""
        ...

    async def pause(self, seconds: float) -> bool:
        """Take no writes for so long, by the store's own clock. When this returns, none is at work any more.

        Returns:
            False: the store is not open at the epoch of its address.
        """
        ...

    async def prolong_pause(self, seconds: float) -> bool:
        """Take none for so long from now on. False: the pause has ended, and somebody may have written since."""
        ...

    async def end_pause(self) -> None:
        """Take writes again, at once."""
        ...

    async def take_over(self) -> bool:
        """Close the store at the epoch of its address; until it is handed over, or taken over by another one, only this
        object writes rows. When this returns, nothing that others had begun is at work any more.

        Returns:
            False: it is at a later epoch, or serves at this one.
        """
        ...

    async def hand_over(self, mode: Mode) -> bool:
        """The work is done: this holds from now on. False: another one has taken it over meanwhile."""
        ...

    async def begin_journal(self) -> None:
        """From now on, write down what changes. Again: what was written down is kept."""
        ...

    async def read_journal(self, after: int, limit: int) -> list[Change]:
        """What was written down behind `after` (0: from the beginning), in order. Nothing appears before it later."""
        ...

    async def end_journal(self) -> None:
        """Write nothing more down, and forget what was.

        Raises:
            Fenced: as `put_raw` does.
        """
        ...

    async def raw_page(
        self, kind: Kind, after: tuple[str, int] | None = None, *, ids: Sequence[str] | None = None, limit: int = 500
    ) -> list[Raw]:
        """Rows in order of their keys, behind one (`key_of`), only those of the things `ids` when they are given.

        A page may end before its limit when its rows are large; an empty one is the end.
        """
        ...

    async def put_raw(self, kind: Kind, rows: Sequence[Raw], *, instead_of: Sequence[str] = ()) -> None:
        """Store rows as they are, each in the place of the one with its key; in one go with that, remove all rows of
        the things `instead_of`. A memory's earlier states and relationships are of other kinds, and stay.

        Raises:
            Fenced: the store is not closed, is at another epoch, or was taken over by another one.
        """
        ...

    async def digest(self) -> Digest:
        """See there. As many round trips as pages where the database cannot sum up itself."""
        ...

    async def erase(self) -> bool:
        """Remove a piece of everything but the fence, and end the journal; True when nothing is left.

        Raises:
            Fenced: as `put_raw` does.
        """
        ...


class MovableStores(Protocol):
    """Opens a workspace's store to move it; opening costs nothing."""

    def open(self, address: StoreAddress) -> MovableStore: ...


def key_of(kind: Kind, row: Raw) -> tuple[str, int]:
    """Where a row is in the order of its kind."""
    if kind is Kind.VERSION:
        return row["id"], row["version"]
    if kind is Kind.PART:
        return row["import_id"], row["part"]
    return row["key" if kind is Kind.KEY else "id"], 0
