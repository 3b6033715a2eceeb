"""Making and changing relationships in SQLite."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime

from core.once import Once
from core.ports import SqlValue, Statement
from memories.graph.model import EdgeChanges, Reinforcement, Relationship
from memories.graph.ports import Cycle, UnknownEnds
from memories.model import Author, Mismatch, Revision
from memories.stores.rows import (
    RELATIONSHIP_COLUMNS,
    author_values,
    columns,
    context_values,
    relationship_values,
    to_micros,
    to_relationship,
)
from memories.stores.sqlite.base import (
    ABOUT,
    RELATIONSHIP,
    Operations,
    answer_of,
    answered,
    expects,
    later,
    led_to,
    marks,
    revision,
    set_,
)
from memories.stores.sqlite.sight import GONE, KNOWN

# ruff: noqa: S608 - what is put into SQL here are names of our own columns and numbers of arguments, never values

_GET = f"SELECT {columns(RELATIONSHIP_COLUMNS)} FROM relationships WHERE id = ?"

# ?1 from, ?2 to, ?3 type, ?4 strength, ?5 confidence, ?6 context, ?7 recorded at or after, ?8 valid from (null: the
# moment of recording), ?9 valid until, ?10 its own id: the batch may have been sent before.
_SAME = """
    SELECT r.id FROM relationships r
    WHERE r.id = ?10 OR (
      r.from_id = ?1 AND r.to_id = ?2 AND r.type = ?3 AND r.strength = ?4 AND r.confidence = ?5
      AND r.context IS ?6 AND r.recorded_at >= ?7
      AND CASE r.valid_from WHEN r.recorded_at THEN ?8 IS NULL ELSE r.valid_from IS ?8 END
      AND r.valid_until IS ?9
    )
    ORDER BY r.recorded_at, r.id LIMIT 1"""
_SAME_ARGUMENTS = 10

_CLOSES_A_CYCLE = """EXISTS (
          WITH RECURSIVE reached (id) AS (
            SELECT {to_id}
            UNION
            SELECT r.to_id FROM reached JOIN relationships r ON r.from_id = reached.id
            WHERE r.type = {type} AND (r.valid_until IS NULL OR r.valid_until > {at})
          )
          SELECT 1 FROM reached WHERE id = {from_id}
        )"""

_RELATED_OR_WHY = f"""
  SELECT {KNOWN.format("?1")}, {KNOWN.format("?2")}, {RELATIONSHIP}
  FROM (SELECT 1) LEFT JOIN relationships r ON r.id = ({_SAME})"""
"""After `_relate`, with the arguments of _SAME: which ends are known, and the relationship that is there, or nulls."""

_ANSWER = answer_of("relationships", RELATIONSHIP_COLUMNS, "strength")
_ANSWER_OF_SAME = answer_of("relationships", RELATIONSHIP_COLUMNS, "strength", f"({_SAME})")
_COUNTED = {True: "validation_count", False: "counter_evidence_count"}


def _relate(names: Sequence[str]) -> str:
    """Make a relationship between known memories, unless there is the same or it would close a cycle of its type.

    Arguments: those of _SAME, then the values of `names`.
    """
    recorded = f"?{_SAME_ARGUMENTS + 1 + names.index('recorded_at')}"
    cycle = _CLOSES_A_CYCLE.format(from_id="?1", to_id="?2", type="?3", at=recorded)
    return f"""
      INSERT INTO relationships ({", ".join(names)})
      SELECT {marks(names, _SAME_ARGUMENTS + 1)}
      WHERE {KNOWN.format("?1")} AND {KNOWN.format("?2")} AND NOT EXISTS ({_SAME})
        AND (?9 <= {recorded} OR NOT {cycle})"""


class GraphOperations(Operations):
    """See `graph.ports.GraphStore`."""

    async def relate(
        self, relationship: Relationship, *, same_since: datetime, author: Author, once: Once | None = None
    ) -> Relationship | UnknownEnds | Cycle:
        values = {**relationship_values(relationship), **author_values(author, "created", "updated")}
        ends = (relationship.from_id, relationship.to_id)
        since_recorded = relationship.valid_from == relationship.recorded_at
        same: tuple[SqlValue, ...] = (
            *(*ends, values["type"], values["strength"], values["confidence"], values["context"]),
            *(to_micros(same_since), None if since_recorded else values["valid_from"], values["valid_until"]),
            relationship.id,
        )
        done = await self._write_once(
            once,
            [
                Statement(_relate(tuple(values)), (*same, *values.values())),
                Statement(_RELATED_OR_WHY, same),
            ],
            _ANSWER_OF_SAME,
            *same,
        )
        if isinstance(done, tuple):
            return to_relationship(answered(done, RELATIONSHIP_COLUMNS, "strength"))
        from_known, to_known, *row = done[1].rows[0]
        if row[0] is not None:
            return to_relationship(row)
        unknown = [end for end, known in zip(ends, (from_known, to_known), strict=True) if not known]
        return UnknownEnds(tuple(dict.fromkeys(unknown))) if unknown else Cycle()

    async def relationship(self, relationship_id: str) -> Relationship | None:
        [found] = await self._read(Statement(_GET, (relationship_id,)))
        return to_relationship(found.rows[0]) if found.rows else None

    async def amend(
        self,
        relationship_id: str,
        changes: EdgeChanges,
        at: datetime,
        author: Author,
        expected: Sequence[Revision] | None = None,
    ) -> Relationship | Mismatch | None:
        values: dict[str, SqlValue] = {"updated_at": to_micros(at), **author_values(author, "updated")}
        for name, value in changes.values.items():
            values.update(context_values(value) if name == "context" else {name: float(value)})
        condition, revisions = expects(expected)
        changed, found = await self._write(
            Statement(
                f"UPDATE relationships SET {set_(values)}, version = version + 1 "
                f"WHERE id = ? AND {condition} AND {self._sight.own('relationships')}",
                (*values.values(), relationship_id, *revisions),
            ),
            Statement(_GET, (relationship_id,)),
        )
        if not found.rows:
            return None
        relationship = to_relationship(found.rows[0])
        # A batch that was sent twice has missed only itself when the relationship is where it leads to.
        reached = Revision(relationship.version, relationship.updated_at)
        if changed.changed or (changed.repeated and led_to(reached, at, expected)):
            return relationship
        return Mismatch(reached)

    async def unrelate(self, relationship_id: str, expected: Sequence[Revision] | None = None) -> bool | Mismatch:
        condition, revisions = expects(expected)
        own = self._sight.own("relationships")
        gone = GONE.format("relationships")
        deleted, _, left = await self._write(
            Statement(
                f"DELETE FROM relationships WHERE id = ? AND {condition} AND {own}", (relationship_id, *revisions)
            ),
            Statement(f"DELETE FROM idempotency WHERE {ABOUT} = ?1 AND {gone}", (relationship_id,)),
            Statement("SELECT version, updated_at FROM relationships WHERE id = ?", (relationship_id,)),
        )
        if left.rows:
            return Mismatch(revision(*left.rows[0]))
        return deleted.changed > 0 or deleted.repeated  # then the first time may have deleted it

    async def reinforce(
        self,
        relationship_id: str,
        reinforcement: Reinforcement,
        at: datetime,
        author: Author,
        once: Once | None = None,
    ) -> Relationship | None:
        token = secrets.token_hex(8)
        authors = author_values(author, "updated")
        moved = "{name} = {0}({name}, {1}(?{bound}, {name} + ?{step}))"
        directions = ("max", "min") if reinforcement.success else ("min", "max")
        bound = 3 if reinforcement.success else 4
        moves = ", ".join(
            moved.format(*directions, name=name, bound=bound, step=step)
            for name, step in (("strength", 5), ("confidence", 6))
        )
        factor = 1.0 if reinforcement.success else -0.5
        counted = _COUNTED[reinforcement.success]
        sql = f"""
          UPDATE relationships SET {moves}, evidence_count = evidence_count + 1, {counted} = {counted} + 1,
            last_validated = ?1, updated_at = {later("updated_at", "?1")}, version = version + 1, reinforced_as = ?2,
            updated_by_key = ?8, updated_by_account = ?9, updated_by_agent = ?10
          WHERE id = ?7 AND reinforced_as IS NOT ?2 AND {self._sight.own("relationships")}"""
        args = (
            *(to_micros(at), token, reinforcement.most, reinforcement.least),
            *(factor * reinforcement.strength_step, factor * reinforcement.confidence_step, relationship_id),
            *authors.values(),
        )
        done = await self._write_once(
            once, [Statement(sql, args), Statement(_GET, (relationship_id,))], _ANSWER, relationship_id
        )
        if isinstance(done, tuple):
            return to_relationship(answered(done, RELATIONSHIP_COLUMNS, "strength"))
        return to_relationship(done[1].rows[0]) if done[1].rows else None

    async def invalidate(
        self, relationship_id: str, at: datetime, author: Author, *, by: str | None = None, reason: str | None = None
    ) -> Relationship | None:
        values: dict[str, SqlValue] = {
            "invalidated_by": by,
            "invalidation_reason": reason,
            "updated_at": to_micros(at),
            **author_values(author, "updated"),
        }
        _, found = await self._write(
            Statement(
                f"UPDATE relationships SET {set_(values)}, valid_until = max(valid_from, ?), version = version + 1 "
                "WHERE id = ? AND (valid_until IS NULL OR valid_until > max(valid_from, ?)) "
                f"AND {self._sight.own('relationships')}",
                (*values.values(), to_micros(at), relationship_id, to_micros(at)),
            ),
            Statement(_GET, (relationship_id,)),
        )
        return to_relationship(found.rows[0]) if found.rows else None
