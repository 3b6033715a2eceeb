"""What the service needs of a store. One suite of conformance tests runs over every adapter (tests/functions/memories).

Each method is one round trip and one transaction: it holds whole or not at all. Every method may raise
`problems.Unavailable`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from core.ports import StoreAddress
from memories.model import Activity, Author, Changes, Memory, Page, Related, Relationship, Search, Statistics


@dataclass(frozen=True, slots=True)
class UnknownEnds:
    """A relationship was not made: these memories do not exist."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cycle:
    """A relationship was not made: its end leads back to its start over relationships of the same type."""


class MemoryStore(Protocol):
    """The memories of one workspace."""

    async def put(self, memory: Memory, author: Author) -> Memory:
        """Store a memory, whole. One of the same id is replaced but for its `created_at`, and keeps its relationships.

        Returns the memory as stored; its `version` is 1 when it is new.
        """
        ...

    async def get(self, memory_id: str) -> Memory | None: ...

    async def update(self, memory_id: str, changes: Changes, at: datetime, author: Author) -> Memory | None:
        """Change some fields; None when there is no such memory."""
        ...

    async def delete(self, memory_id: str) -> bool:
        """Remove a memory and its relationships; False when there was certainly no such memory."""
        ...

    async def search(self, search: Search) -> Page:
        """Exact titles first, then by importance, then the newest.

        A page may end before its limit when its memories are large (`stores.sqlite.PAGE_BYTES`).
        """
        ...

    async def relate(
        self, relationship: Relationship, *, same_since: datetime, author: Author
    ) -> Relationship | UnknownEnds | Cycle:
        """Make a relationship, unless it would close a cycle of its type.

        An identical one recorded at `same_since` or later is taken for this one, and returned.
        """
        ...

    async def related(self, memory_id: str, types: Collection[str], depth: int, limit: int) -> list[Related] | None:
        """Memories within `depth` current relationships of the given types (empty: all), in either direction.

        Each once, at its least depth, with the strongest edge that reaches it there; by strength, then importance.
        None when there is no such memory.
        """
        ...

    async def recent(self, since: datetime, project: str | None, *, newest: int, unresolved: int) -> Activity:
        """Memories created at `since` or later, of one project or of all. Unresolved: problems and errors that nothing
        solves or addresses."""
        ...

    async def statistics(self) -> Statistics: ...


class MemoryStores(Protocol):
    """Opens the store of a workspace; opening costs nothing."""

    def open(self, address: StoreAddress) -> MemoryStore: ...
