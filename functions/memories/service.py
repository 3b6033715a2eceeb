"""The rules of memories. Knows ports only; every method is one call of a store.

Left out: wire shapes (handlers.py, schemas.py), relationships (graph/), many at once (transfer/), how things are stored
(stores/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from core.once import Once
from core.ports import Clock, Principal
from core.problems import Conflict, NotFound
from memories.model import Activity, Author, Changes, Memory, Mismatch, Page, Position, Revision, Search, Statistics
from memories.ports import KeyReused, MemoryStore, OtherProject, Stores
from memories.projects import memory_of, placed, taken
from memories.quotas import limits_of
from memories.text import fold, patterns

RECENT_LIMIT = 20
UNRESOLVED_LIMIT = 10


class MemoryService:
    """One for the process; each call says whose memories it is about."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now()

    async def store(self, caller: Principal, memory: Memory, agent: str, once: Once | None = None) -> Memory:
        """Create a memory, or replace the one of the same id. A new one has `version` 1.

        Raises:
            Conflict: the key of `once` was used for something else, or the id is that of a memory out of sight.
            OutsideProject: the caller is bound to another project.
        """
        try:
            return await self._store(caller).put(memory_of(caller, memory), author(caller, agent), once)
        except KeyReused:
            raise reused() from None
        except OtherProject as refused:
            raise taken(*refused.ids) from None

    async def read(self, caller: Principal, memory_id: str, as_of: datetime | None = None) -> Memory:
        """The memory as it is, or as it was at a moment.

        Raises:
            NotFound: there is none, or there was none then.
        """
        if as_of is None:
            return _found(await self._store(caller).get(memory_id), memory_id)
        memory = await self._store(caller).get_as_of(memory_id, as_of)
        if memory is None:
            raise NotFound(f"Nothing is known of a memory {memory_id} at {as_of.isoformat()} in this workspace.")
        return memory

    async def update(
        self,
        caller: Principal,
        memory_id: str,
        changes: Mapping[str, Any],
        agent: str,
        expected: Sequence[Revision] | None = None,
    ) -> Memory | Mismatch:
        """Change the given fields; with none, this is a read.

        Raises:
            NotFound: there is no such memory.
            OutsideProject: it would leave the project that the caller is bound to.
        """
        if not changes:
            memory = await self.read(caller, memory_id)
            current = Revision(memory.version, memory.updated_at)
            return memory if expected is None or current in expected else Mismatch(current)
        if "context" in changes:
            changes = {**changes, "context": placed(caller, changes["context"])}
        store = self._store(caller)
        updated = await store.update(memory_id, Changes(changes), self.now(), author(caller, agent), expected)
        return updated if isinstance(updated, Mismatch) else _found(updated, memory_id)

    async def delete(
        self, caller: Principal, memory_id: str, expected: Sequence[Revision] | None = None
    ) -> Mismatch | None:
        """Raises: NotFound."""
        deleted = await self._store(caller).delete(memory_id, expected)
        if isinstance(deleted, Mismatch):
            return deleted
        if not deleted:
            raise unknown(memory_id)
        return None

    async def search(self, caller: Principal, search: Search) -> Page:
        """Memories that pass the filters.

        Raises:
            NotFound: the search is near a memory that is not there.
        """
        page = await self._store(caller).search(search)
        if page is None:
            assert search.near is not None, "only then there may be no page"
            raise unknown(search.near.memory_id)
        return page

    async def recent(self, caller: Principal, days: int, project: str | None) -> Activity:
        since = self.now() - timedelta(days=days)
        return await self._store(caller).recent(since, project, newest=RECENT_LIMIT, unresolved=UNRESOLVED_LIMIT)

    async def statistics(self, caller: Principal) -> Statistics:
        return await self._store(caller).statistics()

    def _store(self, caller: Principal) -> MemoryStore:
        return self._stores.open(caller.store, limits_of(caller.plan), caller.project)


def wanted(
    search: Search,
    *,
    query: str | None = None,
    terms: Sequence[str] | None = None,
    every_term: bool = False,
    strict: bool = False,
) -> Search:
    """`search` for the query, or for the terms in its place: one of them, or every one."""
    groups = [patterns(text, strict=strict) for text in terms or ((query or ""),)]
    groups = [group for group in groups if group]
    if not every_term and groups:
        groups = [tuple(dict.fromkeys(needle for group in groups for needle in group))]
    exact = fold((terms[0] if terms else query) or "").strip()
    return replace(search, needles=tuple(groups), exact=exact)


def position(search: Search, memory: Memory) -> Position:
    """Where a page that ends with `memory` ends."""
    exact = search.exact != "" and fold(memory.title) == search.exact
    return Position(exact, memory.importance, memory.created_at, memory.id)


def author(caller: Principal, agent: str) -> Author:
    """Who writes, as every write records it."""
    return Author(caller.key_id, caller.account_id, agent)


def reused() -> Conflict:
    return Conflict(
        "This Idempotency-Key was used for another request before. Send a new key with a new request, and the same key "
        "only to repeat the same one."
    )


def unknown(*memory_ids: str) -> NotFound:
    return NotFound(f"There is no memory {' and no memory '.join(memory_ids)} in this workspace.")


def _found(memory: Memory | None, memory_id: str) -> Memory:
    if memory is None:
        raise unknown(memory_id)
    return memory
