"""Both stores answer alike: the same generated operations, one after another, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import migrations
from core.adapters.postgres import Postgres
from core.adapters.sqlite import SqliteDatabase
from core.ports import Statement, StoreAddress
from core.settings import Secret
from core.urls import workspace_url
from memories.model import Activity, Author, Changes, Memory, MemoryType, Page, Relationship, Search, Statistics
from memories.ports import MemoryStore
from memories.relationship_types import RelationshipType
from memories.stores.postgres import PostgresMemoryStores
from memories.stores.sqlite import SqliteMemoryStore
from memories.text import fold, normal_tags, patterns
from tests.functions.conftest import ControlPlaneUrls

NOW = datetime(2025, 1, 31, 9, 15, 27, 123456, tzinfo=UTC)
EXAMPLES = 100
AUTHOR = Author("key", "account", "agent/1")


@dataclass(frozen=True)
class Call:
    """One operation of `MemoryStore`."""

    name: str
    args: tuple[Any, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)


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
units = st.sampled_from([0, 0.1, 0.30000000000000004, 0.3, 0.5, 1])
moments = st.integers(-3, 3).map(lambda step: NOW + timedelta(microseconds=step))
types = st.sampled_from([str(one) for one in (MemoryType.PROBLEM, MemoryType.ERROR, MemoryType.FIX, MemoryType.TASK)])
tags = st.lists(words, max_size=3).map(normal_tags)
projects = st.sampled_from(["/p", "/P", "straße"])
contexts = st.none() | st.fixed_dictionaries(
    {}, optional={"project_path": projects, "z": words, "a": st.lists(units | st.integers(-(2**63), 2**63 - 1))}
)
edge_types = st.sampled_from(
    [RelationshipType.SOLVES, RelationshipType.ADDRESSES, RelationshipType.CAUSES, RelationshipType.SIMILAR_TO]
)

memories = st.builds(
    lambda at, **fields: Memory(created_at=at, updated_at=at, **fields),
    at=moments,
    id=ids,
    type=types,
    title=texts,
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
        "title": texts,
        "content": texts,
        "summary": st.none() | texts,
        "tags": tags,
        "importance": units,
        "confidence": units,
        "context": contexts,
    },
).map(Changes)
edges = st.builds(
    lambda at, **fields: Relationship(id="", created_at=at, valid_from=at, recorded_at=at, **fields),
    at=moments,
    from_id=ids,
    to_id=ids,
    type=edge_types,
    strength=units,
    confidence=st.sampled_from([0.3, 0.8]),
    context=st.none() | words,
)
# Few enough that many are the same, or differ in their type or time alone.
similar_edges = st.builds(
    lambda at, **fields: Relationship(id="", created_at=at, valid_from=at, recorded_at=at, **fields),
    at=moments,
    from_id=st.sampled_from(["a", "B"]),
    to_id=st.sampled_from(["B", "b"]),
    type=edge_types,
)
queries = st.sampled_from(["normal", "strict"]).flatmap(
    lambda how: texts.map(lambda text: (patterns(text, strict=how == "strict"), fold(text).strip()))
)
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
    limit=st.sampled_from([1, 2, 50]),
    offset=st.sampled_from([0, 0, 1, 3]),
)
free_searches = st.builds(
    lambda groups, limit: Search(needles=tuple(groups), exact=groups[0][0], limit=limit),
    groups=st.lists(st.lists(texts.map(fold).filter(bool), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3),
    limit=st.sampled_from([2, 50]),
)

puts = st.builds(lambda one: Call("put", (one, AUTHOR)), memories)


def relates(made: st.SearchStrategy[Relationship]) -> st.SearchStrategy[Call]:
    """The time since when there may be the same one is never after that of the relationship itself."""
    return st.builds(
        lambda one, step: Call(
            "relate", (one,), {"same_since": one.recorded_at - timedelta(microseconds=step), "author": AUTHOR}
        ),
        made,
        st.integers(0, 3),
    )


calls = st.one_of(
    puts,
    puts,
    st.builds(lambda one, change, at: Call("update", (one, change, at, AUTHOR)), ids, changes, moments),
    st.builds(lambda one: Call("delete", (one,)), ids),
    st.builds(lambda one: Call("get", (one,)), ids),
    relates(edges),
    relates(edges),
    relates(similar_edges),
    st.builds(lambda search: Call("search", (search,)), searches),
    st.builds(lambda search: Call("search", (search,)), free_searches),
    st.builds(
        lambda one, chosen, depth, limit: Call("related", (one, chosen, depth, limit)),
        ids,
        st.lists(edge_types, max_size=2).map(tuple),
        st.integers(1, 4),
        st.sampled_from([1, 3, 20]),
    ),
    st.builds(
        lambda since, project, newest, unresolved: Call(
            "recent", (since, project), {"newest": newest, "unresolved": unresolved}
        ),
        moments,
        st.none() | projects,
        st.integers(1, 4),
        st.integers(1, 3),
    ),
    st.just(Call("statistics")),
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
]
"""What both hold at first, and what they are asked in the middle and at the end."""


async def answers(store: MemoryStore, script: Sequence[Call]) -> list[Any]:
    found = []
    for number, call in enumerate(script):
        args = call.args
        if call.name == "relate":
            args = (replace(args[0], id=f"r{number}"), *args[1:])
        found.append(_in_order(await getattr(store, call.name)(*args, **call.more)))
    return found


def _in_order(answer: Any) -> Any:
    """With what equality of dictionaries leaves out: their order. Averages may differ in their last digits."""
    if isinstance(answer, Statistics):
        averages = [None if one is None else round(one, 9) for one in (answer.importance, answer.confidence)]
        return (list(answer.count_by_type.items()), answer.relationships, averages)
    if isinstance(answer, Activity):
        return (list(answer.count_by_type.items()), answer.newest, answer.unresolved)
    if isinstance(answer, Page):
        return (answer.total, answer.memories)
    return answer


def test_both_stores_answer_alike(shared_control_plane: ControlPlaneUrls, tmp_path: Path) -> None:
    local = SqliteDatabase(tmp_path / "memories.db")
    postgres = Postgres(Secret(shared_control_plane.memories))

    async def compare(script: list[Call]) -> None:
        await local.batch([Statement("DELETE FROM relationships"), Statement("DELETE FROM memories")], write=True)
        address = StoreAddress("postgres", workspace_url(str(uuid.uuid4())), Secret(""))
        expected = await answers(SqliteMemoryStore(local), script)
        found = await answers(PostgresMemoryStores(postgres).open(address), script)
        for call, one, other in zip(script, expected, found, strict=True):
            assert other == one, call

    with asyncio.Runner() as runner:
        runner.run(migrations.apply(local, migrations.load("sqlite")))

        @settings(max_examples=EXAMPLES, deadline=None)
        @given(st.lists(relates(similar_edges), max_size=8), st.lists(calls, min_size=5, max_size=40))
        def alike(first: list[Call], script: list[Call]) -> None:
            runner.run(compare([*known, *first, *whole, *script, *whole]))

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
    stores: tuple[MemoryStore, MemoryStore] = (
        SqliteMemoryStore(local),
        PostgresMemoryStores(postgres).open(StoreAddress("postgres", workspace_url(str(uuid.uuid4())), Secret(""))),
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
