"""Conformance of what `GraphStore` reads, over every adapter: as of, paths, history, changes, search by context."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import orjson
import pytest

from core.adapters.hrana import HranaDatabase
from memories.graph.model import ChangesPosition, ContextSearch, EdgeChanges, EdgePosition, Path, Relationship
from memories.graph.ports import UnknownEnds
from memories.ports import Store
from memories.stores.sqlite import SqliteStore
from tests.functions.memories.samples import ANN, MICROSECOND, NOW, SECOND, edge, memory, put, relate


def edge_ids(edges: list[Relationship]) -> list[str]:
    return [one.id for one in edges]


async def test_related_as_of_a_moment(store: Store) -> None:
    await put(store, *(memory(name) for name in "abcd"))
    end = NOW + SECOND
    await relate(
        store,
        edge("a", "b", edge_id="held", valid_until=end),
        edge("b", "c", "CAUSES", edge_id="holds"),
        edge("a", "d", edge_id="will", valid_from=end),
    )

    async def reached(step: int, *types: str, depth: int = 2) -> list[str]:
        related = await store.related("a", types, depth, 20, NOW + step * MICROSECOND)
        return sorted(one.memory.id for one in related or ())

    assert await reached(-1) == []
    assert await reached(0) == ["b", "c"]
    assert await reached(0, depth=1) == ["b"]
    assert await reached(0, "CAUSES") == []
    assert await reached(999_999) == ["b", "c"]
    assert await reached(1_000_000) == ["d"]
    current = await store.related("a", (), 2, 20)
    assert [one.memory.id for one in current or ()] == ["d"]  # it is current, though it does not hold yet
    assert await store.related("x", (), 2, 20, NOW) is None


async def test_related_as_of_takes_the_strongest_edge_of_then(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    await relate(store, edge("a", "b", edge_id="strong", strength=0.9, valid_until=NOW), edge("a", "b", edge_id="weak"))
    await relate(store, edge("a", "b", "CAUSES", edge_id="middle", strength=0.6, valid_from=NOW - SECOND))
    for at, expected in ((None, "middle"), (NOW, "middle"), (NOW - SECOND, "middle")):
        [one] = await store.related("a", (), 1, 20, at) or []
        assert one.relationship.id == expected
    [one] = await store.related("a", ("SOLVES",), 1, 20, NOW) or []
    assert one.relationship.id == "weak"


def check(path: object, expected: str, edges: list[str]) -> None:
    assert isinstance(path, Path)
    assert [one.id for one in path.memories] == list(expected)
    assert edge_ids(path.relationships) == edges
    for (one, other), between in zip(pairwise(path.memories), path.relationships, strict=True):
        assert {between.from_id, between.to_id} == {one.id, other.id}


async def test_a_shortest_path_goes_either_way_along_edges(store: Store) -> None:
    await put(store, *(memory(name) for name in "abcdef"))
    await relate(
        store,
        edge("a", "b", edge_id="ab"),
        edge("c", "b", edge_id="cb"),
        edge("c", "d", edge_id="cd"),
        edge("a", "e", "CAUSES", edge_id="ae"),
        edge("d", "e", "CAUSES", edge_id="de"),
    )
    check(await store.path("a", "d", (), 5), "aed", ["ae", "de"])
    check(await store.path("d", "a", (), 5), "dea", ["de", "ae"])
    check(await store.path("a", "d", ("SOLVES",), 3), "abcd", ["ab", "cb", "cd"])
    check(await store.path("a", "a", (), 5), "a", [])
    check(await store.path("a", "a", (), 0), "a", [])
    assert await store.path("a", "d", (), 1) is None
    assert await store.path("a", "d", ("SOLVES",), 2) is None
    assert await store.path("a", "f", (), 9) is None
    assert await store.path("a", "x", (), 5) == UnknownEnds(("x",))
    assert await store.path("x", "y", (), 5) == UnknownEnds(("x", "y"))
    assert await store.path("x", "x", (), 5) == UnknownEnds(("x",))


async def test_a_path_takes_the_strongest_edges_from_its_end(store: Store) -> None:
    await put(store, *(memory(name) for name in "abcde"))
    await relate(
        store,
        edge("a", "b", edge_id="ab", strength=0.9),
        edge("a", "c", edge_id="ac", strength=0.1),
        edge("d", "b", edge_id="bd", strength=0.5),
        edge("c", "d", edge_id="cd", strength=0.5, at=NOW + MICROSECOND),
        edge("c", "d", "CAUSES", edge_id="cd2", strength=0.5, at=NOW + MICROSECOND),
        edge("d", "e", edge_id="de", strength=0.2),
    )
    check(await store.path("a", "e", (), 5), "acde", ["ac", "cd", "de"])  # the newest, then by id
    check(await store.path("e", "a", (), 5), "edba", ["de", "bd", "ab"])  # from a the strongest leads to b
    await store.amend("bd", EdgeChanges({"strength": 0.6}), NOW, ANN)
    check(await store.path("a", "e", (), 5), "abde", ["ab", "bd", "de"])


async def test_a_path_as_of_a_moment(store: Store) -> None:
    await put(store, *(memory(name) for name in "abc"))
    await relate(
        store,
        edge("a", "c", edge_id="ac", valid_until=NOW + SECOND),
        edge("a", "b", edge_id="ab"),
        edge("b", "c", edge_id="bc", valid_from=NOW - SECOND),
    )
    check(await store.path("a", "c", (), 3, NOW), "ac", ["ac"])
    check(await store.path("a", "c", (), 3), "abc", ["ab", "bc"])
    check(await store.path("a", "c", (), 3, NOW + SECOND), "abc", ["ab", "bc"])
    assert await store.path("a", "c", (), 3, NOW - MICROSECOND) is None


async def test_a_history_has_all_relationships_in_pages(store: Store) -> None:
    await put(store, *(memory(name) for name in "abcd"))
    await relate(
        store,
        edge("a", "b", edge_id="2", valid_from=NOW - SECOND),
        edge("c", "a", "CAUSES", edge_id="1", valid_from=NOW - 2 * SECOND, valid_until=NOW),
        edge("a", "d", edge_id="4"),
        edge("d", "a", "BLOCKS", edge_id="3"),
        edge("b", "c", edge_id="5"),
    )

    async def page(limit: int, offset: int, *types: str) -> tuple[list[str], int]:
        past = await store.history("a", types, limit=limit, offset=offset)
        assert past is not None
        assert [one.version for one in past.versions] == [1]
        return edge_ids(past.relationships), past.total

    assert await page(10, 0) == (["1", "2", "3", "4"], 4)
    assert await page(2, 1) == (["2", "3"], 4)
    assert await page(2, 4) == ([], 4)
    assert await page(10, 0, "SOLVES", "BLOCKS") == (["2", "3", "4"], 3)
    assert await store.history("x", (), limit=10, offset=0) is None


async def test_changes_since_a_moment(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    edges = [edge("a", "b", edge_id=f"e{step}", at=NOW + step * MICROSECOND) for step in range(3)]
    await relate(store, *edges, edge("a", "b", "CAUSES", edge_id="tie", at=NOW + MICROSECOND))
    await relate(store, edge("a", "b", edge_id="ends", at=NOW - SECOND, valid_until=NOW + timedelta(days=1)))
    await store.invalidate("e0", NOW + SECOND, ANN)

    async def changed(since: int, limit: int) -> tuple[list[str], bool, list[str], bool]:
        seen = await store.changes(NOW + since * MICROSECOND, limit)
        return edge_ids(seen.recorded), seen.more_recorded, edge_ids(seen.invalidated), seen.more_invalidated

    assert await changed(0, 10) == (["e2", "e1", "tie", "e0"], False, ["ends", "e0"], False)
    assert await changed(0, 2) == (["e2", "e1"], True, ["ends", "e0"], False)
    assert await changed(0, 1) == (["e2"], True, ["ends"], True)
    assert await changed(2, 10) == (["e2"], False, ["ends", "e0"], False)
    assert await changed(1_000_000, 10) == ([], False, ["ends", "e0"], False)
    assert await changed(1_000_001, 10) == ([], False, ["ends"], False)


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_of_changes_have_each_once(store: Store, limit: int) -> None:
    await put(store, memory("a"), memory("b"))
    edges = [edge("a", "b", edge_id=f"e{n}", at=NOW + n // 3 * MICROSECOND, strength=n / 10) for n in range(8)]
    await relate(store, *edges, edge("a", "b", edge_id="before", at=NOW - MICROSECOND, strength=0.9))
    for number in (1, 3, 4, 6, 7):
        await store.invalidate(f"e{number}", NOW + (1 + number // 4) * SECOND, ANN)
    recorded: list[str] = []
    ended: list[str] = []
    after = None
    while True:
        page = await store.changes(NOW, limit, after)
        recorded += edge_ids(page.recorded)
        ended += edge_ids(page.invalidated)
        for seen, more in ((page.recorded, page.more_recorded), (page.invalidated, page.more_invalidated)):
            assert len(seen) == limit if more else len(seen) <= limit
        if not page.more_recorded and not page.more_invalidated:
            break
        after = ChangesPosition(
            EdgePosition(page.recorded[-1].recorded_at, page.recorded[-1].id) if page.more_recorded else None,
            EdgePosition(page.invalidated[-1].valid_until or NOW, page.invalidated[-1].id)
            if page.more_invalidated
            else None,
        )
    assert recorded == ["e6", "e7", "e3", "e4", "e5", "e0", "e1", "e2"]
    assert ended == ["e4", "e6", "e7", "e1", "e3"]
    assert (await store.changes(NOW, 5, ChangesPosition(None, None))).recorded == []


async def test_a_history_is_in_order_of_recording_where_facts_began_together(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    for step, name in enumerate(("z", "y", "b", "c")):
        at = NOW + min(step, 2) * MICROSECOND
        await relate(store, edge("a", "b", edge_id=name, valid_from=NOW, at=at, strength=step / 10))
    past = await store.history("a", (), limit=10, offset=0)
    assert past is not None
    assert edge_ids(past.relationships) == ["z", "y", "b", "c"]


async def test_pages_of_relationships_with_much_context_end_early(store: Store) -> None:
    much = "x" * 49_000
    await put(store, memory("a"), memory("b"))
    edges = [edge("a", "b", edge_id=f"e{number:03}", context=much, strength=number / 200) for number in range(120)]
    await store.import_relationships(edges, ANN, timeless=False)
    seen = await store.changes(NOW, 200)
    assert seen.more_recorded
    assert 50 < len(seen.recorded) < 120
    past = await store.history("a", (), limit=200, offset=0)
    assert past is not None
    assert past.total == 120
    assert 50 < len(past.relationships) < 120
    rest = await store.history("a", (), limit=200, offset=len(past.relationships))
    assert rest is not None
    assert edge_ids([*past.relationships, *rest.relationships]) == edge_ids(edges)


def context(**fields: object) -> str:
    empty: dict[str, object] = {
        "text": "t",
        "scope": None,
        "components": [],
        "conditions": [],
        "evidence": [],
        "temporal": None,
    }
    return orjson.dumps({**empty, "exceptions": [], **fields}).decode()


async def test_search_by_context(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    for edge_id, said in {
        "1": context(scope="partial", components=["auth module", "Login Straße"], evidence=["a test"]),
        "2": context(scope="full", components=["cache"], conditions=["in Production"], temporal="since v1.2"),
        "3": context(exceptions=["100% of edge cases", "node_js"]),
        "4": context(conditions=["on staging", "production"], temporal="until v2"),
        "5": None,
    }.items():
        await relate(store, edge("a", "b", edge_id=edge_id, context=said, strength=int(edge_id) / 10))
    await relate(store, edge("a", "b", "CAUSES", edge_id="6", context=context(scope="partial"), valid_until=NOW))

    for wanted, expected in (
        (ContextSearch(), ["5", "4", "3", "2", "1"]),
        (ContextSearch(limit=2), ["5", "4"]),
        (ContextSearch(scope="partial"), ["1"]),
        (ContextSearch(scope="part"), []),
        (ContextSearch(components=("strasse",)), ["1"]),
        (ContextSearch(components=("module", "cache")), ["2", "1"]),
        (ContextSearch(components=("production",)), []),
        (ContextSearch(conditions=("production",)), ["4", "2"]),
        (ContextSearch(conditions=("production",), temporal="v1"), ["2"]),
        (ContextSearch(conditions=("production",), scope="partial"), []),
        (ContextSearch(exceptions=("0%", "_js")), ["3"]),
        (ContextSearch(exceptions=("edge%cases",)), []),
        (ContextSearch(evidence=("test",)), ["1"]),
        (ContextSearch(has_evidence=True), ["1"]),
        (ContextSearch(has_evidence=False), ["5", "4", "3", "2"]),
        (ContextSearch(types=("SOLVES",), temporal="v"), ["4", "2"]),
        (ContextSearch(types=("CAUSES",)), []),
    ):
        assert edge_ids(await store.search_context(wanted)) == expected, wanted


async def test_search_by_context_orders_by_strength_newest_id(store: Store) -> None:
    await put(store, memory("a"), memory("b"))
    await relate(
        store,
        edge("a", "b", edge_id="weak", strength=0.1),
        edge("a", "b", edge_id="old2"),
        edge("a", "b", "CAUSES", edge_id="old1"),
        edge("a", "b", edge_id="new", at=NOW + MICROSECOND),
    )
    assert edge_ids(await store.search_context(ContextSearch())) == ["new", "old1", "old2", "weak"]


@pytest.mark.parametrize("types", [(), ("SOLVES",)])
async def test_walks_end_in_rings(store: Store, types: tuple[str, ...]) -> None:
    await put(store, *(memory(f"m{number}") for number in range(6)))
    await relate(store, *(edge(f"m{number}", f"m{number + 1}") for number in range(5)))
    await relate(store, edge("m5", "m0", "CAUSES"))
    related = await store.related("m0", types, 50, 20)
    assert sorted(one.depth for one in related or ()) == ([1, 2, 3, 4, 5] if types else [1, 1, 2, 2, 3])
    path = await store.path("m0", "m4", types, 50)
    assert isinstance(path, Path)
    assert len(path.relationships) == (4 if types else 2)


async def test_a_path_over_large_memories_is_whole(served: HranaDatabase) -> None:
    """Eleven that take more than sqld and Turso answer at once."""
    store = SqliteStore(served)
    names = [f"m{number:02}" for number in range(11)]
    await put(store, *(memory(name, content=name + "x" * ((1 << 20) - 200)) for name in names))
    await relate(store, *(edge(one, other, edge_id=f"{one}-{other}") for one, other in pairwise(names)))
    found = await store.path(names[0], names[-1], (), 10)
    assert isinstance(found, Path)
    assert [one.id for one in found.memories] == names
    assert [one.content[:3] for one in found.memories] == names
    assert edge_ids(found.relationships) == [f"{one}-{other}" for one, other in pairwise(names)]
