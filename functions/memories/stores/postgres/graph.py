"""Relationships: what is done with single ones (0005_relationship_operations.sql)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime

from core.once import Once
from memories.graph.model import EdgeChanges, Reinforcement, Relationship
from memories.graph.ports import Cycle, UnknownEnds
from memories.model import Author, Mismatch, Revision
from memories.stores.postgres.base import (
    READ,
    WRITE,
    Part,
    amended_columns,
    changed_from,
    expected_arrays,
    mismatch,
    once_json,
    relationship_columns,
    to_json,
)
from memories.stores.rows import author_values, to_micros, to_relationship

# ruff: noqa: S608 - what is put into SQL here are calls of our own, never values

_RELATE = f"SELECT from_known, to_known, (made).* FROM memory.relate({WRITE}, %s::jsonb, %s, %s::jsonb)"
_RELATIONSHIP = f"SELECT * FROM memory.relationship({READ}, %s)"
_AMEND = f"""
SELECT current_version, current_at, (changed).* FROM memory.amend({WRITE}, %s, %s::jsonb, %s::bigint[], %s::bigint[])
"""
_UNRELATE = f"SELECT * FROM memory.unrelate({WRITE}, %s, %s::bigint[], %s::bigint[])"
_REINFORCE = f"SELECT * FROM memory.reinforce({WRITE}, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s::jsonb)"
_INVALIDATE = f"SELECT * FROM memory.invalidate({WRITE}, %s, %s, %s, %s, %s::jsonb)"


class Relationships(Part):
    """`memories.graph.ports.GraphStore` without what `walks` reads."""

    async def relate(
        self, relationship: Relationship, *, same_since: datetime, author: Author, once: Once | None = None
    ) -> Relationship | UnknownEnds | Cycle:
        columns = to_json(relationship_columns(relationship, author))
        answer = await self._write(_RELATE, columns, to_micros(same_since), once_json(once))
        from_known, to_known, *row = answer.rows[0]
        if row[0] is not None:
            return to_relationship(row)
        ends = ((relationship.from_id, from_known), (relationship.to_id, to_known))
        unknown = tuple(dict.fromkeys(end for end, known in ends if not known))
        return UnknownEnds(unknown) if unknown else Cycle()

    async def relationship(self, relationship_id: str) -> Relationship | None:
        rows = (await self._read(_RELATIONSHIP, relationship_id)).rows
        return to_relationship(rows[0]) if rows else None

    async def amend(
        self,
        relationship_id: str,
        changes: EdgeChanges,
        at: datetime,
        author: Author,
        expected: Sequence[Revision] | None = None,
    ) -> Relationship | Mismatch | None:
        values = {
            **amended_columns(changes.values),
            "updated_at": to_micros(at),
            **author_values(author, "updated"),
        }
        answer = await self._write(_AMEND, relationship_id, to_json(values), *expected_arrays(expected))
        if not answer.rows:
            return None
        version, updated_at, *row = answer.rows[0]
        if row[0] is not None:
            return to_relationship(row)
        if answer.repeated and changed_from(expected, at, version, updated_at):  # the first time has changed it
            return await self.relationship(relationship_id)
        return mismatch(version, updated_at)

    async def unrelate(self, relationship_id: str, expected: Sequence[Revision] | None = None) -> bool | Mismatch:
        answer = await self._write(_UNRELATE, relationship_id, *expected_arrays(expected))
        known, version, updated_at = answer.rows[0]
        if version is not None:
            return mismatch(version, updated_at)
        return bool(known) or answer.repeated  # then the first time may have deleted it

    async def reinforce(
        self,
        relationship_id: str,
        reinforcement: Reinforcement,
        at: datetime,
        author: Author,
        once: Once | None = None,
    ) -> Relationship | None:
        factor = 1.0 if reinforcement.success else -0.5
        answer = await self._write(
            _REINFORCE,
            relationship_id,
            secrets.token_hex(8),
            reinforcement.success,
            factor * reinforcement.strength_step,
            factor * reinforcement.confidence_step,
            reinforcement.least,
            reinforcement.most,
            to_micros(at),
            to_json(author_values(author, "updated")),
            once_json(once),
        )
        return to_relationship(answer.rows[0]) if answer.rows else None

    async def invalidate(
        self, relationship_id: str, at: datetime, author: Author, *, by: str | None = None, reason: str | None = None
    ) -> Relationship | None:
        authors = to_json(author_values(author, "updated"))
        rows = (await self._write(_INVALIDATE, relationship_id, to_micros(at), by, reason, authors)).rows
        return to_relationship(rows[0]) if rows else None
