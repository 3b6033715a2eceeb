"""What the service needs of a store. One suite of conformance tests runs over every adapter (tests/functions/memories).

Each method is one round trip and one transaction: it holds whole or not at all. Every method may raise
`problems.Unavailable`, and those that write `quotas.QuotaReached` (a second round trip tells how full it is): when
there would be more memories, or more bytes of text, than the limits allow. A memory that grows needs room for all of
its text, because its earlier state is kept. One that does not grow is always taken: where there is no room for another
earlier state, its oldest give way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from core.once import Once
from core.ports import StoreAddress
from memories.graph.ports import GraphStore
from memories.model import (
    Activity,
    Author,
    Changes,
    Memory,
    Mismatch,
    Page,
    Revision,
    Search,
    Statistics,
)
from memories.quotas import StoreLimits, Usage
from memories.transfer.ports import TransferStore


class KeyReused(Exception):
    """The key of a `Once` was used before, for something else. Nothing was done."""


class OtherProject(Exception):
    """A memory would be, or one of its id is, of another project than the caller is bound to. Nothing was done.

    `ids`: those of the latter, where they are known.
    """

    def __init__(self, *ids: str) -> None:
        super().__init__("of another project")
        self.ids = ids


class MemoryStore(Protocol):
    """The memories of one workspace, or of one project in it: then the others are not there, for every operation.
    Those that store memories may then raise `OtherProject`."""

    async def put(self, memory: Memory, author: Author, once: Once | None = None) -> Memory:
        """Store a memory, whole. One of the same id is replaced but for its `created_at`, and keeps its relationships.
        Its `updated_at` never goes back: when the stored one is later, it becomes a microsecond more than that.

        Returns the memory as stored; its `version` is 1 when it is new. With a `once` that was used before for the same
        thing nothing is stored, and what it stored then is returned as it was then.

        Raises:
            KeyReused: see there.
        """
        ...

    async def get(self, memory_id: str) -> Memory | None: ...

    async def get_as_of(self, memory_id: str, at: datetime) -> Memory | None:
        """The memory as it was at a moment: its last state whose `updated_at` is not later. None: it was not there yet,
        is not there now, or has since had more than `stores.rows.VERSIONS_KEPT` other states."""
        ...

    async def update(
        self,
        memory_id: str,
        changes: Changes,
        at: datetime,
        author: Author,
        expected: Sequence[Revision] | None = None,
    ) -> Memory | Mismatch | None:
        """Change some fields. With `expected`: only when it is at one of these revisions. None: there is none."""
        ...

    async def delete(self, memory_id: str, expected: Sequence[Revision] | None = None) -> bool | Mismatch:
        """Remove a memory, its earlier states and its relationships; False when there was certainly no such memory."""
        ...

    async def search(self, search: Search) -> Page | None:
        """Exact titles first, then by importance, then the newest, then by id.

        A page may end before its limit when its memories are large (`stores.rows.PAGE_BYTES`). None when the search is
        `near` a memory that is not there.
        """
        ...

    async def recent(self, since: datetime, project: str | None, *, newest: int, unresolved: int) -> Activity:
        """Memories created at `since` or later, of one project or of all. Unresolved: problems and errors that nothing
        solves or addresses."""
        ...

    async def statistics(self) -> Statistics: ...

    async def read_usage(self) -> Usage:
        """What the store holds, as the quotas count it."""
        ...


class Store(MemoryStore, GraphStore, TransferStore, Protocol):
    """Everything that one workspace remembers."""


class Stores(Protocol):
    """Opens the store of a workspace, for a caller whose plan has these limits (None: no limits) and who is bound to a
    project (None: to none); it costs nothing.

    A memory's project is its `context.project_path`, compared as it is stored: letter for letter. Relationships are
    there when both ends are, and lead on to nothing else; limits count the whole workspace.
    """

    def open(self, address: StoreAddress, limits: StoreLimits | None = None, project: str | None = None) -> Store: ...
