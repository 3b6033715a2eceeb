"""Conformance of `GraphStore`, over every adapter."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.ports import Database, Statement
from memories.graph.model import ContextSearch, EdgeChanges, Reinforcement, Relationship
from memories.graph.ports import Cycle, UnknownEnds
from memories.model import Mismatch, Revision
from memories.ports import KeyReused, Store
from tests.functions.memories.samples import ANN, BOB, MICROSECOND, NOW, SECOND, edge, memory, once, put, relate


async def test_a_relationship_needs_both_ends(store: Store) -> None:
    await put(store, memory("a"))
    for one, unknown in ((edge("a", "x"), ("x",)), (edge("y", "a"), ("y",)), (edge("x", "x"), ("x",))):
        made = await store.relate(one, same_since=NOW, author=ANN)
        assert made == UnknownEnds(unknown)
    assert (await store.statistics()).relationships == 0


async def test_cycles_of_one_type_are_refused(store: Store) -> None:
    await put(store, *(memory(name) for name in "abcd"))
    await relate(store, edge("a", "b", "CAUSES"), edge("b", "c", "CAUSES"), edge("c", "d", "SOLVES"))
    for one in (edge("c", "a", "CAUSES"), edge("b", "a", "CAUSES"), edge("a", "a", "SIMILAR_TO")):
        assert await store.relate(one, same_since=NOW, author=ANN) == Cycle()
    await relate(store, edge("d", "a", "CAUSES"))  # the way from a to d is not of one type
    await relate(store, edge("c", "a", "SOLVES"))
    await relate(store, edge("a", "c", "CAUSES"))  # a second way in the same direction
    await relate(store, edge("a", "d", "SIMILAR_TO"))
    assert await store.relate(edge("d", "a", "SIMILAR_TO"), same_since=NOW, author=ANN) == Cycle()


async def test_an_identical_relationship_within_seconds_is_the_same(store: Store) -> None:
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


async def test_one_of_two_edges_that_close_a_cycle_together_is_refused(store: Store) -> None:
    await put(store, *(memory(f"m{number}") for number in range(8)))
    pairs = [(f"m{number}", f"m{(number + 1) % 8}") for number in range(8)]
    made = await asyncio.gather(
        *(store.relate(edge(one, other, "BLOCKS"), same_since=NOW, author=ANN) for one, other in pairs)
    )
    assert made.count(Cycle()) == 1
    assert (await store.statistics()).relationships == 7


async def test_related_goes_both_ways_and_keeps_the_direction(store: Store) -> None:
    await put(store, memory("a"), memory("b"), memory("c"))
    out, back = edge("a", "b", strength=0.4, confidence=0.3, context="{}"), edge("c", "a", "CAUSES", strength=0.9)
    await relate(store, out, back)
    found = await store.related("a", (), 1, 20)
    assert found is not None
    assert [(one.memory.id, one.relationship, one.depth) for one in found] == [("c", back, 1), ("b", out, 1)]
    assert await store.related("x", (), 1, 20) is None
    await put(store, memory("alone"))
    assert await store.related("alone", (), 2, 20) == []


async def test_related_gives_each_memory_once_at_its_least_depth(store: Store) -> None:
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


async def test_related_orders_by_strength_then_importance_and_stops_at_its_limit(store: Store) -> None:
    names = [f"m{number:02}" for number in range(25)]
    await put(store, memory("hub"), *(memory(name, importance=int(name[1:]) / 25) for name in names))
    await relate(store, *(edge("hub", name, strength=1.0 if name == "m00" else 0.5) for name in names))
    found = await store.related("hub", (), 1, 20)
    assert [one.memory.id for one in found or ()] == ["m00", *names[:5:-1]]


# Duplicates, and edges that hold for a time.


async def test_what_makes_relationships_the_same(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    later, window = NOW + SECOND, NOW - timedelta(seconds=10)
    plain = edge("a", "b", edge_id="plain")
    since = edge("a", "b", edge_id="since", valid_from=NOW - SECOND)
    until = edge("a", "b", edge_id="until", valid_until=NOW + timedelta(days=1))
    for one in (plain, since, until):
        assert await store.relate(one, same_since=window, author=ANN) == one
    cases: tuple[tuple[dict[str, Any], Relationship | None], ...] = (
        ({}, plain),  # both hold from the moment of their recording
        ({"valid_from": NOW - SECOND}, since),
        ({"valid_until": NOW + timedelta(days=1)}, until),
        ({"valid_from": NOW}, None),  # what was said is not what was left open
        ({"valid_until": NOW + timedelta(days=2)}, None),
        ({"type_": "CAUSES"}, None),
    )
    for fields, expected in cases:
        one = edge("a", "b", at=later, edge_id=f"again {fields}", **fields)
        assert await store.relate(one, same_since=window, author=BOB) == (expected or one), fields


async def test_only_what_holds_closes_a_cycle(store: Store) -> None:
    await put(store, memory("a"), memory("b"), memory("c"))
    await relate(store, edge("a", "b"), edge("b", "c"))
    await relate(store, edge("c", "a", valid_until=NOW), edge("a", "a", valid_until=NOW))  # these hold no more
    closing = edge("c", "a", edge_id="closing")
    assert await store.relate(closing, same_since=NOW, author=ANN) == Cycle()
    await store.invalidate(edge("a", "b").id, NOW, ANN)
    await relate(store, closing)
    assert await store.relate(edge("a", "b", edge_id="new"), same_since=NOW + SECOND, author=ANN) == Cycle()


async def test_what_will_end_closes_a_cycle(store: Store) -> None:
    await put(store, memory("a"), memory("b"), memory("c"))
    soon = NOW + SECOND
    await relate(store, edge("a", "b"), edge("b", "c", valid_until=soon))
    for closing in (
        edge("c", "a", valid_until=NOW + MICROSECOND),
        edge("c", "a"),
        edge("a", "a", valid_until=NOW + MICROSECOND),
        edge("a", "a", valid_from=soon),
    ):
        assert await store.relate(closing, same_since=NOW, author=ANN) == Cycle()
    await relate(store, edge("a", "a", edge_id="was", valid_until=NOW))
    late = edge("c", "a", at=soon, edge_id="late")  # now b does not lead to c any more
    await relate(store, late)


async def test_changes_come_after_what_a_clock_ahead_wrote(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    ahead = NOW + timedelta(days=1)
    await store.import_relationships([edge("a", "b", edge_id="e", at=ahead)], ANN, timeless=False)
    reinforcement = Reinforcement(success=True, strength_step=0.1, confidence_step=0.1, least=0.1, most=1.0)
    amended = await store.amend("e", EdgeChanges({"strength": 0.6}), NOW, ANN, [Revision(1, ahead)])
    reinforced = await store.reinforce("e", reinforcement, NOW, ANN)
    assert isinstance(amended, Relationship)
    assert reinforced is not None
    assert (amended.updated_at, reinforced.updated_at) == (ahead + MICROSECOND, ahead + 2 * MICROSECOND)
    assert reinforced.last_validated == NOW
    ended = await store.invalidate("e", ahead + SECOND, ANN)
    assert ended is not None
    assert (ended.valid_until, ended.updated_at) == (ahead + SECOND, ahead + SECOND)


# Single relationships.


async def test_a_relationship_comes_back_whole(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    whole = edge(
        "a",
        "b",
        context='{"text": "größe \\u001f"}',
        strength=0.30000000000000004,
        confidence=1 / 3,
        valid_from=NOW - timedelta(days=400, microseconds=1),
        valid_until=NOW + MICROSECOND,
    )
    assert await store.relate(whole, same_since=NOW, author=ANN) == whole
    assert await store.relationship(whole.id) == whole
    assert await store.relationship("none") is None


async def test_amending(store: Store, database: Database) -> None:
    await put(store, memory("a"), memory("b"))
    first = edge("a", "b", context="only in production")
    await relate(store, first)
    at = NOW + SECOND
    second = await store.amend(first.id, EdgeChanges({"strength": 1, "confidence": 0.1}), at, BOB)
    assert isinstance(second, Relationship)
    assert second == replace(first, strength=1.0, confidence=0.1, updated_at=at, version=2)
    at += MICROSECOND
    third = await store.amend(
        first.id, EdgeChanges({"context": None}), at, BOB, [Revision(1, NOW), Revision(2, second.updated_at)]
    )
    assert third == replace(second, context=None, updated_at=at, version=3)
    assert await store.search_context(ContextSearch(conditions=("production",))) == []
    for expected in ([Revision(1, NOW)], [Revision(3, NOW)], []):
        assert await store.amend(first.id, EdgeChanges({"strength": 0.0}), at, ANN, expected) == Mismatch(
            Revision(3, at)
        )
    assert await store.relationship(first.id) == third
    assert await store.amend("none", EdgeChanges({"strength": 0.0}), at, ANN) is None
    assert await store.amend("none", EdgeChanges({"strength": 0.0}), at, ANN, [Revision(1, NOW)]) is None
    sql = "SELECT created_by_key, created_by_agent, updated_by_key, updated_by_account, updated_by_agent"
    [read] = await database.batch([Statement(f"{sql} FROM relationships")], write=False)
    assert read.rows == [("key-ann", "agent/1", "key-bob", "account", "agent/2")]


async def test_unrelating(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    one = edge("a", "b")
    await relate(store, one)
    assert await store.unrelate(one.id, [Revision(2, NOW)]) == Mismatch(Revision(1, NOW))
    assert await store.relationship(one.id) == one
    assert await store.unrelate(one.id, [Revision(2, NOW), Revision(1, NOW)]) is True
    assert await store.relationship(one.id) is None
    assert await store.unrelate(one.id) is False
    assert await store.unrelate(one.id, [Revision(1, NOW)]) is False
    await relate(store, one)
    assert await store.unrelate(one.id) is True


SUCCESS = Reinforcement(success=True, strength_step=0.1, confidence_step=0.05, least=0.1, most=0.9)
FAILURE = replace(SUCCESS, success=False)


async def test_reinforcing_counts_and_moves(store: Store, database: Database) -> None:
    await put(store, memory("a"), memory("b"))
    first = edge("a", "b", strength=0.3, confidence=0.85)
    await relate(store, first)
    at = NOW + SECOND
    better = await store.reinforce(first.id, SUCCESS, at, BOB)
    assert better == replace(
        first,
        strength=0.3 + 0.1,
        confidence=0.85 + 0.05,
        evidence_count=2,
        validation_count=1,
        last_validated=at,
        updated_at=at,
        version=2,
    )
    worse = await store.reinforce(first.id, FAILURE, at + SECOND, ANN)
    assert better is not None
    assert worse == replace(
        better,
        strength=better.strength - 0.05,
        confidence=better.confidence - 0.025,
        evidence_count=3,
        counter_evidence_count=1,
        last_validated=at + SECOND,
        updated_at=at + SECOND,
        version=3,
    )
    assert await store.relationship(first.id) == worse
    assert await store.reinforce("none", SUCCESS, at, ANN) is None
    [read] = await database.batch([Statement("SELECT created_by_key, updated_by_key FROM relationships")], write=False)
    assert read.rows == [("key-ann", "key-ann")]


async def test_reinforcing_stays_within_bounds(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    cases = (
        (0.85, SUCCESS, 0.9),
        (0.9, SUCCESS, 0.9),
        (0.95, SUCCESS, 0.95),  # beyond the bound before: it is not moved away from there
        (0.95, FAILURE, 0.95 - 0.05),
        (0.12, FAILURE, 0.1),
        (0.1, FAILURE, 0.1),
        (0.02, FAILURE, 0.02),
        (0.02, SUCCESS, 0.02 + 0.1),
    )
    for number, (strength, reinforcement, expected) in enumerate(cases):
        one = edge("a", "b", strength=strength, confidence=strength, at=NOW + number * SECOND)
        await relate(store, one)
        moved = await store.reinforce(one.id, replace(reinforcement, confidence_step=0.1), NOW, ANN)
        assert moved is not None
        assert (moved.strength, moved.confidence) == (expected, expected), strength


async def test_concurrent_reinforcements_all_count(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    one = edge("a", "b")
    await relate(store, one)
    await asyncio.gather(*(store.reinforce(one.id, SUCCESS, NOW, ANN) for _ in range(20)))
    counted = await store.relationship(one.id)
    assert counted is not None
    assert (counted.evidence_count, counted.validation_count, counted.version) == (21, 20, 21)


async def test_invalidating(store: Store, database: Database) -> None:
    await put(store, memory("a"), memory("b"))
    first, other = edge("a", "b"), edge("a", "b", "CAUSES", valid_until=NOW + timedelta(days=1))
    await relate(store, first, other)
    at = NOW + SECOND
    ended = await store.invalidate(first.id, at, BOB, by="new", reason="we moved")
    assert ended == replace(
        first, valid_until=at, invalidated_by="new", invalidation_reason="we moved", updated_at=at, version=2
    )
    assert await store.invalidate(first.id, at + SECOND, ANN, by="newer") == ended
    assert await store.relationship(first.id) == ended
    sooner = await store.invalidate(other.id, at, ANN)
    assert sooner == replace(other, valid_until=at, updated_at=at, version=2)
    assert await store.invalidate("none", at, ANN) is None
    assert (await store.statistics()).relationships == 0
    [read] = await database.batch(
        [Statement("SELECT updated_by_key FROM relationships WHERE invalidated_by = 'new'")], write=False
    )
    assert read.rows == [("key-bob",)]


async def test_what_was_to_hold_later_never_held(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    await relate(store, edge("a", "b", edge_id="e", valid_from=NOW + timedelta(days=1)))
    ended = await store.invalidate("e", NOW + SECOND, ANN)
    assert ended is not None
    assert ended.valid_until == ended.valid_from == NOW + timedelta(days=1)
    assert await store.invalidate("e", NOW + 2 * SECOND, ANN, reason="again") == ended


# Writes that happen once.


async def test_relating_once(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    first = edge("a", "b", strength=0.30000000000000004, confidence=1 / 3, context="größe")
    assert await store.relate(first, same_since=NOW, author=ANN, once=once("key")) == first
    await store.amend(first.id, EdgeChanges({"strength": 1.0}), NOW + SECOND, ANN)
    again = edge("a", "b", edge_id="again", at=NOW + timedelta(hours=1))
    assert await store.relate(again, same_since=again.recorded_at, author=ANN, once=once("key")) == first
    with pytest.raises(KeyReused):
        await store.relate(again, same_since=again.recorded_at, author=ANN, once=once("key", "another thing"))
    assert await store.relationship("again") is None
    # Also when it would do nothing now.
    unknown = replace(again, to_id="x")
    assert await store.relate(unknown, same_since=NOW, author=ANN, once=once("key")) == first
    with pytest.raises(KeyReused):
        await store.relate(again, same_since=NOW, author=ANN, once=once("key", "another thing"))


async def test_what_did_nothing_uses_no_key_up(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    unknown, closing = edge("a", "c"), edge("b", "a")
    await relate(store, edge("a", "b"))
    assert await store.relate(unknown, same_since=NOW, author=ANN, once=once("1")) == UnknownEnds(("c",))
    assert await store.relate(closing, same_since=NOW, author=ANN, once=once("2")) == Cycle()
    assert await store.reinforce("none", SUCCESS, NOW, ANN, once("3")) is None
    await put(store, memory("c"))
    await store.unrelate(edge("a", "b").id)
    assert await store.relate(unknown, same_since=NOW, author=ANN, once=once("1", "another thing")) == unknown
    assert await store.relate(closing, same_since=NOW, author=ANN, once=once("2")) == closing
    assert await store.reinforce(closing.id, SUCCESS, NOW, ANN, once("3")) is not None


async def test_a_folded_duplicate_uses_its_key_up(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    first, again = edge("a", "b", edge_id="first"), edge("a", "b", edge_id="again")
    await relate(store, first)
    assert await store.relate(again, same_since=NOW, author=ANN, once=once("key")) == first
    later = NOW + timedelta(hours=1)
    assert await store.relate(again, same_since=later, author=ANN, once=once("key")) == first


async def test_reinforcing_once(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    one = edge("a", "b")
    await relate(store, one)
    results = await asyncio.gather(*(store.reinforce(one.id, SUCCESS, NOW, ANN, once("key")) for _ in range(8)))
    counted = await store.relationship(one.id)
    assert counted is not None
    assert counted.evidence_count == 2
    assert results == [counted] * 8
    await store.reinforce(one.id, FAILURE, NOW, ANN)
    assert await store.reinforce(one.id, SUCCESS, NOW, ANN, once("key")) == counted
    with pytest.raises(KeyReused):
        await store.reinforce(one.id, FAILURE, NOW, ANN, once("key", "another thing"))


async def test_of_relationships_with_one_key_one_is_made(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    edges = [edge("a", "b", edge_id=f"e{number}", strength=number / 8) for number in range(8)]
    made = await asyncio.gather(*(store.relate(one, same_since=NOW, author=ANN, once=once("key")) for one in edges))
    assert made[0] in edges
    assert made == [made[0]] * 8
    assert (await store.statistics()).relationships == 1
