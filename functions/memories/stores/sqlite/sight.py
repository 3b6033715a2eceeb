"""What a caller that is bound to a project sees: SQL, put before each statement, that stands for the tables.

    WITH memories AS (those of the project), relationships AS (those between them) SELECT ... FROM memories ...

A name without a schema means the first table or expression of that name, from the inside out, so whatever a statement
reads goes through these; `main.memories` is the table itself. A statement that writes names a table itself, so it must
say besides which rows it may touch, in one of the ways of `BOUNDS`; another one is refused here, before it is sent. In
UPDATE and DELETE they stand in that condition, at its end: of a statement that begins with WITH, Python's sqlite3 does
not tell how many rows it changed. PostgreSQL does the same with row-level security (0016_projects.sql).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from core.ports import Statement
from memories.model import project_of
from memories.ports import OtherProject

# ruff: noqa: S608 - what is put into SQL here are names of our own tables and numbers of arguments, never values

KNOWN = "EXISTS (SELECT 1 FROM memories WHERE id = {})"
SAME_PROJECT = "memories.project_path IS excluded.project_path"
"""For an upsert of memories, which `check` has found to be of the project."""
GONE = "NOT EXISTS (SELECT 1 FROM main.{} WHERE id = ?1)"
"""That there is no such thing, seen or not. What still holds on to it may go."""

_SEEN = """
  memories AS NOT MATERIALIZED (SELECT * FROM main.memories WHERE project_path = {0}),
  memory_versions AS NOT MATERIALIZED (
    SELECT * FROM main.memory_versions WHERE id IN (SELECT id FROM memories)
  ),
  relationships AS NOT MATERIALIZED (
    SELECT * FROM main.relationships
    WHERE from_id IN (SELECT id FROM memories) AND to_id IN (SELECT id FROM memories)
  )"""
OWN = {name: f"id IN (SELECT id FROM {name})" for name in ("memories", "relationships")}
BOUNDS = (
    *OWN.values(),
    SAME_PROJECT,
    *(f"{KNOWN.format(one)} AND {KNOWN.format(other)}" for one, other in (("?1", "?2"), ("?2", "?3"))),
    *(GONE.format(name) for name in OWN),
)
_NAMED = re.compile(r"\b(memories|memory_versions|relationships|incoming_relationships)\b")
_WITH = re.compile(r"\s*WITH(?: RECURSIVE)?\b", re.IGNORECASE)
_WRITES = re.compile(
    r"\s*(?:INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM) "
    r"(?:memories|memory_versions|relationships|incoming_relationships)\b"
)
_CHANGES = re.compile(r"\s*(?:UPDATE|DELETE)\b")
_NUMBERED = re.compile(r"\?\d")

_TAKEN = "SELECT id FROM main.{0} WHERE id IN (SELECT value FROM json_each(?)) AND id NOT IN (SELECT id FROM {0})"


@dataclass(frozen=True, slots=True)
class Guard(Statement):
    """A statement that fails when an id is taken."""


class Sight:
    """Of a caller with this project; None: of one who sees all.

    `replaced`: ends an upsert of memories, so that it replaces those of the project only.
    """

    def __init__(self, project: str | None = None) -> None:
        self.project = project
        self.replaced = "" if project is None else f"WHERE {SAME_PROJECT}"

    def of(self, statement: Statement) -> Statement:
        """`statement` as this caller may have it."""
        if self.project is None or not _NAMED.search(statement.sql):
            return statement
        sql, args = statement.sql, statement.args
        if _WRITES.match(sql) and not any(bound in sql for bound in BOUNDS):
            raise AssertionError(f"this statement is not bounded by a project: {sql}")
        if _CHANGES.match(sql):
            return self._bounded(statement)
        numbered = _NUMBERED.search(sql) is not None
        seen = _SEEN.format(f"?{len(args) + 1}" if numbered else "?1")
        own = _WITH.match(sql)
        rest = "," + sql[own.end() :] if own else sql
        return replace(
            statement,
            sql=f"WITH RECURSIVE {seen}{rest}" if own else f"WITH {seen}\n{rest}",
            args=(*args, self.project) if numbered else (self.project, *args),
        )

    def _bounded(self, statement: Statement) -> Statement:
        """An UPDATE or a DELETE. One that looks at the tables themselves (`GONE`) stays as it is."""
        for name, own in OWN.items():
            before, found, behind = statement.sql.rpartition(own)
            if found:
                assert not behind.strip(), "arguments without numbers would take the wrong places"
                seen = _SEEN.format(f"?{len(statement.args) + 1}")
                sql = f"{before}id IN (WITH {seen} SELECT id FROM {name})"
                return replace(statement, sql=sql, args=(*statement.args, self.project))
        return statement

    def own(self, table: str) -> str:
        """A condition on the rows of `table` that a statement changes: the last one in it."""
        return "TRUE" if self.project is None else OWN[table]

    def check(self, *contexts: Mapping[str, Any] | None) -> None:
        """Raises: OtherProject: one of these contexts leads out of the project."""
        if self.project is not None and any(project_of(one) != self.project for one in contexts):
            raise OtherProject

    def guards(self, ids: Sequence[str]) -> list[Statement]:
        """What fails when one of these ids is that of a memory that the caller does not see."""
        if self.project is None:
            return []
        taken = self.taken("memories", ids)
        return [Guard(f"SELECT json('no JSON, so the batch fails: ' || id) FROM ({taken.sql})", taken.args)]

    @staticmethod
    def taken(table: str, ids: Sequence[str]) -> Statement:
        """Those of some ids that are of things which the caller does not see."""
        return Statement(_TAKEN.format(table), (orjson.dumps(list(ids)).decode(),))
