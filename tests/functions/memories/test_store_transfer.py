"""Conformance of `TransferStore`, over every adapter: batches, export, import."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from core.ports import Database, Statement
from memories.graph.model import Relationship
from memories.model import TOTAL_MOST, Changes, Memory, Search
from memories.ports import KeyReused, Store
from memories.stores.rows import PAGE_BYTES
from memories.transfer.model import ExportPage, Kind, Outcome, Part, Place, Stored, Totals
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

CREATED, UPDATED, UNCHANGED = Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED
UNKNOWN_END, CYCLE = Outcome.UNKNOWN_END, Outcome.CYCLE


# Batches.


async def test_many_are_stored_as_one_would_be(store: Store, database: Database) -> None:
    old = memory("m050", at=NOW - SECOND)
    await put(store, old, memory("other"))
    await relate(store, edge("m050", "other"))
    many = [
        memory(
            f"m{number:03}",
            title=f'"{number}" Straße \x1f\\',
            importance=(number + 0.30000000000000004) / 200,
            confidence=1 / (number + 1),
            tags=("x", "ß"),
            context={"languages": ["C"], "n": number / 3},
            summary="s" if number % 2 else None,
        )
        for number in reversed(range(137))
    ]
    stored = await store.put_many(many, BOB)
    assert stored == [
        Stored(one.id, 2, old.created_at, NOW) if one.id == "m050" else Stored(one.id, 1, NOW, NOW) for one in many
    ]
    for one in many:
        expected = replace(one, created_at=old.created_at, version=2) if one.id == "m050" else one
        assert await store.get(one.id) == expected
    assert (await search(store, find("strasse", tags=("SS",), languages=("c",)))).total == min(137, TOTAL_MOST)
    assert await store.get_as_of("m050", NOW - MICROSECOND) == old
    assert len(await store.related("other", (), 1, 20) or ()) == 1
    [read] = await database.batch(
        [Statement("SELECT DISTINCT created_by_key, updated_by_key FROM memories ORDER BY 1, 2")], write=False
    )
    assert read.rows == [("key-ann", "key-ann"), ("key-ann", "key-bob"), ("key-bob", "key-bob")]
    assert await store.put_many([], ANN) == []


async def test_many_large_ones_are_stored_at_once(store: Store) -> None:
    large = [memory(f"m{number}", content="x" * 900_000) for number in range(10)]
    assert len(await store.put_many(large, ANN)) == 10
    assert await store.get("m9") == large[9]


async def test_a_batch_once(store: Store) -> None:
    many = [memory(f"m{number:03}") for number in reversed(range(50))]
    results = await asyncio.gather(*(store.put_many(many, ANN, once("key")) for _ in range(4)))
    assert results == [[Stored(one.id, 1, NOW, NOW) for one in many]] * 4
    await store.update("m000", Changes({"title": "changed"}), NOW + SECOND, BOB)
    changed = await store.get("m000")
    others = [memory(f"other{number}") for number in range(3)]
    assert await store.put_many(others, ANN, once("key")) == results[0]
    with pytest.raises(KeyReused):
        await store.put_many(many, ANN, once("key", "another thing"))
    assert await store.get("m000") == changed
    assert (await search(store, Search())).total == 50


# Export.


async def export(store: Store, limit: int, *, current: bool = False) -> tuple[list[ExportPage], list[str], list[str]]:
    pages = []
    place: Place | None = Place(Kind.MEMORY)
    for _ in range(50):
        if place is None:
            break
        page = await store.export_page(place, limit=limit, current=current)
        assert len(page.memories) + len(page.relationships) <= limit
        assert page.memories or page.relationships or page.next is None
        pages.append(page)
        place = page.next
    memories = [one for page in pages for one in page.memories]
    relationships = [one for page in pages for one in page.relationships]
    return pages, ids(memories), [one.id for one in relationships]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 8, 100])
async def test_an_export_has_everything_once_in_order(store: Store, limit: int) -> None:
    names = ["B", "Z9", "a", "a-b", "a.b", "a_b", "b"]  # as ASCII orders them
    await put(store, *(memory(name, context={"n": 0.1}) for name in reversed(names)))
    edges = [edge("a", "b", edge_id=f"e{number}", strength=number / 3, valid_until=NOW) for number in range(3)]
    await relate(store, *reversed(edges), edge("B", "b", edge_id="E9", context="why"))
    pages, memories, relationships = await export(store, limit)
    assert (memories, relationships) == (names, ["E9", "e0", "e1", "e2"])
    assert [one for page in pages for one in page.relationships][1:] == edges
    assert pages[0].memories[0] == memory("B", context={"n": 0.1})
    _, memories, relationships = await export(store, limit, current=True)
    assert (memories, relationships) == (names, ["E9"])
    assert await store.totals() == Totals(7, 4, 1)


async def test_an_export_of_nothing(store: Store) -> None:
    assert await store.export_page(Place(Kind.MEMORY), limit=5, current=False) == ExportPage([], [], None)
    assert await store.totals() == Totals(0, 0, 0)
    await put(store, memory("a"), memory("b"))
    _, memories, relationships = await export(store, 2)
    assert (memories, relationships) == (["a", "b"], [])
    await relate(store, edge("a", "b", valid_until=NOW))
    last = await store.export_page(Place(Kind.MEMORY, "b"), limit=5, current=True)
    assert last == ExportPage([], [], None)
    assert (await store.export_page(Place(Kind.RELATIONSHIP), limit=5, current=False)).relationships


async def test_pages_of_an_export_end_early_when_things_are_large(store: Store) -> None:
    await put(store, *(memory(f"m{number}", content="x" * 900_000) for number in range(7)))
    edges = [edge("m0", "m1", edge_id=f"e{number:03}", context="x" * 49_000) for number in range(120)]
    await store.import_relationships(edges, ANN, timeless=False)
    pages, memories, relationships = await export(store, 1000)
    assert memories == [f"m{number}" for number in range(7)]
    assert relationships == [one.id for one in edges]
    for page in pages:
        size = 900_000 * len(page.memories) + 49_000 * len(page.relationships)
        assert size < PAGE_BYTES + 1_000_000


async def test_an_export_goes_on_where_it_was_while_things_come_and_go(store: Store) -> None:
    await put(store, *(memory(name) for name in "abcd"))
    page = await store.export_page(Place(Kind.MEMORY), limit=2, current=False)
    await store.delete("b")  # the place where it went on
    await put(store, memory("aa"), memory("bb"))
    assert page.next is not None
    page = await store.export_page(page.next, limit=5, current=False)
    assert ids(page.memories) == ["bb", "c", "d"]


# Import of memories.


async def test_importing_keeps_times_and_versions(store: Store, database: Database) -> None:
    kept = memory(
        "kept",
        created_at=NOW - timedelta(days=400, microseconds=1),
        updated_at=NOW - timedelta(days=2),
        version=7,
        context={"languages": ["C"]},
        importance=0.30000000000000004,
    )
    fresh = memory("fresh")
    assert await store.import_memories([kept, fresh], ANN) == [CREATED, CREATED]
    assert await store.get("kept") == kept
    assert await found(store, Search(languages=("c",))) == ["kept"]
    assert await store.import_memories([kept, fresh], BOB) == [UNCHANGED, UNCHANGED]
    assert await store.get("kept") == kept
    older = replace(kept, title="older", updated_at=kept.updated_at - MICROSECOND, version=99)
    newer = replace(kept, title="newer", created_at=NOW - timedelta(days=3), updated_at=NOW, version=3)
    assert await store.import_memories([older], BOB) == [UNCHANGED]
    assert await store.get("kept") == kept
    assert await store.import_memories([newer, replace(fresh, version=5)], BOB) == [UPDATED, UNCHANGED]
    assert await store.get("kept") == replace(newer, version=8)
    assert await store.get("fresh") == fresh
    assert await store.get_as_of("kept", NOW - MICROSECOND) == kept
    newest = replace(newer, updated_at=NOW + SECOND, version=20)
    assert await store.import_memories([newest], BOB) == [UPDATED]
    assert await store.get("kept") == newest
    [read] = await database.batch(
        [Statement("SELECT id, created_by_key, updated_by_key FROM memories ORDER BY id")], write=False
    )
    assert read.rows == [("fresh", "key-ann", "key-ann"), ("kept", "key-ann", "key-bob")]
    assert await store.import_memories([], ANN) == []


async def test_importing_many_memories(store: Store) -> None:
    many = [memory(f"m{number}") for number in range(150)]
    await put(store, *many[::50])
    outcomes = await store.import_memories(many, ANN)
    assert outcomes == [CREATED if number % 50 else UNCHANGED for number in range(150)]
    assert (await store.totals()).memories == 150


# Import of relationships.


async def bring(store: Store, edges: Sequence[Relationship], *, timeless: bool = False) -> list[Outcome]:
    return await store.import_relationships(edges, ANN, timeless=timeless)


async def test_importing_relationships_keeps_times_and_counts(store: Store, database: Database) -> None:
    await put(store, memory("a"), memory("b"), memory("c"))
    whole = replace(
        edge("a", "b", context="only in production", strength=0.30000000000000004, confidence=1 / 3),
        created_at=NOW - 5 * SECOND,
        updated_at=NOW - 4 * SECOND,
        valid_from=NOW - 3 * SECOND,
        recorded_at=NOW - 2 * SECOND,
        valid_until=NOW + SECOND,
        invalidated_by="x",
        invalidation_reason="y",
        evidence_count=5,
        validation_count=3,
        counter_evidence_count=1,
        last_validated=NOW - SECOND,
        version=6,
    )
    assert await bring(store, [whole]) == [CREATED]
    assert await store.relationship(whole.id) == whole
    assert await bring(store, [whole, replace(whole, updated_at=NOW - 5 * SECOND, strength=1.0)]) == [UNCHANGED] * 2
    assert await store.relationship(whole.id) == whole
    newer = replace(
        edge("c", "a", "CAUSES", edge_id=whole.id), updated_at=NOW, valid_until=NOW, evidence_count=9, version=2
    )
    assert await store.import_relationships([newer], BOB, timeless=False) == [UPDATED]
    assert await store.relationship(whole.id) == replace(newer, from_id="a", to_id="b", type=whole.type, version=7)
    [read] = await database.batch([Statement("SELECT created_by_key, updated_by_key FROM relationships")], write=False)
    assert read.rows == [("key-ann", "key-bob")]
    assert await bring(store, []) == []


async def test_later_rows_see_earlier_ones(store: Store) -> None:
    await put(store, *(memory(name) for name in "abc"))
    outcomes = await bring(
        store,
        [
            edge("a", "b"),
            edge("b", "c"),
            edge("c", "a", edge_id="closing"),
            edge("c", "a", edge_id="past", valid_until=NOW),
            edge("c", "a", "CAUSES"),
            edge("a", "a", edge_id="loop"),
            edge("a", "x"),
            edge("y", "a"),
            edge("a", "b"),
            replace(edge("b", "c"), updated_at=NOW + SECOND, valid_until=NOW),
            edge("c", "a", edge_id="closing"),  # now it closes none
            replace(edge("b", "c"), updated_at=NOW + 2 * SECOND),  # but this one does
            replace(edge("c", "a", edge_id="past", valid_until=NOW), updated_at=NOW + SECOND, strength=0.9),
        ],
    )
    assert outcomes == [
        *(CREATED, CREATED, CYCLE, CREATED, CREATED, CYCLE, UNKNOWN_END, UNKNOWN_END, UNCHANGED, UPDATED, CREATED),
        *(CYCLE, UPDATED),
    ]
    again = await store.relationship(edge("b", "c").id)
    assert again is not None
    assert again.valid_until == NOW
    assert await store.totals() == Totals(3, 5, 3)


async def test_a_relationship_without_times_is_there_once(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    first = edge("a", "b", context="why", strength=0.4, edge_id="first")
    await relate(store, first)
    later = NOW + timedelta(days=1)

    def other(edge_id: str, **fields: object) -> Relationship:
        return replace(edge("a", "b", context="why", strength=0.4, edge_id=edge_id, at=later), **fields)  # type: ignore[arg-type] # mixed

    rows = [
        other("same"),
        other("weaker", strength=0.3),
        other("weaker again", strength=0.3),
        other("unsure", confidence=0.1),
        other("silent", context=None),
        other("silent again", context=None),
    ]
    expected = [UNCHANGED, CREATED, UNCHANGED, CREATED, CREATED, UNCHANGED]
    assert await bring(store, rows, timeless=True) == expected
    assert await bring(store, rows, timeless=True) == [UNCHANGED] * 6
    assert await store.totals() == Totals(2, 4, 4)
    assert await bring(store, [other("with times")]) == [CREATED]
    await store.invalidate("first", later, ANN)
    await store.unrelate("with times")
    assert await bring(store, rows[:1], timeless=True) == [CREATED]  # what ended is not the same


async def test_importing_many_relationships(store: Store) -> None:
    await store.put_many([memory(f"m{number:03}") for number in range(151)], ANN)
    edges = [edge(f"m{number:03}", f"m{number + 1:03}") for number in range(150)]
    outcomes = await bring(store, [*edges, edge("m150", "m000")])
    assert outcomes == [CREATED] * 150 + [CYCLE]
    assert await bring(store, [*edges, edge("m150", "m000")]) == [UNCHANGED] * 150 + [CYCLE]


async def test_imports_at_the_same_time_close_no_cycle_together(store: Store) -> None:
    await put(store, *(memory(f"m{number}") for number in range(8)))
    pairs = [(f"m{number}", f"m{(number + 1) % 8}") for number in range(8)]
    outcomes = await asyncio.gather(*(bring(store, [edge(one, other)]) for one, other in pairs))
    assert sorted(outcome for [outcome] in outcomes) == [CREATED] * 7 + [CYCLE]


async def test_a_moved_workspace_is_the_same(store: Store) -> None:
    await put(store, memory("a", context={"k": 1 / 3}), memory("b"))
    await store.update("a", Changes({"title": "changed"}), NOW + SECOND, BOB)
    await relate(store, edge("a", "b"), edge("b", "a", "CAUSES"))
    await store.invalidate(edge("a", "b").id, NOW + SECOND, ANN, reason="r")
    before = await store.export_page(Place(Kind.MEMORY), limit=100, current=False)
    for one in ("a", "b"):
        await store.delete(one)
    assert await store.import_memories(before.memories, ANN) == [CREATED, CREATED]
    assert await bring(store, before.relationships) == [CREATED, CREATED]
    assert await store.export_page(Place(Kind.MEMORY), limit=100, current=False) == before
    assert isinstance(before.memories[0], Memory)


# Parts.


async def test_parts_are_remembered_for_a_time(store: Store) -> None:
    day = timedelta(days=1)
    first, second = Part(1, "f1", '{"größe": 1}', NOW), Part(2, "f2", "{}", NOW + SECOND)
    for part in (second, first):
        await store.finish_part("i", part, forget_before=NOW - day)
    assert await store.part("i", 1) == first
    assert await store.part("i", 3) is None
    assert await store.part("other", 1) is None
    await store.finish_part("i", replace(first, answer="another"), forget_before=NOW - day)
    assert await store.parts("i") == [first, second]
    await store.finish_part("other", first, forget_before=NOW + MICROSECOND)
    assert await store.parts("i") == [second]
    assert await store.parts("other") == [first]
    assert await store.parts("none") == []


async def test_a_part_is_finished_once(store: Store) -> None:
    parts = [Part(1, f"f{number}", str(number), NOW) for number in range(8)]
    await asyncio.gather(*(store.finish_part("i", part, forget_before=NOW) for part in parts))
    [kept] = await store.parts("i")
    assert kept in parts


async def test_a_relationship_without_times_never_changes_one_that_holds(store: Store) -> None:
    """A file without a date is read anew each time: its rows are later, but say nothing new."""
    await put(store, memory("a"), memory("b"))
    first = edge("a", "b", edge_id="rel_of_it")
    again = edge("a", "b", edge_id="rel_of_it", at=NOW + timedelta(days=1))
    assert await bring(store, [first], timeless=True) == [CREATED]
    assert await bring(store, [again], timeless=True) == [UNCHANGED]
    assert await store.relationship("rel_of_it") == first
    await store.invalidate("rel_of_it", NOW + timedelta(hours=1), ANN)
    assert await bring(store, [again], timeless=True) == [UPDATED]  # the file says that it holds
