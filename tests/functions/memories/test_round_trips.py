"""Every operation of a store is one round trip on a warm connection, whatever its options: counted, not timed.

The one exception is said where it is (`AGAIN`).
"""

from __future__ import annotations

import inspect
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from core import migrations
from core.adapters.hrana import HranaDatabases
from core.adapters.http1 import HttpClient
from core.adapters.postgres import Postgres
from core.once import Once
from core.ports import StoreAddress
from core.settings import Secret
from core.urls import workspace_url
from memories.graph.model import (
    ContextSearch,
    EdgeChanges,
    EdgeChangesSince,
    History,
    Path,
    Reinforcement,
    Relationship,
)
from memories.graph.ports import Cycle, UnknownEnds
from memories.model import (
    Activity,
    Author,
    Changes,
    Memory,
    Mismatch,
    Near,
    Page,
    Position,
    Revision,
    Search,
    Statistics,
)
from memories.ports import Store
from memories.quotas import Usage
from memories.relationship_types import RelationshipType
from memories.stores.postgres import PostgresStores
from memories.stores.sqlite import SqliteStores
from memories.text import fold, patterns
from memories.transfer.model import ExportPage, Kind, Part, Place, Totals
from tests.delay import DelayingProxy
from tests.functions.adapters.sqld import Sqld
from tests.functions.conftest import ControlPlaneUrls

NOW = datetime(2025, 1, 31, 9, 15, 27, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ANN = Author("key", "account", "agent/1")
NOTHING = type(None)
PROJECT = "/project"


def memory(memory_id: str, **more: Any) -> Memory:
    text = {"type": "problem", "title": f"Title {memory_id}", "content": "The cache times out.", "tags": ("redis",)}
    home = {"project_path": PROJECT}
    return Memory(id=memory_id, created_at=NOW, updated_at=NOW, context=home, **{**text, **more})


def edge(edge_id: str, from_id: str, to_id: str, type_: RelationshipType = RelationshipType.SOLVES) -> Relationship:
    return Relationship(
        id=edge_id,
        from_id=from_id,
        to_id=to_id,
        type=type_,
        context="partially implements auth module",
        created_at=NOW,
        updated_at=NOW,
        valid_from=NOW,
        recorded_at=NOW,
    )


def once(key: str) -> Once:
    return Once(key, f"fingerprint of {key}", NOW, NOW - timedelta(days=1))


@dataclass(frozen=True)
class Call:
    """One call of the port, and the type of its answer: one that did nothing would prove little."""

    method: str
    args: tuple[Any, ...]
    gives: type
    more: dict[str, Any] = field(default_factory=dict)
    turns: Mapping[str, int] = field(default_factory=dict)
    """By kind of store, where it is not one."""


def call(method: str, *args: Any, gives: type, turns: Mapping[str, int] | None = None, **more: Any) -> Call:
    return Call(method, args, gives, more, turns or {})


AGAIN = {"sqld": 2}
"""A write that is sent again under its key fails its batch in SQLite, so that nothing is done; then what was answered
the first time is read."""
FIRST = Revision(1, NOW)
RELATE: dict[str, Any] = {"same_since": NOW - timedelta(seconds=10), "author": ANN}
STEP = Reinforcement(success=True, strength_step=0.1, confidence_step=0.1, least=0.0, most=1.0)
FILTERS = Search(
    needles=(patterns("cache timeouts"),),
    exact=fold("Title a"),
    types=("problem",),
    tags=("redis",),
    every_tag=True,
    relationship_types=("SOLVES",),
    near=Near("b", 2, ("SOLVES",)),
    min_importance=0.1,
    min_confidence=0.1,
    created_after=NOW,
    created_before=LATER,
    after=Position(exact=True, importance=1.0, created_at=LATER, id="z"),
)

# In this order, on one workspace. Each method stands here with every option that changes what is sent.
SCRIPT = (
    call("put", memory("a"), ANN, gives=Memory),
    call("put", memory("b"), ANN, once("put"), gives=Memory),
    call("put", memory("b"), ANN, once("put"), gives=Memory, turns=AGAIN),
    call("put_many", [memory("c"), memory("d")], ANN, gives=list),
    call("put_many", [memory("e"), memory("f")], ANN, once("put_many"), gives=list),
    call("put_many", [memory("e"), memory("f")], ANN, once("put_many"), gives=list, turns=AGAIN),
    call("put_some", [memory("h"), memory("i")], ANN, gives=list),
    call("put_some", [memory("h"), memory("i")], ANN, once("put_some"), gives=list),
    call("put_some", [memory("h"), memory("i")], ANN, once("put_some"), gives=list, turns=AGAIN),
    call("read_usage", gives=Usage),
    call("get", "a", gives=Memory),
    call("get", "absent", gives=NOTHING),
    call("update", "c", Changes({"title": "Another", "tags": ("x",)}), LATER, ANN, gives=Memory),
    call("update", "d", Changes({"title": "Another"}), LATER, ANN, [FIRST], gives=Memory),
    call("update", "d", Changes({"title": "Another"}), LATER, ANN, [FIRST], gives=Mismatch),
    call("get_as_of", "d", NOW, gives=Memory),
    call("relate", edge("r1", "a", "b"), **RELATE, gives=Relationship),
    call("relate", edge("r2", "a", "b"), **RELATE, gives=Relationship),
    call("relate", edge("r3", "b", "c"), **RELATE, once=once("relate"), gives=Relationship),
    call("relate", edge("r3", "b", "c"), **RELATE, once=once("relate"), gives=Relationship, turns=AGAIN),
    call("relate", edge("r4", "c", "a"), **RELATE, gives=Cycle),
    call("relate", edge("r5", "a", "absent"), **RELATE, gives=UnknownEnds),
    call("relationship", "r1", gives=Relationship),
    call("amend", "r1", EdgeChanges({"strength": 0.9, "context": None}), LATER, ANN, [FIRST], gives=Relationship),
    call("amend", "r1", EdgeChanges({"strength": 0.9}), LATER, ANN, [FIRST], gives=Mismatch),
    call("reinforce", "r1", STEP, LATER, ANN, gives=Relationship),
    call("reinforce", "r1", replace(STEP, success=False), LATER, ANN, once("reinforce"), gives=Relationship),
    call(
        "reinforce", "r1", replace(STEP, success=False), LATER, ANN, once("reinforce"), gives=Relationship, turns=AGAIN
    ),
    call("search", Search(), gives=Page),
    call("search", FILTERS, gives=Page),
    call("search", Search(near=Near("absent", 1)), gives=NOTHING),
    call("recent", NOW, None, newest=20, unresolved=10, gives=Activity),
    call("recent", NOW, "/project", newest=20, unresolved=10, gives=Activity),
    call("statistics", gives=Statistics),
    call("related", "a", (), 3, 20, gives=list),
    call("related", "a", (RelationshipType.SOLVES,), 1, 20, LATER, gives=list),
    call("path", "a", "c", (), 5, gives=Path),
    call("path", "a", "c", (RelationshipType.SOLVES,), 5, LATER, gives=Path),
    call("path", "a", "e", (), 5, gives=NOTHING),
    call("path", "a", "absent", (), 5, gives=UnknownEnds),
    call("history", "b", (), limit=100, offset=0, gives=History),
    call("changes", NOW, 100, gives=EdgeChangesSince),
    call("search_context", ContextSearch(scope="partial", components=("auth",), has_evidence=False), gives=list),
    call("export_page", Place(Kind.MEMORY), limit=3, current=False, gives=ExportPage),
    call("export_page", Place(Kind.MEMORY, "e"), limit=100, current=True, gives=ExportPage),
    call("export_page", Place(Kind.RELATIONSHIP, "r1"), limit=100, current=True, gives=ExportPage),
    call("totals", gives=Totals),
    call("import_memories", [memory("a"), memory("g", version=7)], ANN, gives=list),
    call(
        "import_relationships",
        [edge("i1", "a", "g"), edge("i2", "g", "absent"), edge("i3", "c", "a"), edge("r1", "a", "b")],
        ANN,
        timeless=False,
        gives=list,
    ),
    call("import_relationships", [edge("i4", "d", "e"), edge("i5", "d", "e")], ANN, timeless=True, gives=list),
    call("finish_part", "import", Part(1, "fingerprint", "{}", NOW), forget_before=NOW, gives=NOTHING),
    call("part", "import", 1, gives=Part),
    call("parts", "import", gives=list),
    call("invalidate", "r3", LATER, ANN, by="r1", reason="superseded", gives=Relationship),
    call("unrelate", "i1", [Revision(9, NOW)], gives=Mismatch),
    call("unrelate", "i1", gives=bool),
    call("delete", "e", [Revision(9, NOW)], gives=Mismatch),
    call("delete", "e", gives=bool),
)


@asynccontextmanager
async def on_sqld(sqld: Sqld, project: str | None) -> AsyncIterator[tuple[DelayingProxy, Store]]:
    address = sqld.create(f"turns{uuid.uuid4().hex[:8]}")
    client = HttpClient()
    try:
        await migrations.apply(HranaDatabases(client).open(address), migrations.load("sqlite"))
        async with DelayingProxy(sqld.port) as proxy:
            there = address.url.replace(f":{sqld.port}", f":{proxy.port}")
            yield proxy, SqliteStores(HranaDatabases(client)).open(replace(address, url=there), None, project)
    finally:
        await client.close()


@asynccontextmanager
async def on_postgres(url: str, project: str | None) -> AsyncIterator[tuple[DelayingProxy, Store]]:
    port = urlsplit(url).port
    assert port
    async with DelayingProxy(port) as proxy:
        postgres = Postgres(Secret(url.replace(f":{port}/", f":{proxy.port}/")))
        address = StoreAddress("postgres", workspace_url(str(uuid.uuid4())), Secret(""))
        try:
            yield proxy, PostgresStores(postgres).open(address, None, project)
        finally:
            await postgres.close()


def test_every_method_of_the_port_is_in_the_script() -> None:
    methods = {name for name, _ in inspect.getmembers(Store, inspect.isfunction) if not name.startswith("_")}
    assert {one.method for one in SCRIPT} == methods


@pytest.mark.parametrize("project", [None, PROJECT])
@pytest.mark.parametrize("kind", ["sqld", "postgres"])
async def test_every_operation_is_one_round_trip(
    kind: str, project: str | None, request: pytest.FixtureRequest
) -> None:
    """Also for a caller that is bound to a project."""
    if kind == "sqld":
        opened = on_sqld(request.getfixturevalue("sqld"), project)
    else:
        urls: ControlPlaneUrls = request.getfixturevalue("shared_control_plane")
        opened = on_postgres(urls.memories, project)
    async with opened as (proxy, store):
        await store.statistics()  # connects
        connects = proxy.connects
        took, expected = {}, {}
        for number, one in enumerate(SCRIPT, start=1):
            before = proxy.turns
            answer = await getattr(store, one.method)(*one.args, **one.more)
            took[number, one.method] = proxy.turns - before
            expected[number, one.method] = one.turns.get(kind, 1)
            assert isinstance(answer, one.gives), (number, one, answer)
        assert took == expected
        assert (connects, proxy.connects) == (1, 1), "all went over one connection"
