"""Domain values <-> columns of the tenant schema (functions/migrations/sqlite)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson

from core.ports import SqlValue
from memories.model import Author, Memory, Relationship
from memories.relationship_types import RelationshipType
from memories.text import fold

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

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
RELATIONSHIP_COLUMNS = (
    "id",
    "from_id",
    "to_id",
    "type",
    "strength",
    "confidence",
    "context",
    "created_at",
    "valid_from",
    "valid_until",
    "recorded_at",
    "invalidated_by",
)

Row = Sequence[SqlValue]


def columns(names: Sequence[str], table: str = "") -> str:
    """A list of columns for SQL, of one table."""
    return ", ".join(f"{table}.{name}" if table else name for name in names)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970; exact, unlike `timestamp()`."""
    return (moment - EPOCH) // MICROSECOND


def from_micros(micros: SqlValue) -> datetime:
    return EPOCH + timedelta(microseconds=cast(int, micros))


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
            values["context"] = None if value is None else _json(value)
            values["project_path"] = None if value is None else value.get("project_path")
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


def to_memory(row: Row) -> Memory:
    """A memory from MEMORY_COLUMNS."""
    id_, type_, title, content, summary, tags, importance, confidence, context, created, updated, version = row
    return Memory(
        id=cast(str, id_),
        type=cast(str, type_),
        title=cast(str, title),
        content=cast(str, content),
        summary=cast("str | None", summary),
        tags=tuple(orjson.loads(cast(str, tags))),
        importance=cast(float, importance),
        confidence=cast(float, confidence),
        context=None if context is None else orjson.loads(cast(str, context)),
        created_at=from_micros(created),
        updated_at=from_micros(updated),
        version=cast(int, version),
    )


def relationship_values(relationship: Relationship) -> dict[str, SqlValue]:
    return {
        "id": relationship.id,
        "from_id": relationship.from_id,
        "to_id": relationship.to_id,
        "type": relationship.type.value,
        "strength": float(relationship.strength),
        "confidence": float(relationship.confidence),
        "context": relationship.context,
        "created_at": to_micros(relationship.created_at),
        "valid_from": to_micros(relationship.valid_from),
        "valid_until": None if relationship.valid_until is None else to_micros(relationship.valid_until),
        "recorded_at": to_micros(relationship.recorded_at),
        "invalidated_by": relationship.invalidated_by,
    }


def to_relationship(row: Row) -> Relationship:
    """A relationship from RELATIONSHIP_COLUMNS."""
    values = dict(zip(RELATIONSHIP_COLUMNS, row, strict=True))
    return Relationship(
        id=cast(str, values["id"]),
        from_id=cast(str, values["from_id"]),
        to_id=cast(str, values["to_id"]),
        type=RelationshipType(cast(str, values["type"])),
        strength=cast(float, values["strength"]),
        confidence=cast(float, values["confidence"]),
        context=cast("str | None", values["context"]),
        created_at=from_micros(values["created_at"]),
        valid_from=from_micros(values["valid_from"]),
        valid_until=None if values["valid_until"] is None else from_micros(values["valid_until"]),
        recorded_at=from_micros(values["recorded_at"]),
        invalidated_by=cast("str | None", values["invalidated_by"]),
    )


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
