"""Memories, relationships and searches as the suites of the stores make them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from core.once import Once
from memories.graph.model import Relationship
from memories.model import Author, Hit, Memory, Page, Search
from memories.ports import Store
from memories.relationship_types import RelationshipType
from memories.text import fold, patterns

NOW = datetime(2025, 1, 31, 9, 15, 27, 123456, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
ANN = Author("key-ann", "account", "agent/1")
BOB = Author("key-bob", "account", "agent/2")


def memory(memory_id: str, **fields: Any) -> Memory:
    at = fields.pop("at", NOW)
    defaults: dict[str, Any] = {
        "type": "general",
        "title": f"Title {memory_id}",
        "content": f"Content {memory_id}",
        "created_at": at,
        "updated_at": at,
    }
    return Memory(id=memory_id, **{**defaults, **fields})


def edge(from_id: str, to_id: str, type_: str = "SOLVES", *, at: datetime = NOW, **fields: Any) -> Relationship:
    """A relationship that is made at `at`; its id says what it is when it is not given."""
    defaults: dict[str, Any] = {
        "id": fields.pop("edge_id", f"{from_id}-{type_}-{to_id}-{at.timestamp()}"),
        **dict.fromkeys(("created_at", "updated_at", "valid_from", "recorded_at"), at),
    }
    return Relationship(from_id=from_id, to_id=to_id, type=RelationshipType(type_), **{**defaults, **fields})


def once(key: str, fingerprint: str = "same", at: datetime = NOW) -> Once:
    return Once(key, fingerprint, at, at - timedelta(days=1))


async def put(store: Store, *memories: Memory) -> None:
    for one in memories:
        await store.put(one, ANN)


async def relate(store: Store, *edges: Relationship) -> None:
    for one in edges:
        made = await store.relate(one, same_since=one.recorded_at, author=ANN)
        assert made == one


def find(query: str, **fields: Any) -> Search:
    return Search(needles=(patterns(query),) if query else (), exact=fold(query), **fields)


async def search(store: Store, wanted: Search) -> Page:
    """A search that is near nothing, or near a memory that is there."""
    page = await store.search(wanted)
    assert page is not None
    return page


def ids(found: Iterable[Memory | Hit]) -> list[str]:
    return [one.memory.id if isinstance(one, Hit) else one.id for one in found]


async def found(store: Store, wanted: Search) -> list[str]:
    return ids((await search(store, wanted)).hits)
