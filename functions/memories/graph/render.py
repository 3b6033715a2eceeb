"""Relationships -> wire: one body serves both clients' parsers (client contract, sections 2.3 and 3.1)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from memories.graph.context import structure
from memories.graph.model import EdgeChangesSince, History, Path, Related, Relationship
from memories.model import Version
from memories.relationship_types import Category, RelationshipType
from memories.render import author_body, iso, iso_or_none, memory_body

if TYPE_CHECKING:
    from memories.graph import schemas


def relationship_body(edge: Relationship) -> schemas.RelationshipBody:
    return {
        "id": edge.id,
        "from_memory_id": edge.from_id,
        "to_memory_id": edge.to_id,
        "relationship_type": edge.type.value,
        "category": edge.type.category.value,
        "strength": edge.strength,
        "confidence": edge.confidence,
        "context": edge.context,
        "created_at": iso(edge.created_at),
        "updated_at": iso(edge.updated_at),
        "valid_from": iso(edge.valid_from),
        "valid_until": iso_or_none(edge.valid_until),
        "recorded_at": iso(edge.recorded_at),
        "invalidated_by": edge.invalidated_by,
        "invalidation_reason": edge.invalidation_reason,
        "evidence_count": edge.evidence_count,
        "validation_count": edge.validation_count,
        "counter_evidence_count": edge.counter_evidence_count,
        "success_rate": edge.success_rate,
        "last_validated": iso_or_none(edge.last_validated),
        "version": edge.version,
    }


def whole_body(edge: Relationship) -> schemas.WholeRelationshipBody:
    return {**relationship_body(edge), "context_structure": structure(edge.context) if edge.context else None}


def types_body() -> schemas.TypesBody:
    return {
        "types": [
            {
                "type": type_.value,
                "category": type_.category.value,
                "description": type_.description,
                "symmetric": type_.symmetric,
                "inverse": type_.inverse.value if type_.inverse else None,
            }
            for type_ in RelationshipType
        ],
        "categories": [category.value for category in Category],
    }


def related_body(found: list[Related]) -> schemas.RelatedBody:
    body: schemas.RelatedBody = {"related_memories": [], "related": []}
    for item in found:
        memory, edge = memory_body(item.memory), item.relationship
        body["related_memories"].append(
            {
                "memory": memory,
                "relationship": {
                    "id": edge.id,
                    "type": edge.type.value,
                    "from_memory_id": edge.from_id,
                    "to_memory_id": edge.to_id,
                    "strength": edge.strength,
                    "confidence": edge.confidence,
                    "context": edge.context,
                },
                "depth": item.depth,
            }
        )
        body["related"].append(
            {
                "memory": memory,
                "relationship_type": edge.type.value,
                "from_memory_id": edge.from_id,
                "to_memory_id": edge.to_id,
                "strength": edge.strength,
                "depth": item.depth,
            }
        )
    return body


def history_body(memory_id: str, history: History, limit: int, offset: int) -> schemas.HistoryBody:
    return {
        "memory_id": memory_id,
        "versions": [_version_body(version) for version in history.versions],
        "relationships": [relationship_body(edge) for edge in history.relationships],
        "total": history.total,
        "limit": limit,
        "offset": offset,
        "has_more": offset + len(history.relationships) < history.total,
    }


def changes_body(since: datetime, changes: EdgeChangesSince, next_cursor: str | None) -> schemas.ChangesBody:
    return {
        "since": iso(since),
        "new_relationships": [relationship_body(edge) for edge in changes.recorded],
        "invalidated_relationships": [relationship_body(edge) for edge in changes.invalidated],
        "has_more": changes.more_recorded or changes.more_invalidated,
        "next_cursor": next_cursor,
    }


def path_body(path: Path | None) -> schemas.PathBody:
    if path is None:
        return {"found": False, "length": None, "memories": [], "relationships": []}
    return {
        "found": True,
        "length": len(path.relationships),
        "memories": [memory_body(memory) for memory in path.memories],
        "relationships": [relationship_body(edge) for edge in path.relationships],
    }


def context_search_body(found: list[Relationship], limit: int) -> schemas.ContextSearchBody:
    return {"relationships": [whole_body(edge) for edge in found], "limit": limit}


def _version_body(version: Version) -> schemas.VersionBody:
    return {
        "version": version.version,
        "title": version.title,
        "valid_from": iso(version.valid_from),
        "valid_until": iso_or_none(version.valid_until),
        "author": author_body(version.author),
    }
