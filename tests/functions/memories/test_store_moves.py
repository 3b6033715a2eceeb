"""Moving a workspace from any store to any other: nothing is lost or made up, whatever is written meanwhile."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core import migrations
from core.adapters.hrana import HranaDatabases
from core.adapters.http1 import HttpClient
from core.adapters.postgres import Postgres
from core.adapters.sqlite import SqliteDatabase
from memories.graph.model import EdgeChanges, Reinforcement
from memories.model import Changes
from memories.ports import KeyReused, Store
from memories.quotas import StoreLimits
from memories.stores.copying import copy_all, copy_changes
from memories.stores.fence import Fenced
from memories.stores.ports_move import PAUSE_MOST, Change, Fence, Kind, Mode, MovableStore, key_of
from memories.stores.postgres import PostgresStore
from memories.stores.postgres.moves import PostgresMovable
from memories.stores.sqlite import SqliteStore
from memories.stores.sqlite.moves import SqliteMovable
from memories.transfer.model import Part
from tests.functions.adapters.sqld import Sqld
from tests.functions.memories.samples import ANN, BOB, NOW, SECOND, edge, memory, once, put

STEP = Reinforcement(success=True, strength_step=0.1, confidence_step=0.1, least=0.1, most=1.0)
RELATE: dict[str, Any] = {"same_since": NOW, "author": ANN}


@dataclass
class Place:
    """One workspace at an epoch: as its callers see it, and as a move does."""

    open: Callable[..., Store]
    movable: MovableStore
    epoch: int

    @property
    def store(self) -> Store:
        return self.open(epoch=self.epoch)

    async def set(self, mode: Mode) -> None:
        assert await self.movable.fence(Fence(self.epoch, mode)) == Fence(self.epoch, mode)


@pytest.fixture
def places(
    postgres: Postgres, mover: Postgres, http: HttpClient, sqld: Sqld, tmp_path: Path
) -> Callable[[str, int], Place]:
    """New, empty workspaces by kind."""

    def made(kind: str, epoch: int) -> Place:
        if kind == "postgres":
            workspace = uuid.uuid4()
            return Place(
                lambda limits=None, *, epoch: PostgresStore(postgres, workspace, epoch=epoch, limits=limits),
                PostgresMovable(mover, workspace, epoch=epoch),
                epoch,
            )
        if kind == "file":
            database = SqliteDatabase(tmp_path / f"{uuid.uuid4()}.db")
        else:
            database = HranaDatabases(http).open(sqld.create(f"w{uuid.uuid4().hex}"))  # type: ignore[assignment]  # a port
        return Place(
            lambda limits=None, *, epoch: SqliteStore(database, epoch=epoch, limits=limits),
            SqliteMovable(database, epoch=epoch),
            epoch,
        )

    return made


@pytest.fixture(params=["file-postgres", "sqld-postgres", "postgres-file", "postgres-sqld", "postgres-postgres"])
async def both(request: pytest.FixtureRequest, places: Callable[[str, int], Place]) -> tuple[Place, Place]:
    """Source, and target, which is closed at an epoch of its own."""
    source, target = (places(kind, epoch) for epoch, kind in enumerate(request.param.split("-"), 1))
    for place in (source, target):
        if isinstance(place.movable, SqliteMovable):
            await migrations.apply(place.movable._database, migrations.load("sqlite"))
    await target.set(Mode.CLOSED)
    return source, target


Again = Callable[[Place], MovableStore]


@pytest.fixture
def again(mover: Postgres) -> Again:
    """The same workspace for another mover."""

    def made(place: Place) -> MovableStore:
        movable = place.movable
        if isinstance(movable, SqliteMovable):
            return SqliteMovable(movable._database, epoch=place.epoch)
        assert isinstance(movable, PostgresMovable)
        return PostgresMovable(mover, uuid.UUID(movable._workspace), epoch=place.epoch)

    return made


async def fill(store: Store) -> None:
    """Something of every kind, with everything that a copy might lose."""
    rich = memory(
        "rich",
        title="Straße\x1f",
        content="100% \\ \" ' 京",
        summary="",
        tags=("ÉCLAIR", "t"),
        importance=0.1 + 0.2,
        confidence=1,
        context={"project_path": "/p", "z": [1, 1.5, None, "京"], "a": {}},
    )
    await store.put(rich, ANN, once("put"))
    await put(store, memory("a"), memory("B"), memory("e", importance=1e-7), memory("f", importance=5e-324))
    for number in range(3):
        await store.update("a", Changes({"title": f"t{number}", "importance": number / 3}), NOW + number * SECOND, BOB)
    await store.relate(
        edge("rich", "a", edge_id="one", context='{"text": "partially works"}'), **RELATE, once=once("edge")
    )
    await store.relate(edge("a", "B", "CAUSES", edge_id="two", strength=0.1 + 0.2), **RELATE)
    await store.reinforce("one", STEP, NOW + SECOND, BOB)
    await store.reinforce("two", STEP, NOW + SECOND, BOB, once("reinforce"))
    await store.invalidate("two", NOW + 2 * SECOND, BOB, by="one", reason="because")
    await store.put_many([memory("m1"), memory("m2")], ANN, once("many"))
    await store.put_some([memory("m3")], ANN, once("some"))
    await store.import_memories([memory("i", version=7, at=NOW - SECOND)], BOB)
    await store.finish_part("import", Part(2, "fingerprint", "{}", NOW), forget_before=NOW - SECOND)


async def rows(movable: MovableStore, limit: int = 500) -> dict[Kind, list[object]]:
    found: dict[Kind, list[object]] = {}
    for kind in Kind:
        found[kind], after = [], None
        while page := await movable.raw_page(kind, after, limit=limit):
            assert len(page) <= limit
            found[kind] += page
            after = key_of(kind, page[-1])
    return found


async def test_a_copy_holds_all_and_nothing_else(both: tuple[Place, Place]) -> None:
    source, target = both
    await fill(source.store)
    await copy_all(source.movable, target.movable)
    there = await rows(source.movable)
    assert {kind: len(found) for kind, found in there.items()} == {
        Kind.MEMORY: 9,
        Kind.VERSION: 3,
        Kind.RELATIONSHIP: 2,
        Kind.KEY: 5,
        Kind.PART: 1,
    }
    assert await rows(target.movable) == there
    digest = await source.movable.digest()
    assert (digest.memories, digest.versions, digest.relationships) == (9, 3, 2)
    assert await target.movable.digest() == digest
    # Again: the same.
    await copy_all(source.movable, target.movable)
    assert await rows(target.movable) == there
    await target.set(Mode.OPEN)
    assert await target.store.read_usage() == await source.store.read_usage()


async def test_a_copy_serves_as_its_source_does(both: tuple[Place, Place]) -> None:
    source, target = both
    await fill(source.store)
    await copy_all(source.movable, target.movable)
    await target.set(Mode.OPEN)
    one, other = source.store, target.store
    assert await other.get("rich") == await one.get("rich")
    assert await other.get_as_of("a", NOW + SECOND) == await one.get_as_of("a", NOW + SECOND)
    assert await other.history("a", (), limit=9, offset=0) == await one.history("a", (), limit=9, offset=0)
    assert await other.relationship("two") == await one.relationship("two")
    assert await other.parts("import") == await one.parts("import")
    # A request that is repeated after the move is answered as before it.
    for store in (one, other):
        assert await store.put(memory("x"), ANN, once("put")) == await one.get("rich")
        repeated = await store.relate(edge("a", "e", edge_id="x"), **RELATE, once=once("edge"))
        assert isinstance(repeated, type(edge("a", "e")))
        assert (repeated.id, repeated.version) == ("one", 1)
        counted = await store.reinforce("two", STEP, NOW + 5 * SECOND, BOB, once("reinforce"))
        assert counted is not None
        assert (counted.version, counted.strength) == (2, 0.1 + 0.2 + 0.1)
        with pytest.raises(KeyReused):
            await store.put(memory("x"), ANN, once("put", "another thing"))
    assert await other.put_many([], ANN, once("many")) == await one.put_many([], ANN, once("many"))
    assert await other.put_some([], ANN, once("some")) == await one.put_some([], ANN, once("some"))


async def test_pages_meet_without_a_gap(both: tuple[Place, Place]) -> None:
    source, _ = both
    await fill(source.store)
    whole = await rows(source.movable)
    for limit in (1, 2):
        assert await rows(source.movable, limit) == whole
    some = await source.movable.raw_page(Kind.VERSION, ("a", 1), ids=["a", "B", "absent"])
    assert [(row["id"], row["version"]) for row in some] == [("a", 2), ("a", 3)]
    assert await source.movable.raw_page(Kind.VERSION, ids=["B"]) == []


async def test_a_checksum_sees_every_column(both: tuple[Place, Place]) -> None:
    source, _ = both
    await fill(source.store)
    await source.set(Mode.CLOSED)
    seen = {await source.movable.digest()}
    count = 1
    for kind in (Kind.MEMORY, Kind.VERSION, Kind.RELATIONSHIP):
        [row, *_] = await source.movable.raw_page(kind, ids=["two" if kind is Kind.RELATIONSHIP else "a"])
        for name, value in row.items():
            if name in ("id", "version", "from_id", "to_id"):
                continue
            if isinstance(value, int | float):
                other: object = value + 1
            else:
                other = {"tags": '["x"]', "context": '{"x":1}'}.get(name, f"{value}x")
            await source.movable.put_raw(kind, [{**row, name: other}])
            seen.add(await source.movable.digest())
            count += 1
        await source.movable.put_raw(kind, [row])
    assert len(seen) == count


async def test_what_is_written_meanwhile_arrives(both: tuple[Place, Place]) -> None:
    """Callers write from the first step to the fence; then they are refused, and serve themselves from the target."""
    source, target = both
    await fill(source.store)
    chance = random.Random(7)
    acknowledged: dict[str, int] = {}

    async def write(name: str) -> None:
        for number in range(10_000):
            key = f"{name}{chance.randrange(8)}"
            match chance.randrange(6):
                case 0 if key in acknowledged:
                    await source.store.delete(key)
                    del acknowledged[key]
                case 1 if key in acknowledged:
                    await source.store.relate(edge(key, "rich", edge_id=f"{name}-{number}", context="c"), **RELATE)
                case 2:
                    await source.store.amend("one", EdgeChanges({"context": f"{name} {number}"}), NOW, ANN)
                case 3:
                    await source.store.reinforce("two", STEP, NOW, ANN, once(f"{name} {number}"))
                case _:
                    stored = await source.store.put(memory(key, title=f"{number}"), ANN, once(f"put {name} {number}"))
                    acknowledged[key] = stored.version

    writers = [asyncio.create_task(write(f"w{number}")) for number in range(3)]
    await source.movable.begin_journal()
    await copy_all(source.movable, target.movable)
    after, rounds = 0, 0
    for _ in range(3):
        after, count = await copy_changes(source.movable, target.movable, after)
        rounds += count > 0
    await source.set(Mode.READ_ONLY)
    ended = await asyncio.gather(*writers, return_exceptions=True)
    assert all(isinstance(one, Fenced) for one in ended), ended
    count = 1
    while count:
        after, count = await copy_changes(source.movable, target.movable, after)
    assert rounds
    digest = await source.movable.digest()
    assert await target.movable.digest() == digest
    assert await rows(target.movable) == await rows(source.movable)
    # The epoch flips: the source refuses for good, the target serves.
    await source.movable.fence(Fence(2, Mode.CLOSED))
    await target.set(Mode.OPEN)
    for key, version in acknowledged.items():
        found = await target.store.get(key)
        assert found is not None
        assert found.version == version
    with pytest.raises(Fenced):
        await target.open(epoch=1).get("a")
    with pytest.raises(Fenced):
        await source.store.get("a")
    await target.store.put(memory("after"), ANN)


async def test_a_journal_says_what_changed_and_in_which_order(both: tuple[Place, Place]) -> None:
    source, _ = both
    store, movable = source.store, source.movable
    await fill(store)
    assert await movable.read_journal(0, 99) == []

    async def noted(after: int = 0) -> list[tuple[Kind, str]]:
        return [(one.kind, one.id) for one in await movable.read_journal(after, 99)]

    await movable.begin_journal()
    await store.put(memory("n"), ANN, once("new key"))
    await store.update("a", Changes({"title": "t"}), NOW, ANN)
    await store.relate(edge("n", "a", edge_id="e"), **RELATE)
    await store.invalidate("e", NOW, ANN)
    await movable.begin_journal()  # again
    await store.unrelate("two")
    await store.delete("n")
    await store.finish_part("other", Part(1, "f", "a", NOW), forget_before=NOW - SECOND)
    told = await noted()
    assert [one for one in told if one[0] is not Kind.KEY] == [
        (Kind.MEMORY, "n"),
        (Kind.MEMORY, "a"),
        (Kind.RELATIONSHIP, "e"),
        (Kind.RELATIONSHIP, "e"),
        (Kind.RELATIONSHIP, "two"),
        (Kind.MEMORY, "n"),
        (Kind.RELATIONSHIP, "e"),
        (Kind.PART, "other"),
    ]
    assert (Kind.KEY, "new key") in told
    changes = await movable.read_journal(0, 99)
    assert [one.seq for one in changes] == sorted({one.seq for one in changes})
    assert await movable.read_journal(changes[1].seq, 2) == changes[2:4]
    assert all(isinstance(one, Change) for one in changes)
    with pytest.raises(Fenced):
        await movable.end_journal()
    await source.set(Mode.CLOSED)
    await movable.end_journal()
    await source.set(Mode.OPEN)
    await store.put(memory("later"), ANN)
    assert await noted() == []
    await movable.begin_journal()
    assert await noted() == []


async def test_what_is_put_knows_no_limits(both: tuple[Place, Place]) -> None:
    source, target = both
    await fill(source.store)
    await target.set(Mode.OPEN)
    await put(target.open(StoreLimits(1, 30), epoch=2), memory("other"))
    await target.set(Mode.CLOSED)
    await copy_all(source.movable, target.movable)
    assert (await target.movable.digest()).memories == 10
    await target.movable.put_raw(Kind.MEMORY, [], instead_of=["other"])
    assert await target.movable.digest() == await source.movable.digest()


@pytest.mark.parametrize("fence", [Fence(2, Mode.OPEN), Fence(2, Mode.READ_ONLY), Fence(3, Mode.CLOSED)])
async def test_who_comes_late_spoils_nothing(both: tuple[Place, Place], fence: Fence) -> None:
    """The target serves by now, or belongs to another attempt."""
    source, target = both
    await fill(source.store)
    await copy_all(source.movable, target.movable)
    before = await target.movable.digest()
    await target.movable.fence(fence)
    [row, *_] = await source.movable.raw_page(Kind.MEMORY)
    for late in (
        target.movable.put_raw(Kind.MEMORY, [{**row, "title": "late"}]),
        target.movable.put_raw(Kind.MEMORY, [], instead_of=["a"]),
        target.movable.erase(),
    ):
        with pytest.raises(Fenced):
            await late
    assert await target.movable.digest() == before


async def test_nothing_is_left_after_an_erasure(both: tuple[Place, Place]) -> None:
    source, _ = both
    await fill(source.store)
    await source.movable.begin_journal()
    await put(source.store, *(memory(f"more{number}") for number in range(3)))
    await source.store.put_many([memory(f"many{number}") for number in range(1000)], ANN)
    await source.store.put_many([memory(f"many{number + 1000}") for number in range(1000)], ANN)
    await source.set(Mode.CLOSED)
    pieces = 1
    while not await source.movable.erase():
        pieces += 1
    assert pieces == 2
    assert await rows(source.movable) == {kind: [] for kind in Kind}
    assert await source.movable.read_fence() == Fence(1, Mode.CLOSED)
    await source.set(Mode.OPEN)
    await source.store.put(memory("a"), ANN)
    assert await source.movable.read_journal(0, 9) == []
    await source.store.delete("a")
    usage = await source.store.read_usage()
    assert (usage.memories, usage.relationships, usage.bytes) == (0, 0, 0)


async def test_a_pause_ends_by_itself(both: tuple[Place, Place]) -> None:
    """Or at once; until then nothing is written, and everything is read."""
    source, _ = both
    await source.store.put(memory("a"), ANN)
    assert not await source.movable.prolong_pause(5)  # there is none
    assert await source.movable.pause(5)
    with pytest.raises(Fenced):
        await source.store.put(memory("b"), ANN)
    assert await source.store.get("a") is not None
    assert await source.movable.read_fence() == Fence(1, Mode.OPEN)
    assert await source.movable.prolong_pause(0.05)
    async with asyncio.timeout(10):
        while True:
            try:
                await source.store.put(memory("b"), ANN)
                break
            except Fenced:
                await asyncio.sleep(0.01)
    assert not await source.movable.prolong_pause(5)
    assert await source.movable.pause(5)
    await source.movable.end_pause()
    await source.store.put(memory("c"), ANN)


async def test_a_clock_that_is_set_back_prolongs_no_pause(both: tuple[Place, Place]) -> None:
    source, _ = both
    assert await source.movable.pause(PAUSE_MOST + 60)
    await source.store.put(memory("a"), ANN)
    assert not await source.movable.prolong_pause(5)


async def test_what_is_not_open_is_not_paused(both: tuple[Place, Place]) -> None:
    source, target = both
    assert not await target.movable.pause(5)
    assert await source.movable.fence(Fence(2, Mode.OPEN)) == Fence(2, Mode.OPEN)
    assert not await source.movable.pause(5)
    await source.open(epoch=2).put(memory("a"), ANN)


async def test_only_who_took_it_over_last_writes_rows(both: tuple[Place, Place], again: Again) -> None:
    source, target = both
    await fill(source.store)
    [row, *_] = await source.movable.raw_page(Kind.MEMORY)
    other = again(target)
    assert await target.movable.take_over()
    await target.movable.put_raw(Kind.MEMORY, [row])
    assert await other.take_over()
    assert await other.take_over()  # again, as a call that is repeated
    before = await other.digest()
    for late in (
        target.movable.put_raw(Kind.MEMORY, [{**row, "title": "late"}]),
        target.movable.put_raw(Kind.MEMORY, [], instead_of=[row["id"]]),
        target.movable.erase(),
        target.movable.end_journal(),
    ):
        with pytest.raises(Fenced):
            await late
    assert not await target.movable.hand_over(Mode.OPEN)
    assert await other.digest() == before
    assert await other.hand_over(Mode.OPEN)
    assert await other.hand_over(Mode.OPEN)
    await target.store.put(memory("live"), ANN)
    assert not await target.movable.take_over()  # it serves
    assert await target.store.get("live") is not None


async def test_a_thing_is_replaced_as_a_whole(both: tuple[Place, Place]) -> None:
    """Its old rows go where its new ones come, in one go: a memory that was made anew has no earlier states."""
    source, target = both
    await fill(source.store)
    await copy_all(source.movable, target.movable)
    await source.movable.begin_journal()
    await source.store.delete("a")
    await source.store.put(memory("a"), ANN)
    assert (await copy_changes(source.movable, target.movable, 0))[1] > 0
    assert await target.movable.digest() == await source.movable.digest()
    assert await target.movable.raw_page(Kind.VERSION, ids=["a"]) == []
