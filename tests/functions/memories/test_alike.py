"""Both stores answer alike: the same generated operations, one after another, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import migrations
from core.adapters.postgres import Postgres
from core.adapters.sqlite import SqliteDatabase
from core.once import Once
from core.ports import Statement, StoreAddress
from core.settings import Secret
from core.urls import workspace_url
from memories.graph.model import (
    ChangesPosition,
    ContextSearch,
    EdgeChanges,
    EdgePosition,
    Reinforcement,
    Relationship,
)
from memories.model import (
    Activity,
    Author,
    Changes,
    Memory,
    MemoryType,
    Near,
    Position,
    Revision,
    Search,
    Statistics,
    project_of,
)
from memories.ports import KeyReused, OtherProject, Store
from memories.quotas import QuotaReached, StoreLimits
from memories.relationship_types import RelationshipType
from memories.stores.postgres import PostgresStores
from memories.stores.rows import RELATIONSHIP_COST
from memories.stores.sqlite import SqliteStore
from memories.text import fold, normal_tags, patterns
from memories.transfer.model import Kind, Part, Place
from tests.functions.conftest import ControlPlaneUrls

NOW = datetime(2025, 1, 31, 9, 15, 27, 123456, tzinfo=UTC)
EXAMPLES = 100
AUTHOR = Author("key", "account", "agent/1")
PROJECT = "/p"


@dataclass(frozen=True)
class Call:
    """One operation of `Store`; `bound`: by a caller that is bound to PROJECT."""

    name: str
    args: tuple[Any, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)
    bound: bool = False


# Those that stems, cases, ligatures, wildcards, escapes and separators are about.
WORDS = (
    *("cache", "caching", "cached", "retry", "retries", "a", "ab", "db", "db2", "NULL", "$1", "%s", "{a,b}"),
    *("Straße", "STRASSE", "\ufb01nal", "e\u0301clair", "ÉCLAIR", "東京タワー", "京", "ПРИВЕТ", "\u0130", "\u0600"),
    *("100%", "0%", "%", "_", "snake_case", "snakeXcase", "e_c", "back\\slash", "\\", '"', "'"),
    *("x\x1fy", "\x1f", "\U0001f600"),
)

ids = st.sampled_from(["a", "B", "b", "a.b", "a-b", "a_b", "Z9"])
words = st.sampled_from(WORDS)
wild = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6)
texts = st.builds(
    lambda parts, glue: glue.join(parts),
    st.lists(words | wild, min_size=1, max_size=4),
    st.sampled_from([" ", "", "\n"]),
)
titles = texts | words  # some of them the same, or as a query is
units = st.sampled_from([0, 0.1, 0.30000000000000004, 0.3, 0.5, 1])
moments = st.integers(-3, 3).map(lambda step: NOW + timedelta(microseconds=step))
types = st.sampled_from([str(one) for one in (MemoryType.PROBLEM, MemoryType.ERROR, MemoryType.FIX, MemoryType.TASK)])
tags = st.lists(words, max_size=3).map(normal_tags)
projects = st.sampled_from(["/p", "/P", "straße"])
languages = st.lists(st.sampled_from(["python", "Python", "STRASSE", "straße"]), max_size=2)
contexts = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "project_path": projects,
        "languages": languages,
        "frameworks": languages,
        "z": words,
        "a": st.lists(units | st.integers(-(2**63), 2**63 - 1)),
    },
)
edge_types = st.sampled_from(
    [RelationshipType.SOLVES, RelationshipType.ADDRESSES, RelationshipType.CAUSES, RelationshipType.SIMILAR_TO]
)

memories = st.builds(
    lambda at, **fields: Memory(created_at=at, updated_at=at, **fields),
    at=moments,
    id=ids,
    type=types,
    title=titles,
    content=texts,
    summary=st.none() | texts,
    tags=tags,
    importance=units,
    confidence=units,
    context=contexts,
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "type": types,
        "title": titles,
        "content": texts,
        "summary": st.none() | texts,
        "tags": tags,
        "importance": units,
        "confidence": units,
        "context": contexts,
    },
).map(Changes)
edge_ids = st.sampled_from([*(f"r{number}" for number in range(12)), "i", "j"])
edge_contexts = (
    st.none()
    | words
    | st.sampled_from(
        [
            "partially implements auth module, only works in production",
            "verified by tests, except on Straße, when cached",
            '{"text": "t", "scope": "full", "components": ["Cache", "100%"], "evidence": ["STRASSE"]}',
        ]
    )
)


def begun_and_ended(recorded: datetime, begun: int | None, ended: int | None) -> dict[str, Any]:
    """The times of a relationship that was recorded at a moment; `begun` and `ended` are steps from there."""
    return {
        **dict.fromkeys(("created_at", "updated_at", "recorded_at"), recorded),
        "valid_from": recorded + timedelta(microseconds=begun or 0),
        "valid_until": None if ended is None else recorded + timedelta(microseconds=ended),
    }


def edges_of(
    ends: st.SearchStrategy[tuple[str, str]], **fields: st.SearchStrategy[Any]
) -> st.SearchStrategy[Relationship]:
    return st.builds(
        lambda at, begun, ended, both, **given: Relationship(
            from_id=both[0], to_id=both[1], **begun_and_ended(at, begun, ended), **given
        ),
        at=moments,
        begun=st.sampled_from([None, None, -1, 1]),
        ended=st.sampled_from([None, None, None, 0, 2]),
        both=ends,
        type=edge_types,
        **fields,
    )


edges = edges_of(
    st.tuples(ids, ids),
    id=st.just(""),
    strength=units,
    confidence=st.sampled_from([0.3, 0.8]),
    context=edge_contexts,
)
# Few enough that many are the same, or differ in their type or time alone.
similar_edges = edges_of(st.tuples(st.sampled_from(["a", "B"]), st.sampled_from(["B", "b"])), id=st.just(""))
imported_edges = edges_of(
    st.tuples(ids, ids), id=edge_ids, strength=units, context=edge_contexts, version=st.integers(1, 4)
)
queries = st.sampled_from(["normal", "strict"]).flatmap(
    lambda how: texts.map(lambda text: (patterns(text, strict=how == "strict"), fold(text).strip()))
)
folded_languages = st.just(()) | languages.map(lambda some: tuple(map(fold, some)))
searches = st.builds(
    lambda groups, **fields: Search(
        needles=tuple(needles for needles, _ in groups if needles), exact=groups[0][1] if groups else "", **fields
    ),
    groups=st.lists(queries, max_size=2),
    types=st.lists(types, max_size=2).map(tuple),
    tags=tags,
    every_tag=st.booleans(),
    project=st.none() | projects,
    min_importance=st.none() | units,
    min_confidence=st.none() | units,
    created_after=st.none() | moments,
    created_before=st.none() | moments,
    languages=folded_languages,
    frameworks=folded_languages,
    relationship_types=st.sampled_from([(), (), ("SOLVES",), ("CAUSES", "ADDRESSES")]),
    near=st.none() | st.builds(Near, ids, st.integers(1, 3), st.sampled_from([(), ("SOLVES", "CAUSES")])),
    limit=st.sampled_from([1, 2, 50]),
    offset=st.sampled_from([0, 0, 1, 3]),
    after=st.none() | st.none() | st.builds(Position, st.booleans(), units.map(float), moments, ids),
)
free_searches = st.builds(
    lambda groups, limit: Search(needles=tuple(groups), exact=groups[0][0], limit=limit),
    groups=st.lists(st.lists(texts.map(fold).filter(bool), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3),
    limit=st.sampled_from([2, 50]),
)


def onces(name: str) -> st.SearchStrategy[Once | None]:
    """What is asked for under a key says of which operation it is."""
    keys, fingerprints = st.sampled_from(["k", "l"]), st.sampled_from([f"{name} 1", f"{name} 2"])
    return st.none() | st.builds(Once, keys, fingerprints, moments, st.just(NOW - timedelta(microseconds=1)))


expectations = st.none() | st.lists(st.builds(Revision, st.integers(1, 3), moments), max_size=3)
walked_types = st.lists(edge_types, max_size=2).map(tuple)
needles = st.lists(words.map(fold), max_size=2).map(tuple)


def call(name: str, *args: st.SearchStrategy[Any], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.builds(Call, st.just(name), st.tuples(*args), st.fixed_dictionaries(more))


def different(many: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(many, max_size=4, unique_by=lambda one: one.id)


by = st.just(AUTHOR)
puts = call("put", memories, by, onces("put"))


def relates(made: st.SearchStrategy[Relationship]) -> st.SearchStrategy[Call]:
    """The time since when there may be the same one is never after that of the relationship itself."""
    return st.builds(
        lambda one, step, once: Call(
            "relate",
            (one,),
            {"same_since": one.recorded_at - timedelta(microseconds=step), "author": AUTHOR, "once": once},
        ),
        made,
        st.integers(0, 3),
        onces("relate"),
    )


places = st.none() | st.builds(EdgePosition, moments, edge_ids)
calls = st.one_of(
    puts,
    puts,
    call("update", ids, changes, moments, by, expectations),
    call("delete", ids, expectations),
    call("get", ids),
    call("get_as_of", ids, moments),
    relates(edges),
    relates(edges),
    relates(similar_edges),
    call("relationship", edge_ids),
    call(
        "amend",
        edge_ids,
        st.fixed_dictionaries({}, optional={"strength": units, "confidence": units, "context": edge_contexts}).map(
            EdgeChanges
        ),
        moments,
        by,
        expectations,
    ),
    call("unrelate", edge_ids, expectations),
    call(
        "reinforce",
        edge_ids,
        st.builds(Reinforcement, st.booleans(), st.just(0.05), st.just(0.03), st.just(0.1), st.just(0.95)),
        moments,
        by,
        onces("reinforce"),
    ),
    call("invalidate", edge_ids, moments, by, by=st.none() | edge_ids, reason=st.none() | words),
    call("search", searches),
    call("search", free_searches),
    call("related", ids, walked_types, st.integers(1, 4), st.sampled_from([1, 3, 20]), st.none() | moments),
    call("path", ids, ids, walked_types, st.integers(1, 4), st.none() | moments),
    call("history", ids, walked_types, limit=st.sampled_from([1, 100]), offset=st.integers(0, 2)),
    call("changes", moments, st.sampled_from([1, 2, 100]), st.none() | st.builds(ChangesPosition, places, places)),
    call(
        "search_context",
        st.builds(
            ContextSearch,
            scope=st.sampled_from([None, None, "partial", "full"]),
            components=needles,
            conditions=needles,
            evidence=needles,
            exceptions=needles,
            temporal=st.none() | words.map(fold),
            has_evidence=st.sampled_from([None, None, True, False]),
            types=walked_types,
            limit=st.sampled_from([1, 20]),
        )
        | st.builds(ContextSearch, components=st.sampled_from([("auth",), ("cach", "%")])),
    ),
    call("recent", moments, st.none() | projects, newest=st.integers(1, 4), unresolved=st.integers(1, 3)),
    st.just(Call("statistics")),
    st.just(Call("totals")),
    st.just(Call("read_usage")),
    call("put_many", different(memories), by, onces("put_many")),
    call("put_some", different(memories), by, onces("put_some")),
    call(
        "export_page",
        st.builds(Place, st.sampled_from(list(Kind)), ids | edge_ids | st.just("")),
        limit=st.sampled_from([1, 3, 100]),
        current=st.booleans(),
    ),
    call(
        "import_memories",
        different(st.builds(lambda one, version: replace(one, version=version), memories, st.integers(1, 5))),
        by,
    ),
    call("import_relationships", st.lists(imported_edges, max_size=4), by, timeless=st.booleans()),
    call(
        "finish_part",
        st.sampled_from(["x", "y"]),
        st.builds(Part, st.integers(1, 2), words, words, moments),
        forget_before=moments,
    ),
    call("part", st.sampled_from(["x", "y"]), st.integers(1, 2)),
    call("parts", st.sampled_from(["x", "y"])),
)
known = [
    Call("put", (Memory(id=one, type="fix", title=one, content=one, created_at=NOW, updated_at=NOW), AUTHOR))
    for one in ("a", "B", "b")
]
whole = [
    Call("search", (Search(),)),
    Call("statistics"),
    Call("recent", (NOW - timedelta(days=1), None), {"newest": 20, "unresolved": 10}),
    *(Call("related", (one, (), 4, 20)) for one in ("a", "B", "a.b")),
    *(Call("history", (one, ()), {"limit": 100, "offset": 0}) for one in ("a", "b")),
    Call("changes", (NOW - timedelta(days=1), 100)),
    Call("search_context", (ContextSearch(),)),
    Call("export_page", (Place(Kind.MEMORY),), {"limit": 100, "current": False}),
    Call("read_usage"),
]
"""What both hold at first, and what they are asked in the middle and at the end."""
limits = st.none() | st.builds(
    StoreLimits,
    st.none() | st.integers(3, 7),
    st.builds(lambda texts, edges: texts + edges * RELATIONSHIP_COST, st.integers(30, 300), st.integers(0, 5)),
)
_COUNTED = f"""
  SELECT (SELECT count(*) FROM memories), (SELECT count(*) FROM relationships),
    coalesce((SELECT sum(octets) FROM (
      SELECT length(CAST(title || content || coalesce(summary, '') || tags || coalesce(context, '') AS BLOB)) AS octets
      FROM memories
      UNION ALL
      SELECT length(CAST(title || content || coalesce(summary, '') || tags || coalesce(context, '') AS BLOB))
      FROM memory_versions
      UNION ALL
      SELECT {RELATIONSHIP_COST} + length(CAST(coalesce(context, '') || coalesce(invalidation_reason, '') AS BLOB))
      FROM relationships
    )), 0)"""


async def answers(store: Store, script: Sequence[Call], narrow: Store | None = None) -> list[Any]:
    """`narrow`: the same for the bound caller."""
    found = []
    for number, one in enumerate(script):
        args = one.args
        if one.name == "relate":
            args = (replace(args[0], id=f"r{number}"), *args[1:])
        try:
            asked = narrow if one.bound else store
            answer = await getattr(asked, one.name)(*args, **one.more)
            if one.name in ("get", "get_as_of") and answer is not None:
                answer = (answer, answer.author)
            found.append(_in_order(answer))
        except KeyReused:
            found.append(KeyReused)
        except OtherProject as refused:
            found.append((OtherProject, refused.ids))
        except QuotaReached as full:
            found.append((full.resource, full.detail))
    return found


def _in_order(answer: Any) -> Any:
    """With what equality of dictionaries leaves out: their order. Averages may differ in their last digits."""
    if isinstance(answer, Statistics):
        averages = [None if one is None else round(one, 9) for one in (answer.importance, answer.confidence)]
        return (list(answer.count_by_type.items()), answer.relationships, averages)
    if isinstance(answer, Activity):
        return (list(answer.count_by_type.items()), answer.newest, answer.unresolved)
    return answer


_TENANT_TABLES = ("relationships", "memories", "memory_versions", "idempotency", "import_parts")


def test_both_stores_answer_alike(shared_control_plane: ControlPlaneUrls, tmp_path: Path) -> None:
    local = SqliteDatabase(tmp_path / "memories.db")
    postgres = Postgres(Secret(shared_control_plane.memories))

    async def compare(script: list[Call], limits: StoreLimits | None) -> None:
        await local.batch([Statement(f"DELETE FROM {table}") for table in _TENANT_TABLES], write=True)
        address = StoreAddress("postgres", workspace_url(str(uuid.uuid4())), Secret(""))
        expected = await answers(SqliteStore(local, limits=limits), script)
        found = await answers(PostgresStores(postgres).open(address, limits), script)
        for done, one, other in zip(script, expected, found, strict=True):
            assert other == one, done
        [counted] = await local.batch([Statement(_COUNTED)], write=False)
        usage = expected[-1]
        assert counted.rows == [(usage.memories, usage.relationships, usage.bytes)]
        if limits is not None:
            assert limits.memories is None or usage.memories <= limits.memories
            assert usage.bytes <= limits.bytes

    with asyncio.Runner() as runner:
        runner.run(migrations.apply(local, migrations.load("sqlite")))

        @settings(max_examples=EXAMPLES, deadline=None)
        @given(st.lists(relates(similar_edges), max_size=8), st.lists(calls, min_size=5, max_size=40), limits)
        def alike(first: list[Call], script: list[Call], most: StoreLimits | None) -> None:
            runner.run(compare([*known, *first, *whole, *script, *whole], most))

        try:
            alike()
        finally:
            runner.run(local.close())
            runner.run(postgres.close())


def in_project(one: Memory) -> Memory:
    return replace(one, context={**(one.context or {}), "project_path": PROJECT})


def narrowed(one: Call) -> Call:
    """The same by the bound caller, which mostly writes into its project, as the service sees to it."""
    args = tuple(
        in_project(arg)
        if isinstance(arg, Memory)
        else [in_project(item) if isinstance(item, Memory) else item for item in arg]
        if isinstance(arg, list)
        else arg
        for arg in one.args
    )
    return replace(one, args=args, bound=True)


def told(answer: Any) -> Iterator[Memory | Relationship]:
    """Every memory and relationship in an answer."""
    if isinstance(answer, Memory | Relationship):
        yield answer
    elif isinstance(answer, list | tuple):
        for one in answer:
            yield from told(one)
    elif is_dataclass(answer):
        for each in fields(answer):
            yield from told(getattr(answer, each.name))


at_home = calls.map(narrowed)
anywhere = calls.map(lambda one: replace(one, bound=True))
either = st.one_of(calls, calls, at_home, at_home, anywhere)
split = [*known[:1], *(Call("put", (in_project(one.args[0]), AUTHOR)) for one in known[1:])]
narrow_whole = [replace(one, bound=True) for one in whole if one.name != "read_usage"]


def test_both_stores_answer_alike_who_is_bound_to_a_project(
    shared_control_plane: ControlPlaneUrls, tmp_path: Path
) -> None:
    """And tell of nothing else: what it is told are memories of its project, and relationships between them."""
    local = SqliteDatabase(tmp_path / "memories.db")
    postgres = Postgres(Secret(shared_control_plane.memories))

    async def compare(script: list[Call], limits: StoreLimits | None) -> None:
        await local.batch([Statement(f"DELETE FROM {table}") for table in _TENANT_TABLES], write=True)
        address = StoreAddress("postgres", workspace_url(str(uuid.uuid4())), Secret(""))
        stores = PostgresStores(postgres)
        expected = await answers(
            SqliteStore(local, limits=limits), script, SqliteStore(local, limits=limits, project=PROJECT)
        )
        found = await answers(stores.open(address, limits), script, stores.open(address, limits, PROJECT))
        for done, one, other in zip(script, expected, found, strict=True):
            assert other == one, done
            if done.bound:
                assert all(project_of(m.context) == PROJECT for m in told(one) if isinstance(m, Memory)), done
        [home] = await local.batch(
            [Statement(f"SELECT id FROM memories WHERE project_path = '{PROJECT}'")], write=False
        )
        own = {row[0] for row in home.rows}
        edges_told = [r for r in told(expected[-len(narrow_whole) :]) if isinstance(r, Relationship)]
        assert all({r.from_id, r.to_id} <= own for r in edges_told)

    with asyncio.Runner() as runner:
        runner.run(migrations.apply(local, migrations.load("sqlite")))

        @settings(max_examples=EXAMPLES // 2, deadline=None)
        @given(st.lists(relates(similar_edges), max_size=8), st.lists(either, min_size=5, max_size=40), limits)
        def alike(first: list[Call], script: list[Call], most: StoreLimits | None) -> None:
            runner.run(compare([*split, *first, *script, *whole, *narrow_whole], most))

        try:
            alike()
        finally:
            runner.run(local.close())
            runner.run(postgres.close())


@pytest.mark.parametrize("seed", [1, 2])
async def test_both_stores_find_alike_among_many(
    shared_control_plane: ControlPlaneUrls, tmp_path: Path, seed: int
) -> None:
    """More rows than a plan for a handful of them would do for."""
    local = SqliteDatabase(tmp_path / "memories.db")
    await migrations.apply(local, migrations.load("sqlite"))
    postgres = Postgres(Secret(shared_control_plane.memories))
    stores: tuple[Store, Store] = (
        SqliteStore(local),
        PostgresStores(postgres).open(StoreAddress("postgres", workspace_url(str(uuid.uuid4())), Secret(""))),
    )
    word = itertools.cycle(WORDS[seed:] + WORDS[:seed])
    for number in range(150):
        one = Memory(
            id=f"m{number}",
            type="general",
            title=" ".join(next(word) for _ in range(3)),
            content=" ".join(next(word) for _ in range(number % 7 + 1)),
            importance=number % 5 / 5,
            created_at=NOW + timedelta(microseconds=number % 3),
            updated_at=NOW,
        )
        for store in stores:
            await store.put(one, AUTHOR)
    for query in WORDS:
        search = Search(needles=(patterns(query),) if patterns(query) else (), exact=fold(query).strip(), limit=20)
        first, second = [await store.search(search) for store in stores]
        assert first == second, query
    await local.close()
    await postgres.close()
