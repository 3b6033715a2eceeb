"""What the parts of the store share: asking, and how values become arguments. See `memories.stores.postgres`.

In the place of the workspace, each operation is given READ or WRITE: it passes the fence in the same statement, and
what writes says the limits of the caller's plan (0010_store_limits.sql). A caller that is bound to a project says it
there as well, and is given to the twins of the operations, which see nothing else (0016_projects.sql).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import orjson

from core import timing
from core.adapters.postgres import Answer, Postgres, StatementRefused
from core.once import Once
from core.problems import Unavailable
from memories.graph.model import Relationship
from memories.model import Author, Memory, Mismatch, Revision, project_of
from memories.ports import KeyReused, OtherProject
from memories.quotas import Resource, StoreLimits, Usage, reached
from memories.stores.fence import Fenced
from memories.stores.rows import (
    author_values,
    changed_values,
    context_values,
    from_micros,
    memory_values,
    relationship_values,
    to_micros,
)

# ruff: noqa: S608 - what is put into SQL here are calls of our own, never values

READ = "memory.enter(%s, %s)"
WRITE = "memory.enter(%s, %s, %s, %s)"
_OPERATION = re.compile(r"\bmemory\.(\w+)\(memory\.(?=enter\()")
_BOUND = {READ: ("enter(%s, %s)", "enter(%s, %s, %s)"), WRITE: ("enter(%s, %s, %s, %s)", "enter(%s, %s, %s, %s, %s)")}

KEY_REUSED = "MG409"
"""The SQLSTATE that `memory.answered` raises."""
FENCED = "MG421"
OTHER_PROJECT = "42501"
"""That of row-level security itself."""
FULL = {"MG41M": Resource.MEMORIES, "MG41B": Resource.BYTES}
"""Those of `memory.enter` and `memory.settle`."""
_READ_USAGE = f"SELECT * FROM memory.read_usage({READ})"
_JSON_COLUMNS = ("folded_tags", "folded_languages", "folded_frameworks", "structure")
"""They hold JSON in SQLite; here they are arrays and jsonb, which are made from the same JSON."""


class Part:
    """A workspace at an epoch, for a caller whose plan has these limits (None: no limits) and who is bound to a project
    (None: to none), and how to ask about it."""

    def __init__(
        self,
        postgres: Postgres,
        workspace: uuid.UUID,
        *,
        epoch: int = 1,
        limits: StoreLimits | None = None,
        project: str | None = None,
    ) -> None:
        self._postgres = postgres
        self._workspace = str(workspace)
        self._epoch = epoch
        self._limits = limits
        self._project = project

    async def _read(self, statement: str, *args: object) -> Answer:
        """`statement` holds READ before the places of `args`. Raises: Unavailable, Fenced."""
        return await self._enter(READ, statement, (self._workspace, self._epoch), args)

    async def _write(self, statement: str, *args: object) -> Answer:
        """The same with WRITE. Raises: Unavailable, Fenced, KeyReused, QuotaReached, OtherProject."""
        limits = self._limits
        most = (None, None) if limits is None else (limits.memories, limits.bytes)
        try:
            return await self._enter(WRITE, statement, (self._workspace, self._epoch, *most), args)
        except StatementRefused as error:
            if error.sqlstate == KEY_REUSED:
                raise KeyReused from None
            if error.sqlstate == OTHER_PROJECT and self._project is not None:
                raise OtherProject from None
            if error.sqlstate not in FULL or limits is None:
                raise
            resource = FULL[error.sqlstate]
        raise reached(limits, None if self._project is not None else await self.read_usage(), resource)

    async def read_usage(self) -> Usage:
        """See `ports.MemoryStore`."""
        rows = (await self._read(_READ_USAGE)).rows
        return Usage(*rows[0]) if rows else Usage(0, 0, 0)

    def _check_project(self, *contexts: Mapping[str, Any] | None) -> None:
        """Raises: OtherProject: one of these contexts leads out of the caller's project."""
        if self._project is not None and any(project_of(one) != self._project for one in contexts):
            raise OtherProject

    async def _enter(self, entry: str, statement: str, passage: tuple[object, ...], args: tuple[object, ...]) -> Answer:
        if self._project is None:
            return await self._ask(statement, *passage, *args)
        bound, found = _OPERATION.subn(r"memory_bound.\1(memory_bound.", statement, count=1)
        assert found, "every statement is one operation"
        return await self._ask(bound.replace(*_BOUND[entry], 1), *passage, self._project, *args)

    async def _ask(self, statement: str, *args: object) -> Answer:
        try:
            with timing.storing():
                return await self._postgres.ask(statement, args)
        except Unavailable as error:  # it speaks of the control plane, which is in the same database
            detail = "The memory store does not answer. Please try again in a few seconds."
            raise Unavailable(detail, part="store") from error
        except StatementRefused as error:
            if error.sqlstate == FENCED:
                raise Fenced from None
            raise


def memory_columns(memory: Memory, author: Author) -> dict[str, object]:
    """Every column of a new memory but workspace_id and version; its texts folded, as SQL joins them to one column."""
    return stored_columns({**memory_values(memory), **author_values(author, "created", "updated")})


def changed_columns(changes: Mapping[str, Any]) -> dict[str, object]:
    return stored_columns(changed_values(changes))


def amended_columns(changes: Mapping[str, Any]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in changes.items():
        values.update(context_values(value) if name == "context" else {name: float(value)})
    return stored_columns(values)


def relationship_columns(relationship: Relationship, author: Author) -> dict[str, object]:
    """Every column of a new relationship but workspace_id."""
    return stored_columns({**relationship_values(relationship), **author_values(author, "created", "updated")})


def stored_columns(values: Mapping[str, object]) -> dict[str, object]:
    found = dict(values)
    for name in _JSON_COLUMNS:
        if name in found:
            found[name] = orjson.Fragment(str(found[name]))
    if "folded_title" in found:
        found["title_key"] = title_key(str(found["folded_title"]))
    return found


def title_key(folded_title: str) -> int:
    """64 bits that stand for a title in an index, which takes no text of any length."""
    return int.from_bytes(blake2b(folded_title.encode(), digest_size=8).digest(), signed=True)


def once_json(once: Once | None) -> str | None:
    if once is None:
        return None
    at, forget_before = to_micros(once.at), to_micros(once.forget_before)
    return to_json({"key": once.key, "fingerprint": once.fingerprint, "at": at, "forget_before": forget_before})


def expected_arrays(expected: Sequence[Revision] | None) -> tuple[list[int] | None, list[int] | None]:
    """Versions and moments, side by side."""
    if expected is None:
        return None, None
    return [one.version for one in expected], [to_micros(one.updated_at) for one in expected]


def changed_from(expected: Sequence[Revision] | None, at: datetime, version: int, updated_at: int) -> bool:
    """Whether a change `at` a moment of one of these revisions makes this revision (`memory.later`)."""
    return any(
        version == one.version + 1 and updated_at == max(to_micros(at), to_micros(one.updated_at) + 1)
        for one in expected or ()
    )


def micros_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def mismatch(version: int, updated_at: int) -> Mismatch:
    return Mismatch(Revision(version, from_micros(updated_at)))


def like_patterns(needles: Sequence[str]) -> list[str]:
    """LIKE patterns of texts that contain `needles`, in which `%` and `_` mean themselves."""
    escaped = (needle.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for needle in needles)
    return [f"%{needle}%" for needle in escaped]


def array(texts: Sequence[str]) -> str:
    """An array as PostgreSQL writes it: it has no arrays of arrays of different lengths."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


def to_json(value: object) -> str:
    return orjson.dumps(value).decode()
