"""Domain values <-> columns of the tenant schema (functions/migrations/sqlite)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson

from core.ports import SqlValue
from memories.graph.context import folded_structure
from memories.graph.model import Relationship
from memories.model import Author, Memory, project_of
from memories.relationship_types import RelationshipType
from memories.text import fold

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

PAGE_BYTES = 4 << 20
"""A page of memories ends after so many bytes of text: sqld and Turso answer with 10 MB at most."""
VERSIONS_KEPT = 100
"""Earlier states of one memory that the triggers of both schemas keep; a test compares them with this."""
RELATIONSHIP_COST = 500
"""Bytes that a relationship takes besides its texts, in both schemas; a test compares them with this."""

MEMORY_COLUMNS = (
    "id",
    "type",
    "title",
    "content",
    "summary",
    "tags",
    "importance",
    "confidence",
    "context",
    "created_at",
    "updated_at",
    "version",
)
AUTHOR_COLUMNS = ("updated_by_key", "updated_by_account", "updated_by_agent")
RELATIONSHIP_COLUMNS = (
    "id",
    "from_id",
    "to_id",
    "type",
    "strength",
    "confidence",
    "context",
    "created_at",
    "updated_at",
    "valid_from",
    "valid_until",
    "recorded_at",
    "invalidated_by",
    "invalidation_reason",
    "evidence_count",
    "validation_count",
    "counter_evidence_count",
    "last_validated",
    "version",
)

Row = Sequence[SqlValue]


def columns(names: Sequence[str], table: str = "") -> str:
    """A list of columns for SQL, of one table."""
    return ", ".join(f"{table}.{name}" if table else name for name in names)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970; exact, unlike `timestamp()`."""
    return (moment - EPOCH) // MICROSECOND


def from_micros(micros: SqlValue) -> datetime:
    return EPOCH + cast(int, micros) * MICROSECOND


def memory_values(memory: Memory) -> dict[str, SqlValue]:
    """All columns of a memory that do not say who wrote it."""
    fields = ("type", "title", "content", "summary", "tags", "importance", "confidence", "context")
    return {
        "id": memory.id,
        **changed_values({name: getattr(memory, name) for name in fields}),
        "created_at": to_micros(memory.created_at),
        "updated_at": to_micros(memory.updated_at),
    }


def changed_values(changes: Mapping[str, Any]) -> dict[str, SqlValue]:
    """The columns that follow from some fields of a memory."""
    values: dict[str, SqlValue] = {}
    for name, value in changes.items():
        if name == "tags":
            values["tags"] = _json(list(value))
            values["folded_tags"] = _json([fold(tag) for tag in value])
        elif name == "context":
            context = value or {}
            values["context"] = None if value is None else _json(value)
            values["project_path"] = project_of(value)
            for key in ("languages", "frameworks"):
                folded = dict.fromkeys(fold(item).strip() for item in context.get(key, ()))
                values[f"folded_{key}"] = _json(list(folded))
        elif name in ("importance", "confidence"):
            values[name] = float(value)
        else:
            values[name] = value
            if name in ("title", "content", "summary"):
                values[f"folded_{name}"] = fold(value or "")
    return values


def author_values(author: Author, *verbs: str) -> dict[str, SqlValue]:
    """Who wrote, in the columns VERB_by_key, VERB_by_account, VERB_by_agent."""
    return {
        f"{verb}_by_{part}": value
        for verb in verbs
        for part, value in (("key", author.key), ("account", author.account), ("agent", author.agent))
    }


def to_memory(row: Sequence[Any]) -> Memory:
    """A memory from MEMORY_COLUMNS; AUTHOR_COLUMNS may follow them."""
    id_, type_, title, content, summary, tags, importance, confidence, context, created, updated, version, *by = row
    created_at = from_micros(created)  # one object for both moments, of which most memories have one
    return Memory(
        id=id_,
        type=type_,
        title=title,
        content=content,
        summary=summary,
        tags=tuple(orjson.loads(tags)),
        importance=importance,
        confidence=confidence,
        context=None if context is None else orjson.loads(context),
        created_at=created_at,
        updated_at=created_at if updated == created else from_micros(updated),
        version=version,
        author=Author(*by) if by else None,
    )


def relationship_values(relationship: Relationship) -> dict[str, SqlValue]:
    """All columns of a relationship that do not say who wrote it."""
    return {
        "id": relationship.id,
        "from_id": relationship.from_id,
        "to_id": relationship.to_id,
        "type": relationship.type.value,
        "strength": float(relationship.strength),
        "confidence": float(relationship.confidence),
        **context_values(relationship.context),
        "created_at": to_micros(relationship.created_at),
        "updated_at": to_micros(relationship.updated_at),
        "valid_from": to_micros(relationship.valid_from),
        "valid_until": _micros_or_none(relationship.valid_until),
        "recorded_at": to_micros(relationship.recorded_at),
        "invalidated_by": relationship.invalidated_by,
        "invalidation_reason": relationship.invalidation_reason,
        "evidence_count": relationship.evidence_count,
        "validation_count": relationship.validation_count,
        "counter_evidence_count": relationship.counter_evidence_count,
        "last_validated": _micros_or_none(relationship.last_validated),
        "version": relationship.version,
    }


def context_values(context: str | None) -> dict[str, SqlValue]:
    """The columns that follow from the context of a relationship."""
    return {"context": context, "structure": _json(folded_structure(context))}


def to_relationship(row: Row) -> Relationship:
    """A relationship from RELATIONSHIP_COLUMNS."""
    values = dict(zip(RELATIONSHIP_COLUMNS, row, strict=True))
    values["type"] = RelationshipType(cast(str, values["type"]))
    for name in ("created_at", "updated_at", "valid_from", "valid_until", "recorded_at", "last_validated"):
        if values[name] is not None:
            values[name] = from_micros(values[name])  # type: ignore[assignment]  # the row's values become the domain's
    return Relationship(**cast("dict[str, Any]", values))


def _micros_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
