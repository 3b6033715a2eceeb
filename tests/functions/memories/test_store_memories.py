"""Conformance of `MemoryStore`, over every adapter: single memories, activity, statistics."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from core.ports import Database, Statement
from memories.graph.model import Reinforcement
from memories.model import Changes, Memory, Mismatch, Revision, Search, Version
from memories.ports import KeyReused, Store
from memories.stores.ports_move import Kind, MovableStore
from memories.stores.rows import VERSIONS_KEPT
from tests.functions.memories.samples import (
    ANN,
    BOB,
    MICROSECOND,
    NOW,
    SECOND,
    edge,
    find,
    found,
    ids,
    memory,
    once,
    put,
    relate,
    search,
)


async def test_a_memory_comes_back_whole(store: Store) -> None:
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


async def test_microseconds_are_kept(store: Store) -> None:
    moments = [NOW + timedelta(microseconds=step) for step in range(3)]
    await put(store, *(memory(f"m{step}", at=at) for step, at in enumerate(moments)))
    page = await search(store, Search())
    assert [one.memory.created_at for one in page.hits] == moments[::-1]


async def test_storing_again_replaces_all_but_the_time_of_creation(store: Store) -> None:
    await put(store, memory("a", summary="s", tags=("x",), context={"k": 1}, importance=0.9), memory("b"))
    await relate(store, edge("a", "b"))
    again = memory("a", title="New", at=NOW + timedelta(days=1))
    stored = await store.put(again, BOB)
    assert stored == replace(again, created_at=NOW, version=2)
    assert await store.get("a") == stored
    assert await found(store, find("new")) == ["a"]
    assert (await search(store, find("Title a"))).total == 1  # only b, by the word "title"
    assert len(await store.related("b", (), 1, 20) or ()) == 1


async def test_an_update_changes_only_what_it_names(store: Store) -> None:
    before = memory("a", summary="short", tags=("x",), context={"project_path": "/p", "k": 1})
    await put(store, before)
    at = NOW + timedelta(seconds=1)
    updated = await store.update("a", Changes({"title": "Ärger", "tags": ("y",)}), at, BOB)
    assert updated == replace(before, title="Ärger", tags=("y",), updated_at=at, version=2)
    assert await store.get("a") == updated
    assert (await search(store, find("äRGER", tags=("Y",), project="/p"))).total == 1
    assert (await search(store, find("content", tags=("x",)))).total == 0
    assert (await search(store, find("short"))).total == 1
    cleared = await store.update("a", Changes({"summary": None, "context": None}), at, BOB)
    assert isinstance(cleared, Memory)
    assert (cleared.summary, cleared.context, cleared.version) == (None, None, 3)
    assert (await search(store, Search(project="/p"))).total == 0
    assert (await search(store, find("short"))).total == 0
    assert await store.update("nope", Changes({"title": "x"}), at, BOB) is None


async def test_writes_come_after_what_a_clock_ahead_wrote(store: Store) -> None:
    ahead = NOW + timedelta(days=1)
    await store.import_memories([memory(name, at=ahead) for name in "abc"], ANN)
    later = ahead + MICROSECOND
    stored = await store.put(memory("a", title="new"), BOB)
    assert (stored.version, stored.updated_at) == (2, later)
    [many, _] = await store.put_many([memory("b"), memory("d")], BOB)
    assert (many.version, many.updated_at) == (2, later)
    updated = await store.update("c", Changes({"title": "new"}), NOW, BOB, [Revision(1, ahead)])
    assert isinstance(updated, Memory)
    assert (updated.version, updated.updated_at) == (2, later)
    again = await store.put(memory("d"), ANN)  # as a batch that is sent twice
    assert (again.created_at, again.updated_at) == (NOW, NOW)
    for name in "abc":
        before = await store.get_as_of(name, ahead)
        assert before is not None
        assert (before.version, before.title) == (1, f"Title {name}")


async def test_deleting_takes_the_relationships_along(store: Store) -> None:
    await put(store, memory("a"), memory("b"), memory("c"))
    await relate(store, edge("a", "b"), edge("b", "c"), edge("a", "c"))
    assert await store.delete("b")
    assert await store.get("b") is None
    assert not await store.delete("b")
    statistics = await store.statistics()
    assert (sum(statistics.count_by_type.values()), statistics.relationships) == (2, 1)
    await put(store, memory("b"))
    assert await store.related("b", (), 3, 20) == []


async def test_every_write_records_who_made_it(store: Store, database: Database) -> None:
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


# Activity and statistics.


async def test_recent_activity(store: Store) -> None:
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


async def test_statistics(store: Store) -> None:
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


async def test_concurrent_writers_lose_nothing(store: Store) -> None:
    await put(store, memory("counter"))
    await asyncio.gather(
        *(store.put(memory(f"m{number}"), ANN) for number in range(40)),
        *(store.update("counter", Changes({"title": str(number)}), NOW, BOB) for number in range(40)),
    )
    page = await search(store, Search(limit=100))
    assert page.total == 41
    counter = await store.get("counter")
    assert counter is not None
    assert counter.version == 41


async def test_of_changes_that_expect_one_revision_one_wins(store: Store) -> None:
    await put(store, memory("a"))
    expected = [revision(memory("a"))]
    results = await asyncio.gather(
        *(
            store.update("a", Changes({"title": f"t{number}"}), NOW + number * SECOND, BOB, expected)
            for number in range(8)
        )
    )
    [winner] = [one for one in results if isinstance(one, Memory)]
    assert results.count(Mismatch(revision(winner))) == 7
    assert await store.get("a") == winner
    assert winner.version == 2


async def test_of_writes_with_one_key_one_is_done(store: Store) -> None:
    stored = await asyncio.gather(*(store.put(memory(f"m{number}"), ANN, once("key")) for number in range(8)))
    assert len(set(ids(stored))) == 1
    assert await found(store, Search()) == [stored[0].id]
    assert {one.version for one in stored} == {1}


# Revisions.


def revision(one: Memory) -> Revision:
    return Revision(one.version, one.updated_at)


async def test_a_change_may_expect_a_revision(store: Store) -> None:
    first = memory("a")
    await put(store, first, memory("b"))
    await relate(store, edge("a", "b"))
    second = await store.update("a", Changes({"title": "2"}), NOW + SECOND, BOB, [revision(first)])
    assert isinstance(second, Memory)
    assert second.version == 2
    stale: tuple[list[Revision], ...] = (
        [revision(first)],
        [],
        [Revision(2, NOW), Revision(1, NOW + SECOND)],  # each half is right
    )
    for expected in stale:
        assert await store.update("a", Changes({"title": "3"}), NOW, BOB, expected) == Mismatch(revision(second))
        assert await store.delete("a", expected) == Mismatch(revision(second))
    assert await store.get("a") == second
    assert await store.related("b", (), 1, 20)  # what was not deleted kept its relationships
    assert await store.get_as_of("a", NOW) == first  # and its past
    third = await store.update("a", Changes({"title": "3"}), NOW, BOB, [revision(first), revision(second)])
    assert isinstance(third, Memory)
    assert third.version == 3
    assert await store.delete("a", [revision(first), revision(third)]) is True
    assert await store.get("a") is None
    assert await store.update("a", Changes({"title": "4"}), NOW, BOB, [revision(third)]) is None
    assert await store.delete("a", [revision(third)]) is False


# Earlier states.


async def test_a_memory_as_of_a_moment(store: Store) -> None:
    await put(store, memory("a", context={"k": 1}, tags=("x",), importance=0.30000000000000004))
    states: list[object] = [await store.get("a")]
    for number in (1, 2):
        at = NOW + 10 * number * MICROSECOND
        states.append(await store.put(memory("a", title=f"t{number}", at=at), BOB))
        states.append(await store.update("a", Changes({"content": f"c{number}"}), at + 5 * MICROSECOND, ANN))
    for step, expected in ((-1, None), (0, 0), (9, 0), (10, 1), (14, 1), (15, 2), (19, 2), (20, 3), (25, 4), (99, 4)):
        seen = await store.get_as_of("a", NOW + step * MICROSECOND)
        assert seen == (None if expected is None else states[expected]), step
    assert await store.get_as_of("b", NOW) is None
    await store.delete("a")
    assert await store.get_as_of("a", NOW) is None
    await put(store, memory("a", at=NOW + SECOND))
    assert await store.get_as_of("a", NOW + 25 * MICROSECOND) is None  # that was another one


async def test_earlier_states_are_kept_with_their_authors(store: Store) -> None:
    await store.put(memory("a", title="1"), ANN)
    await store.update("a", Changes({"title": "2"}), NOW + SECOND, BOB)
    await store.put(memory("a", title="3", at=NOW + 2 * SECOND), ANN)
    past = await store.history("a", (), limit=10, offset=0)
    assert past is not None
    assert past.versions == [
        Version(3, "3", NOW + 2 * SECOND, None, ANN),
        Version(2, "2", NOW + SECOND, NOW + 2 * SECOND, BOB),
        Version(1, "1", NOW, NOW + SECOND, ANN),
    ]


async def test_so_many_earlier_states_are_kept(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    await store.update("b", Changes({"title": "new"}), NOW + SECOND, ANN)
    for number in range(VERSIONS_KEPT + 2):
        await store.update("a", Changes({"title": str(number)}), NOW + (number + 1) * SECOND, ANN)
    past = await store.history("a", (), limit=10, offset=0)
    assert past is not None
    assert [one.version for one in past.versions] == list(range(VERSIONS_KEPT + 3, 2, -1))
    assert await store.get_as_of("a", NOW + SECOND) is None
    oldest = await store.get_as_of("a", NOW + 2 * SECOND)
    assert oldest is not None
    assert (oldest.version, oldest.title) == (3, "1")
    assert await store.get_as_of("b", NOW) == memory("b")


# Writes that happen once.


async def test_a_write_with_a_used_key_is_answered_as_it_was_then(store: Store) -> None:
    whole = memory(
        "a",
        title='"\\ \x1f Straße \U0001f600',
        tags=("x",),
        summary="s",
        context={"k": [1, 0.1]},
        importance=0.30000000000000004,
        confidence=1 / 3,
    )
    first = await store.put(whole, ANN, once("key"))
    await store.update("a", Changes({"title": "changed"}), NOW + SECOND, BOB)
    changed = await store.get("a")
    again = await store.put(memory("other"), BOB, once("key", at=NOW + SECOND))
    assert again == first == whole
    with pytest.raises(KeyReused):
        await store.put(memory("other"), ANN, once("key", "another thing"))
    assert await store.get("a") == changed
    assert await store.get("other") is None
    assert (await store.put(memory("a"), ANN, once("key 2"))).version == 3
    assert await store.put(whole, ANN, once("key")) == first


async def test_keys_are_forgotten(store: Store) -> None:
    await store.put(memory("a"), ANN, once("key"))
    day = timedelta(days=1)
    await store.put(memory("b"), ANN, once("other", at=NOW + day))
    assert (await store.put(memory("c"), ANN, once("key", at=NOW + day))).id == "a"  # a day old, no older
    await store.put(memory("d"), ANN, once("third", at=NOW + day + MICROSECOND))
    assert (await store.put(memory("c"), ANN, once("key", "another thing", NOW + day))).id == "c"


async def test_what_is_deleted_takes_the_answers_about_it_along(store: Store, movable: MovableStore) -> None:
    async def keys() -> list[object]:
        return [row["key"] for row in await movable.raw_page(Kind.KEY)]

    step = Reinforcement(success=True, strength_step=0.1, confidence_step=0.1, least=0.1, most=1.0)
    for name in ("a", "b", "c"):
        await store.put(memory(name), ANN, once(f"put {name}"))
    await store.put(memory("a", title="secret"), ANN, once("put a again"))
    await store.put_many([memory("d"), memory("a")], ANN, once("many"))
    for one in (edge("a", "b", edge_id="ab"), edge("c", "a", "CAUSES", edge_id="ca"), edge("b", "c", edge_id="bc")):
        await store.relate(one, same_since=NOW, author=ANN, once=once(f"relate {one.id}"))
    await store.relate(edge("b", "c", "CAUSES", edge_id="bc2"), same_since=NOW, author=ANN, once=once("relate bc2"))
    await store.reinforce("ab", step, NOW, ANN, once("reinforce ab"))
    every = await keys()
    assert len(every) == 10
    # Only when it is deleted.
    assert isinstance(await store.delete("a", [Revision(9, NOW)]), Mismatch)
    assert isinstance(await store.unrelate("bc", [Revision(9, NOW)]), Mismatch)
    assert await keys() == every
    assert await store.delete("a")
    assert await keys() == ["many", "put b", "put c", "relate bc", "relate bc2"]
    assert "secret" not in str(await movable.raw_page(Kind.KEY))
    assert await store.unrelate("bc")
    assert await keys() == ["many", "put b", "put c", "relate bc2"]
    # The others are answered as before, and what is gone is made anew.
    assert await store.put(memory("x"), ANN, once("put b")) == memory("b")
    assert await store.put(memory("a"), ANN, once("put a")) == memory("a")
