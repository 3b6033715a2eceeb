"""Domain -> wire: one body serves both clients' parsers (client contract, sections 2, 3 and 6)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from memories.matching import Matching, summary
from memories.model import TOTAL_MOST, Activity, Author, Hit, Memory, Page, Search, Statistics

if TYPE_CHECKING:
    from memories import schemas


def memory_body(memory: Memory) -> schemas.MemoryBody:
    created_at = iso(memory.created_at)
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
        "created_at": created_at,
        "updated_at": created_at if memory.updated_at is memory.created_at else iso(memory.updated_at),
        "version": memory.version,
    }


def detail_body(memory: Memory) -> schemas.DetailBody:
    """A memory that was read with who wrote it."""
    assert memory.author is not None, "what is read alone says who wrote it"
    return {**memory_body(memory), "author": author_body(memory.author)}


def author_body(author: Author) -> schemas.AuthorBody:
    return {"key": author.key, "account": author.account, "agent": author.agent}


def page_body(page: Page, search: Search, query: str, next_cursor: str | None) -> schemas.PageBody:
    """`query`: what `match_info` is about."""
    matching = Matching(query)
    return {
        "memories": [hit_body(hit, matching) for hit in page.hits],
        "total": page.total,
        "total_is_exact": page.total < TOTAL_MOST,
        "limit": search.limit,
        "offset": search.offset,
        "has_more": page.more,
        "next_cursor": next_cursor,
    }


def hit_body(hit: Hit, matching: Matching) -> schemas.HitBody:
    neighbours: dict[str, list[str]] = {}
    for neighbour in hit.neighbours:
        neighbours.setdefault(neighbour.type.value.lower(), []).append(neighbour.title)
    return {
        **memory_body(hit.memory),
        "match_info": matching.info(hit.memory),
        "relationships": neighbours,
        "context_summary": summary(hit.memory, hit.neighbours),
    }


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


def iso(moment: datetime) -> str:
    """With microseconds, always: the order of chat messages depends on them (client contract 7.9)."""
    return moment.isoformat("T", "microseconds")


def iso_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)
