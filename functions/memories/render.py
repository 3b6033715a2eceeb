"""Domain -> wire: one body serves both clients' parsers (client contract, sections 2, 3 and 6)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from memories import schemas
from memories.model import Activity, Memory, Page, Related, Relationship, Statistics


def memory_body(memory: Memory) -> schemas.MemoryBody:
    return {
        "id": memory.id,
        "type": memory.type,
        "title": memory.title,
        "content": memory.content,
        "summary": memory.summary,
        "tags": list(memory.tags),
        "importance": memory.importance,
        "confidence": memory.confidence,
        "context": memory.context,
        "created_at": _iso(memory.created_at),
        "updated_at": _iso(memory.updated_at),
    }


def page_body(page: Page, limit: int, offset: int) -> schemas.PageBody:
    return {
        "memories": [memory_body(memory) for memory in page.memories],
        "total": page.total,
        "limit": limit,
        "offset": offset,
        "has_more": offset + len(page.memories) < page.total and bool(page.memories),
    }


def relationship_body(made: Relationship) -> schemas.RelationshipBody:
    return {
        "id": made.id,
        "from_memory_id": made.from_id,
        "to_memory_id": made.to_id,
        "relationship_type": made.type.value,
        "strength": made.strength,
        "confidence": made.confidence,
        "context": made.context,
        "created_at": _iso(made.created_at),
        "valid_from": _iso(made.valid_from),
        "valid_until": _iso(made.valid_until) if made.valid_until else None,
        "recorded_at": _iso(made.recorded_at),
        "invalidated_by": made.invalidated_by,
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


def recent_body(activity: Activity, days: int, project: str | None) -> schemas.RecentBody:
    return {
        "total_count": sum(activity.count_by_type.values()),
        "memories_by_type": activity.count_by_type,
        "recent_memories": [memory_body(memory) for memory in activity.newest],
        "unresolved_problems": [memory_body(memory) for memory in activity.unresolved],
        "days": days,
        "project": project,
    }


def statistics_body(statistics: Statistics) -> dict[str, Any]:
    """The nested shape that the MCP tool reads (client contract, section 6): no null average, ever."""
    body: dict[str, Any] = {
        "total_memories": {"count": sum(statistics.count_by_type.values())},
        "memories_by_type": statistics.count_by_type,
        "total_relationships": {"count": statistics.relationships},
    }
    for name, average in (("avg_importance", statistics.importance), ("avg_confidence", statistics.confidence)):
        if average is not None:
            body[name] = {name: average}
    return body


def _iso(moment: datetime) -> str:
    """With microseconds, always: the order of chat messages depends on them (client contract 7.9)."""
    return moment.isoformat(timespec="microseconds")
