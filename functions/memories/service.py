"""The rules of memories. Knows ports only; every method is one call of a store.

Left out: wire shapes (handlers.py, schemas.py), how things are stored (stores/).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from core.ports import Clock, Principal
from core.problems import Invalid, NotFound
from memories.model import Activity, Author, Changes, Memory, Page, Related, Relationship, Search, Statistics
from memories.ports import Cycle, MemoryStore, MemoryStores, UnknownEnds
from memories.text import fold, patterns

RELATED_LIMIT = 20
RECENT_LIMIT = 20
UNRESOLVED_LIMIT = 10
SAME_RELATIONSHIP_SECONDS = 15
"""Clients repeat a POST after a lost answer, and relationships carry no id of theirs (client contract 4.3). Long enough
for a store that wakes (10 s) and the client's first pause; a duplicate made on purpose later stays allowed (7.6)."""


class MemoryService:
    """One for the process; each call says whose memories it is about."""

    def __init__(self, stores: MemoryStores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now()

    async def store(self, caller: Principal, memory: Memory, agent: str) -> Memory:
        """Create a memory, or replace the one of the same id. A new one has `version` 1."""
        return await self._store(caller).put(memory, _author(caller, agent))

    async def read(self, caller: Principal, memory_id: str) -> Memory:
        """Raises: NotFound."""
        return _found(await self._store(caller).get(memory_id), memory_id)

    async def update(self, caller: Principal, memory_id: str, changes: Mapping[str, Any], agent: str) -> Memory:
        """Change the given fields; with none, this is a read.

        Raises:
            NotFound: there is no such memory.
        """
        if not changes:
            return await self.read(caller, memory_id)
        updated = await self._store(caller).update(memory_id, Changes(changes), self.now(), _author(caller, agent))
        return _found(updated, memory_id)

    async def delete(self, caller: Principal, memory_id: str) -> None:
        """Raises: NotFound."""
        if not await self._store(caller).delete(memory_id):
            raise _unknown(memory_id)

    async def search(
        self,
        caller: Principal,
        search: Search,
        *,
        query: str | None = None,
        terms: Sequence[str] | None = None,
        every_term: bool = False,
        strict: bool = False,
    ) -> Page:
        """Memories that pass the filters of `search` and hold the query, or the terms in its place."""
        groups = [patterns(text, strict=strict) for text in terms or ((query or ""),)]
        groups = [group for group in groups if group]
        if not every_term and groups:
            groups = [tuple(dict.fromkeys(needle for group in groups for needle in group))]
        exact = fold((terms[0] if terms else query) or "").strip()
        return await self._store(caller).search(replace(search, needles=tuple(groups), exact=exact))

    async def relate(self, caller: Principal, relationship: Relationship, agent: str) -> Relationship:
        """Make a relationship; an identical one of the last seconds is taken for this one.

        Raises:
            NotFound: an end is not known.
            Invalid: it would close a cycle of its type.
        """
        same_since = relationship.recorded_at - timedelta(seconds=SAME_RELATIONSHIP_SECONDS)
        made = await self._store(caller).relate(relationship, same_since=same_since, author=_author(caller, agent))
        if isinstance(made, UnknownEnds):
            raise _unknown(*made.ids)
        if isinstance(made, Cycle):
            raise Invalid(
                f"The relationship would close a cycle: {relationship.to_id} leads to {relationship.from_id} "
                f"over {relationship.type.value} already.",
                errors={"to_memory_id": "would close a cycle of this type"},
            )
        return made

    async def related(self, caller: Principal, memory_id: str, types: Collection[str], depth: int) -> list[Related]:
        """Raises: NotFound."""
        found = await self._store(caller).related(memory_id, types, depth, RELATED_LIMIT)
        if found is None:
            raise _unknown(memory_id)
        return found

    async def recent(self, caller: Principal, days: int, project: str | None) -> Activity:
        since = self.now() - timedelta(days=days)
        return await self._store(caller).recent(since, project, newest=RECENT_LIMIT, unresolved=UNRESOLVED_LIMIT)

    async def statistics(self, caller: Principal) -> Statistics:
        return await self._store(caller).statistics()

    def _store(self, caller: Principal) -> MemoryStore:
        return self._stores.open(caller.store)


def _author(caller: Principal, agent: str) -> Author:
    return Author(caller.key_id, caller.account_id, agent)


def _found(memory: Memory | None, memory_id: str) -> Memory:
    if memory is None:
        raise _unknown(memory_id)
    return memory


def _unknown(*memory_ids: str) -> NotFound:
    return NotFound(f"There is no memory {' and no memory '.join(memory_ids)} in this workspace.")
