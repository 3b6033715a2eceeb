"""POST /import, GET /import/{import_id}: rows one by one, parts once, nothing lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from core.adapters.sqlite import SqliteDatabase
from core.body import parse_json
from core.ports import Database, Result, Statement
from core.problems import Unavailable
from declarations import BODY_LIMIT_BYTES, IMPORT_PART_BYTES
from memories.transfer import readers, service
from tests.functions.memories.transfers import DOCUMENT, EDGE, MEMORY, dump, edge, lines, memory, read_lines, send
from tests.functions.memories.wire import Wire

ALL = {"created": 0, "updated": 0, "unchanged": 0, "refused": 0}


@pytest.fixture
def wire(file: SqliteDatabase) -> Wire:
    return Wire({"http://one.localhost": file})


async def exported(wire: Wire) -> dict[str, dict[str, Any]]:
    """Rows of an export by id."""
    return {row["id"]: row for row in read_lines(await wire("GET", "/export")) if "id" in row}


def faults(done: Any) -> list[tuple[int, str | None, str | None, list[str]]]:
    return [
        (bad["row"], bad["kind"], bad["id"], [error["field"] for error in bad["errors"]]) for bad in done["bad_rows"]
    ]


# JSON lines.


async def test_every_field_is_kept(wire: Wire) -> None:
    done = await send(wire, lines(MEMORY, memory("m2"), EDGE))
    assert done == {
        "format": "jsonl",
        "rows": 3,
        "memories": {**ALL, "created": 2},
        "relationships": {**ALL, "created": 1},
        "unreadable": 0,
        "bad": 0,
        "bad_rows": [],
        "quota": None,
    }
    kept = await exported(wire)
    assert (kept["m1"], kept["r1"]) == (MEMORY, EDGE)


async def test_sending_again_changes_nothing(wire: Wire, file: SqliteDatabase) -> None:
    body = lines(MEMORY, {**MEMORY, "id": "m2"}, EDGE, {**EDGE, "id": "r3", "valid_until": None, "type": "FIXES"}, "x")
    await send(wire, body)
    before = await dump(file)
    done = await send(wire, body)
    assert (done["memories"], done["relationships"]) == (
        {**ALL, "unchanged": 2},
        {**ALL, "unchanged": 1, "refused": 1},
    )
    assert await dump(file) == before


async def test_the_newer_one_wins_wherever_it_is(wire: Wire) -> None:
    newer = {**MEMORY, "title": "Newer", "updated_at": "2021-01-01T00:00:01Z", "version": 3}
    done = await send(wire, lines(newer, MEMORY, {**newer, "title": "Newest", "updated_at": "2021-01-02T00:00:00"}))
    assert done["memories"] == {**ALL, "created": 1, "unchanged": 1, "updated": 1}
    kept = (await exported(wire))["m1"]
    assert (kept["title"], kept["updated_at"], kept["version"]) == ("Newest", "2021-01-02T00:00:00.000000+00:00", 4)


async def test_relationships_may_come_before_their_ends(wire: Wire) -> None:
    done = await send(wire, lines(edge("a", "b"), EDGE, MEMORY, memory("m2"), memory("a"), memory("b")))
    assert done["relationships"] == {**ALL, "created": 2}


async def test_times_that_a_row_lacks_are_those_of_its_file(wire: Wire, file: SqliteDatabase) -> None:
    header = {"kind": "header", "format_version": "memorygraph-cloud/1", "exported_at": "2024-01-02T03:04:05+01:00"}
    body = lines(header, memory("a"), memory("b", created_at="2020-01-01T00:00:00"), edge("a", "b"), {"kind": "end"})
    assert (await send(wire, body))["rows"] == 3
    kept = await exported(wire)
    assert kept["a"]["created_at"] == kept["a"]["updated_at"] == "2024-01-02T02:04:05.000000+00:00"
    assert kept["b"]["updated_at"] == "2020-01-01T00:00:00.000000+00:00"
    before = await dump(file)
    assert (await send(wire, body))["memories"] == {**ALL, "unchanged": 2}
    assert await dump(file) == before


async def test_a_file_of_the_future_is_of_now(wire: Wire) -> None:
    header = {"kind": "header", "format_version": "memorygraph-cloud/1", "exported_at": "2999-01-01T00:00:00Z"}
    await send(wire, lines(header, memory("a")))
    assert (await exported(wire))["a"]["created_at"].startswith("2025-01-31T")


async def test_one_bad_row_costs_no_good_one(wire: Wire) -> None:
    deep = b'{"kind":"memory","id":"deep","x":' + b"[" * 2000 + b"]" * 2000 + b"}"
    body = lines(
        memory("first"),
        b"{",
        b"\xff\xfe",
        b'{"kind":"memory","id":"nul","type":"fix","title":"a\\u0000","content":"C"}',
        b'{"kind":"memory","id":"half","type":"fix","title":"\\ud800","content":"C"}',
        deep,
        memory("long", content="x" * readers.ROW_LIMIT_BYTES),
        b"",
        {"kind": "thing", "id": "what"},
        {"id": "no-kind"},
        memory("big", content="x" * (BODY_LIMIT_BYTES + 1)),
        memory("context", context={"x": "y" * BODY_LIMIT_BYTES}),
        memory("nan", importance=2, title=""),
        edge("first", "nowhere", id="lost"),
        edge("first", "last", id="a/b", properties=None),
        b"[1]",
        memory("last"),
    )
    done = await send(wire, body)
    assert faults(done) == [
        (2, None, None, ["row"]),
        (3, None, None, ["row"]),
        (4, "memory", "nul", ["title"]),
        (5, None, None, ["row"]),
        (6, None, None, ["row"]),
        (7, None, None, ["row"]),
        (9, None, "what", ["kind"]),
        (10, None, "no-kind", ["kind"]),
        (11, "memory", "big", ["content"]),
        (12, "memory", "context", ["context"]),
        (13, "memory", "nan", ["title", "importance"]),
        (16, None, None, ["row"]),
        (14, "relationship", "lost", ["from_memory_id"]),
    ]
    assert (done["rows"], done["bad"], done["unreadable"]) == (16, 13, 8)
    assert done["memories"] == {**ALL, "created": 2, "refused": 4}
    assert done["relationships"] == {**ALL, "created": 1, "refused": 1}
    assert {"first", "last"} < set(await exported(wire))


async def test_cycles_are_refused_and_named(wire: Wire) -> None:
    done = await send(wire, lines(memory("a"), memory("b"), edge("a", "b", id="r1"), edge("b", "a", id="r2")))
    assert faults(done) == [(4, "relationship", "r2", ["to_memory_id"])]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("created_at", "0001-01-01T00:00:00+05:00"),  # a year that no clock of ours can show
        ("updated_at", "9999-12-31T23:59:59-05:00"),
        ("created_at", "1969-12-31T23:59:59Z"),
        ("updated_at", "5000-01-01T00:00:00Z"),
        ("created_at", 0),
        ("version", 0),
        ("version", 1 << 62),
        ("version", 1.5),
    ],
)
async def test_times_and_counts_out_of_bounds(wire: Wire, field: str, value: Any) -> None:
    assert faults(await send(wire, lines({**MEMORY, field: value}))) == [(1, "memory", "m1", [field])]
    assert read_lines(await wire("GET", "/export"))[0]["memories"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("valid_from", "0001-13-01T00:00:00+05:00"),
        ("valid_until", 0),
        ("valid_until", "1815-12-09T00:00:00Z"),  # before valid_from
        ("last_validated", "yesterday"),
        ("recorded_at", "1969-12-31T23:59:59Z"),
        ("evidence_count", -1),
        ("invalidated_by", "a/b"),
        ("context", "x" * 50_001),
        ("strength", 1.1),
        ("type", "FIXES"),
    ],
)
async def test_fields_of_relationships_out_of_bounds(wire: Wire, field: str, value: Any) -> None:
    done = await send(wire, lines(MEMORY, memory("m2"), {**EDGE, field: value}))
    assert faults(done) == [(3, "relationship", "r1", [field])]


async def test_the_first_and_last_hours_of_all_years_can_be_read_back(wire: Wire) -> None:
    times = {"valid_from": "0001-01-01T00:00:00+05:00", "valid_until": "9999-12-31T23:59:59-05:00"}
    assert (await send(wire, lines(MEMORY, memory("m2"), {**EDGE, **times})))["bad"] == 0
    kept = (await exported(wire))["r1"]
    assert (kept["valid_from"][:4], kept["valid_until"][:4]) == ("0001", "9999")


async def test_at_most_a_thousand_bad_rows_are_told_and_all_counted(wire: Wire) -> None:
    done = await send(wire, lines(*[memory(f"m{n}", title="") for n in range(1500)], memory("good")))
    assert (len(done["bad_rows"]), done["bad"], done["memories"]["refused"]) == (1000, 1500, 1500)
    assert done["memories"]["created"] == 1


async def test_rows_go_into_few_bounded_calls(wire: Wire) -> None:
    before = wire.files.batches
    await send(wire, lines(*[memory(f"m{n}") for n in range(service.CHUNK_ROWS * 2 + 1)]))
    assert wire.files.batches - before == 3
    before = wire.files.batches
    await send(wire, lines(*[memory(f"n{n}", content="x" * (service.CHUNK_BYTES // 2)) for n in range(4)]))
    assert wire.files.batches - before == 4


async def test_other_requests_have_their_turn(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while nothing is stored: bad rows, and relationships that wait for the memories."""
    turns, lines_of_turn = 0, Counter[int]()
    real = parse_json

    def counting(raw: bytes) -> Any:
        lines_of_turn[turns] += 1
        return real(raw)

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr("memories.transfer.readers.parse_json", counting)
    other = asyncio.create_task(others())
    body = lines(memory("a"), *[{"kind": "end"}] * 5_000, *[b"x"] * 5_000, *[b'{"kind":"relationship"}'] * 5_000)
    await send(wire, body)
    other.cancel()
    assert max(lines_of_turn.values()) <= 2 * max(readers.PAUSE_LINES, service.CHUNK_ROWS)


# Documents.


async def test_a_document_of_the_local_tool(wire: Wire, file: SqliteDatabase) -> None:
    body = orjson.dumps(DOCUMENT, option=orjson.OPT_INDENT_2)
    done = await send(wire, body)
    assert (done["format"], done["rows"], done["bad"]) == ("json", 3, 0)
    kept = await exported(wire)
    assert kept["m1"]["created_at"] == "2023-01-01T00:00:00.000000+00:00"
    assert kept["m1"]["updated_at"] == "2023-01-02T00:00:00.500000+00:00"
    assert kept["m1"]["tags"] == ["a"]
    assert kept["m2"]["created_at"] == DOCUMENT["export_date"]
    [made] = [row for row in kept.values() if row["kind"] == "relationship"]
    assert made["id"].startswith("rel_of_")
    assert (made["evidence_count"], made["strength"], made["valid_until"]) == (3, 0.9, None)
    before = await dump(file)
    done = await send(wire, body)
    assert (done["memories"]["unchanged"], done["relationships"]["unchanged"]) == (2, 1)
    assert await dump(file) == before


async def test_the_same_edge_under_another_id_is_not_doubled(wire: Wire) -> None:
    await send(wire, orjson.dumps({**DOCUMENT, "relationships": []}))
    sent = DOCUMENT["relationships"][0]  # type: ignore[index]  # a list, as it is written above
    made = await wire.ok(
        "POST",
        "/relationships",
        {"from_memory_id": "m2", "to_memory_id": "m1", "relationship_type": "SOLVES", "strength": 0.9},
        201,
    )
    done = await send(wire, orjson.dumps({**DOCUMENT, "memories": [], "relationships": [sent]}))
    assert done["relationships"] == {**ALL, "unchanged": 1}
    assert [row["id"] for row in (await exported(wire)).values() if row["kind"] == "relationship"] == [made["id"]]


async def test_edges_that_differ_in_anything_are_different(wire: Wire) -> None:
    edge_sent: dict[str, Any] = DOCUMENT["relationships"][0]  # type: ignore[index]  # as above
    same = {**edge_sent, "properties": {**edge_sent["properties"], "evidence_count": 9}}
    others = [
        {**edge_sent, "properties": {**edge_sent["properties"], name: value}}
        for name, value in (("strength", 0.1), ("confidence", 0.1), ("context", "only on Mondays"))
    ]
    others.append({**edge_sent, "type": "ADDRESSES"})
    done = await send(wire, orjson.dumps({**DOCUMENT, "relationships": [edge_sent, same, *others]}))
    assert done["relationships"] == {**ALL, "created": 5, "unchanged": 1}


async def test_an_edge_that_ceased_to_hold_after_the_file_was_written_stays_so(wire: Wire) -> None:
    await send(wire, orjson.dumps(DOCUMENT))
    [made] = [row["id"] for row in (await exported(wire)).values() if row["kind"] == "relationship"]
    await wire.ok("POST", f"/relationships/{made}/invalidate", {})
    await send(wire, orjson.dumps(DOCUMENT))
    assert (await exported(wire))[made]["valid_until"] is not None


async def test_rows_of_a_document_that_are_not_quite_json(wire: Wire) -> None:
    """The local tool writes what Python writes."""
    text = (
        b'{"format_version":"2.0","memories":[{"id":"half","type":"fix","title":"\\ud83d","content":"C"},'
        b'{"id":"nan","type":"fix","title":"T","content":"C","importance":NaN},'
        b'{"id":"bytes","type":"fix","title":"\xff","content":"C"},'
        b'{"id":"good","type":"fix","title":"T","content":"C"}]}'
    )
    done = await send(wire, text)
    assert faults(done) == [(n, "memory", None, ["row"]) for n in (1, 2, 3)]
    assert set(await exported(wire)) == {"good"}


async def test_rows_of_a_document_are_checked(wire: Wire) -> None:
    rows = [{"to_memory_id": "m1", "type": "FIXES", "properties": {"strength": 2}}, 1]
    done = await send(wire, orjson.dumps({**DOCUMENT, "memories": [{}, *DOCUMENT["memories"]], "relationships": rows}))  # type: ignore[misc]  # a list
    assert faults(done) == [
        (1, "memory", None, ["type", "title", "content", "id"]),
        (1, "relationship", None, ["from_memory_id", "type", "properties.strength"]),
        (2, "relationship", None, ["row"]),
    ]


# Neither.


@pytest.mark.parametrize("body", [b"", b" \n", b"[]", b"title,content\n", b"{}", b'{"a":1}\n{"b":2}', b"\x00" * 99])
async def test_a_body_that_is_neither(wire: Wire, body: bytes) -> None:
    assert list(await wire.bad("POST", "/import", body)) == ["row 1"]


async def test_the_media_type_is_a_hint_only(wire: Wire) -> None:
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await wire("POST", "/import", b"{", headers=headers)
    assert (answer.status, answer.json()["unreadable"]) == (200, 1)  # a part of a file may hold nothing good
    answer = await wire("POST", "/import", orjson.dumps(DOCUMENT), headers=headers)
    assert answer.json()["format"] == "json"
    answer = await wire("POST", "/import", b"{\n" + lines(memory("x")), headers={"Content-Type": "application/json"})
    assert (answer.json()["format"], answer.json()["memories"]["created"]) == ("jsonl", 1)
    answer = await wire("POST", "/import", b"\xef\xbb\xbf" + lines(memory("x"), "x"))
    assert (answer.json()["memories"]["updated"], answer.json()["unreadable"]) == (1, 1)


@pytest.mark.parametrize(
    "head", [{"format_version": "3.0"}, {"format_version": ["2.0"]}, {"format_version": None, "export_version": None}]
)
async def test_versions_that_are_not_known(wire: Wire, head: dict[str, Any]) -> None:
    assert "format_version" in await wire.bad("POST", "/import", orjson.dumps({**DOCUMENT, **head}))
    header = {"kind": "header", "format_version": "memorygraph-cloud/2"}
    assert "format_version" in await wire.bad("POST", "/import", lines(header, MEMORY))


async def test_lists_that_are_none(wire: Wire) -> None:
    assert "memories" in await wire.bad("POST", "/import", orjson.dumps({**DOCUMENT, "memories": {}}))


async def test_too_many_rows_or_bytes(wire: Wire) -> None:
    assert "rows" in await wire.bad("POST", "/import", b"x\n" * (readers.ROWS_MOST + 1))
    assert "rows" in await wire.bad("POST", "/import", lines(MEMORY) + b"\n" * readers.ROWS_MOST)
    await wire.bad("POST", "/import", b" " * (IMPORT_PART_BYTES + 1), 413)
    assert (await send(wire, lines(MEMORY) + b" " * (IMPORT_PART_BYTES - 1000)))["rows"] == 1


# Parts.


async def test_a_part_is_done_once(wire: Wire) -> None:
    body = lines(MEMORY, memory("bad", title=""))
    first = await send(wire, body, "?import_id=i&part=2")
    assert (first["import_id"], first["part"], first["repeated"]) == ("i", 2, False)
    await wire.ok("DELETE", "/memories/m1", status=204)
    again = await send(wire, body, "?import_id=i&part=2")
    assert again == {**first, "repeated": True}
    assert await exported(wire) == {}
    answer = await wire("POST", "/import?import_id=i&part=2", lines(MEMORY))
    assert answer.status == 409
    assert (await send(wire, body, "?import_id=i&part=3"))["memories"]["created"] == 1
    assert (await send(wire, body, "?import_id=j&part=2"))["repeated"] is False


async def test_a_sender_learns_what_was_done(wire: Wire) -> None:
    assert await wire.ok("GET", "/import/nothing") == {"import_id": "nothing", "parts": []}
    assert (await wire.ok("GET", "/import/a~b"))["parts"] == []
    for part in (3, 1):
        await send(wire, lines(memory(f"m{part}")), f"?import_id=i&part={part}")
    parts = (await wire.ok("GET", "/import/i"))["parts"]
    assert [part["part"] for part in parts] == [1, 3]
    assert all(len(part["sha256"]) == 64 and part["memories"]["created"] == 1 for part in parts)
    wire.clock.advance(days=7, seconds=1)
    assert (await wire.ok("GET", "/import/i"))["parts"] == []
    assert (await send(wire, lines(memory("m3")), "?import_id=i&part=3"))["repeated"] is False


async def test_what_is_remembered_of_a_part_is_bounded(wire: Wire) -> None:
    body = lines(*[memory(f"m{n}", title="") for n in range(900)])
    done = await send(wire, body, "?import_id=i&part=1")
    again = await send(wire, body, "?import_id=i&part=1")
    assert (len(done["bad_rows"]), again["bad"]) == (900, 900)
    assert 0 < len(again["bad_rows"]) < 900
    assert again["bad_rows"] == done["bad_rows"][: len(again["bad_rows"])]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("import_id=i", "part"),
        ("part=1", "import_id"),
        ("import_id=i&part=0", "part"),
        ("import_id=i&part=x", "part"),
        ("import_id=i&part=100001", "part"),
        ("import_id=a/b&part=1", "import_id"),
    ],
)
async def test_names_of_parts(wire: Wire, query: str, field: str) -> None:
    assert list(await wire.bad("POST", f"/import?{query}", lines(MEMORY))) == [field]


class Failing:
    """The store breaks at one of its writes."""

    def __init__(self, inner: Database, good: int) -> None:
        self._inner = inner
        self.good = good

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        if write:
            self.good -= 1
            if self.good < 0:
                raise Unavailable("The memory store does not answer.", part="store")
        return await self._inner.batch(statements, write=write)


@pytest.mark.parametrize("good", [1, 2, 3, 4])
async def test_a_part_that_broke_off_may_be_sent_again(file: SqliteDatabase, good: int) -> None:
    failing = Failing(file, good)
    wire = Wire({"http://one.localhost": failing})
    header = {"kind": "header", "format_version": "memorygraph-cloud/1", "exported_at": "2020-01-01T00:00:00Z"}
    body = lines(header, *[memory(f"m{n}") for n in range(500)], *[edge("m0", f"m{n}") for n in range(1, 100)])
    answer = await wire("POST", "/import?import_id=i&part=1", body)
    assert (answer.status, "retry-after" in answer.headers) == (503, True)
    assert (await wire.ok("GET", "/import/i"))["parts"] == []
    failing.good = 1 << 30
    done = await send(wire, body, "?import_id=i&part=1")
    assert (done["repeated"], done["bad"]) == (False, 0)
    kept = await exported(wire)
    assert len(kept) == 599
    assert {row["version"] for row in kept.values()} == {1}


class Slow:
    """Writes wait until they may go on."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.waiting = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        if write:
            self.waiting.release()
            await self.go_on.wait()
        return await self._inner.batch(statements, write=write)


async def test_few_imports_at_once(file: SqliteDatabase) -> None:
    slow = Slow(file)
    wire = Wire({"http://one.localhost": slow})
    at_work = [asyncio.create_task(send(wire, lines(memory(f"m{n}")))) for n in range(service.IMPORTS_AT_ONCE)]
    for _ in at_work:
        await slow.waiting.acquire()
    answer = await wire("POST", "/import", lines(MEMORY))
    assert (answer.status, "retry-after" in answer.headers) == (503, True)
    slow.go_on.set()
    assert [done["memories"]["created"] for done in await asyncio.gather(*at_work)] == [1] * service.IMPORTS_AT_ONCE
    assert (await send(wire, lines(memory("after"))))["memories"]["created"] == 1
