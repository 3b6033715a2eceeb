"""Conformance of `MemoryStore`: the same suite over every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.ports import Database, Statement
from memories.model import Author, Changes, Memory, Relationship, Search
from memories.ports import Cycle, MemoryStore, UnknownEnds
from memories.relationship_types import RelationshipType
from memories.stores import sqlite
from memories.text import fold, patterns

NOW = datetime(2025, 1, 31, 9, 15, 27, 123456, tzinfo=UTC)
ANN = Author("key-ann", "account", "agent/1")
BOB = Author("key-bob", "account", "agent/2")


def memory(memory_id: str, **fields: Any) -> Memory:
    at = fields.pop("at", NOW)
    defaults: dict[str, Any] = {"type": "general", "title": f"Title {memory_id}", "content": f"Content {memory_id}"}
    return Memory(id=memory_id, created_at=at, updated_at=at, **{**defaults, **fields})


def edge(
    from_id: str, to_id: str, type_: str = "SOLVES", *, edge_id: str = "", at: datetime = NOW, **fields: Any
) -> Relationship:
    return Relationship(
        id=edge_id or f"{from_id}-{type_}-{to_id}-{at.timestamp()}",
        from_id=from_id,
        to_id=to_id,
        type=RelationshipType(type_),
        created_at=at,
        valid_from=at,
        recorded_at=at,
        **fields,
    )


async def put(store: MemoryStore, *memories: Memory) -> None:
    for one in memories:
        await store.put(one, ANN)


async def relate(store: MemoryStore, *edges: Relationship) -> None:
    for one in edges:
        made = await store.relate(one, same_since=one.recorded_at, author=ANN)
        assert made == one


def find(query: str, **fields: Any) -> Search:
    return Search(needles=(patterns(query),) if query else (), exact=fold(query), **fields)


def ids(memories: Iterable[Memory]) -> list[str]:
    return [one.id for one in memories]


# One memory.


async def test_a_memory_comes_back_whole(store: MemoryStore) -> None:
    whole = memory(
        "a.b_c-1",
        type="solution",
        title="Fixed the Straße timeout",
        content="Raised the pool \U0001f600 size\nand added 'a' \"retry\"; DROP TABLE memories;--",
        summary="short",
        tags=("redis", "straße"),
        importance=0.75,
        confidence=1,
        context={"project_path": "/p", "role": "human", "nested": {"a": [1, 2.5, None, True]}, "größe": "ß"},
    )
    assert await store.put(whole, ANN) == whole
    assert await store.get("a.b_c-1") == whole
    assert await store.get("a.b_c-2") is None


async def test_microseconds_are_kept(store: MemoryStore) -> None:
    moments = [NOW + timedelta(microseconds=step) for step in range(3)]
    await put(store, *(memory(f"m{step}", at=at) for step, at in enumerate(moments)))
    page = await store.search(Search())
    assert [one.created_at for one in page.memories] == moments[::-1]


async def test_storing_again_replaces_all_but_the_time_of_creation(store: MemoryStore) -> None:
    await put(store, memory("a", summary="s", tags=("x",), context={"k": 1}, importance=0.9), memory("b"))
    await relate(store, edge("a", "b"))
    again = memory("a", title="New", at=NOW + timedelta(days=1))
    stored = await store.put(again, BOB)
    assert stored == replace(again, created_at=NOW, version=2)
    assert await store.get("a") == stored
    assert ids((await store.search(find("new"))).memories) == ["a"]
    assert (await store.search(find("Title a"))).total == 1  # only b, by the word "title"
    assert len(await store.related("b", (), 1, 20) or ()) == 1


async def test_an_update_changes_only_what_it_names(store: MemoryStore) -> None:
    before = memory("a", summary="short", tags=("x",), context={"project_path": "/p", "k": 1})
    await put(store, before)
    at = NOW + timedelta(seconds=1)
    updated = await store.update("a", Changes({"title": "Ärger", "tags": ("y",)}), at, BOB)
    assert updated == replace(before, title="Ärger", tags=("y",), updated_at=at, version=2)
    assert await store.get("a") == updated
    assert (await store.search(find("äRGER", tags=("Y",), project="/p"))).total == 1
    assert (await store.search(find("content", tags=("x",)))).total == 0
    assert (await store.search(find("short"))).total == 1
    cleared = await store.update("a", Changes({"summary": None, "context": None}), at, BOB)
    assert cleared is not None
    assert (cleared.summary, cleared.context, cleared.version) == (None, None, 3)
    assert (await store.search(Search(project="/p"))).total == 0
    assert (await store.search(find("short"))).total == 0
    assert await store.update("nope", Changes({"title": "x"}), at, BOB) is None


async def test_deleting_takes_the_relationships_along(store: MemoryStore) -> None:
    await put(store, memory("a"), memory("b"), memory("c"))
    await relate(store, edge("a", "b"), edge("b", "c"), edge("a", "c"))
    assert await store.delete("b")
    assert await store.get("b") is None
    assert not await store.delete("b")
    statistics = await store.statistics()
    assert (sum(statistics.count_by_type.values()), statistics.relationships) == (2, 1)
    await put(store, memory("b"))
    assert await store.related("b", (), 3, 20) == []


async def test_every_write_records_who_made_it(store: MemoryStore, database: Database) -> None:
    await put(store, memory("a"), memory("b"))
    await store.update("a", Changes({"title": "t"}), NOW, BOB)
    await store.put(memory("b"), BOB)
    await relate(store, edge("a", "b"))
    sql = "SELECT created_by_key, created_by_agent, updated_by_key, updated_by_account, updated_by_agent FROM memories"
    [found] = await database.batch([Statement(sql)], write=False)
    assert set(found.rows) == {("key-ann", "agent/1", "key-bob", "account", "agent/2")}
    [found] = await database.batch(
        [Statement("SELECT created_by_key, created_by_account, created_by_agent FROM relationships")], write=False
    )
    assert found.rows == [("key-ann", "account", "agent/1")]


# Search.


async def test_the_order_is_exact_title_importance_newest_id(store: MemoryStore) -> None:
    await put(
        store,
        memory("exact", title="Cache KEY", importance=0.1),
        memory("high", title="cache key again", importance=0.9),
        memory("new", content="cache", importance=0.5, at=NOW + timedelta(microseconds=1)),
        memory("tie1", content="cache", importance=0.5),
        memory("tie2", content="cache", importance=0.5),
    )
    assert ids((await store.search(find("cache key"))).memories) == ["exact", "high", "new", "tie1", "tie2"]


@pytest.mark.parametrize(
    ("text", "query", "found"),
    [
        ("how the cache works", "does cache matter", True),  # any word, which the reference misses
        ("it retries twice", "retry", True),
        ("it was retried", "retry", True),
        ("we retry", "retries", True),
        ("caching", "cached", True),
        ("100 sure", "100%", True),  # the word without its punctuation
        ("1000", "10%0", False),
        ("100%", "0%", True),
        ("snakeXcase", "snake_case", False),
        ("snake_case", "e_c", True),
        ("back\\slash", "\\", True),
        ("STRASSE", "straße", True),
        ("\ufb01nal", "FINAL", True),  # a ligature
        ("e\u0301clair", "ÉCLAIR", True),
        ("ПРИВЕТ мир", "привет", True),
        ("東京タワー", "東京", True),
        ("quote ' here", "'", True),
    ],
)
@pytest.mark.parametrize("field", ["title", "content", "summary"])
async def test_what_a_query_finds(store: MemoryStore, field: str, text: str, query: str, *, found: bool) -> None:
    await put(store, memory("m", **{"title": "-", "content": "-", field: text}))
    assert (await store.search(find(query))).total == int(found)


async def test_a_query_does_not_look_at_tags_nor_across_fields(store: MemoryStore) -> None:
    await put(store, memory("m", title="alpha", content="beta", tags=("gamma",)))
    assert (await store.search(find("gamma"))).total == 0
    assert (
        await store.search(Search(needles=(("alphabeta", "alpha beta", "alpha\nbeta", "alpha\x1f\x1fbeta"),)))
    ).total == 0


async def test_groups_combine_with_and(store: MemoryStore) -> None:
    await put(store, memory("ab", content="apple banana"), memory("a", content="apple"), memory("b", content="banana"))
    assert (await store.search(Search(needles=(("apple",), ("banana", "cherry"))))).total == 1
    assert (await store.search(Search(needles=(("apple", "banana"),)))).total == 3


async def test_a_query_of_a_thousand_words(store: MemoryStore) -> None:
    await put(store, memory("m", content="word700"))
    assert (await store.search(find(" ".join(f"word{number:03}" for number in range(1000))))).total == 1
    assert (await store.search(find(" ".join(f"word{number:03}" for number in range(700))))).total == 0


async def test_tags_all_or_any_folded_and_whole(store: MemoryStore) -> None:
    await put(
        store, memory("xy", tags=("x", "straße")), memory("x", tags=("x",)), memory("xx", tags=("xx",)), memory("none")
    )
    assert set(ids((await store.search(Search(tags=("X", "STRASSE")))).memories)) == {"xy", "x"}
    assert ids((await store.search(Search(tags=("X", "STRASSE"), every_tag=True))).memories) == ["xy"]
    assert (await store.search(Search(tags=("x%", "_")))).total == 0


async def test_filters_combine_with_and(store: MemoryStore) -> None:
    await put(
        store,
        memory("a", type="fix", importance=0.5, confidence=0.9, context={"project_path": "/p"}),
        memory("b", type="error", importance=0.49, confidence=0.1, at=NOW + timedelta(seconds=1)),
    )
    for search, expected in (
        (Search(types=("fix", "task")), ["a"]),
        (Search(types=("task",)), []),
        (Search(min_importance=0.5), ["a"]),
        (Search(min_confidence=0.2), ["a"]),
        (Search(project="/p"), ["a"]),
        (Search(project="/P"), []),
        (Search(created_after=NOW + timedelta(seconds=1)), ["b"]),
        (Search(created_before=NOW), ["a"]),
        (Search(created_after=NOW, created_before=NOW), ["a"]),
        (Search(types=("error",), min_importance=0.5), []),
        (find("content", types=("error",)), ["b"]),
        (Search(), ["a", "b"]),
    ):
        page = await store.search(search)
        assert (ids(page.memories), page.total) == (expected, len(expected)), search


async def test_pages(store: MemoryStore) -> None:
    await put(store, *(memory(f"m{number}", importance=number / 10) for number in range(7)))
    for offset, expected in ((0, ["m6", "m5", "m4"]), (3, ["m3", "m2", "m1"]), (6, ["m0"]), (7, []), (99, [])):
        page = await store.search(Search(limit=3, offset=offset))
        assert (ids(page.memories), page.total) == (expected, 7)


async def test_a_page_of_large_memories_ends_early(store: MemoryStore) -> None:
    large = "x" * 900_000
    await put(store, *(memory(f"m{number}", content=large) for number in range(8)))
    page = await store.search(Search(limit=50))
    assert page.total == 8
    assert 1 <= len(page.memories) < 8
    assert sum(len(one.content) for one in page.memories) < sqlite.PAGE_BYTES + len(large)
    rest = await store.search(Search(limit=50, offset=len(page.memories)))
    assert ids(page.memories) + ids(rest.memories) == [f"m{number}" for number in range(8)]
    await relate(store, *(edge("m0", f"m{number}") for number in range(1, 8)))
    assert 1 <= len(await store.related("m0", (), 1, 20) or ()) < 7
    assert 1 <= len((await store.recent(NOW, None, newest=20, unresolved=10)).newest) < 8


# Relationships.


async def test_a_relationship_needs_both_ends(store: MemoryStore) -> None:
    await put(store, memory("a"))
    for one, unknown in ((edge("a", "x"), ("x",)), (edge("y", "a"), ("y",)), (edge("x", "x"), ("x",))):
        made = await store.relate(one, same_since=NOW, author=ANN)
        assert made == UnknownEnds(unknown)
    assert (await store.statistics()).relationships == 0


async def test_cycles_of_one_type_are_refused(store: MemoryStore) -> None:
    await put(store, *(memory(name) for name in "abcd"))
    await relate(store, edge("a", "b", "CAUSES"), edge("b", "c", "CAUSES"), edge("c", "d", "SOLVES"))
    for one in (edge("c", "a", "CAUSES"), edge("b", "a", "CAUSES"), edge("a", "a", "SIMILAR_TO")):
        assert await store.relate(one, same_since=NOW, author=ANN) == Cycle()
    await relate(store, edge("d", "a", "CAUSES"))  # the way from a to d is not of one type
    await relate(store, edge("c", "a", "SOLVES"))
    await relate(store, edge("a", "c", "CAUSES"))  # a second way in the same direction
    await relate(store, edge("a", "d", "SIMILAR_TO"))
    assert await store.relate(edge("d", "a", "SIMILAR_TO"), same_since=NOW, author=ANN) == Cycle()


async def test_an_identical_relationship_within_seconds_is_the_same(store: MemoryStore) -> None:
    await put(store, memory("a"), memory("b"))
    first = edge("a", "b", context="why", edge_id="first")
    await relate(store, first)
    soon, window = NOW + timedelta(seconds=5), NOW - timedelta(seconds=10)
    again = await store.relate(edge("a", "b", context="why", edge_id="again", at=soon), same_since=window, author=BOB)
    assert again == first
    for number, different in enumerate(({"context": None}, {"context": "why", "strength": 0.6}, {"context": "Why"})):
        one = edge("a", "b", edge_id=f"other{number}", at=soon, **different)  # type: ignore[arg-type] # mixed fields
        assert await store.relate(one, same_since=window, author=ANN) == one
    later = edge("a", "b", context="why", edge_id="later", at=NOW + timedelta(seconds=60))
    assert await store.relate(later, same_since=NOW + timedelta(seconds=50), author=ANN) == later
    assert (await store.statistics()).relationships == 5


async def test_one_of_two_edges_that_close_a_cycle_together_is_refused(store: MemoryStore) -> None:
    await put(store, *(memory(f"m{number}") for number in range(8)))
    pairs = [(f"m{number}", f"m{(number + 1) % 8}") for number in range(8)]
    made = await asyncio.gather(
        *(store.relate(edge(one, other, "BLOCKS"), same_since=NOW, author=ANN) for one, other in pairs)
    )
    assert made.count(Cycle()) == 1
    assert (await store.statistics()).relationships == 7


async def test_related_goes_both_ways_and_keeps_the_direction(store: MemoryStore) -> None:
    await put(store, memory("a"), memory("b"), memory("c"))
    out, back = edge("a", "b", strength=0.4, confidence=0.3, context="{}"), edge("c", "a", "CAUSES", strength=0.9)
    await relate(store, out, back)
    found = await store.related("a", (), 1, 20)
    assert found is not None
    assert [(one.memory.id, one.relationship, one.depth) for one in found] == [("c", back, 1), ("b", out, 1)]
    assert await store.related("x", (), 1, 20) is None
    await put(store, memory("alone"))
    assert await store.related("alone", (), 2, 20) == []


async def test_related_gives_each_memory_once_at_its_least_depth(store: MemoryStore) -> None:
    await put(store, *(memory(name) for name in "abcde"))
    await relate(
        store,
        edge("a", "b", strength=0.2),
        edge("a", "b", "CAUSES", strength=0.8),
        edge("b", "c", strength=1.0),
        edge("a", "c", "CAUSES", strength=0.1),
        edge("d", "c", strength=0.3),
        edge("d", "e", strength=0.9),
        edge("e", "a", "REPLACES", strength=0.05),
    )

    async def walk(depth: int, *types: str) -> list[tuple[str, str, int]]:
        found = await store.related("a", types, depth, 20)
        return [(one.memory.id, one.relationship.id.rsplit("-", 1)[0], one.depth) for one in found or ()]

    assert await walk(1) == [("b", "a-CAUSES-b", 1), ("c", "a-CAUSES-c", 1), ("e", "e-REPLACES-a", 1)]
    assert await walk(2) == [
        ("d", "d-SOLVES-e", 2),
        ("b", "a-CAUSES-b", 1),
        ("c", "a-CAUSES-c", 1),
        ("e", "e-REPLACES-a", 1),
    ]
    assert await walk(1, "SOLVES") == [("b", "a-SOLVES-b", 1)]
    assert await walk(2, "SOLVES") == [("c", "b-SOLVES-c", 2), ("b", "a-SOLVES-b", 1)]
    assert await walk(4, "SOLVES") == [
        ("c", "b-SOLVES-c", 2),
        ("e", "d-SOLVES-e", 4),
        ("d", "d-SOLVES-c", 3),
        ("b", "a-SOLVES-b", 1),
    ]
    assert await walk(4, "SOLVES", "REPLACES") == [
        ("c", "b-SOLVES-c", 2),
        ("d", "d-SOLVES-e", 2),
        ("b", "a-SOLVES-b", 1),
        ("e", "e-REPLACES-a", 1),
    ]


async def test_related_orders_by_strength_then_importance_and_stops_at_its_limit(store: MemoryStore) -> None:
    names = [f"m{number:02}" for number in range(25)]
    await put(store, memory("hub"), *(memory(name, importance=int(name[1:]) / 25) for name in names))
    await relate(store, *(edge("hub", name, strength=1.0 if name == "m00" else 0.5) for name in names))
    found = await store.related("hub", (), 1, 20)
    assert [one.memory.id for one in found or ()] == ["m00", *names[:5:-1]]


# Activity and statistics.


async def test_recent_activity(store: MemoryStore) -> None:
    project = {"project_path": "/p"}
    await put(
        store,
        memory("old", type="problem", at=NOW - timedelta(days=1, microseconds=1), context=project),
        memory("edge", type="problem", at=NOW - timedelta(days=1), importance=0.9, context=project),
        memory("p1", type="problem", importance=0.2, context=project),
        memory("e1", type="error", importance=0.7, at=NOW + timedelta(seconds=1)),
        memory("solved", type="error", importance=1.0, context=project),
        memory("fix", type="fix", context=project, at=NOW + timedelta(seconds=2)),
    )
    await relate(store, edge("fix", "solved", "ADDRESSES"), edge("p1", "fix", "SOLVES"), edge("fix", "p1", "CAUSES"))
    since = NOW - timedelta(days=1)
    activity = await store.recent(since, None, newest=3, unresolved=2)
    assert activity.count_by_type == {"error": 2, "problem": 2, "fix": 1}
    assert ids(activity.newest) == ["fix", "e1", "p1"]
    assert ids(activity.unresolved) == ["edge", "e1"]
    activity = await store.recent(since, "/p", newest=20, unresolved=10)
    assert activity.count_by_type == {"problem": 2, "error": 1, "fix": 1}
    assert ids(activity.newest) == ["fix", "p1", "solved", "edge"]
    assert ids(activity.unresolved) == ["edge", "p1"]
    assert (await store.recent(since, "/other", newest=20, unresolved=10)).count_by_type == {}


async def test_statistics(store: MemoryStore) -> None:
    empty = await store.statistics()
    assert (empty.count_by_type, empty.relationships, empty.importance, empty.confidence) == ({}, 0, None, None)
    await put(
        store, memory("a", type="fix", importance=0.25), memory("b", importance=0.75), memory("c", importance=0.5)
    )
    await relate(store, edge("a", "b"), edge("b", "c"))
    full = await store.statistics()
    assert full.count_by_type == {"general": 2, "fix": 1}
    assert full.relationships == 2
    assert full.importance == pytest.approx(0.5)
    assert full.confidence == pytest.approx(0.8)


# Concurrency.


async def test_concurrent_writers_lose_nothing(store: MemoryStore) -> None:
    await put(store, memory("counter"))
    await asyncio.gather(
        *(store.put(memory(f"m{number}"), ANN) for number in range(40)),
        *(store.update("counter", Changes({"title": str(number)}), NOW, BOB) for number in range(40)),
    )
    page = await store.search(Search(limit=100))
    assert page.total == 41
    counter = await store.get("counter")
    assert counter is not None
    assert counter.version == 41
