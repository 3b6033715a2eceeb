"""Search on the wire, beyond what both clients send: filters, paging by cursor, what stands beside each hit."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from core.adapters.sqlite import SqliteDatabase
from memories.matching import TERMS_MOST, TEXT_MOST
from memories.model import TOTAL_MOST
from tests.functions.memories.wire import Wire, check_memory


@pytest.fixture
def wire(file: SqliteDatabase) -> Wire:
    return Wire({"http://one.localhost": file})


async def found(wire: Wire, body: dict[str, Any], path: str = "/search/advanced") -> list[str]:
    page = await wire.ok("POST", path, body)
    return [check_memory(memory)["id"] for memory in page["memories"]]


async def relate(wire: Wire, start: str, end: str, type_: str = "SOLVES", **fields: Any) -> Any:
    body = {"from_memory_id": start, "to_memory_id": end, "relationship_type": type_, **fields}
    return await wire.ok("POST", "/relationships", body, 201)


# Filters


@pytest.mark.parametrize(
    ("field", "value", "ids"),
    [
        ("languages", ["PYTHON"], ["both", "py"]),
        ("languages", ["go", "python"], ["both", "go", "py"]),
        ("languages", ["STRASSE"], ["go"]),
        ("frameworks", ["django"], ["both"]),
        ("languages", [], ["both", "go", "none", "py"]),
        ("languages", None, ["both", "go", "none", "py"]),
    ],
)
async def test_languages_and_frameworks(wire: Wire, field: str, value: Any, ids: list[str]) -> None:
    await wire.store(id="py", context={"languages": ["Python"]})
    await wire.store(id="go", context={"languages": ["Go", "Straße"]})
    await wire.store(id="both", context={"languages": ["python", "sql"], "frameworks": ["Django"]})
    await wire.store(id="none")
    assert sorted(await found(wire, {field: value})) == ids
    if value:
        query = "&".join(f"{field}={one}" for one in value)
        page = await wire.ok("GET", f"/memories?{query}")
        assert sorted(memory["id"] for memory in page["memories"]) == ids


async def test_relationship_filter_takes_either_end_and_only_current_ones(wire: Wire) -> None:
    for name in ("a", "b", "c", "d"):
        await wire.store(id=name)
    await relate(wire, "a", "b", "SOLVES")
    ended = await relate(wire, "c", "d", "CAUSES")
    assert sorted(await found(wire, {"relationship_filter": ["solves"]})) == ["a", "b"]
    assert sorted(await found(wire, {"relationship_filter": ["SOLVES", "CAUSES"]})) == ["a", "b", "c", "d"]
    await wire.ok("POST", f"/relationships/{ended['id']}/invalidate")
    assert await found(wire, {"relationship_filter": ["CAUSES"]}) == []
    assert list(await wire.bad("POST", "/search/advanced", {"relationship_filter": ["FIXES"]})) == [
        "relationship_filter.0"
    ]


async def test_contextual_search_stays_in_the_neighbourhood(wire: Wire) -> None:
    for name, title in (("start", "cache"), ("one", "cache one"), ("two", "cache two"), ("far", "cache far")):
        await wire.store(id=name, title=title)
    await wire.store(id="other", title="unrelated")
    await relate(wire, "start", "one", "SOLVES")
    await relate(wire, "two", "one", "CAUSES")
    await relate(wire, "two", "far", "SOLVES")
    await relate(wire, "start", "other", "CAUSES")
    around = {"memory_id": "start", "query": "cache"}
    assert sorted(await found(wire, around, "/search/contextual")) == ["one", "two"]
    assert sorted(await found(wire, {**around, "max_depth": 1}, "/search/contextual")) == ["one"]
    assert sorted(await found(wire, {**around, "max_depth": 3}, "/search/contextual")) == ["far", "one", "two"]
    assert sorted(await found(wire, {**around, "relationship_types": ["SOLVES"]}, "/search/contextual")) == ["one"]
    assert sorted(await found(wire, {"memory_id": "start", "query": None}, "/search/contextual")) == [
        *("one", "other", "two"),
    ]
    await wire.bad("POST", "/search/contextual", {"memory_id": "nobody"}, 404)
    assert list(await wire.bad("POST", "/search/contextual", {"query": "x"})) == ["memory_id"]


# Paging


async def test_cursors_page_through_everything_while_memories_come(wire: Wire) -> None:
    for number in range(7):
        await wire.store(id=f"m{number}", title="same", importance=number % 3 / 2)
    body: dict[str, Any] = {"query": "same", "limit": 3}
    seen: list[str] = []
    page = await wire.ok("POST", "/search/advanced", body)
    while True:
        seen += [memory["id"] for memory in page["memories"]]
        assert page["has_more"] is (page["next_cursor"] is not None)
        if not page["next_cursor"]:
            break
        await wire.store(id=f"new{len(seen)}", title="same", importance=1)  # it sorts before what was seen
        page = await wire.ok("POST", "/search/advanced", {**body, "cursor": page["next_cursor"]})
    assert sorted(seen) == [f"m{number}" for number in range(7)]


async def test_a_cursor_serves_get_and_post_and_any_page_size(wire: Wire) -> None:
    for number in range(5):
        await wire.store(id=f"m{number}")
    first = await wire.ok("GET", "/memories?limit=2")
    rest = await wire.ok("GET", f"/memories?limit=50&cursor={first['next_cursor']}")
    assert [memory["id"] for memory in first["memories"] + rest["memories"]] == ["m4", "m3", "m2", "m1", "m0"]
    assert (first["total"], rest["total"], rest["has_more"]) == (5, 5, False)
    assert first["total_is_exact"]


async def test_bad_cursors(wire: Wire) -> None:
    for number in range(3):
        await wire.store(id=f"m{number}", title="a")
    good = (await wire.ok("POST", "/search/advanced", {"query": "a", "limit": 1}))["next_cursor"]
    parts = orjson.loads(base64.urlsafe_b64decode(good + "=="))
    values: tuple[Any, ...] = (
        *([], {}, None, 5, parts[:-1], [*parts, 1]),
        *([parts[0], 1, *parts[2:]], [*parts[:2], "1", *parts[3:]], [*parts[:3], 1 << 60, parts[4]]),
        *([*parts[:3], -1, parts[4]], [*parts[:4], "a/b"], [*parts[:4], None]),
    )
    forged: list[str] = [
        *("", "x", "%%%", "é", good[:-3], good + "AAAA"),
        *(base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=") for value in values),
    ]
    for cursor in forged:
        answer = await wire("POST", "/search/advanced", {"query": "a", "limit": 1, "cursor": cursor})
        assert (answer.status, cursor) in ((400, cursor), (200, ""))  # an empty one is none
    other = await wire.bad("POST", "/search/advanced", {"query": "b", "cursor": good})
    assert "another search" in other["cursor"]


async def test_the_total_is_counted_so_far(wire: Wire) -> None:
    assert TOTAL_MOST >= 100  # the free plan's memories are counted in full
    for number in range(3):
        await wire.store(id=f"m{number}")
    page = await wire.ok("GET", "/memories?limit=1&offset=1")
    assert (page["total"], page["total_is_exact"], page["has_more"]) == (3, True, True)
    beyond = await wire.ok("GET", "/memories?offset=5")
    assert (beyond["memories"], beyond["total"], beyond["has_more"], beyond["next_cursor"]) == ([], 3, False, None)


# Beside each hit


async def test_why_it_was_found(wire: Wire) -> None:
    await wire.store(id="title", title="Redis Timeout", importance=1)
    await wire.store(id="content", title="x", content="a redis timeout", importance=0.9)
    await wire.store(id="words", title="x", content="timeout of redis", tags=["redis-6"], importance=0.8)
    page = await wire.ok("POST", "/search/advanced", {"query": "REDIS timeout"})
    info = {memory["id"]: memory["match_info"] for memory in page["memories"]}
    assert info == {
        "title": {"matched_fields": ["title"], "matched_terms": ["redis", "timeout"], "match_quality": "high"},
        "content": {"matched_fields": ["content"], "matched_terms": ["redis", "timeout"], "match_quality": "medium"},
        "words": {"matched_fields": ["tags"], "matched_terms": ["redis", "timeout"], "match_quality": "low"},
    }
    all_of_them = await wire.ok("GET", "/memories")
    assert all_of_them["memories"][0]["match_info"] == {
        "matched_fields": [],
        "matched_terms": [],
        "match_quality": "low",
    }


async def test_neighbours_and_the_summary(wire: Wire) -> None:
    await wire.store(id="s", type="solution", title="Pool")
    await wire.store(id="c", type="code_pattern", title="Alone")
    for name in ("p", "q", "r"):
        await wire.store(id=name, type="problem", title=f"Problem {name}")
    await wire.store(id="app", type="project", title="Shop")
    await relate(wire, "s", "p", strength=0.9)
    await relate(wire, "s", "q", strength=0.8)
    await relate(wire, "s", "r", strength=0.7)
    await relate(wire, "s", "app", "USED_IN")
    ended = await relate(wire, "c", "app", "USED_IN")
    await wire.ok("POST", f"/relationships/{ended['id']}/invalidate")
    hits = {memory["id"]: memory for memory in (await wire.ok("GET", "/memories"))["memories"]}
    assert hits["s"]["relationships"] == {"solves": ["Problem p", "Problem q", "Problem r"], "used_in": ["Shop"]}
    assert hits["s"]["context_summary"] == "Solution solves Problem p, Problem q, in Shop"
    assert hits["p"]["relationships"] == {"solves": ["Pool"]}
    assert hits["p"]["context_summary"] == "Problem solved by Pool"
    assert (hits["c"]["relationships"], hits["c"]["context_summary"]) == ({}, "Code pattern")
    assert hits["app"]["context_summary"] == "Project"


# What one search may cost


async def test_only_so_much_of_a_hit_is_looked_through(wire: Wire) -> None:
    await wire.store(id="early", content="needle " + "x " * TEXT_MOST, importance=1)
    await wire.store(id="late", content="x " * TEXT_MOST + "needle")
    hits = (await wire.ok("POST", "/search/advanced", {"query": "needle"}))["memories"]
    assert [(hit["id"], hit["match_info"]["matched_fields"]) for hit in hits] == [("early", ["content"]), ("late", [])]
    many = " ".join(f"word{number}" for number in range(TERMS_MOST + 10))
    await wire.store(id="words", content=many)
    [hit] = (await wire.ok("POST", "/search/advanced", {"query": many}))["memories"]
    assert len(hit["match_info"]["matched_terms"]) == TERMS_MOST


@pytest.mark.parametrize("offset", [2**31 - 1, 2**31])
async def test_the_largest_offset(wire: Wire, offset: int) -> None:
    await wire.store()
    page = await wire.ok("GET", f"/memories?offset={offset}")
    assert (page["memories"], page["total"], page["has_more"]) == ([], 1, False)
    message = (await wire.bad("GET", f"/memories?offset={2**31 + 1}"))["offset"]
    assert message == "must be at most 2147483648"


@pytest.mark.parametrize("name", ["as_of", "created_after"])
async def test_times_may_be_pasted_into_a_query(wire: Wire, name: str) -> None:
    stored = await wire.store(id="m")
    path = "/memories/m" if name == "as_of" else "/memories"
    for sign in ("+", "%2B"):
        await wire.ok("GET", f"{path}?{name}={stored['updated_at'].replace('+', sign)}")


async def test_empty_names_filter_nothing(wire: Wire) -> None:
    await wire.store(id="m", context={"languages": [" Python "]})
    assert await found(wire, {"languages": [""], "frameworks": [" "]}) == ["m"]
    assert await found(wire, {"languages": ["python"]}) == ["m"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("query=%ff", "query"),
        ("limit=3&tags=a&tags=%C3", "tags"),
        ("%fe=1", "\ufffd"),
        ("query=%C3&limit=%A9", "query"),
    ],
)
async def test_a_query_that_is_no_text_is_refused(wire: Wire, query: str, field: str) -> None:
    """It would be read as another one, which may be found."""
    await wire.store(title="\ufffd")
    assert field in await wire.bad("GET", f"/memories?{query}")
    assert (await wire.ok("GET", "/memories?query=%EF%BF%BD&tags=%20"))["total"] == 1
