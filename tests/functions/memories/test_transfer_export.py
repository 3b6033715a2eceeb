"""GET /export: both formats, in pages and as a stream, and what becomes of a stream that cannot be finished."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.types import Message, Scope

from core import logs, migrations
from core.adapters.sqlite import SqliteDatabase
from core.ports import Database, Result, Statement
from core.problems import Unavailable
from declarations import MEMORIES, PREFIX
from infra.local.places import DEFAULT_ROOT, Places
from memories.transfer import service
from tests.functions.asgi import REQUEST_ID, signed
from tests.functions.memories.transfers import EDGE, MEMORY, dump, edge, lines, memory, read_lines, send
from tests.functions.memories.wire import START, Wire


@pytest.fixture
def wire(file: SqliteDatabase) -> Wire:
    return Wire({"http://one.localhost": file})


def many(memories: int, edges: int) -> bytes:
    return lines(
        {"kind": "header", "format_version": "memorygraph-cloud/1", "exported_at": "2024-01-01T00:00:00Z"},
        *[memory(f"m{n:05}") for n in range(memories)],
        *[edge("m00000", f"m{n:05}", id=f"r{n:05}") for n in range(1, edges + 1)],
    )


async def in_pages(wire: Wire, query: str) -> list[list[dict[str, Any]]]:
    """The rows of each page until the last."""
    pages, cursor = [], ""
    while True:
        rows = read_lines(await wire("GET", f"/export?{query}{cursor}"))
        assert rows[-1]["kind"] == "end"
        pages.append(rows[1:-1])
        if rows[-1]["next_cursor"] is None:
            return pages
        cursor = f"&cursor={rows[-1]['next_cursor']}"


# JSON lines.


async def test_nothing(wire: Wire) -> None:
    answer = await wire("GET", "/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert "content-length" not in answer.headers
    header, end = read_lines(answer)
    assert header == {
        "kind": "header",
        "format_version": "memorygraph-cloud/1",
        "exported_at": header["exported_at"],
        "memories": 0,
        "relationships": 0,
    }
    assert header["exported_at"].startswith(START.isoformat()[:19])
    assert end == {"kind": "end", "next_cursor": None}


async def test_every_field_of_everything(wire: Wire) -> None:
    await send(wire, lines(MEMORY, memory("m2"), EDGE))
    header, first, second, relationship, end = read_lines(await wire("GET", "/export"))
    assert (header["memories"], header["relationships"]) == (2, 1)
    assert list(first.items()) == list(MEMORY.items())
    assert list(relationship.items()) == list(EDGE.items())
    assert (second["id"], end["kind"]) == ("m2", "end")


async def test_into_an_empty_workspace_and_out_again(wire: Wire, tmp_path: Path) -> None:
    await send(wire, lines(MEMORY, memory("m2"), EDGE) + many(120, 30))
    await wire.ok("PATCH", "/memories/m2", {"title": "Changed"})
    first = (await wire("GET", "/export")).body
    other = SqliteDatabase(tmp_path / "other.db")
    try:
        await migrations.apply(other, migrations.load("sqlite"))
        empty = Wire({"http://two.localhost": other})
        empty.clock.advance(days=400)
        done = await send(empty, first)
        assert (done["bad"], done["memories"]["created"], done["relationships"]["created"]) == (0, 122, 31)
        second = (await empty("GET", "/export")).body
        assert second.split(b"\n", 1)[1] == first.split(b"\n", 1)[1]
        before = await dump(other)
        done = await send(empty, first)
        assert (done["memories"]["unchanged"], done["relationships"]["unchanged"]) == (122, 31)
        assert await dump(other) == before
    finally:
        await other.close()


async def test_more_than_one_page_of_the_store(wire: Wire) -> None:
    """With page ends in all kinds of places."""
    for memories, edges in (
        (service.EXPORT_PAGE, 1),
        (service.EXPORT_PAGE + 1, 1),
        (service.EXPORT_PAGE + 7, service.EXPORT_PAGE),
    ):
        await send(wire, many(memories, edges))
        rows = read_lines(await wire("GET", "/export"))
        ids = [row["id"] for row in rows[1:-1]]
        assert ids == [f"m{n:05}" for n in range(memories)] + [f"r{n:05}" for n in range(1, edges + 1)]
        assert (rows[0]["memories"], rows[0]["relationships"]) == (memories, edges)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_by_cursor(wire: Wire, limit: int) -> None:
    await send(wire, many(6, 4))
    whole = read_lines(await wire("GET", "/export"))[1:-1]
    pages = await in_pages(wire, f"limit={limit}")
    assert [row for page in pages for row in page] == whole
    assert all(len(page) <= limit for page in pages)
    assert len(pages) == -(-len(whole) // limit)


async def test_a_limit_over_several_pages_of_the_store(wire: Wire) -> None:
    await send(wire, many(service.EXPORT_PAGE * 2 + 10, 0))
    [first, second] = await in_pages(wire, f"limit={service.EXPORT_PAGE + 20}")
    assert (len(first), len(second)) == (service.EXPORT_PAGE + 20, service.EXPORT_PAGE - 10)


async def test_it_stops_in_time_with_a_cursor(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    await send(wire, many(service.EXPORT_PAGE + 1, 0))
    assert MEMORIES.sizing.timeout_seconds > service.EXPORT_SECONDS
    monkeypatch.setattr(service, "EXPORT_SECONDS", 0.0)
    pages = await in_pages(wire, "format=jsonl")
    assert [len(page) for page in pages] == [service.EXPORT_PAGE, 1]


@pytest.mark.parametrize(
    "cursor",
    ["x", "", "%C3%A9", "bTo", base64.urlsafe_b64encode(b"x:a").decode(), base64.urlsafe_b64encode(b"m:a/b").decode()],
)
async def test_bad_cursors(wire: Wire, cursor: str) -> None:
    answer = await wire("GET", f"/export?cursor={cursor}")
    if cursor == "bTo":  # before the first memory
        assert answer.status == 200
    else:
        assert answer.status == 400
        assert [fault["field"] for fault in answer.json()["errors"]] == ["cursor"]


@pytest.mark.parametrize(("query", "field"), [("format=xml", "format"), ("limit=0", "limit"), ("limit=x", "limit")])
async def test_bad_parameters(wire: Wire, query: str, field: str) -> None:
    assert list(await wire.bad("GET", f"/export?{query}")) == [field]


async def test_head_reads_nothing_but_the_first_page(wire: Wire) -> None:
    await send(wire, many(3, 0))
    answer = await wire("HEAD", "/export")
    assert (answer.status, answer.body) == (200, b"")


# Format 2.0.


@pytest.mark.parametrize(("memories", "edges"), [(0, 0), (1, 0), (2, 1), (250, 120), (service.EXPORT_PAGE + 1, 3)])
async def test_a_document(wire: Wire, memories: int, edges: int) -> None:
    await send(wire, many(memories, edges))
    answer = await wire("GET", "/export?format=json")
    assert answer.headers["content-type"] == "application/json"
    document = json.loads(answer.body)
    assert (document["format_version"], document["export_version"]) == ("2.0", "1.0")
    assert document["next_cursor"] is None
    assert document["memory_count"] == len(document["memories"]) == memories
    assert document["relationship_count"] == len(document["relationships"]) == edges


async def test_a_document_holds_what_holds_now(wire: Wire) -> None:
    await send(wire, lines(MEMORY, memory("m2"), EDGE, {**EDGE, "id": "r9", "valid_until": None}))
    document = (await wire("GET", "/export?format=json")).json()
    assert document["relationships"] == [
        {
            "from_memory_id": "m1",
            "to_memory_id": "m2",
            "type": "SOLVES",
            "properties": {"strength": 0.7, "confidence": 1.0, "context": EDGE["context"], "evidence_count": 9},
        }
    ]


async def test_documents_in_pages(wire: Wire) -> None:
    await send(wire, many(5, 3))
    ids: list[str] = []
    edges, query = 0, ""
    while True:
        page = (await wire("GET", f"/export?format=json&limit=3{query}")).json()
        assert (page["memory_count"], page["relationship_count"]) == (len(page["memories"]), len(page["relationships"]))
        ids += [row["id"] for row in page["memories"]]
        edges += page["relationship_count"]
        if page["next_cursor"] is None:
            break
        query = f"&cursor={page['next_cursor']}"
    assert (ids, edges) == ([f"m{n:05}" for n in range(5)], 3)


async def test_a_document_into_an_empty_workspace_and_out_again(wire: Wire, tmp_path: Path) -> None:
    await send(wire, lines(MEMORY, memory("m2"), {**EDGE, "valid_until": None}))
    first = (await wire("GET", "/export?format=json")).json()
    other = SqliteDatabase(tmp_path / "other.db")
    try:
        await migrations.apply(other, migrations.load("sqlite"))
        empty = Wire({"http://two.localhost": other})
        assert (await send(empty, orjson.dumps(first)))["bad"] == 0
        second = (await empty("GET", "/export?format=json")).json()
        assert {**second, "export_date": ""} == {**first, "export_date": ""}
    finally:
        await other.close()


READ_BY_THE_LOCAL_TOOL = """
import asyncio, json, sys
from memorygraph.backends.sqlite_fallback import SQLiteFallbackBackend
from memorygraph.sqlite_database import SQLiteMemoryDatabase
from memorygraph.utils.export_import import export_to_json, import_from_json

async def run(source, database, target):
    backend = SQLiteFallbackBackend(db_path=database)
    await backend.connect()
    await backend.initialize_schema()
    memories = SQLiteMemoryDatabase(backend)
    await memories.initialize_schema()
    done = await import_from_json(memories, source)
    await export_to_json(memories, target)
    await backend.disconnect()
    print(json.dumps(done))

asyncio.run(run(*sys.argv[1:]))
"""


async def test_the_local_tool_reads_it_and_we_read_the_local_tools(wire: Wire, tmp_path: Path) -> None:
    """Whatever is in a context: the tool would skip a memory whose context it cannot take."""
    odd = {"session_id": 5, "visibility": "all", "timestamp": "today", "user_id": ["u"], "crew_id": 1, "languages": "c"}
    fine = {"session_id": "s", "visibility": "team", "timestamp": "2024-01-01T00:00:00", "files_involved": ["a.py"]}
    contexts = [odd, {**odd, "additional_metadata": {"a": 1}}, fine, {}, None]
    rows = [memory(f"c{n}", context=context) for n, context in enumerate(contexts)]
    await send(wire, lines(MEMORY, *rows) + many(30, 20))
    ours = tmp_path / "ours.json"
    ours.write_bytes((await wire("GET", "/export?format=json")).body)
    theirs = tmp_path / "theirs.json"
    done = json.loads(await asyncio.to_thread(_local_tool, str(ours), str(tmp_path / "tool.db"), str(theirs)))
    assert done == {
        "imported_memories": 36,
        "imported_relationships": 20,
        "skipped_memories": 0,
        "skipped_relationships": 0,
    }
    back = await send(wire, theirs.read_bytes())
    assert (back["bad"], back["rows"]) == (0, 56)
    assert back["relationships"]["unchanged"] == 20


def _local_tool(*arguments: str) -> str:
    python = os.environ.get("MEMORYGRAPH_CLIENT_PYTHON") or str(Places.of(DEFAULT_ROOT).client / "bin" / "python")
    words = [python, "-c", READ_BY_THE_LOCAL_TOOL, *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()[-1]


# Streams that cannot be finished.


SECRET = "what someone stored"


class Store:
    """Counts reads; from one on it fails, or waits for ever."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.reads = 0
        self.fail_from = 1 << 30
        self.wait_from = 1 << 30
        self.cancelled = asyncio.Event()

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        self.reads += not write
        if self.reads >= self.fail_from:
            raise Unavailable(SECRET, part="store")
        if self.reads >= self.wait_from:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        return await self._inner.batch(statements, write=write)


class Client:
    """Takes messages as a server does. `leave_after`: goes away after so many bodies."""

    def __init__(self, leave_after: int = 1 << 30) -> None:
        self.messages: list[Message] = []
        self.bodies = asyncio.Semaphore(0)
        self._leave_after = leave_after
        self._left = asyncio.Event()

    async def receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        if message["type"] == "http.response.body":
            self.bodies.release()
            self._leave_after -= 1
            if self._leave_after == 0:
                self._left.set()

    @property
    def finished(self) -> bool:
        return any(message.get("more_body") is False for message in self.messages)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


def scope(wire: Wire, target: str) -> Scope:
    path, _, query = (PREFIX + target).partition("?")
    headers = {**signed("GET", PREFIX + target), "X-API-Key": wire.key}
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }


@pytest.fixture
def store(file: SqliteDatabase) -> Store:
    return Store(file)


@pytest.fixture
async def full(store: Store) -> Wire:
    """Four pages of the store."""
    wire = Wire({"http://one.localhost": store})
    await send(wire, many(service.EXPORT_PAGE * 4, 0))
    store.reads = 0
    return wire


async def test_each_page_is_fetched_while_the_one_before_is_sent(full: Wire, store: Store) -> None:
    reads = []

    class Watching(Client):
        async def send(self, message: Message) -> None:
            await asyncio.sleep(0)
            reads.append(store.reads)
            await super().send(message)

    client = Watching()
    await full._app(scope(full, "/export"), client.receive, client.send)
    assert client.finished
    assert store.reads == 5  # the totals and four pages
    rows_of_page = service.EXPORT_PAGE // 100
    first_rows = reads[2 : 2 + rows_of_page]  # after the head and the header
    assert set(first_rows[1:]) == {3}, "one page ahead, and only one"


@pytest.mark.parametrize("format_", ["jsonl", "json"])
async def test_a_store_that_fails_in_the_middle_breaks_the_stream_off(
    full: Wire, store: Store, format_: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.fail_from = 4
    client = Client()
    await full._app(scope(full, f"/export?format={format_}"), client.receive, client.send)
    assert client.messages[0]["status"] == 200
    assert not client.finished, "the server closes the connection in the middle of the body"
    assert [message["type"] for message in client.messages].count("http.response.start") == 1
    assert b'"next_cursor"' not in client.body
    [record] = caplog.records
    told = logs.JsonFormatter().format(record)
    assert "An answer broke off while it was sent." in told
    assert REQUEST_ID in told
    assert SECRET not in told


async def test_a_store_that_fails_at_once_is_a_503(full: Wire, store: Store) -> None:
    store.fail_from = 1
    answer = await full("GET", "/export")
    assert (answer.status, "retry-after" in answer.headers) == (503, True)


async def test_a_client_that_leaves_stops_the_reading(full: Wire, store: Store) -> None:
    store.wait_from = 4
    client = Client(leave_after=3)
    await full._app(scope(full, "/export"), client.receive, client.send)
    assert not client.finished
    assert store.reads <= 4
    if store.reads == 4:
        await store.cancelled.wait()


async def test_a_platform_that_cuts_off_stops_the_reading(full: Wire, store: Store) -> None:
    store.wait_from = 4
    client = Client()
    answering = asyncio.create_task(full._app(scope(full, "/export"), client.receive, client.send))
    for _ in range(1 + 2 * service.EXPORT_PAGE // 100):
        await client.bodies.acquire()
    answering.cancel()
    with suppress(asyncio.CancelledError):
        await answering
    assert answering.cancelled()
    await store.cancelled.wait()
    assert not client.finished
