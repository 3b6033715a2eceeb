"""The rules of relationships. Knows ports only; every method is one call of a store.

Left out: wire shapes (handlers.py, schemas.py), what a context says (context.py), how things are stored (stores/).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from core.once import Once
from core.ports import Clock, Principal
from core.problems import Invalid, NotFound
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
from memories.graph.ports import Cycle, GraphStore, UnknownEnds
from memories.model import Mismatch, Revision
from memories.ports import KeyReused, Stores
from memories.quotas import limits_of
from memories.service import author, reused, unknown

RELATED_LIMIT = 20
SAME_RELATIONSHIP_SECONDS = 15
"""Clients repeat a POST after a lost answer, and relationships carry no id of theirs (client contract 4.3). Long enough
for a store that wakes (10 s) and the client's first pause; a duplicate made on purpose later stays allowed (7.6)."""
SUCCESS = Reinforcement(success=True, strength_step=0.05, confidence_step=0.03, least=0.1, most=1.0)
FAILURE = replace(SUCCESS, success=False)
"""One observation against a relationship weighs half as much as one for it, and none takes it below `least`."""


class GraphService:
    """One for the process; each call says whose relationships it is about."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now()

    async def relate(
        self, caller: Principal, relationship: Relationship, agent: str, once: Once | None = None
    ) -> Relationship:
        """Make a relationship; an identical one of the last seconds is taken for this one.

        Raises:
            NotFound: an end is not known.
            Invalid: it would close a cycle of its type, or relate a memory to itself, or ends before it begins.
            Conflict: the key of `once` was used for something else.
        """
        if relationship.valid_until is not None and relationship.valid_until <= relationship.valid_from:
            message = "must be after valid_from, which is now unless it is given"
            raise Invalid.naming({"valid_until": message})
        same_since = relationship.recorded_at - timedelta(seconds=SAME_RELATIONSHIP_SECONDS)
        try:
            made = await self._store(caller).relate(
                relationship, same_since=same_since, author=author(caller, agent), once=once
            )
        except KeyReused:
            raise reused() from None
        if isinstance(made, UnknownEnds):
            raise unknown(*made.ids)
        if isinstance(made, Cycle) and relationship.from_id == relationship.to_id:
            raise Invalid(
                f"A memory cannot be related to itself: {relationship.from_id} is both ends of the relationship "
                f"{relationship.type.value}.",
                errors={"to_memory_id": "must be another memory than from_memory_id"},
            )
        if isinstance(made, Cycle):
            raise Invalid(
                f"The relationship would close a cycle: {relationship.to_id} leads to {relationship.from_id} "
                f"over {relationship.type.value} already.",
                errors={"to_memory_id": "would close a cycle of this type"},
            )
        return made

    async def read(self, caller: Principal, relationship_id: str) -> Relationship:
        """Raises: NotFound."""
        return _found(await self._store(caller).relationship(relationship_id), relationship_id)

    async def update(
        self,
        caller: Principal,
        relationship_id: str,
        changes: Mapping[str, Any],
        agent: str,
        expected: Sequence[Revision] | None = None,
    ) -> Relationship | Mismatch:
        """Change strength, confidence or context; with no changes, this is a read.

        Raises:
            NotFound: there is no such relationship.
        """
        if not changes:
            edge = await self.read(caller, relationship_id)
            current = Revision(edge.version, edge.updated_at)
            return edge if expected is None or current in expected else Mismatch(current)
        changed = await self._store(caller).amend(
            relationship_id, EdgeChanges(changes), self.now(), author(caller, agent), expected
        )
        return changed if isinstance(changed, Mismatch) else _found(changed, relationship_id)

    async def delete(
        self, caller: Principal, relationship_id: str, expected: Sequence[Revision] | None = None
    ) -> Mismatch | None:
        """Remove it for good. What only ceases to hold is invalidated instead.

        Raises:
            NotFound: there is no such relationship.
        """
        deleted = await self._store(caller).unrelate(relationship_id, expected)
        if isinstance(deleted, Mismatch):
            return deleted
        if not deleted:
            raise _unknown(relationship_id)
        return None

    async def reinforce(
        self,
        caller: Principal,
        relationship_id: str,
        agent: str,
        at: datetime,
        *,
        success: bool,
        once: Once | None = None,
    ) -> Relationship:
        """Count one more observation, for it (`SUCCESS`) or against it (`FAILURE`).

        Raises:
            NotFound: there is no such relationship.
            Conflict: the key of `once` was used for something else.
        """
        step = SUCCESS if success else FAILURE
        try:
            edge = await self._store(caller).reinforce(relationship_id, step, at, author(caller, agent), once)
        except KeyReused:
            raise reused() from None
        return _found(edge, relationship_id)

    async def invalidate(
        self, caller: Principal, relationship_id: str, agent: str, *, by: str | None = None, reason: str | None = None
    ) -> Relationship:
        """Let it hold until now; one that has ended already stays as it is.

        `by` names the relationship that supersedes it. It is not looked up: it may be one that is written next, or was
        removed since.

        Raises:
            NotFound: there is no such relationship.
            Invalid: it would supersede itself.
        """
        if by == relationship_id:
            raise Invalid.naming({"invalidated_by": "must be another relationship"})
        edge = await self._store(caller).invalidate(
            relationship_id, self.now(), author(caller, agent), by=by, reason=reason
        )
        return _found(edge, relationship_id)

    async def related(
        self, caller: Principal, memory_id: str, types: Collection[str], depth: int, as_of: datetime | None = None
    ) -> list[Related]:
        """The memories around one, as the relationships are or were at a moment.

        Raises:
            NotFound: there is no such memory.
        """
        found = await self._store(caller).related(memory_id, types, depth, RELATED_LIMIT, as_of)
        if found is None:
            raise unknown(memory_id)
        return found

    async def path(
        self,
        caller: Principal,
        start: str,
        end: str,
        types: Collection[str],
        depth: int,
        as_of: datetime | None = None,
    ) -> Path | None:
        """A shortest way between two memories; None when there is none of at most `depth` relationships.

        Raises:
            NotFound: one of the two memories is not known.
        """
        found = await self._store(caller).path(start, end, types, depth, as_of)
        if isinstance(found, UnknownEnds):
            raise unknown(*found.ids)
        return found

    async def history(
        self, caller: Principal, memory_id: str, types: Collection[str], *, limit: int, offset: int
    ) -> History:
        """Raises: NotFound."""
        found = await self._store(caller).history(memory_id, types, limit=limit, offset=offset)
        if found is None:
            raise unknown(memory_id)
        return found

    async def changes(
        self, caller: Principal, since: datetime, limit: int, after: ChangesPosition | None = None
    ) -> EdgeChangesSince:
        return await self._store(caller).changes(since, limit, after)

    async def search_context(self, caller: Principal, search: ContextSearch) -> list[Relationship]:
        return await self._store(caller).search_context(search)

    def _store(self, caller: Principal) -> GraphStore:
        return self._stores.open(caller.store, limits_of(caller.plan), caller.project)


def _found(edge: Relationship | None, relationship_id: str) -> Relationship:
    if edge is None:
        raise _unknown(relationship_id)
    return edge


def _unknown(relationship_id: str) -> NotFound:
    return NotFound(f"There is no relationship {relationship_id} in this workspace.")
