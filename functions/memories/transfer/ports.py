"""What batches, export and import need of a store. Each method is one round trip and one transaction, and may raise
`problems.Unavailable`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from core.once import Once
from memories.graph.model import Relationship
from memories.model import Author, Memory
from memories.transfer.model import ExportPage, NoRoom, Outcome, Part, Place, Stored, Taken, Totals


class TransferStore(Protocol):
    """The memories and relationships of one workspace, many at a time."""

    async def put_many(self, memories: Sequence[Memory], author: Author, once: Once | None = None) -> list[Stored]:
        """`MemoryStore.put` for each, all or none; what became of each, in order. Their ids differ.

        Raises:
            memories.ports.KeyReused: see there.
        """
        ...

    async def put_some(
        self, memories: Sequence[Memory], author: Author, once: Once | None = None
    ) -> list[Stored | NoRoom | Taken]:
        """The same for each that has room, one after another; the others are left out, as are those whose ids are those
        of memories that the caller does not see."""
        ...

    async def export_page(self, place: Place, *, limit: int, current: bool) -> ExportPage:
        """What follows `place`, up to `limit` things and the byte limit of a page, relationships only once all memories
        are through. `current`: only relationships that hold now."""
        ...

    async def totals(self) -> Totals: ...

    async def import_memories(self, memories: Sequence[Memory], author: Author) -> list[Outcome]:
        """Store each memory with its own times, unless one of its id is there whose `updated_at` is the same or later.

        The `version` of a new one is its own; of one that is updated the greater of its own and the next.
        The ids differ. Nothing else is changed; a repeated import changes nothing. What has no room is left out.
        """
        ...

    async def import_relationships(
        self, relationships: Sequence[Relationship], author: Author, *, timeless: bool
    ) -> list[Outcome]:
        """Store each relationship with its own times and counts, one after another, so that later ones see the earlier.

        One of the same id is replaced when its `updated_at` is earlier (but for its ends and type), else kept.
        `timeless`: they come from a file without ids and times, so the same current relationship (both ends, type,
        strength, confidence, context) under any id is kept in their place. A new one that holds still (`valid_until` is
        None) is refused when it would close a cycle of its type; so is a replaced one that begins to hold again. What
        has no room is left out.
        """
        ...

    async def part(self, import_id: str, number: int) -> Part | None:
        """What became of a part that was done."""
        ...

    async def finish_part(self, import_id: str, part: Part, *, forget_before: datetime) -> None:
        """Remember a part that was done, if it is not remembered yet; forget parts older than `forget_before`."""
        ...

    async def parts(self, import_id: str) -> list[Part]:
        """All that were done, by number."""
        ...
