"""What the service of relationships needs of a store. Each method is one round trip and one transaction, and may raise
`problems.Unavailable`; those with `once` may raise `memories.ports.KeyReused`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from core.once import Once
from memories.graph.model import (
    ChangesPosition,
    ContextSearch,
    EdgeChanges,
    EdgeChangesSince,
    History,
    Path,
    Reinforcement,
    Related,
    Relationship,
)
from memories.model import Author, Mismatch, Revision


@dataclass(frozen=True, slots=True)
class UnknownEnds:
    """Nothing was done: these memories do not exist."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cycle:
    """A relationship was not made: its end leads back to its start over relationships of the same type that hold."""


class GraphStore(Protocol):
    """The relationships of one workspace."""

    async def relate(
        self, relationship: Relationship, *, same_since: datetime, author: Author, once: Once | None = None
    ) -> Relationship | UnknownEnds | Cycle:
        """Make a relationship, unless it would close a cycle of its type: its end leads to its start, or is it, over
        relationships that end never, or later than when this one is recorded. One that has ended by then closes none.

        An identical one (both ends, type, strength, confidence, context, valid_until, and valid_from: the same, or in
        both the moment of recording) recorded at `same_since` or later is taken for this one, and returned.
        """
        ...

    async def relationship(self, relationship_id: str) -> Relationship | None: ...

    async def amend(
        self,
        relationship_id: str,
        changes: EdgeChanges,
        at: datetime,
        author: Author,
        expected: Sequence[Revision] | None = None,
    ) -> Relationship | Mismatch | None:
        """Change some fields. With `expected`: only when it is at one of these revisions. None: there is none.

        `updated_at` becomes `at`, here and in `reinforce` and `invalidate`, but at least a microsecond more than it
        was: it may have come from a clock that was ahead.
        """
        ...

    async def unrelate(self, relationship_id: str, expected: Sequence[Revision] | None = None) -> bool | Mismatch:
        """Remove a relationship for good; False when there was certainly none."""
        ...

    async def reinforce(
        self,
        relationship_id: str,
        reinforcement: Reinforcement,
        at: datetime,
        author: Author,
        once: Once | None = None,
    ) -> Relationship | None:
        """Count one more observation and move strength and confidence, within bounds: up by a step after a success,
        else down by half a step (but never away from a bound that they are beyond already). `last_validated` becomes
        `at` whether it was a success or not."""
        ...

    async def invalidate(
        self, relationship_id: str, at: datetime, author: Author, *, by: str | None = None, reason: str | None = None
    ) -> Relationship | None:
        """Let it hold until `at`, because of the relationship `by`. One that has ended at `at` or before stays as it
        is; one that would begin later never held, and ends when it begins."""
        ...

    async def related(
        self, memory_id: str, types: Collection[str], depth: int, limit: int, as_of: datetime | None = None
    ) -> list[Related] | None:
        """Memories within `depth` relationships of the given types (empty: all), in either direction.

        Over current ones, or those that held at `as_of`: valid_from <= as_of, and valid_until is null or later.
        Each memory once, at its least depth, with the strongest edge that reaches it there (then the newest, then by
        id); by strength, then importance, then the newest, then id. The memories are as they are now. None when there
        is no such memory.
        """
        ...

    async def path(
        self, start: str, end: str, types: Collection[str], depth: int, as_of: datetime | None = None
    ) -> Path | UnknownEnds | None:
        """A shortest way between two memories over relationships as in `related`; None when it is longer than `depth`.

        From `end` backwards, each step takes the strongest edge (then the newest, then by id) to a memory that is one
        step nearer to `start`. The way from a memory to itself holds it alone.
        """
        ...

    async def history(self, memory_id: str, types: Collection[str], *, limit: int, offset: int) -> History | None:
        """None when there is no such memory. The page of relationships may end before its limit when their contexts are
        large (`stores.rows.PAGE_BYTES`)."""
        ...

    async def changes(self, since: datetime, limit: int, after: ChangesPosition | None = None) -> EdgeChangesSince:
        """See `EdgeChangesSince`. One that will cease to hold in the future counts as invalidated too (contract 7.7).
        Large contexts end a list as the limit does.

        With `after`, each list goes on where it was left; one that was at its end is empty.
        """
        ...

    async def search_context(self, search: ContextSearch) -> list[Relationship]:
        """Current relationships whose structured context matches: by strength, then the newest, then by id. Large
        contexts end the list as its limit does."""
        ...
