"""A key that is bound to a project: for it, the rest of the workspace is not there.

`test_a_bound_key_is_answered_as_if_there_was_nothing_else` asks every route twice: with a bound key in a workspace of
several projects, and with a key that is not bound in one that holds that project alone. The answers are the same, so
they tell nothing of the others. A route that is not asked here fails.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from core import keys, migrations
from core.adapters.hrana import HranaDatabases
from core.adapters.http1 import HttpClient
from core.adapters.postgres import Postgres
from core.adapters.sqlite import SqliteDatabase
from core.bootstrap import Tools
from core.http import Pipeline
from core.ports import Database, KeyRecord, Statement, StoreAddress
from core.settings import Secret
from core.urls import workspace_url
from declarations import MEMORIES, PREFIX, Access
from memories import handlers
from memories.model import Search
from memories.ports import OtherProject
from memories.stores import sqlite
from memories.stores.sqlite import SqliteStore
from memories.stores.sqlite.sight import Sight
from memories.transfer.model import Outcome, Stored, Taken
from tests.functions.adapters.sqld import Sqld
from tests.functions.asgi import Answer, call
from tests.functions.memories import samples
from tests.functions.memories.wire import START, OneFile, TickingClock, check_memory
from tests.functions.twins import SETTINGS, Gate

P = "/projects/ours"
Q = "/projects/other"
AT = START.isoformat()
WORD = "zebra"
"""In the texts of everything that is hidden, and in nothing else."""


class World:
    """One workspace, with keys by name. `wide` sees all; `narrow` is bound to P unless the world holds nothing else."""

    def __init__(self, address: StoreAddress, databases: OneFile, postgres: Postgres, *, bound: bool) -> None:
        self.clock = TickingClock()
        self.gate = Gate()
        self.keys: dict[str, str] = {}
        for name, project in (("wide", None), ("narrow", P if bound else None)):
            self.add(name, address, project=project)
        tools = Tools(
            settings=SETTINGS,
            clock=self.clock,
            databases=databases,
            postgres=postgres,
            admission=self.gate.admission,
        )
        self._pipeline = Pipeline(MEMORIES, handlers, tools)

    def add(self, name: str, address: StoreAddress, *, project: str | None, plan: str = "team") -> None:
        text = self.gate.add_key()
        record = self.gate.directory.keys[keys.hash_key(text)]
        assert isinstance(record, KeyRecord)
        self.gate.directory.keys[keys.hash_key(text)] = replace(
            record,
            key_id=f"key-{name}",
            account_id="account",
            plan=plan,
            project=project,
            store_kind=address.kind,
            store_url=address.url,
        )
        self.keys[name] = text

    async def ask(self, name: str, method: str, path: str, body: Any = b"", **headers: str) -> Answer:
        sent = {header.replace("_", "-"): value for header, value in headers.items()}
        return await call(self._app, method, PREFIX + path, key=self.keys[name], body=body, headers=sent)

    async def ok(self, name: str, method: str, path: str, body: Any = b"") -> Any:
        answer = await self.ask(name, method, path, body)
        assert answer.status < 300, answer.body
        return answer.json() if answer.body else None

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._pipeline.answer(Request(scope, receive))
        await response(scope, receive, send)


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[list[SqliteDatabase]]:
    found = [SqliteDatabase(tmp_path / f"{number}.db") for number in range(2)]
    for one in found:
        await migrations.apply(one, migrations.load("sqlite"))
    yield found
    for one in found:
        await one.close()


@pytest.fixture
async def namespaces(sqld: Sqld, http: HttpClient) -> list[Database]:
    found: list[Database] = [HranaDatabases(http).open(sqld.create(f"p{uuid.uuid4().hex[:12]}")) for _ in range(2)]
    for one in found:
        await migrations.apply(one, migrations.load("sqlite"))
    return found


@pytest.fixture(params=["files", "namespaces", None])
def databases(request: pytest.FixtureRequest) -> Sequence[Database]:
    """Two of each kind in turn; none: PostgreSQL."""
    found: Sequence[Database] = request.getfixturevalue(request.param) if request.param else ()
    return found


@pytest.fixture
async def worlds(databases: Sequence[Database], postgres: Postgres) -> Sequence[World]:
    """A workspace of several projects, and one of P alone."""
    if databases:
        addresses = [StoreAddress("sqlite", f"http://db.localhost:{number}", Secret("")) for number in (1, 2)]
    else:
        addresses = [StoreAddress("postgres", workspace_url(str(uuid.uuid4())), Secret("")) for _ in range(2)]
    opened = OneFile({address.url: one for address, one in zip(addresses, databases, strict=False)})
    found = [World(addresses[0], opened, postgres, bound=True), World(addresses[1], opened, postgres, bound=False)]
    await fill(found[0], [*HIDDEN_FIRST, *OURS, *HIDDEN_LAST])
    await fill(found[1], OURS)
    return found


def memory(memory_id: str, project: str | None, text: str, **fields: Any) -> dict[str, Any]:
    return {
        "kind": "memory",
        "id": memory_id,
        "type": "problem",
        "title": f"{text} {memory_id}",
        "content": f"About {text} and cats",
        "tags": ["cat", text],
        "context": {"languages": ["python"]} if project is None else {"project_path": project},
        "created_at": AT,
        "updated_at": AT,
        **fields,
    }


def edge(edge_id: str, from_id: str, to_id: str, type_: str = "SOLVES", **fields: Any) -> dict[str, Any]:
    return {
        **{"kind": "relationship", "id": edge_id, "from_memory_id": from_id, "to_memory_id": to_id, "type": type_},
        **{"context": "verified by tests, only in production", "created_at": AT, "updated_at": AT, **fields},
    }


OURS = [
    *(memory(f"p{number}", P, "tiger", importance=number / 8) for number in range(1, 6)),
    edge("e12", "p1", "p2"),
    edge("e23", "p2", "p3", "CAUSES", valid_until=AT, invalidation_reason="old"),
]
HIDDEN_FIRST = [
    *(memory(f"a{number}", Q, WORD, importance=0.9) for number in range(1, 4)),
    memory("n1", None, WORD),
    memory("n2", P + "/", WORD),
    edge("haa", "a1", "a2"),
    edge("han", "n1", "a3", "CAUSES", valid_until=AT, invalidation_reason=WORD),
]
HIDDEN_LAST = [
    memory("z1", Q, "tiger", title="tiger p1", content=WORD),
    edge("h1", "p2", "a1", "CAUSES", strength=1),  # p2 -> a1 -> p4: the way that a bound key does not see
    edge("h2", "a1", "p4", "CAUSES", strength=1),
    edge("h3", "n1", "p1", "ADDRESSES", context=f"implements {WORD}"),
]
HIDDEN = ("a1", "a2", "a3", "n1", "n2", "z1", "haa", "han", "h1", "h2", "h3")


def jsonl(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return b"\n".join(orjson.dumps(row) for row in rows)


async def fill(world: World, rows: Sequence[Mapping[str, Any]]) -> None:
    """By the wide key; and a part of an import that both might ask for."""
    told = await world.ok("wide", "POST", "/import", jsonl(rows))
    assert told["bad"] == 0, told
    if rows is not OURS:
        named = await world.ok("wide", "POST", "/import?import_id=ours&part=1", jsonl([memory("a9", Q, WORD)]))
        assert named["memories"]["created"] == 1
        await world.ask("wide", "POST", "/memories", body("a8", Q), Idempotency_Key="k")


def body(memory_id: str, project: str | None = P, **fields: Any) -> dict[str, Any]:
    """What makes a memory."""
    row = memory(memory_id, project, "lion", **fields)
    return {name: value for name, value in row.items() if name not in ("kind", "created_at", "updated_at")}


@dataclass(frozen=True)
class Asked:
    """One request. `path` is that of the route, with these parameters and this query."""

    params: Mapping[str, str]
    query: str = ""
    body: Any = b""
    headers: Mapping[str, str] | None = None


def of(*ids: str, query: str = "", body: Any = b"", **headers: str) -> list[Asked]:
    """For a route of one id: the same with each."""
    return [Asked({"id": one}, query, body, headers) for one in ids]


def plain(*queries: str, body: Any = b"", **headers: str) -> list[Asked]:
    return [Asked({}, query, body, headers) for query in queries or ("",)]


MEMORY_IDS = ("p1", "p2", "a1", "n1", "z1", "absent")
EDGE_IDS = ("e12", "haa", "h1", "h3", "absent")
PAIRS = (("p1", "p3"), ("p2", "p4"), ("p1", "a1"), ("a1", "p1"), ("a1", "a2"), ("p5", "absent"))
SEARCHES: list[dict[str, Any]] = [
    {},
    {"query": WORD},
    {"query": "tiger p1"},
    {"query": "about"},
    {"query": "zz"},
    {"terms": ["tiger", WORD]},
    {"tags": ["cat"]},
    {"tags": [WORD]},
    {"query": "cats", "tags": ["cat"], "limit": 2, "offset": 1},
    {"project_path": Q},
    {"project_path": P, "limit": 1},
    {"project_path": P + "/"},
    {"languages": ["python"]},
    {"relationship_filter": ["CAUSES"]},
    {"relationship_filter": ["ADDRESSES", "SOLVES"]},
    {"min_importance": 0.3, "memory_types": ["problem"]},
]
WALKS = ("", "?max_depth=4", "?max_depth=10&relationship_types=CAUSES", f"?max_depth=4&as_of={AT[:19]}Z")
TODAY = START.date().isoformat()

# The order is that of the requests: what reads comes first.
MATRIX: dict[tuple[str, str], list[Asked]] = {
    ("GET", "/health"): plain(),
    ("GET", "/openapi.json"): plain(),
    ("GET", "/docs"): plain(),
    ("GET", "/relationships/types"): plain(),
    ("GET", "/memories"): plain("", "?limit=2", "?query=about", f"?query={WORD}", "?tags=cat", f"?project_path={Q}"),
    ("GET", "/memories/recall"): plain("?query=cats", f"?query={WORD}", f"?query=cats&project_path={Q}"),
    ("GET", "/memories/recent"): plain("", "?days=30", f"?project={P}", f"?project={Q}", f"?project={P}/"),
    ("GET", "/memories/{id}"): [
        *of(*MEMORY_IDS),
        *of("p1", "a1", query=f"?as_of={AT[:19]}Z"),
        *of("p1", "a1", "n2", query="?as_of=2030-01-01"),
        *of("p1", "a1", If_Match='"1-1"'),
    ],
    ("POST", "/search/advanced"): [asked for one in SEARCHES for asked in plain(body=one)],
    ("POST", "/search/recall"): [asked for one in SEARCHES[:5] for asked in plain(body=one)],
    ("POST", "/search/contextual"): [
        asked
        for one in ("p1", "p2", "p4", "a1", "absent")
        for depth in (1, 4)
        for asked in plain(body={"memory_id": one, "max_depth": depth, "query": "cats"})
    ],
    ("GET", "/graphs/statistics"): plain(),
    ("GET", "/memories/{id}/related"): [asked for walk in WALKS for asked in of(*MEMORY_IDS, "p4", query=walk)],
    ("GET", "/search/memories/{id}/related"): of(*MEMORY_IDS, query=WALKS[1]),
    ("GET", "/memories/{id}/history"): [
        *of(*MEMORY_IDS),
        *of("p2", query="?limit=1&offset=1"),
        *of("p2", query="?relationship_types=CAUSES"),
    ],
    ("GET", "/memories/{id}/path/{other}"): [
        Asked({"id": one, "other": other}, walk) for walk in WALKS for one, other in PAIRS
    ],
    ("GET", "/relationships/changes"): plain("?since=2020-01-01", "?since=2020-01-01&limit=1", f"?since={TODAY}"),
    ("POST", "/relationships/search"): [
        asked
        for one in ({}, {"scope": "partial"}, {"components": [WORD]}, {"has_evidence": True}, {"limit": 1})
        for asked in plain(body=one)
    ],
    ("GET", "/relationships/{id}"): [*of(*EDGE_IDS), *of("e12", "haa", If_Match='"1-1"')],
    ("GET", "/export"): plain("", "?format=json", "?limit=2", "?format=json&limit=6"),
    ("GET", "/import/{import_id}"): [Asked({"import_id": "ours"}), Asked({"import_id": "absent"})],
    # what writes
    ("POST", "/import"): [
        *plain("?import_id=ours&part=1", body=jsonl([memory("p6", P, "lion"), edge("e61", "p6", "p1")])),
        *plain("?import_id=ours&part=1", body=jsonl([memory("p6", P, "lion"), edge("e61", "p6", "p1")])),
        *plain("?import_id=ours&part=1", body=jsonl([memory("a9", P, WORD)])),  # as the wide key's part once was
        *plain(
            body=jsonl(
                [
                    memory("p1", P, "newer", updated_at="2025-02-01T00:00:00Z", version=4),
                    memory("p2", P, "older", updated_at="2020-02-01T00:00:00Z"),
                    edge("e6a", "p6", "a1"),  # its end is not there
                    edge("haa", "a1", "a2"),  # nor are those of one that is
                    edge("e42", "p4", "p2", "CAUSES"),  # p2 leads to p4 over what is hidden
                    edge("e21", "p2", "p1"),  # a cycle
                    edge("e12", "p1", "p2", strength=0.9, updated_at="2025-02-01T00:00:00Z"),
                ]
            )
        ),
        *plain(
            body=orjson.dumps(
                {
                    "format_version": "2.0",
                    "memories": [body("p7"), body("p1", title="again")],
                    "relationships": [
                        {"from_memory_id": "p7", "to_memory_id": "p1", "type": "SOLVES", "properties": {}},
                        {"from_memory_id": "p7", "to_memory_id": "p1", "type": "SOLVES", "properties": {}},
                        {"from_memory_id": "p7", "to_memory_id": "a1", "type": "SOLVES", "properties": {}},
                        {"from_memory_id": "n1", "to_memory_id": "p1", "type": "ADDRESSES", "properties": {}},
                    ],
                }
            )
        ),
    ],
    ("POST", "/memories"): [
        *plain(body=body("p8")),
        *plain(body=body("p8", title="Another")),
        *plain(body=body("p9"), Idempotency_Key="k"),
        *plain(body=body("p9"), Idempotency_Key="k"),
        *plain(body=body("p9", title="Not this"), Idempotency_Key="k"),
        *plain(body={"title": "no content"}),
    ],
    ("POST", "/memories/batch"): [
        *plain(body={"memories": [body("b1"), body("p8")]}),
        *plain(body={"memories": [body("b2"), body("b3")]}, Idempotency_Key="b"),
        *plain(body={"memories": [body("b2"), body("b3")]}, Idempotency_Key="b"),
        *plain(body={"memories": [body("b4"), {"title": "none"}, body("b1")], "atomic": False}),
    ],
    ("PUT", "/memories/{id}"): [
        *of(*MEMORY_IDS, body={"title": "Put"}),
        *of("p1", "a1", body={"title": "Never"}, If_Match='"1-1"'),
        *of("p1", "a1", body={}),
        *of("p1", "n2", body={"context": {"project_path": P, "a": 1}}),
    ],
    ("PATCH", "/memories/{id}"): of(*MEMORY_IDS, body={"importance": 0.75, "tags": ["cat"]}),
    ("POST", "/relationships"): [
        *(
            asked
            for one, other in (*PAIRS, ("p5", "p1"), ("p5", "p1"), ("p2", "p1"), ("p1", "p1"), ("n1", "absent"))
            for asked in plain(body={"from_memory_id": one, "to_memory_id": other, "relationship_type": "SOLVES"})
        ),
        *plain(body={"from_memory_id": "p4", "to_memory_id": "p3", "relationship_type": "CAUSES"}, Idempotency_Key="r"),
        *plain(body={"from_memory_id": "p4", "to_memory_id": "p3", "relationship_type": "CAUSES"}, Idempotency_Key="r"),
        *plain(body={"from_memory_id": "p4", "to_memory_id": "p2", "relationship_type": "CAUSES"}),
    ],
    ("PUT", "/relationships/{id}"): [
        *of(*EDGE_IDS, body={"strength": 0.3, "context": "partially"}),
        *of("e12", "haa", body={"strength": 0.1}, If_Match='"1-1"'),
        *of("e12", "haa", body={}),
    ],
    ("PATCH", "/relationships/{id}"): of(*EDGE_IDS, body={"confidence": 0.4}),
    ("POST", "/relationships/{id}/reinforce"): [
        *of(*EDGE_IDS, body={"success": True}),
        *of("e12", "h1", Idempotency_Key="x"),
        *of("e12", "h1", Idempotency_Key="x"),
        *of("h1", Idempotency_Key="y"),
        *of("h1", Idempotency_Key="y"),
    ],
    ("POST", "/relationships/{id}/invalidate"): of(*EDGE_IDS, body={"reason": "over"}),
    ("DELETE", "/relationships/{id}"): [*of("e12", "haa", If_Match='"1-1"'), *of(*EDGE_IDS)],
    ("DELETE", "/memories/{id}"): [*of("p5", "a1", If_Match='"1-1"'), *of("p5", "a1", "n1", "z1", "absent")],
}
AT_LAST = (
    *(("GET", path) for path in ("/export", "/graphs/statistics", "/memories/recent", "/memories")),
    *(("GET", path) for path in ("/memories/{id}/history", "/memories/{id}/related", "/memories/{id}/path/{other}")),
    ("GET", "/relationships/changes"),
    ("GET", "/import/{import_id}"),
    ("POST", "/search/advanced"),
)
"""Asked once more when all is written."""


def test_every_route_is_asked() -> None:
    assert set(MATRIX) == {(route.method, route.path.removeprefix(PREFIX)) for route in MEMORIES.routes}
    opened = {
        (route.method, route.path.removeprefix(PREFIX)) for route in MEMORIES.routes if route.access is Access.OPEN
    }
    hidden = {one for key, requests in MATRIX.items() for asked in requests for one in mentions(asked, key[1])}
    with_ids = {key for key in MATRIX if key not in opened and "{id}" in key[1]}
    assert hidden >= with_ids, "a route of one thing is asked for one that is hidden"


def mentions(asked: Asked, path: str) -> Iterator[tuple[str, str]]:
    for method, known in MATRIX:
        if known == path and any(value in HIDDEN for value in asked.params.values()):
            yield method, known


async def test_a_bound_key_is_answered_as_if_there_was_nothing_else(
    worlds: Sequence[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = worlds[0]
    before = await hidden_of(mixed)
    number = 0
    # Both worlds make up the same ids at the same moments.
    for module in ("memories.requests", "memories.graph.handlers"):
        monkeypatch.setattr(f"{module}.new_id", lambda prefix: f"{prefix}_{number:032}")
    for method, path in [*MATRIX, *AT_LAST]:
        for asked in MATRIX[method, path]:
            number += 1
            told = []
            for world in worlds:
                world.clock.moment = START + timedelta(hours=1, seconds=number)
                target = path.format(**asked.params) + asked.query
                answer = await world.ask("narrow", method, target, asked.body, **(asked.headers or {}))
                told.append((answer.status, answer.headers.get("etag"), answer.body))
            assert told[0] == told[1], (method, path, asked)
    assert await hidden_of(mixed) == before, "what is hidden was touched"


async def hidden_of(world: World) -> list[Any]:
    """Everything that a bound key does not see."""
    answer = await world.ask("wide", "GET", "/export")
    rows = [orjson.loads(line) for line in answer.body.splitlines()]
    shown = {row["id"] for row in rows if row["kind"] == "memory" and (row["context"] or {}).get("project_path") == P}
    return [
        row
        for row in rows
        if (row["kind"] == "memory" and row["id"] not in shown)
        or (row["kind"] == "relationship" and not {row["from_memory_id"], row["to_memory_id"]} <= shown)
    ]


# What a bound key is told of its bounds.


@pytest.fixture
def mixed(worlds: Sequence[World]) -> World:
    return worlds[0]


async def test_what_is_stored_without_a_project_is_given_the_keys(mixed: World) -> None:
    plain_one = {"id": "new", "type": "task", "title": "t", "content": "c"}
    stored = await mixed.ok("narrow", "POST", "/memories", plain_one)
    assert stored["context"] == {"project_path": P}
    kept = await mixed.ok("narrow", "PUT", "/memories/new", {"context": {"a": 1}})
    assert kept["context"] == {"a": 1, "project_path": P}
    cleared = await mixed.ok("narrow", "PUT", "/memories/new", {"context": None})
    assert cleared["context"] == {"project_path": P}
    batch = {"memories": [{**plain_one, "id": "b1", "context": {"languages": ["go"]}}]}
    await mixed.ok("narrow", "POST", "/memories/batch", batch)
    told = await mixed.ok("narrow", "POST", "/import", jsonl([memory("i1", None, "t")]))
    assert told["memories"]["created"] == 1
    for one, context in (
        ("b1", {"languages": ["go"], "project_path": P}),
        ("i1", {"languages": ["python"], "project_path": P}),
    ):
        assert (await mixed.ok("wide", "GET", f"/memories/{one}"))["context"] == context


@pytest.mark.parametrize("project", [Q, P + "/", P.upper(), "", 7])
async def test_nothing_leaves_the_project(mixed: World, project: object) -> None:
    """An update is refused as a new memory is; numbers are stored as texts, so they are compared as such."""
    context = {"project_path": project}
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/memories", {**body("new"), "context": context}),
        ("PUT", "/memories/p1", {"title": "never", "context": context}),
        ("PATCH", "/memories/p1", {"context": context}),
        ("POST", "/memories/batch", {"memories": [body("b1"), {**body("b2"), "context": context}]}),
    ]
    before = await mixed.ok("wide", "GET", "/memories?limit=100")
    for method, path, sent in requests:
        refused = await mixed.ask("narrow", method, path, sent)
        assert refused.status == 403
        assert f"bound to the project {P}" in refused.json()["detail"]
    rows = [memory("i1", P, "t"), {**memory("i2", P, "t"), "context": context}]
    told = await mixed.ok("narrow", "POST", "/import", jsonl(rows[1:]))
    assert told["memories"] == {"created": 0, "updated": 0, "unchanged": 0, "refused": 1}
    [row] = told["bad_rows"]
    assert (row["row"], row["id"], row["errors"][0]["field"]) == (1, "i2", "context.project_path")
    assert await mixed.ok("wide", "GET", "/memories?limit=100") == before
    some = {"memories": [body("b1"), {**body("b2"), "context": context}], "atomic": False}
    told = await mixed.ok("narrow", "POST", "/memories/batch", some)
    assert [one["status"] for one in told["results"]] == [201, 403]
    assert P in told["results"][1]["detail"]


async def test_an_id_that_is_taken_out_of_sight_is_refused(mixed: World) -> None:
    """The one thing that a bound key can learn: a workspace holds each id once."""
    before = await hidden_of(mixed)
    refused = await mixed.ask("narrow", "POST", "/memories", body("a1"), Idempotency_Key="i")
    assert refused.status == 409
    assert "the id a1" in refused.json()["detail"]
    assert WORD not in refused.body.decode()
    batch = {"memories": [body("b1"), body("n1"), body("z1"), body("p1", title="new")]}
    for _ in range(2):  # what was refused is not remembered
        refused = await mixed.ask("narrow", "POST", "/memories/batch", batch, Idempotency_Key="j")
        assert refused.status == 409
        assert "n1, z1" in refused.json()["detail"]
    assert (await mixed.ask("narrow", "GET", "/memories/b1")).status == 404
    told = [
        (await mixed.ask("narrow", "POST", "/memories/batch", {**batch, "atomic": False}, Idempotency_Key="l")).json()
        for _ in range(2)
    ]
    assert told[0] == told[1]
    assert [one["status"] for one in told[0]["results"]] == [201, 409, 409, 200]
    rows = [
        memory("i1", P, "t"),
        memory("a1", P, "t", updated_at="2030-01-01T00:00:00Z"),
        edge("h1", "p1", "p3", "REQUIRES", updated_at="2030-01-01T00:00:00Z"),
        edge("e13", "p1", "p3", "REQUIRES"),
    ]
    told_of = await mixed.ok("narrow", "POST", "/import", jsonl(rows))
    assert [(row["kind"], row["id"], row["errors"][0]["field"]) for row in told_of["bad_rows"]] == [
        ("memory", "a1", "id"),
        ("relationship", "h1", "id"),
    ]
    assert told_of["memories"]["created"] == told_of["relationships"]["created"] == 1
    assert await hidden_of(mixed) == before


async def test_what_is_deleted_takes_all_its_relationships_along(mixed: World) -> None:
    """Also those that its deleter does not see: they would lead nowhere."""
    edges = (await mixed.ok("wide", "GET", "/graphs/statistics"))["total_relationships"]["count"]
    assert (await mixed.ask("narrow", "DELETE", "/memories/p2")).status == 204
    for gone in ("e12", "e23", "h1"):
        assert (await mixed.ask("wide", "GET", f"/relationships/{gone}")).status == 404
    left = (await mixed.ok("wide", "GET", "/graphs/statistics"))["total_relationships"]["count"]
    assert left == edges - 2  # e23 had ended
    await mixed.ok("wide", "POST", "/memories", body("p2"))
    history = await mixed.ok("wide", "GET", "/memories/p2/history")
    assert (history["total"], [one["version"] for one in history["versions"]]) == (0, [1])


async def test_what_a_memory_was_elsewhere_stays_there(mixed: World) -> None:
    moments = []
    for number, project in enumerate((P, Q, P), start=1):
        mixed.clock.advance(seconds=10)
        stored = await mixed.ok("wide", "POST", "/memories", body("m", project, title=f"state {number}"))
        moments.append(stored["updated_at"].replace("+", "%2B"))
    history = await mixed.ok("narrow", "GET", "/memories/m/history")
    assert [(one["version"], one["title"]) for one in history["versions"]] == [(3, "state 3"), (1, "state 1")]
    assert history["versions"][1]["valid_until"].replace("+", "%2B") == moments[1]
    whole = await mixed.ok("wide", "GET", "/memories/m/history")
    assert [one["version"] for one in whole["versions"]] == [3, 2, 1]
    assert {one["author"]["key"] for one in whole["versions"]} == {"key-wide"}
    told = [await mixed.ask("narrow", "GET", f"/memories/m?as_of={moment}") for moment in moments]
    assert [answer.status for answer in told] == [200, 404, 200]
    assert [answer.json()["version"] for answer in (told[0], told[2])] == [1, 3]
    await mixed.ok("wide", "PUT", "/memories/m", {"context": {"project_path": Q}})
    for path in ("/memories/m", "/memories/m/history", f"/memories/m?as_of={moments[0]}"):
        assert (await mixed.ask("narrow", "GET", path)).status == 404


async def test_a_full_workspace_is_full_for_all_and_says_no_more(mixed: World) -> None:
    """The limits are those of the whole workspace; how much others hold is theirs."""
    record = mixed.gate.directory.keys[keys.hash_key(mixed.keys["narrow"])]
    assert isinstance(record, KeyRecord)
    address = StoreAddress(record.store_kind, record.store_url or "", Secret(""))
    mixed.add("free", address, project=None, plan="free")
    mixed.add("narrow free", address, project=P, plan="free")
    more = [body(f"f{number}", Q) for number in range(200)]
    told = await mixed.ok("free", "POST", "/memories/batch", {"memories": more, "atomic": False})
    assert told["failed"] > 100
    refused = await mixed.ask("narrow free", "POST", "/memories", body("new"))
    assert refused.status == 403
    assert "holds 100 memories, and the workspace is full. Delete some, or upgrade" in refused.json()["detail"]
    assert "100 are stored" in (await mixed.ask("free", "POST", "/memories", body("new"))).json()["detail"]
    batch = {"memories": [body("new"), body("p1")], "atomic": False}
    told = await mixed.ok("narrow free", "POST", "/memories/batch", batch)
    assert [one["status"] for one in told["results"]] == [403, 200]
    assert "stored" not in told["results"][0]["detail"]
    told = await mixed.ok("narrow free", "POST", "/import", jsonl([memory("new", P, "t")]))
    assert (told["memories"]["refused"], "stored" in told["quota"]) == (1, False)


async def test_who_wrote_a_memory_is_told_with_it(mixed: World) -> None:
    await mixed.ask("wide", "POST", "/memories", body("w"), X_Agent="first/1")
    await mixed.ask("narrow", "PATCH", "/memories/w", {"title": "changed"}, X_Agent="second/2")
    now = await mixed.ok("wide", "GET", "/memories/w")
    assert now["author"] == {"key": "key-narrow", "account": "account", "agent": "second/2"}
    assert check_memory(now)  # neither client's parser minds
    [changed, made] = (await mixed.ok("wide", "GET", "/memories/w/history"))["versions"]
    assert changed["author"] == now["author"]
    assert made["author"] == {"key": "key-wide", "account": "account", "agent": "first/1"}
    then = made["valid_from"].replace("+", "%2B")
    assert (await mixed.ok("wide", "GET", f"/memories/w?as_of={then}"))["author"] == made["author"]


# The stores by themselves.


def test_a_statement_that_writes_without_bounds_is_not_sent() -> None:
    sight = Sight(P)
    for sql in (
        "DELETE FROM memories WHERE id = ?",
        "UPDATE relationships SET strength = 1 WHERE id = ?1",
        "INSERT INTO memories (id) VALUES (?) ON CONFLICT (id) DO UPDATE SET title = 'x'",
        "INSERT INTO incoming_relationships (id) VALUES (?)",
        "  INSERT OR IGNORE INTO relationships (id) VALUES (?)",
        "DELETE FROM memory_versions WHERE id = ?",
    ):
        with pytest.raises(AssertionError, match="not bounded"):
            sight.of(Statement(sql, ("a",)))
        assert Sight().of(Statement(sql)).sql == sql


def test_every_statement_of_the_sqlite_store_goes_through_sight() -> None:
    """Only `Operations` speaks to the gate; what it sends is what `Sight` gives."""
    package = Path(sqlite.__file__).parent
    theirs = {"base.py", "gate.py", "moves.py"}
    speaking = {path.name for path in package.glob("*.py") if re.search(r"_gate\b|_database\b", path.read_text())}
    assert speaking <= theirs
    lines = [line for line in (package / "base.py").read_text().splitlines() if re.search(r"self\._gate\.\w+\(", line)]
    assert len(lines) == 3, lines
    assert all("_sight.of(" in line or line.endswith("write_each(") for line in lines)


async def test_a_bound_caller_of_a_database_of_the_schema_before(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "old.db")
    await migrations.apply(database, migrations.load("sqlite")[:1])
    wide, narrow = SqliteStore(database), SqliteStore(database, project=P)
    ours = [samples.memory(one, context={"project_path": P}) for one in "ab"]
    await samples.put(wide, samples.memory("x", context={"project_path": Q}), *ours)
    with pytest.raises(OtherProject):
        await narrow.put(samples.memory("x", context={"project_path": P}), samples.ANN)
    some = [samples.memory(one, context={"project_path": P}) for one in ("c", "x")]
    assert [type(one) for one in await narrow.put_some(some, samples.ANN, samples.once("k"))] == [Stored, Taken]
    assert [type(one) for one in await narrow.put_some(some, samples.ANN, samples.once("k"))] == [Stored, Taken]
    edges = [samples.edge("a", "b", edge_id="1"), samples.edge("b", "x", edge_id="2")]
    outcomes = await narrow.import_relationships(edges, samples.ANN, timeless=False)
    assert outcomes == [Outcome.CREATED, Outcome.UNKNOWN_END]
    assert await samples.found(narrow, Search()) == ["a", "b", "c"]
    await database.close()
