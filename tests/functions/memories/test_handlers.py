"""The routes, in the wire shapes of both clients (client contract, sections 2-7)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core import migrations
from core.adapters.sqlite import SqliteDatabase
from core.ports import Database, Result, Statement
from declarations import MEMORIES, VERSION
from memories import handlers
from memories.model import MemoryType
from tests.functions.memories.wire import Wire, check_memory

MCP_MEMORY = {
    "id": "6f1d3c1e-5b0e-4f7c-9d43-2f6d7c1b8a90",
    "type": "solution",
    "title": "Fixed Redis timeout",
    "content": "Raised the pool size.",
    "tags": ["redis", "payment"],
    "importance": 0.8,
    "confidence": 0.9,
    "context": {"project_path": "/projects/shop", "languages": ["python"]},
}
UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def wire(file: SqliteDatabase) -> Wire:
    return Wire({"http://one.localhost": file})


async def test_health(wire: Wire) -> None:
    answer = await wire("GET", "/health", key=None)
    assert (answer.status, answer.json()) == (200, {"status": "healthy", "version": VERSION})
    assert (await wire("GET", "/health")).status == 200
    assert (await wire("GET", "/health", key="mg_wrong")).status == 401


def test_the_types_of_memories() -> None:
    assert len(MemoryType) == 13  # client contract 7.1


# Single memories.


async def test_the_mcp_clients_store(wire: Wire) -> None:
    stored = check_memory(await wire.ok("POST", "/memories", MCP_MEMORY, 201))
    assert stored == {
        **MCP_MEMORY,
        "summary": None,
        "created_at": "2025-01-31T09:15:27.123457+00:00",
        "updated_at": "2025-01-31T09:15:27.123457+00:00",
        "version": 1,
    }
    assert await wire.memory(f"{MCP_MEMORY['id']}") == stored


async def test_the_sdks_create_and_get(wire: Wire) -> None:
    sent = {"type": "fix", "title": "T", "content": "C", "tags": [], "importance": 0.5, "context": {"crew_id": "x"}}
    stored = check_memory(await wire.ok("POST", "/memories", sent, 201))
    assert stored["id"].startswith("mem_")
    assert (stored["confidence"], stored["context"]) == (0.8, {"crew_id": "x"})
    assert await wire.memory(f"{stored['id']}?include_relationships=true") == stored


async def test_a_repeated_store_is_an_upsert(wire: Wire) -> None:
    first = await wire.ok("POST", "/memories", MCP_MEMORY, 201)
    again = await wire.ok("POST", "/memories", MCP_MEMORY, 200)
    assert again == {**first, "updated_at": again["updated_at"], "version": 2}
    whole = {"id": MCP_MEMORY["id"], "type": "fix", "title": "Other", "content": "x"}
    replaced = check_memory(await wire.ok("POST", "/memories", whole, 200))
    assert (replaced["tags"], replaced["context"], replaced["importance"]) == ([], None, 0.5)
    assert (await wire.ok("GET", "/memories"))["total"] == 1


async def test_the_mcp_clients_update(wire: Wire) -> None:
    stored = await wire.store(**MCP_MEMORY)
    sent = {"title": " New ", "content": "C2", "summary": "s", "tags": ["MIXED Case", "mixed case"], "importance": 1}
    updated = check_memory(await wire.ok("PUT", f"/memories/{stored['id']}", sent))
    assert updated == {
        **stored,
        **{"title": "New", "content": "C2", "summary": "s", "tags": ["mixed case"], "importance": 1.0},
        "updated_at": updated["updated_at"],
        "version": 2,
    }
    assert updated["updated_at"] > stored["updated_at"]
    assert await wire.memory(f"{stored['id']}") == updated


async def test_patch_is_partial(wire: Wire) -> None:
    stored = await wire.store(**MCP_MEMORY, summary="old")
    changes: list[dict[str, Any]] = [{"title": "Only"}, {"tags": []}, {"importance": 0}, {"summary": None}]
    for change in (*changes, {"context": None}, {}):
        updated = check_memory(await wire.ok("PATCH", f"/memories/{stored['id']}", change))
        version = stored["version"] + (1 if change else 0)
        assert updated == {**stored, **change, "updated_at": updated["updated_at"], "version": version}
        stored = updated
    same = await wire.ok("PATCH", f"/memories/{stored['id']}", {"title": None, "tags": None, "nonsense": 1})
    assert same == stored


async def test_delete(wire: Wire) -> None:
    await wire.store(id="a")
    answer = await wire("DELETE", "/memories/a")
    assert (answer.status, answer.body) == (204, b"")
    for method in ("DELETE", "GET"):
        await wire.bad(method, "/memories/a", status=404)


class _Twice:
    """A database whose answers get lost: each batch runs again on a new connection."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        await self._database.batch(statements, write=write)
        return [replace(result, repeated=True) for result in await self._database.batch(statements, write=write)]


async def test_a_write_that_ran_twice_is_answered_as_once(wire: Wire) -> None:
    for url, database in wire.files.databases.items():
        wire.files.databases[url] = _Twice(database)
    for memory_id in ("a", "b"):
        await wire.ok("POST", "/memories", {**MCP_MEMORY, "id": memory_id}, 201)
    edge = {"from_memory_id": "a", "to_memory_id": "b", "relationship_type": "SOLVES"}
    await wire.ok("POST", "/relationships", edge, 201)
    assert (await wire.ok("GET", "/graphs/statistics"))["total_relationships"] == {"count": 1}
    assert (await wire.ok("PUT", "/memories/a", {"title": "new"}))["title"] == "new"
    await wire.ok("DELETE", "/memories/a", status=204)
    await wire.bad("GET", "/memories/a", status=404)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("memory_id", [UNKNOWN, "a%20b", "%00", "..", "x" * 300])
async def test_unknown_ids_are_404(wire: Wire, method: str, memory_id: str) -> None:
    await wire.bad(method, f"/memories/{memory_id}", {"title": "x"} if method[0] == "P" else b"", 404)


BAD_FIELDS: dict[str, list[Any]] = {
    "title": ["", " \n\t", "x" * 201, None, 5, ["x"], "nul\0"],
    "content": ["", "  ", None, True, {}, "\0", "\ufdfa" * 100_000],
    "type": ["", "memory", None, 3],
    "summary": ["x" * 501, 5, "\0"],
    "tags": ["redis", {"a": 1}, ["x" * 101], [str(number) for number in range(51)], ["x"] * 101],
    "importance": [-0.1, 1.1, True, "0.5", []],
    "confidence": [2, False, "high"],
    "id": ["", "a/b", "a b", "é", "..", "recent", "recall", 7, "x" * 201, "a\n"],
    "context": ["text", ["x"], 1, {"k": "\0"}, {"k": {"\0": [1]}}],
}
BAD_SEARCHES: dict[str, list[Any]] = {
    "limit": [0, -1, 1001, 1.5, True, "ten"],
    "offset": [-1, 1 << 40, "x"],
    "query": [5, ["x"], "\0", "x" * 10_001],
    "memory_types": ["fix", 3, ["x"] * 101],
    "tags": ["x", {}, [1] * 101],
    "min_importance": [2, "high", True],
    "search_tolerance": ["loose"],
    "created_after": ["yesterday"],
    "created_before": [5],
    "terms": ["x", ["x"] * 51],
    "match_mode": [1],
}


def cases(table: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(field, value) for field, values in table.items() for value in values]


@pytest.mark.parametrize(("field", "value"), cases(BAD_FIELDS))
async def test_what_is_wrong_is_named_and_nothing_stored(wire: Wire, field: str, value: Any) -> None:
    assert list(await wire.bad("POST", "/memories", {**MCP_MEMORY, field: value})) == [field]
    assert (await wire.ok("GET", "/memories"))["total"] == 0
    if field != "id" and value is not None:
        stored = await wire.store(id="a")
        assert list(await wire.bad("PUT", "/memories/a", {field: value})) == [field]
        assert await wire.memory("a") == stored


async def test_what_grows_when_it_is_folded_is_stored_as_long_as_it_fits(wire: Wire) -> None:
    content = "\ufdfa" * 90_000
    assert (await wire.store(content=content))["content"] == content


async def test_faults_inside_a_list_and_several_at_once(wire: Wire) -> None:
    faults = await wire.bad("POST", "/memories", {"title": "x" * 500, "content": "c", "tags": ["ok", 7]})
    assert faults == {
        "type": "is missing",
        "title": "must be at most 200 characters; it has 500",
        "tags.1": "must be text",
    }
    for body in (b"[]", b'"x"', b"1", b"null"):
        assert await wire.bad("POST", "/memories", body) == {"body": "must be a JSON object"}


async def test_limits_count_what_was_sent(wire: Wire) -> None:
    """As the reference does: blanks around a text count, and are then stripped."""
    stored = await wire.store(title=" " + "x" * 198 + "\n", summary=" " + "y" * 499, tags=[" " + "Z" * 99, " "])
    check_memory(stored)
    assert (len(stored["title"]), len(stored["summary"]), stored["tags"]) == (198, 499, ["z" * 99])
    over = {"type": "fix", "title": "x" * 200 + " ", "content": "C", "summary": "y" * 500 + " ", "tags": ["z" * 101]}
    assert list(await wire.bad("POST", "/memories", over)) == ["title", "summary", "tags"]
    assert (await wire.store(summary="  "))["summary"] is None
    assert len((await wire.store(content="c" * 500_000))["content"]) == 500_000


async def test_null_optional_fields_are_absent(wire: Wire) -> None:
    stored = check_memory(
        await wire.store(id=None, summary=None, tags=None, importance=None, confidence=None, context=None)
    )
    assert (stored["tags"], stored["importance"], stored["confidence"]) == ([], 0.5, 0.8)


async def test_context_is_kept_but_for_what_the_mcp_client_cannot_read(wire: Wire) -> None:
    sent = {
        "role": "human",
        "turn": 3,
        "score": 0.5,
        "flag": True,
        "none": None,
        "deep": {"a": [None, {"b": 1}]},
        "project_path": 7,
        "git_commit": None,
        "git_branch": ["main"],
        "working_directory": True,
        "files_involved": "a.py",
        "languages": ["python", None, 3],
        "frameworks": None,
        "technologies": {"x": 1},
        "additional_metadata": ["x"],
    }
    stored = check_memory(await wire.store(id="a", context=sent))
    assert stored["context"] == {
        "role": "human",
        "turn": 3,
        "score": 0.5,
        "flag": True,
        "deep": {"a": [None, {"b": 1}]},
        "project_path": "7",
        "git_branch": '["main"]',
        "working_directory": "true",
        "files_involved": ["a.py"],
        "languages": ["python", "3"],
        "technologies": ['{"x":1}'],
        "additional_metadata": {"value": ["x"]},
    }
    assert await wire.memory("a") == stored


# Search.


async def search_ids(wire: Wire, method: str, path: str, body: Any = b"") -> list[str]:
    page = await wire.ok(method, path, body)
    return [check_memory(memory)["id"] for memory in page["memories"]]


async def test_tags_are_any_of_for_the_mcp_client_and_all_of_for_the_sdk(wire: Wire) -> None:
    await wire.store(id="both", tags=["session:S", "role:human"])
    await wire.store(id="one", tags=["session:s"])
    await wire.store(id="comma", tags=["a,b"])
    assert await search_ids(wire, "POST", "/search/advanced", {"tags": ["Session:S", "role:human"]}) == ["one", "both"]
    assert await search_ids(wire, "GET", "/memories?tags=session:S&tags=role:human") == ["both"]
    assert await search_ids(wire, "GET", "/memories?tags=a,b") == ["comma"]
    assert await search_ids(wire, "GET", "/memories?tags=") == ["comma", "one", "both"]


async def test_every_way_to_search_gives_the_same_page(wire: Wire) -> None:
    for number in range(5):
        await wire.store(id=f"m{number}", title=f"Cache {number}", type="fix", importance=number / 10)
    await wire.store(id="other", type="task", title="cache")
    project = {"project_path": "/p q"}
    await wire.store(id="there", title="cache there", type="fix", importance=0.9, context=project)
    body = {"query": "CACHES", "memory_types": ["fix"], "min_importance": 0.2, "limit": 2, "offset": 1}
    page = await wire.ok("POST", "/search/advanced", body)
    assert [memory["id"] for memory in page["memories"]] == ["m4", "m3"]
    assert {name: page[name] for name in ("total", "limit", "offset", "has_more")} == {
        "total": 4,
        "limit": 2,
        "offset": 1,
        "has_more": True,
    }
    query = "query=CACHES&memory_types=fix&memory_types=code_pattern&min_importance=0.2&limit=2&offset=1"
    same = [
        await wire.ok("GET", f"/memories?{query}"),
        await wire.ok("GET", f"/memories/recall?{query}"),
        await wire.ok("POST", "/search/recall", body),
    ]
    assert all(other.pop("next_cursor") for other in [page, *same])  # each belongs to its own search
    assert same == [page] * 3
    last = await wire.ok("POST", "/search/advanced", {**body, "offset": 3})
    assert ([memory["id"] for memory in last["memories"]], last["has_more"]) == (["m2"], False)
    beyond = await wire.ok("POST", "/search/advanced", {**body, "offset": 9})
    assert (beyond["memories"], beyond["total"], beyond["has_more"]) == ([], 4, False)
    assert await search_ids(wire, "POST", "/search/advanced", {"project_path": "/p q"}) == ["there"]
    assert await search_ids(wire, "GET", "/memories/recall?query=there&project_path=/p%20q") == ["there"]
    assert await search_ids(wire, "GET", "/memories?memory_types=task,error") == ["other"]


async def test_default_limits(wire: Wire) -> None:
    for number in range(60):
        await wire.store(id=f"m{number}", title="word")
    for method, path, body, expected in (
        ("POST", "/search/advanced", {}, 50),
        ("POST", "/search/recall", {"query": "word"}, 20),
        ("GET", "/memories", b"", 20),
        ("GET", "/memories/recall?query=word", b"", 20),
        ("POST", "/search/advanced", {"limit": None, "offset": None, "query": None, "tags": None}, 50),
        ("POST", "/search/advanced", {"limit": 1000}, 60),
    ):
        page = await wire.ok(method, path, body)
        assert (len(page["memories"]), page["total"], page["has_more"]) == (expected, 60, expected < 60)


async def test_an_exact_title_comes_first_and_ties_go_to_the_newest(wire: Wire) -> None:
    await wire.store(id="entry", title="Agent Plan", tags=["crew:1"], importance=0.1)
    await wire.store(id="loud", title="agent planning", tags=["crew:1"], importance=1.0)
    assert await search_ids(wire, "GET", "/memories?query=agent%20plan&tags=crew:1&limit=1") == ["entry"]
    for number in range(6):
        await wire.store(id=f"turn{number}", type="conversation", tags=["session:x"])
    turns = await search_ids(wire, "GET", "/memories?tags=session:x&memory_types=conversation&limit=3")
    assert turns == ["turn5", "turn4", "turn3"]


async def test_terms_tolerance_and_dates(wire: Wire) -> None:
    await wire.store(id="a", content="apple pie")
    wire.clock.advance(days=1)
    await wire.store(id="b", content="banana pies")
    both = {"terms": ["apple", "banana"]}
    assert await search_ids(wire, "POST", "/search/advanced", both) == ["b", "a"]
    assert await search_ids(wire, "POST", "/search/advanced", {**both, "match_mode": "all"}) == []
    pies = {"terms": ["pie", "apples"], "match_mode": "ALL", "query": "ignored"}
    assert await search_ids(wire, "POST", "/search/advanced", pies) == ["a"]
    strict = {"query": "banana pie", "search_tolerance": "strict"}
    assert await search_ids(wire, "POST", "/search/advanced", strict) == ["b"]
    assert await search_ids(wire, "POST", "/search/advanced", {**strict, "query": "pie banana"}) == []
    assert await search_ids(wire, "POST", "/search/advanced", {"created_after": "2025-02-01T00:00:00Z"}) == ["b"]
    assert await search_ids(wire, "POST", "/search/advanced", {"created_before": "2025-02-01"}) == ["a"]
    assert await search_ids(wire, "POST", "/search/advanced", {"min_confidence": 0.81}) == []


@pytest.mark.parametrize(("field", "value"), cases(BAD_SEARCHES))
async def test_bad_searches(wire: Wire, field: str, value: Any) -> None:
    assert list(await wire.bad("POST", "/search/advanced", {field: value})) == [field]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=", "offset=-1", "min_importance=nan", "min_importance=1_0", "memory_types=x"]
)
async def test_bad_parameters(wire: Wire, query: str) -> None:
    assert [name.partition(".")[0] for name in await wire.bad("GET", f"/memories?{query}")] == [query.partition("=")[0]]


# Activity and statistics.


async def test_recent(wire: Wire) -> None:
    await wire.store(id="old")
    wire.clock.advance(days=8)
    for number in range(21):
        await wire.store(id=f"m{number}", type="fix", context={"project_path": "/p"})
    await wire.store(id="bug", type="problem", title="Bug")
    recent = await wire.ok("GET", "/memories/recent?days=7")
    assert recent["total_count"] == 22
    assert recent["memories_by_type"] == {"fix": 21, "problem": 1}
    assert [check_memory(memory)["id"] for memory in recent["recent_memories"][:2]] == ["bug", "m20"]
    assert len(recent["recent_memories"]) == 20
    assert [check_memory(memory)["id"] for memory in recent["unresolved_problems"]] == ["bug"]
    assert (recent["days"], recent["project"]) == (7, None)
    here = await wire.ok("GET", "/memories/recent?days=30&project=/p")
    assert (here["total_count"], here["unresolved_problems"], here["project"]) == (21, [], "/p")
    assert (await wire.ok("GET", "/memories/recent?days=30"))["total_count"] == 23
    empty = await wire.ok("GET", "/memories/recent?project=/elsewhere")
    assert (empty["total_count"], empty["memories_by_type"], empty["days"]) == (0, {}, 7)
    for days in ("0", "-3", "x", "99999"):
        assert list(await wire.bad("GET", f"/memories/recent?days={days}")) == ["days"]


async def test_statistics_have_the_shape_that_the_tool_reads(wire: Wire) -> None:
    empty = {"total_memories": {"count": 0}, "memories_by_type": {}, "total_relationships": {"count": 0}}
    assert await wire.ok("GET", "/graphs/statistics") == empty
    await wire.store(type="fix", importance=0.25, confidence=1)
    await wire.store(importance=0.75, confidence=0.5)
    assert await wire.ok("GET", "/graphs/statistics") == {
        "total_memories": {"count": 2},
        "memories_by_type": {"fix": 1, "general": 1},
        "total_relationships": {"count": 0},
        "avg_importance": {"avg_importance": 0.5},
        "avg_confidence": {"avg_confidence": 0.75},
    }


# All of it.


async def test_each_operation_is_one_batch(wire: Wire) -> None:
    for name in "ab":
        await wire.store(id=name)
    for method, path, body in (
        ("POST", "/memories", {"type": "fix", "title": "t", "content": "c"}),
        ("GET", "/memories/a", b""),
        ("PUT", "/memories/a", {"title": "t"}),
        ("PATCH", "/memories/a", {}),
        ("GET", "/memories?query=x&tags=y", b""),
        ("POST", "/search/advanced", {"query": "x"}),
        ("GET", "/memories/recall?query=x", b""),
        ("POST", "/relationships", {"from_memory_id": "a", "to_memory_id": "b", "relationship_type": "SOLVES"}),
        ("POST", "/relationships", {"from_memory_id": "b", "to_memory_id": "a", "relationship_type": "SOLVES"}),
        ("GET", "/memories/a/related?max_depth=5", b""),
        ("GET", "/memories/recent", b""),
        ("GET", "/graphs/statistics", b""),
        ("DELETE", "/memories/a", b""),
        ("GET", "/memories/a", b""),
    ):
        wire.files.batches = 0
        await wire(method, path, body)
        assert wire.files.batches == 1, (method, path)


async def test_workspaces_never_see_each_other(tmp_path: Path) -> None:
    files = [SqliteDatabase(tmp_path / name) for name in ("one.db", "two.db")]
    for file in files:
        await migrations.apply(file, migrations.load("sqlite"))
    wire = Wire({"http://one.localhost": files[0], "http://two.localhost": files[1]})
    mine, theirs = wire.keys.values()
    for key, title in ((mine, "mine"), (theirs, "theirs")):
        wire.key = key
        await wire.store(id="same", title=title)
    for key, title in ((mine, "mine"), (theirs, "theirs")):
        wire.key = key
        page = await wire.ok("GET", "/memories")
        assert [memory["title"] for memory in page["memories"]] == [title]
    wire.key = mine
    await wire.ok("DELETE", "/memories/same", status=204)
    wire.key = theirs
    assert (await wire.ok("GET", "/memories/same"))["title"] == "theirs"
    for file in files:
        await file.close()


async def test_the_agent_is_recorded(wire: Wire, file: SqliteDatabase) -> None:
    body = {"type": "fix", "title": "t", "content": "c", "id": "a"}
    await wire("POST", "/memories", body, headers={"User-Agent": "memorygraph-mcp/1.0"})
    await wire("PUT", "/memories/a", {"title": "u"}, headers={"User-Agent": "x", "X-Agent": "editor"})
    [found] = await file.batch([Statement("SELECT created_by_agent, updated_by_agent FROM memories")], write=False)
    assert found.rows == [("memorygraph-mcp/1.0", "editor")]


def test_every_declared_route_has_a_handler_here() -> None:
    for route in MEMORIES.routes:
        assert inspect.iscoroutinefunction(getattr(handlers, route.handler))


@pytest.mark.parametrize("number", [1 << 64, -(1 << 63) - 1, 10**40])
async def test_a_whole_number_that_would_be_rounded_is_refused(wire: Wire, number: int) -> None:
    for context in ({"a": number}, {"a": [{"b": number}]}):
        sent = json.dumps({"type": "task", "title": "t", "content": "c", "context": context}).encode()
        assert "64 bits" in (await wire.bad("POST", "/memories", sent))["body"]
    for kept in (str(number), (1 << 64) - 1, -(1 << 63), 1e300, float(1 << 70)):
        sent = json.dumps({"type": "task", "title": "t", "content": f"{number}", "context": {"a": kept}}).encode()
        answer = await wire("POST", "/memories", sent)
        assert answer.status == 201
        assert (await wire.ok("GET", f"/memories/{answer.json()['id']}"))["context"] == {"a": kept}
