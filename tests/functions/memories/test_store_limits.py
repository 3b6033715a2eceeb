"""Quotas and fences, in every store: what has no room is refused in the batch itself, and so is who comes too late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from core.adapters.hrana import HranaDatabases
from core.adapters.http1 import HttpClient
from core.adapters.postgres import Postgres
from core.adapters.sqlite import SqliteDatabase
from core.ports import Database, StoreAddress
from core.problems import Unavailable
from core.settings import Secret
from core.urls import workspace_url
from declarations import PLANS
from memories.graph.model import ContextSearch, EdgeChanges, Reinforcement
from memories.model import Changes, Memory, Search
from memories.ports import KeyReused, Store
from memories.quotas import QuotaReached, Resource, StoreLimits, Usage, limits_of, reached
from memories.stores.fence import Fenced
from memories.stores.ports_move import Fence, Mode, MovableStore
from memories.stores.postgres import PostgresStores
from memories.stores.rows import RELATIONSHIP_COST as COST
from memories.stores.rows import VERSIONS_KEPT
from memories.stores.sqlite import SqliteStore
from memories.transfer.model import Kind, NoRoom, Outcome, Part, Place, Stored
from tests.functions.adapters.sqld import Sqld
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.conftest import Opens, Rows
from tests.functions.memories.samples import ANN, NOW, SECOND, edge, memory, once, put, relate

PLENTY = 10**9


def sized(memory_id: str, size: int, **fields: object) -> Memory:
    """A memory of so many bytes: its title is one, its tags are two."""
    return memory(memory_id, title="t", content="c" * (size - 3), **fields)


async def used(store: Store) -> tuple[int, int, int]:
    usage = await store.read_usage()
    return usage.memories, usage.relationships, usage.bytes


# What is counted.


async def test_an_empty_workspace_holds_nothing(store: Store) -> None:
    assert await store.read_usage() == Usage(0, 0, 0)


async def test_texts_are_counted_in_bytes_and_given_back(store: Store) -> None:
    text = memory("a", title="Straße", content="京", summary="s", tags=("t",), context={"k": "v"})
    size = len('Straße京s["t"]{"k":"v"}'.encode())
    await put(store, text, sized("b", 10))
    assert await used(store) == (2, 0, size + 10)
    await relate(store, edge("a", "b", edge_id="e", context="für"))
    await relate(store, edge("a", "b", "CAUSES", edge_id="f"))
    assert await used(store) == (2, 2, size + 10 + 2 * COST + 4)
    await store.amend("e", EdgeChanges({"context": None}), NOW, ANN)
    assert await used(store) == (2, 2, size + 10 + 2 * COST)
    await store.amend("e", EdgeChanges({"context": "ab"}), NOW, ANN)
    await store.invalidate("f", NOW, ANN, reason="faß")
    assert await used(store) == (2, 2, size + 12 + 2 * COST + 4)
    await store.amend("f", EdgeChanges({"context": "xyz"}), NOW, ANN)
    assert await used(store) == (2, 2, size + 12 + 2 * COST + 7)
    await store.unrelate("f")
    assert await used(store) == (2, 1, size + 12 + COST)
    await store.delete("a")  # with its relationships
    assert await used(store) == (1, 0, 10)
    await store.delete("b")
    assert await used(store) == (0, 0, 0)


async def test_earlier_states_are_counted_as_long_as_they_are_kept(store: Store) -> None:
    await put(store, sized("a", 10))
    await store.update("a", Changes({"importance": 0.9}), NOW, ANN)
    assert await used(store) == (1, 0, 20)
    await put(store, sized("a", 5))
    assert await used(store) == (1, 0, 25)
    for number in range(VERSIONS_KEPT + 2):
        await store.update("a", Changes({"content": "c" * 4}), NOW + number * SECOND, ANN)
    assert await used(store) == (1, 0, 7 + VERSIONS_KEPT * 7)
    await store.delete("a")
    assert await used(store) == (0, 0, 0)


async def test_what_does_nothing_counts_nothing(store: Store) -> None:
    await put(store, sized("a", 10), sized("b", 10))
    await relate(store, edge("a", "b", edge_id="e", context="c"))
    await store.relate(edge("b", "a", edge_id="cycle", context="c"), same_since=NOW, author=ANN)
    await store.relate(edge("a", "x", edge_id="unknown", context="c"), same_since=NOW, author=ANN)
    await store.update("a", Changes({"title": "other"}), NOW, ANN, [])
    await store.delete("a", [])
    await store.import_memories([sized("a", 50)], ANN)
    reinforcement = Reinforcement(success=True, strength_step=0.1, confidence_step=0.1, least=0.1, most=1.0)
    await store.reinforce("e", reinforcement, NOW, ANN)
    await store.invalidate("e", NOW, ANN)
    await store.invalidate("e", NOW + SECOND, ANN, reason="because")  # it has ended
    assert await used(store) == (2, 1, 21 + COST)


# Memories.


async def test_no_more_memories_than_the_plan_holds(opens: Opens) -> None:
    store = opens(StoreLimits(2, PLENTY))
    await put(store, memory("a"), memory("b"))
    with pytest.raises(QuotaReached, match="holds 2 memories and 2 are stored") as caught:
        await store.put(memory("c"), ANN, once("key"))
    assert (caught.value.status, caught.value.resource) == (403, Resource.MEMORIES)
    assert await store.get("c") is None
    # What is there may be replaced, changed, related, read, exported and deleted.
    await put(store, memory("a", title="other"))
    assert isinstance(await store.update("b", Changes({"title": "another"}), NOW, ANN), Memory)
    await relate(store, edge("a", "b", context="c"))
    assert (await store.export_page(Place(Kind.MEMORY), limit=9, current=False)).next is None
    assert await store.delete("b")
    # The key was not used up.
    assert (await store.put(memory("c"), ANN, once("key"))).version == 1


async def test_what_was_done_under_its_key_needs_no_room(opens: Opens) -> None:
    store = opens(StoreLimits(1, PLENTY))
    first = await store.put(memory("a"), ANN, once("key"))
    assert await store.put(memory("b"), ANN, once("key")) == first  # ids are made anew when a request is repeated
    with pytest.raises(KeyReused):
        await store.put(memory("b"), ANN, once("key", "another thing"))
    with pytest.raises(QuotaReached):
        await store.put(memory("b"), ANN, once("another key"))


async def test_limits_are_those_of_the_caller(opens: Opens) -> None:
    await put(opens(StoreLimits(1, PLENTY)), memory("a"))
    await put(opens(StoreLimits(2, PLENTY)), memory("b"))  # upgraded
    with pytest.raises(QuotaReached, match="holds 1 memories and 2 are stored"):
        await put(opens(StoreLimits(1, PLENTY)), memory("c"))
    await put(opens(), memory("c"))
    assert (await opens().read_usage()).memories == 3


# Bytes.


async def test_no_more_bytes_than_the_plan_holds(opens: Opens) -> None:
    store = opens(StoreLimits(None, 100 + COST))
    await put(store, sized("a", 60), sized("b", 40 + COST))
    with pytest.raises(QuotaReached, match=r"holds 600 bytes, .* and 600 bytes are stored") as caught:
        await put(store, sized("c", 4))
    assert caught.value.resource is Resource.BYTES
    for growing in (store.put(sized("b", 41 + COST), ANN), store.update("b", Changes({"summary": "s"}), NOW, ANN)):
        with pytest.raises(QuotaReached):
            await growing
    with pytest.raises(QuotaReached):
        await store.relate(edge("a", "b"), same_since=NOW, author=ANN)
    assert await used(store) == (2, 0, 100 + COST)
    assert await store.get("b") == sized("b", 40 + COST)


async def test_a_relationship_needs_room_for_itself_and_for_its_texts(opens: Opens) -> None:
    store = opens(StoreLimits(None, 20 + COST + 4))
    await put(store, sized("a", 10), sized("b", 10))
    with pytest.raises(QuotaReached):
        await store.relate(edge("a", "b", context="12345"), same_since=NOW, author=ANN)
    await relate(store, edge("a", "b", edge_id="e", context="12"))
    with pytest.raises(QuotaReached):
        await store.relate(edge("a", "b", "CAUSES"), same_since=NOW, author=ANN)
    with pytest.raises(QuotaReached):
        await store.amend("e", EdgeChanges({"context": "12345"}), NOW, ANN)
    with pytest.raises(QuotaReached) as caught:
        await store.invalidate("e", NOW, ANN, reason="123")
    assert caught.value.resource is Resource.BYTES
    assert await store.relationship("e") == edge("a", "b", edge_id="e", context="12")
    ended = await store.invalidate("e", NOW, ANN, reason="12")
    assert ended is not None
    assert ended.invalidation_reason == "12"
    assert await used(store) == (2, 1, 20 + COST + 4)
    await store.unrelate("e")
    await relate(store, edge("a", "b", "CAUSES"))


async def test_a_workspace_is_full_of_relationships_alone(opens: Opens) -> None:
    store = opens(StoreLimits(None, 20 + 5 * COST))
    await put(store, sized("a", 10), sized("b", 10))
    sent = [edge("a", "b", edge_id=f"e{number}") for number in range(7)]
    outcomes = await store.import_relationships(sent, ANN, timeless=False)
    assert outcomes == [Outcome.CREATED] * 5 + [Outcome.OVER_BYTES] * 2
    reason = replace(sent[0], updated_at=NOW + SECOND, valid_until=NOW, invalidation_reason="r")
    assert await store.import_relationships([reason], ANN, timeless=False) == [Outcome.OVER_BYTES]
    assert await used(store) == (2, 5, 20 + 5 * COST)
    await store.delete("b")
    assert await used(store) == (1, 0, 10)


async def test_a_memory_that_grows_needs_room_for_its_earlier_state(opens: Opens) -> None:
    store = opens(StoreLimits(None, 30))
    await put(store, sized("a", 10))
    with pytest.raises(QuotaReached):
        await put(store, sized("a", 21))
    await put(store, sized("a", 20))
    assert await used(store) == (1, 0, 30)


async def test_at_the_limit_the_oldest_states_of_what_does_not_grow_give_way(opens: Opens) -> None:
    store = opens(StoreLimits(None, 100))
    await put(store, sized("b", 60))
    for step in range(4):
        await put(store, sized("a", 10, at=NOW + step * SECOND))
    assert await used(store) == (2, 0, 100)
    await put(store, sized("a", 10, at=NOW + 4 * SECOND))
    assert await used(store) == (2, 0, 100)
    # Asked for a moment whose state is gone: nothing, rather than another one.
    assert await store.get_as_of("a", NOW) is None
    assert (await store.get_as_of("a", NOW + SECOND)) == sized("a", 10, at=NOW + SECOND, created_at=NOW, version=2)
    await store.update("b", Changes({"importance": 0.9}), NOW, ANN)  # it has no earlier one to give
    assert await used(store) == (2, 0, 100)
    assert await store.get_as_of("b", NOW) is None
    # Shorter: as many bytes as are needed for its earlier state, no more.
    await put(store, sized("a", 5, at=NOW + 5 * SECOND))
    assert await used(store) == (2, 0, 95)


async def test_over_the_limit_everything_may_shrink(opens: Opens) -> None:
    """A workspace after a downgrade."""
    await put(opens(), *(sized(name, 50) for name in ("a", "b", "c")))
    await relate(opens(), edge("a", "b", edge_id="e", context="context"))
    store = opens(StoreLimits(1, 50))
    await put(store, sized("a", 40))
    assert isinstance(await store.update("b", Changes({"importance": 0.1}), NOW, ANN), Memory)
    await store.amend("e", EdgeChanges({"context": "con"}), NOW, ANN)
    assert await used(store) == (3, 1, 40 + 50 + 50 + COST + 3)
    with pytest.raises(QuotaReached):
        await put(store, sized("a", 41))
    for name in ("a", "b"):
        assert await store.delete(name)
    with pytest.raises(QuotaReached):
        await put(store, sized("a", 4))
    assert await store.delete("c")
    await put(store, sized("a", 4))


# Many at once.


async def test_a_batch_is_stored_whole_or_not_at_all(opens: Opens) -> None:
    store = opens(StoreLimits(3, 100))
    await put(store, memory("a"))
    with pytest.raises(QuotaReached, match="holds 3 memories and 1 are stored"):
        await store.put_many([memory("a", title="other"), memory("b"), memory("c"), memory("d")], ANN)
    assert await store.get("b") is None
    assert await store.get("a") == memory("a")
    await store.put_many([memory("a", title="t"), memory("b"), memory("c")], ANN)
    assert (await store.read_usage()).memories == 3


async def test_of_a_batch_that_may_be_stored_in_part_the_first_have_room(opens: Opens) -> None:
    store = opens(StoreLimits(3, 200))
    await put(store, sized("a", 10), sized("z", 10))
    sent = [sized("z", 150), sized("m", 20), sized("b", 20), sized("a", 40)]
    stored = await store.put_some(sent, ANN, once("key"))
    assert [(one.id, one.version) if isinstance(one, Stored) else one for one in stored] == [
        ("z", 2),
        ("m", 1),
        NoRoom("b", Resource.MEMORIES),
        NoRoom("a", Resource.BYTES),
    ]
    assert await used(store) == (3, 0, 10 + 160 + 20)
    assert await store.put_some(sent, ANN, once("key")) == stored
    with pytest.raises(KeyReused):
        await store.put_some(sent[:1], ANN, once("key", "another thing"))


async def test_a_batch_in_part_with_room_for_all_is_stored_whole(opens: Opens) -> None:
    store = opens(StoreLimits(100, PLENTY))
    stored = await store.put_some([memory(f"m{number}") for number in range(100)], ANN)
    assert all(isinstance(one, Stored) for one in stored)
    [left_out] = await store.put_some([memory("one more")], ANN)
    assert left_out == NoRoom("one more", Resource.MEMORIES)


async def test_of_an_import_nothing_good_is_lost(opens: Opens) -> None:
    store = opens(StoreLimits(3, 100 + COST))
    await put(store, sized("a", 20), sized("b", 20))
    later = NOW + SECOND
    outcomes = await store.import_memories(
        [
            sized("d", 10),
            sized("c", 10),
            sized("a", 20),
            sized("b", 71 + COST, at=later),
            sized("a1", 90 + COST),
            sized("e", 4),
        ],
        ANN,
    )
    assert outcomes == [
        Outcome.CREATED,
        Outcome.OVER_MEMORIES,
        Outcome.UNCHANGED,
        Outcome.OVER_BYTES,
        Outcome.OVER_MEMORIES,
        Outcome.OVER_MEMORIES,
    ]
    assert (
        await store.import_memories([sized("a", 30, at=later), sized("b", 20, at=later)], ANN) == [Outcome.UPDATED] * 2
    )
    assert await used(store) == (3, 0, 10 + 50 + 40)
    edges = [
        edge("a", "b", edge_id="1", context="c"),
        edge("a", "d", edge_id="2"),
        edge("a", "x", edge_id="3", context="c"),
    ]
    outcomes = await store.import_relationships(edges, ANN, timeless=False)
    assert outcomes == [Outcome.OVER_BYTES, Outcome.CREATED, Outcome.UNKNOWN_END]
    grown = replace(edges[1], context="c", updated_at=later)
    assert await store.import_relationships([grown], ANN, timeless=False) == [Outcome.OVER_BYTES]
    assert await store.import_relationships([replace(grown, context=None)], ANN, timeless=False) == [Outcome.UPDATED]
    assert await used(store) == (3, 1, 100 + COST)


async def test_writers_at_once_store_no_more_than_there_is_room_for(
    database: Database, opens: Opens, sqld: Sqld, shared_control_plane: ControlPlaneUrls
) -> None:
    """Each on a connection of its own, with no queue of the process before it."""
    limits, stores, ends = StoreLimits(20, 20 * 18 + 30), list[Store](), list[Postgres | SqliteDatabase | HttpClient]()
    for _ in range(4):
        if isinstance(database, Rows):
            pool = Postgres(Secret(shared_control_plane.memories))
            address = StoreAddress("postgres", workspace_url(database.workspace), Secret(""))
            stores.append(PostgresStores(pool).open(address, limits))
            ends.append(pool)
        elif isinstance(database, SqliteDatabase):
            file = SqliteDatabase(database._path)
            stores.append(SqliteStore(file, limits=limits))
            ends.append(file)
        else:
            client = HttpClient()
            namespace = database._url.split("//")[1].split(".")[0]  # type: ignore[attr-defined]  # it is sqld's
            address = sqld.address(namespace, sqld.token(namespace))
            stores.append(SqliteStore(HranaDatabases(client).open(address), limits=limits))
            ends.append(client)

    async def write(store: Store, name: str) -> int:
        done = 0
        for number in range(10):
            try:
                await store.put(sized(f"{name}{number}", 18), ANN)
            except QuotaReached:
                continue
            done += 1
        outcomes = await store.import_memories([sized(f"{name}i{number}", 18) for number in range(5)], ANN)
        stored = await store.put_some([sized(f"{name}s{number}", 18) for number in range(5)], ANN)
        return done + outcomes.count(Outcome.CREATED) + sum(isinstance(one, Stored) for one in stored)

    async def grow(store: Store, name: str) -> None:
        for _ in range(10):
            try:
                await store.put(sized(f"{name}0", 19), ANN)
            except QuotaReached:
                continue

    done = await asyncio.gather(*(write(store, f"w{number}") for number, store in enumerate(stores)))
    assert sum(done) == 20
    assert await used(opens()) == (20, 0, 20 * 18)
    await asyncio.gather(*(grow(store, f"w{number}") for number, store in enumerate(stores)))
    usage = await opens().read_usage()
    assert usage.memories == 20
    assert usage.bytes <= limits.bytes
    for number in range(4):
        for one in range(10):
            await opens().delete(f"w{number}{one}")
            await opens().delete(f"w{number}i{one}")
            await opens().delete(f"w{number}s{one}")
    assert await used(opens()) == (0, 0, 0)
    for end in ends:
        await end.close()


# Fences.

READS: tuple[Callable[[Store], Awaitable[object]], ...] = (
    lambda store: store.get("a"),
    lambda store: store.get_as_of("a", NOW),
    lambda store: store.search(Search()),
    lambda store: store.recent(NOW, None, newest=1, unresolved=1),
    lambda store: store.statistics(),
    lambda store: store.read_usage(),
    lambda store: store.relationship("e"),
    lambda store: store.related("a", (), 1, 20),
    lambda store: store.path("a", "b", (), 3),
    lambda store: store.history("a", (), limit=1, offset=0),
    lambda store: store.changes(NOW, 1),
    lambda store: store.search_context(ContextSearch()),
    lambda store: store.export_page(Place(Kind.MEMORY), limit=1, current=False),
    lambda store: store.totals(),
    lambda store: store.part("i", 1),
    lambda store: store.parts("i"),
)
WRITES: tuple[Callable[[Store], Awaitable[object]], ...] = (
    lambda store: store.put(memory("new"), ANN),
    lambda store: store.put(memory("new"), ANN, once("key")),
    lambda store: store.put_many([memory("new")], ANN),
    lambda store: store.put_some([memory("new")], ANN),
    lambda store: store.update("a", Changes({"title": "new"}), NOW, ANN),
    lambda store: store.delete("a"),
    lambda store: store.relate(edge("b", "a", "CAUSES"), same_since=NOW, author=ANN),
    lambda store: store.amend("e", EdgeChanges({"strength": 0.1}), NOW, ANN),
    lambda store: store.reinforce(
        "e", Reinforcement(success=True, strength_step=0.1, confidence_step=0.1, least=0.1, most=1.0), NOW, ANN
    ),
    lambda store: store.invalidate("e", NOW, ANN),
    lambda store: store.unrelate("e"),
    lambda store: store.import_memories([memory("new")], ANN),
    lambda store: store.import_relationships([edge("b", "a", "CAUSES")], ANN, timeless=False),
    lambda store: store.finish_part("i", Part(1, "f", "a", NOW), forget_before=NOW),
)


async def check(store: Store, *, reads: bool, writes: bool) -> None:
    for operations, allowed in ((READS, reads), (WRITES, writes)):
        for operation in operations:
            if allowed:
                await operation(store)
                continue
            with pytest.raises(Fenced) as caught:
                await operation(store)
            assert isinstance(caught.value, Unavailable)
            assert caught.value.stale_address


async def test_every_operation_passes_the_fence(opens: Opens, movable: MovableStore) -> None:
    await put(opens(), memory("a"), memory("b"))
    await relate(opens(), edge("a", "b", edge_id="e"))
    assert await movable.read_fence() == Fence(1, Mode.OPEN)
    before = await movable.digest()

    await check(opens(epoch=2), reads=False, writes=False)
    await movable.fence(Fence(1, Mode.READ_ONLY))
    await check(opens(), reads=True, writes=False)
    await check(opens(epoch=2), reads=False, writes=False)
    await movable.fence(Fence(1, Mode.CLOSED))
    await check(opens(), reads=False, writes=False)
    assert await movable.fence(Fence(2, Mode.OPEN)) == Fence(2, Mode.OPEN)
    await check(opens(), reads=False, writes=False)
    assert await movable.digest() == before

    await check(opens(epoch=2), reads=True, writes=True)
    assert await movable.digest() != before
    # A step that comes late changes nothing.
    assert await movable.fence(Fence(1, Mode.CLOSED)) == Fence(2, Mode.OPEN)
    assert await opens(epoch=2).get("b") is not None


async def test_no_write_is_acknowledged_behind_the_fence(opens: Opens, movable: MovableStore) -> None:
    """Every write that was answered is there when the fence has been set, and none comes after it."""
    acknowledged: list[str] = []
    enough = asyncio.Event()

    async def write(name: str) -> None:
        for number in range(1_000):
            await opens().put(memory(f"{name}{number}"), ANN)
            acknowledged.append(f"{name}{number}")
            if len(acknowledged) >= 20:
                enough.set()

    writers = [asyncio.create_task(write(f"w{number}-")) for number in range(4)]
    await enough.wait()
    await movable.fence(Fence(1, Mode.READ_ONLY))
    there = (await movable.digest()).memories
    ended = await asyncio.gather(*writers, return_exceptions=True)
    assert all(isinstance(one, Fenced) for one in ended)
    assert (await movable.digest()).memories == there == len(acknowledged)


# Words.


def test_what_is_said_names_the_limit_the_use_and_the_way_up() -> None:
    usage = Usage(memories=100, relationships=3, bytes=499_900_000)
    free, pro, team = (limits_of(name) for name in PLANS)
    assert reached(free, usage, Resource.MEMORIES).detail == (
        "Your Free plan holds 100 memories and 100 are stored. Delete some, or upgrade to Pro for 10,000."
    )
    assert reached(free, usage, Resource.BYTES).detail == (
        "Your Free plan holds 500 MB, earlier states and relationships included, and 500 MB are stored. "
        "Delete some, or upgrade to Pro for 5 GB."
    )
    assert limits_of("a plan of the past") == free
    assert reached(pro, usage, Resource.MEMORIES).detail.endswith("upgrade to Team for any number.")
    assert reached(team, usage, Resource.BYTES).detail.endswith("Delete some memories to store others.")
