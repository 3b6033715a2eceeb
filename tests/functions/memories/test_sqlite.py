"""What the SQLite store sends: one batch an operation, which may be sent twice when a kept connection breaks before the
answer arrives."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace

import pytest

from core.ports import Database, Result, Statement
from memories.graph.model import ContextSearch, EdgeChanges, Reinforcement
from memories.model import Changes, Memory, Mismatch, Near, Position, Revision, Search
from memories.ports import KeyReused
from memories.stores.sqlite import SqliteStore
from memories.transfer.model import Kind, Outcome, Part, Place, Totals
from tests.functions.memories.samples import (
    ANN,
    BOB,
    MICROSECOND,
    NOW,
    SECOND,
    edge,
    find,
    found,
    memory,
    once,
    put,
    relate,
)


class Twice:
    """`ports.Database`: every batch that writes is done twice, and only the second answer arrives."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        if write:
            await self._database.batch(statements, write=True)
        results = await self._database.batch(statements, write=write)
        return [Result(one.rows, one.changed, repeated=write) for one in results]


class Counting:
    """`ports.Database`: counts batches."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.batches = 0

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        self.batches += 1
        return await self._database.batch(statements, write=write)


async def test_every_operation_is_one_batch(file: Database) -> None:
    database = Counting(file)
    store = SqliteStore(database)
    one, start = edge("a", "b"), Place(Kind.MEMORY)
    reinforcement = Reinforcement(success=True, strength_step=0.1, confidence_step=0.1, least=0.1, most=1.0)
    revision = [Revision(1, NOW)]
    operations: list[Awaitable[object]] = [
        store.put(memory("a"), ANN, once("put")),
        store.put_many([memory(f"m{number}") for number in range(100)] + [memory("b")], ANN, once("many")),
        store.get("a"),
        store.get_as_of("a", NOW),
        store.search(
            find("title", near=Near("a", 2), after=Position(exact=True, importance=0.5, created_at=NOW, id="a"))
        ),
        store.recent(NOW, None, newest=5, unresolved=5),
        store.statistics(),
        store.relate(one, same_since=NOW, author=ANN, once=once("relate")),
        store.relate(edge("a", "unknown"), same_since=NOW, author=ANN, once=once("relate nothing")),
        store.relationship(one.id),
        store.amend(one.id, EdgeChanges({"strength": 0.4}), NOW, ANN, revision),
        store.reinforce(one.id, reinforcement, NOW, ANN, once("reinforce")),
        store.related("a", (), 3, 20, NOW),
        store.path("a", "b", (), 3, NOW),
        store.history("a", (), limit=5, offset=0),
        store.changes(NOW, 5),
        store.search_context(ContextSearch(components=("x",))),
        store.invalidate(one.id, NOW, ANN),
        store.unrelate(one.id, revision),
        store.export_page(start, limit=5, current=False),
        store.totals(),
        store.import_memories([memory(f"m{number}") for number in range(100)], ANN),
        store.import_relationships([one, edge("b", "a")], ANN, timeless=False),
        store.part("i", 1),
        store.finish_part("i", Part(1, "f", "a", NOW), forget_before=NOW),
        store.parts("i"),
        store.update("a", Changes({"title": "t"}), NOW, ANN, revision),
        store.delete("a", revision),
    ]
    for number, operation in enumerate(operations, 1):
        await operation
        assert database.batches == number, operation


class Explaining:
    """`ports.Database`: keeps how each statement is run."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.steps: list[str] = []

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        for one in statements:
            [plan] = await self._database.batch([Statement(f"EXPLAIN QUERY PLAN {one.sql}", one.args)], write=False)
            self.steps += [str(row[3]) for row in plan.rows]
        return await self._database.batch(statements, write=write)


async def test_walks_read_indexes_alone(file: Database, served: Database) -> None:
    """A relationship is 1 KB, and in a dense graph a walk passes by all of them."""
    for database in (file, served):
        await put(SqliteStore(database), memory("a"), memory("b"))
        for types in ((), ("SOLVES",)):
            for at in (None, NOW):
                explaining = Explaining(database)
                await SqliteStore(explaining).path("a", "b", types, 5, at)
                check_walk(explaining.steps)
            explaining = Explaining(database)
            await SqliteStore(explaining).search(Search(near=Near("a", 5, types)))
            check_walk(explaining.steps)
        explaining = Explaining(database)
        await SqliteStore(explaining).relate(edge("a", "b"), same_since=NOW, author=ANN)
        assert any("COVERING INDEX relationships_out (from_id=? AND type=?)" in step for step in explaining.steps)


async def test_answers_are_found_by_what_they_are_about(file: Database, served: Database) -> None:
    for database in (file, served):
        explaining = Explaining(database)
        await SqliteStore(explaining).delete("a")
        await SqliteStore(explaining).unrelate("e")
        found_by = [step for step in explaining.steps if " idempotency" in step]
        assert found_by == ["SEARCH idempotency USING INDEX idempotency_about (<expr>=?)"] * 2


def check_walk(steps: list[str]) -> None:
    for index in ("relationships_out", "relationships_in"):
        assert any(f"COVERING INDEX {index} (" in step for step in steps), steps
    assert not any(step.startswith("SCAN r") and "relationships" in step for step in steps), steps


@pytest.fixture(params=["file", "served"])
def plain(request: pytest.FixtureRequest) -> SqliteStore:
    return SqliteStore(request.getfixturevalue(request.param))


@pytest.fixture
def store(plain: SqliteStore) -> SqliteStore:
    return SqliteStore(Twice(plain._database))


async def test_a_change_that_expects_a_revision_has_missed_only_itself(plain: SqliteStore, store: SqliteStore) -> None:
    await put(plain, memory("a"), memory("b"))
    await relate(plain, edge("a", "b"))
    first, at = [Revision(1, NOW)], NOW + SECOND
    updated = await store.update("a", Changes({"title": "t"}), at, BOB, first)
    assert updated == replace(memory("a"), title="t", updated_at=at, version=2)
    amended = await store.amend(edge("a", "b").id, EdgeChanges({"strength": 0.9}), at, BOB, first)
    assert amended == replace(edge("a", "b"), strength=0.9, updated_at=at, version=2)
    # Somebody else's change is one.
    stale = await store.update("a", Changes({"title": "u"}), at + SECOND, BOB, first)
    assert stale == Mismatch(Revision(2, at))
    assert await store.amend(edge("a", "b").id, EdgeChanges({"strength": 0.1}), at + SECOND, ANN, first) == Mismatch(
        Revision(2, at)
    )
    assert await store.unrelate(edge("a", "b").id, first) == Mismatch(Revision(2, at))
    assert await store.delete("a", first) == Mismatch(Revision(2, at))
    assert await store.unrelate(edge("a", "b").id, [Revision(2, at)]) is True
    assert await store.delete("a", [Revision(2, at)]) is True


async def test_a_change_after_a_clock_ahead_has_missed_only_itself(plain: SqliteStore, store: SqliteStore) -> None:
    ahead = NOW + SECOND
    await plain.import_memories([memory("a", at=ahead), memory("b")], ANN)
    await plain.import_relationships([edge("a", "b", edge_id="e", at=ahead)], ANN, timeless=False)
    first, later = [Revision(1, ahead)], ahead + MICROSECOND
    updated = await store.update("a", Changes({"title": "t"}), NOW, BOB, first)
    assert updated == replace(memory("a", at=ahead), title="t", updated_at=later, version=2)
    amended = await store.amend("e", EdgeChanges({"strength": 0.9}), NOW, BOB, first)
    assert amended == replace(edge("a", "b", edge_id="e", at=ahead), strength=0.9, updated_at=later, version=2)
    # Somebody else's change is one more.
    await plain.update("a", Changes({"title": "v"}), NOW, ANN)
    stale = await store.update("a", Changes({"title": "w"}), NOW, BOB, first)
    assert stale == Mismatch(Revision(3, later + MICROSECOND))


async def test_what_was_certainly_not_there(plain: SqliteStore, store: SqliteStore) -> None:
    assert await plain.delete("a") is False
    assert await store.delete("a") is True  # it may have been
    assert await store.update("a", Changes({"title": "t"}), NOW, ANN, [Revision(1, NOW)]) is None


async def test_relationships_are_made_and_reinforced_once(plain: SqliteStore, store: SqliteStore) -> None:
    await put(plain, memory("a"), memory("b"))
    one = edge("a", "b")
    # Its own id tells, also when nothing recorded so long ago is taken for the same.
    assert await store.relate(one, same_since=NOW + SECOND, author=ANN) == one
    reinforcement = Reinforcement(success=True, strength_step=0.1, confidence_step=0.1, least=0.1, most=1.0)
    for count in (2, 3):
        reinforced = await store.reinforce(one.id, reinforcement, NOW, BOB)
        assert reinforced is not None
        assert (reinforced.evidence_count, reinforced.version) == (count, count)
    ended = await store.invalidate(one.id, NOW + SECOND, BOB, reason="r")
    assert ended is not None
    assert (ended.valid_until, ended.invalidation_reason, ended.version) == (NOW + SECOND, "r", 4)


async def test_a_key_is_not_used_by_the_same_write(plain: SqliteStore, store: SqliteStore) -> None:
    stored = await store.put(memory("a"), ANN, once("key"))
    assert stored == memory("a")
    assert await plain.get("a") == memory("a")
    with pytest.raises(KeyReused):
        await store.put(memory("b"), ANN, once("key", "another thing"))
    many = await store.put_many([memory("b"), memory("c")], ANN, once("many"))
    assert [(one.id, one.version) for one in many] == [("b", 1), ("c", 1)]
    assert await store.relate(edge("a", "b"), same_since=NOW, author=ANN, once=once("edge")) == edge("a", "b")
    assert await found(plain, Search()) == ["a", "b", "c"]


async def test_imports_happen_once(plain: SqliteStore, store: SqliteStore) -> None:
    await store.import_memories([memory("a"), memory("b")], ANN)
    await store.import_memories([replace(memory("a"), updated_at=NOW + SECOND)], ANN)
    kept = await plain.get("a")
    assert isinstance(kept, Memory)
    assert kept.version == 2
    outcomes = await store.import_relationships([edge("a", "b"), edge("b", "a")], ANN, timeless=True)
    assert outcomes == [Outcome.UNCHANGED, Outcome.CYCLE]
    await store.finish_part("i", Part(1, "f", "a", NOW), forget_before=NOW)
    assert await plain.parts("i") == [Part(1, "f", "a", NOW)]
    assert await plain.totals() == Totals(2, 1, 1)
