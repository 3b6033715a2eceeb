"""Conformance of `MemoryStore.search`, over every adapter."""

from __future__ import annotations

from datetime import timedelta

import pytest

from memories.model import NEIGHBOURS_MOST, TOTAL_MOST, Changes, Near, Neighbour, Page, Position, Search
from memories.ports import Store
from memories.relationship_types import RelationshipType
from memories.stores.rows import PAGE_BYTES
from memories.text import fold
from tests.functions.memories.samples import ANN, MICROSECOND, NOW, edge, find, found, ids, memory, put, relate, search


async def test_the_order_is_exact_title_importance_newest_id(store: Store) -> None:
    await put(
        store,
        memory("exact", title="Cache KEY", importance=0.1),
        memory("high", title="cache key again", importance=0.9),
        memory("new", content="cache", importance=0.5, at=NOW + timedelta(microseconds=1)),
        memory("tie1", content="cache", importance=0.5),
        memory("tie2", content="cache", importance=0.5),
    )
    assert await found(store, find("cache key")) == ["exact", "high", "new", "tie1", "tie2"]


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
async def test_what_a_query_finds(store: Store, field: str, text: str, query: str, *, found: bool) -> None:
    await put(store, memory("m", **{"title": "-", "content": "-", field: text}))
    assert (await search(store, find(query))).total == int(found)


async def test_a_query_does_not_look_at_tags_nor_across_fields(store: Store) -> None:
    await put(store, memory("m", title="alpha", content="beta", tags=("gamma",)))
    assert (await search(store, find("gamma"))).total == 0
    assert await found(store, Search(needles=(("alphabeta", "alpha beta", "alpha\nbeta", "alpha\x1f\x1fbeta"),))) == []


async def test_groups_combine_with_and(store: Store) -> None:
    await put(store, memory("ab", content="apple banana"), memory("a", content="apple"), memory("b", content="banana"))
    assert (await search(store, Search(needles=(("apple",), ("banana", "cherry"))))).total == 1
    assert (await search(store, Search(needles=(("apple", "banana"),)))).total == 3


async def test_a_thousand_needles(store: Store) -> None:
    await put(store, memory("m", content="word700"))
    needles = tuple(f"word{number:03}" for number in range(1000))
    assert (await search(store, Search(needles=(needles,)))).total == 1
    assert (await search(store, Search(needles=(needles[:700],)))).total == 0


async def test_tags_all_or_any_folded_and_whole(store: Store) -> None:
    await put(
        store, memory("xy", tags=("x", "straße")), memory("x", tags=("x",)), memory("xx", tags=("xx",)), memory("none")
    )
    assert set(await found(store, Search(tags=("X", "STRASSE")))) == {"xy", "x"}
    assert await found(store, Search(tags=("X", "STRASSE"), every_tag=True)) == ["xy"]
    assert (await search(store, Search(tags=("x%", "_")))).total == 0


async def test_filters_combine_with_and(store: Store) -> None:
    await put(
        store,
        memory("a", type="fix", importance=0.5, confidence=0.9, context={"project_path": "/p"}),
        memory("b", type="error", importance=0.49, confidence=0.1, at=NOW + timedelta(seconds=1)),
    )
    for wanted, expected in (
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
        page = await search(store, wanted)
        assert (ids(page.hits), page.total) == (expected, len(expected)), wanted


async def test_pages(store: Store) -> None:
    await put(store, *(memory(f"m{number}", importance=number / 10) for number in range(7)))
    for offset, expected in ((0, ["m6", "m5", "m4"]), (3, ["m3", "m2", "m1"]), (6, ["m0"]), (7, []), (99, [])):
        page = await search(store, Search(limit=3, offset=offset))
        assert (ids(page.hits), page.total) == (expected, 7)


async def test_a_page_of_large_memories_ends_early(store: Store) -> None:
    large = "x" * 900_000
    await put(store, *(memory(f"m{number}", content=large) for number in range(8)))
    page = await search(store, Search(limit=50))
    assert page.total == 8
    assert 1 <= len(page.hits) < 8
    assert sum(len(one.memory.content) for one in page.hits) < PAGE_BYTES + len(large)
    rest = await search(store, Search(limit=50, offset=len(page.hits)))
    assert ids(page.hits) + ids(rest.hits) == [f"m{number}" for number in range(8)]
    await relate(store, *(edge("m0", f"m{number}") for number in range(1, 8)))
    assert 1 <= len(await store.related("m0", (), 1, 20) or ()) < 7
    assert 1 <= len((await store.recent(NOW, None, newest=20, unresolved=10)).newest) < 8


@pytest.mark.parametrize("kind", ["languages", "frameworks"])
async def test_languages_and_frameworks_one_of_them_whole_and_folded(store: Store, kind: str) -> None:
    await put(
        store,
        memory("both", context={kind: ["Straße", "C"]}),
        memory("one", context={kind: ["C++"]}, importance=0.1),
        memory("other", context={"technologies": ["c"]}),
        memory("none"),
    )

    def having(*values: str) -> Search:
        return Search(languages=values) if kind == "languages" else Search(frameworks=values)

    assert await found(store, having(fold("STRASSE"), "c++")) == ["both", "one"]
    assert await found(store, having("c")) == ["both"]
    assert await found(store, having("stra")) == []
    await store.update("both", Changes({"context": None}), NOW, ANN)
    assert await found(store, having("c")) == []


async def test_by_the_types_of_current_relationships_at_either_end(store: Store) -> None:
    await put(store, *(memory(name) for name in "abcde"))
    await relate(store, edge("a", "b", "SOLVES"), edge("b", "c", "CAUSES"), edge("d", "e", "SOLVES"))
    await store.invalidate(edge("d", "e", "SOLVES").id, NOW, ANN)
    assert await found(store, Search(relationship_types=("SOLVES",))) == ["a", "b"]
    assert await found(store, Search(relationship_types=("SOLVES", "CAUSES"))) == ["a", "b", "c"]
    assert await found(store, Search(relationship_types=("CAUSES",), types=("fix",))) == []
    assert await found(store, Search(relationship_types=("BLOCKS",))) == []


async def test_near_a_memory(store: Store) -> None:
    await put(store, *(memory(name) for name in "abcdef"))
    await relate(
        store,
        edge("b", "a", "SOLVES"),
        edge("b", "c", "CAUSES"),
        edge("c", "d", "SOLVES"),
        edge("e", "a", "SOLVES"),
        edge("c", "a", "BLOCKS", valid_until=NOW),
    )
    await store.invalidate(edge("e", "a", "SOLVES").id, NOW, ANN)
    for near, expected in (
        (Near("a", 1), ["b"]),
        (Near("a", 2), ["b", "c"]),
        (Near("a", 9), ["b", "c", "d"]),
        (Near("a", 9, ("SOLVES",)), ["b"]),
        (Near("d", 2, ("SOLVES", "CAUSES")), ["b", "c"]),
        (Near("f", 3), []),
    ):
        page = await search(store, Search(near=near))
        assert (ids(page.hits), page.total) == (expected, len(expected)), near
    assert await store.search(Search(near=Near("unknown", 2))) is None
    assert await found(store, find("Title d", near=Near("a", 9), limit=1)) == ["d"]


async def test_a_hit_mentions_its_neighbours(store: Store) -> None:
    names = [f"n{number:02}" for number in range(NEIGHBOURS_MOST + 1)]
    await put(store, memory("hub", importance=0.9), memory("alone", importance=0.8), *(memory(name) for name in names))
    await relate(store, edge("n00", "hub", "SOLVES", strength=0.9), edge("hub", "n00", "CAUSES", strength=0.8))
    await relate(store, *(edge("hub", name, "CAUSES") for name in names[1:]))
    await relate(store, edge("hub", "n01", "BLOCKS", strength=1.0, valid_until=NOW))
    page = await search(store, Search(limit=3))
    hub, alone, first = page.hits
    assert (hub.memory.id, alone.memory.id, first.memory.id) == ("hub", "alone", "n00")
    assert hub.neighbours == (
        Neighbour(RelationshipType.SOLVES, "Title n00", outgoing=False),
        Neighbour(RelationshipType.CAUSES, "Title n00", outgoing=True),
        *(
            Neighbour(RelationshipType.CAUSES, f"Title {name}", outgoing=True)
            for name in names[1 : NEIGHBOURS_MOST - 1]
        ),
    )
    assert alone.neighbours == ()
    assert first.neighbours == (
        Neighbour(RelationshipType.SOLVES, "Title hub", outgoing=True),
        Neighbour(RelationshipType.CAUSES, "Title hub", outgoing=False),
    )


async def test_of_neighbours_as_strong_the_newest_come_first(store: Store) -> None:
    await put(store, memory("hub", importance=0.9), *(memory(name) for name in "abc"))
    for step, (name, edge_id) in enumerate((("a", "y"), ("b", "z"), ("c", "x"))):
        await relate(store, edge("hub", name, edge_id=edge_id, at=NOW + min(step, 1) * MICROSECOND))
    hub = (await search(store, Search(limit=1))).hits[0]
    assert [one.title for one in hub.neighbours] == ["Title c", "Title b", "Title a"]


async def test_more(store: Store) -> None:
    await put(store, *(memory(f"m{number}", importance=number / 10) for number in range(6)))
    for limit, offset, more in ((5, 0, True), (6, 0, False), (7, 0, False), (3, 3, False), (2, 3, True), (3, 9, False)):
        page = await search(store, Search(limit=limit, offset=offset))
        assert (page.more, page.total) == (more, 6), (limit, offset)


async def test_the_total_is_counted_so_far(store: Store) -> None:
    await store.put_many([memory(f"m{number:04}") for number in range(TOTAL_MOST + 2)], ANN)
    page = await search(store, Search(limit=2, offset=TOTAL_MOST - 1))
    assert (page.total, page.more, ids(page.hits)) == (TOTAL_MOST, True, [f"m{TOTAL_MOST - 1:04}", f"m{TOTAL_MOST:04}"])
    page = await search(store, Search(limit=2, offset=TOTAL_MOST))
    assert (page.total, page.more) == (TOTAL_MOST, False)


def end_of(page: Page, query: str = "") -> Position:
    last = page.hits[-1].memory
    return Position(fold(last.title) == fold(query), last.importance, last.created_at, last.id)


async def test_pages_by_their_ends_do_not_move_when_memories_come(store: Store) -> None:
    await put(
        store,
        *(memory(f"exact{number}", title="Key", importance=number / 10) for number in range(3)),
        *(memory(f"tie{number}", content="key", importance=0.30000000000000004) for number in range(5)),
        *(memory(f"step{number}", content="key", importance=0.5, at=NOW + number * MICROSECOND) for number in range(5)),
        memory("nothing"),
    )
    whole = await found(store, find("key", limit=100))
    assert len(whole) == 13
    for size in (1, 2, 3, 13):
        seen: list[str] = []
        after = None
        for _ in range(20):
            page = await search(store, find("key", limit=size, after=after))
            seen += ids(page.hits)
            assert page.total >= 13
            if not page.more:
                break
            after = end_of(page, "key")
            # Before everything that follows: a page by offset would show a memory twice.
            await put(store, memory(f"new-{size}-{len(seen)}", title="key", importance=1.0))
        assert seen == whole
        for one in await found(store, find("key", limit=100)):
            if one.startswith("new-"):
                await store.delete(one)


async def test_pages_of_large_memories_by_their_ends(store: Store) -> None:
    large = "x" * 900_000
    await put(store, *(memory(f"m{number}", content=large) for number in range(8)))
    seen: list[str] = []
    after = None
    for _ in range(8):
        page = await search(store, Search(limit=7, after=after))
        assert page.hits
        seen += ids(page.hits)
        after = end_of(page)
        if not page.more:
            break
    assert seen == [f"m{number}" for number in range(8)]
