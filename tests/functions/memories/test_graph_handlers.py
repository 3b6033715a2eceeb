"""The routes about relationships, in the wire shapes of both clients (client contract, sections 2.3 and 7.2-7.8)."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from core import migrations
from core.adapters.sqlite import SqliteDatabase
from core.ports import Statement
from memories.graph.model import CONTEXT_LIMIT, REASON_LIMIT
from memories.relationship_types import RelationshipType
from tests.functions.memories.wire import Wire, check_memory, check_related, check_relationship

UNKNOWN = "00000000-0000-0000-0000-000000000000"
AB = {"from_memory_id": "a", "to_memory_id": "b", "relationship_type": "SOLVES"}


@pytest.fixture
async def wire(file: SqliteDatabase) -> Wire:
    """Holds the memories a, b, c, d, each of its name."""
    wire = Wire({"http://one.localhost": file})
    for name in "abcd":
        await wire.store(id=name, title=name)
    return wire


async def relate(wire: Wire, from_id: str, to_id: str, type_: str = "SOLVES", **more: Any) -> Any:
    sent = {"from_memory_id": from_id, "to_memory_id": to_id, "relationship_type": type_, **more}
    return await wire.ok("POST", "/relationships", sent, 201)


async def count(wire: Wire) -> int:
    statistics = await wire.ok("GET", "/graphs/statistics")
    found: int = statistics["total_relationships"]["count"]
    return found


def ids(edges: list[Any]) -> list[str]:
    return [edge["id"] for edge in edges]


# Making them.


async def test_both_clients_create_relationships(wire: Wire) -> None:
    context = '{"text": "partially", "scope": "partial"}'
    made = check_relationship(await relate(wire, "a", "b", context=context, strength=1))
    assert made["id"].startswith("rel_")
    assert (made["context"], made["strength"], made["confidence"]) == (context, 1.0, 0.8)
    assert made["created_at"] == made["updated_at"] == made["valid_from"] == made["recorded_at"]
    plain = check_relationship(await relate(wire, "a", "c", strength=None, confidence=None))
    assert (plain["context"], plain["strength"], plain["confidence"]) == (None, 0.5, 0.8)
    assert (await relate(wire, "b", "c", "similar_to", context=None, nonsense=1))["relationship_type"] == "SIMILAR_TO"


async def test_everything_that_is_known_of_a_new_one(wire: Wire) -> None:
    made = await relate(wire, "a", "b", context="only in May")
    moment = made["created_at"]
    assert moment == "2025-01-31T09:15:27.123461+00:00"
    assert made == {
        "id": made["id"],
        **AB,
        "category": "solution",
        "strength": 0.5,
        "confidence": 0.8,
        "context": "only in May",
        "context_structure": {
            "text": "only in May",
            "scope": "conditional",
            "components": ["May"],
            "conditions": ["May"],
            "evidence": [],
            "temporal": None,
            "exceptions": [],
        },
        **{"created_at": moment, "updated_at": moment, "valid_from": moment, "recorded_at": moment},
        **{"valid_until": None, "invalidated_by": None, "invalidation_reason": None},
        **{"evidence_count": 1, "validation_count": 0, "counter_evidence_count": 0, "success_rate": None},
        **{"last_validated": None, "version": 1},
    }
    assert await wire.ok("GET", f"/relationships/{made['id']}") == made


async def test_refused_relationships(wire: Wire) -> None:
    await relate(wire, "a", "b", "SIMILAR_TO")
    good = {**AB, "relationship_type": "SIMILAR_TO"}
    back = {**good, "from_memory_id": "b", "to_memory_id": "a"}
    assert "to_memory_id" in await wire.bad("POST", "/relationships", back)
    assert "to_memory_id" in await wire.bad("POST", "/relationships", {**good, "to_memory_id": "a"})
    answer = await wire("POST", "/relationships", {**good, "to_memory_id": UNKNOWN})
    assert answer.status == 404
    assert UNKNOWN in answer.json()["detail"]
    for field, value in (
        ("relationship_type", "FIXES"),
        ("relationship_type", None),
        ("from_memory_id", None),
        ("to_memory_id", "a/b"),
        ("strength", 1.5),
        ("strength", True),
        ("confidence", "1"),
        ("context", {"text": "x"}),
        ("context", "x" * (CONTEXT_LIMIT + 1)),
        ("context", "\0"),
        ("valid_from", "yesterday"),
        ("valid_from", 5),
        ("valid_until", "2025-01-31T09:15:27Z"),  # already past
    ):
        assert list(await wire.bad("POST", "/relationships", {**good, field: value})) == [field]
    assert await count(wire) == 1


async def test_a_memory_is_not_related_to_itself(wire: Wire) -> None:
    itself = {**AB, "to_memory_id": "a"}
    assert await wire.bad("POST", "/relationships", itself) == {
        "to_memory_id": "must be another memory than from_memory_id"
    }
    until = (wire.clock.moment + timedelta(days=1)).isoformat()
    assert "to_memory_id" in await wire.bad("POST", "/relationships", {**itself, "valid_until": until})
    assert await count(wire) == 0


async def test_a_cycle_counts_current_relationships_of_one_type(wire: Wire) -> None:
    first = await relate(wire, "a", "b")
    await relate(wire, "b", "c")
    await relate(wire, "c", "a", "CAUSES")
    assert "to_memory_id" in await wire.bad(
        "POST", "/relationships", {**AB, "from_memory_id": "c", "to_memory_id": "a"}
    )
    await wire.ok("POST", f"/relationships/{first['id']}/invalidate")
    await relate(wire, "c", "a")


async def test_a_repeated_relationship_is_one_and_a_later_one_another(wire: Wire) -> None:
    first = await relate(wire, "a", "b", context="why")
    wire.clock.advance(seconds=11)  # a store that woke for 10 s, and the client's pause
    assert await relate(wire, "a", "b", context="why") == first
    assert (await relate(wire, "a", "b", context="why else"))["id"] != first["id"]
    wire.clock.advance(seconds=60)
    assert (await relate(wire, "a", "b", context="why"))["id"] != first["id"]
    assert await count(wire) == 3


async def test_a_fact_may_hold_for_a_time_of_its_own(wire: Wire) -> None:
    past = await relate(wire, "a", "b", valid_from="2020-01-01T12:00:00+02:00", valid_until="2021-01-01")
    assert past["valid_from"] == "2020-01-01T10:00:00.000000+00:00"
    assert past["valid_until"] == "2021-01-01T00:00:00.000000+00:00"
    assert past["recorded_at"] == past["created_at"] > past["valid_until"]
    assert await wire.ok("GET", f"/relationships/{past['id']}") == past
    future = await relate(wire, "a", "c", valid_from="2100-01-01")
    assert (future["valid_from"][:4], future["valid_until"]) == ("2100", None)
    for valid_until in ("2020-01-01", "2019-12-31T23:59:59.999999"):
        faults = await wire.bad(
            "POST", "/relationships", {**AB, "valid_from": "2020-01-01", "valid_until": valid_until}
        )
        assert list(faults) == ["valid_until"]


async def test_an_idempotency_key_makes_one_of_many(wire: Wire) -> None:
    answers = []
    for _ in range(2):
        answers.append(await wire("POST", "/relationships", AB, headers={"Idempotency-Key": "k1"}))
        wire.clock.advance(hours=1)
    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    other = await wire("POST", "/relationships", {**AB, "to_memory_id": "c"}, headers={"Idempotency-Key": "k1"})
    assert other.status == 409
    assert await count(wire) == 1
    edge = answers[0].json()["id"]
    for body, status in (({}, 200), ({}, 200), ({"success": False}, 409)):
        answer = await wire("POST", f"/relationships/{edge}/reinforce", body, headers={"Idempotency-Key": "k2"})
        assert answer.status == status
    assert (await wire.ok("GET", f"/relationships/{edge}"))["validation_count"] == 1


# One of them.


async def test_update_is_partial_under_both_methods(wire: Wire) -> None:
    edge = await relate(wire, "a", "b", context="only here")
    changes: list[dict[str, Any]] = [{"strength": 0}, {"confidence": 1}, {"context": "fully"}, {"context": None}]
    for method, change in zip(("PUT", "PATCH") * 2, changes, strict=True):
        wire.clock.advance(seconds=1)
        changed = await wire.ok(method, f"/relationships/{edge['id']}", {**change, "from_memory_id": "d"})
        assert changed == {
            **edge,
            **change,
            "context_structure": changed["context_structure"],
            "updated_at": changed["updated_at"],
            "version": edge["version"] + 1,
        }
        assert changed["updated_at"] > edge["updated_at"]
        assert await wire.ok("GET", f"/relationships/{edge['id']}") == changed
        edge = changed
    assert edge["context_structure"] is None
    for nothing in ({}, {"strength": None, "confidence": None}):
        assert await wire.ok("PATCH", f"/relationships/{edge['id']}", nothing) == edge
    for field, value in (("strength", 2), ("confidence", "high"), ("context", ["x"]), ("context", "\0")):
        assert list(await wire.bad("PATCH", f"/relationships/{edge['id']}", {field: value})) == [field]
    assert await wire.ok("GET", f"/relationships/{edge['id']}") == edge


async def test_etags_guard_changes(wire: Wire) -> None:
    first = await wire("POST", "/relationships", AB)
    edge = first.json()["id"]
    path = f"/relationships/{edge}"
    old = first.headers["etag"]
    assert (await wire("GET", path)).headers["etag"] == old
    assert (await wire("GET", path, headers={"If-Match": old})).status == 200
    second = await wire("PATCH", path, {"strength": 0.9}, headers={"If-Match": old})
    new = second.headers["etag"]
    assert (second.status, second.json()["version"]) == (200, 2)
    assert new != old
    for method, body in (("PUT", {"strength": 0.1}), ("PATCH", {}), ("DELETE", b""), ("GET", b"")):
        refused = await wire(method, path, body, headers={"If-Match": old})
        assert (refused.status, refused.headers["etag"]) == (412, new), method
        assert refused.json()["current"] == {"version": 2, "etag": new}
    for tags in (new, f'"other", {new}', "*"):
        assert (await wire("PATCH", path, {}, headers={"If-Match": tags})).headers["etag"] == new
    for step in ("reinforce", "invalidate"):
        assert (
            (await wire("POST", f"{path}/{step}")).headers["etag"] == (await wire("GET", path)).headers["etag"] != new
        )
    newest = (await wire("GET", path)).headers["etag"]
    assert (await wire("DELETE", path, headers={"If-Match": newest})).status == 204


async def test_delete(wire: Wire) -> None:
    edge = await relate(wire, "a", "b")
    answer = await wire("DELETE", f"/relationships/{edge['id']}")
    assert (answer.status, answer.body) == (204, b"")
    assert await count(wire) == 0
    check_memory(await wire.ok("GET", "/memories/a"))


@pytest.mark.parametrize("edge_id", [UNKNOWN, "a%20b", "%00", "..", "x" * 300])
async def test_unknown_relationships_are_404(wire: Wire, edge_id: str) -> None:
    body = {"strength": 0.5}
    for method, path in (
        ("GET", ""),
        ("PUT", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/reinforce"),
        ("POST", "/invalidate"),
    ):
        answer = await wire(method, f"/relationships/{edge_id}{path}", body if method[0] == "P" else b"")
        assert answer.status == 404, (method, path)
        assert "There is no relationship" in answer.json()["detail"]
    assert (await wire("PATCH", f"/relationships/{UNKNOWN}", {})).status == 404


async def test_reinforcing(wire: Wire) -> None:
    edge = await relate(wire, "a", "b", strength=0.93, confidence=0.95)
    path = f"/relationships/{edge['id']}/reinforce"
    steps = []
    for body in (b"", {}, {"success": True}, {"success": False}, {"success": None}):
        wire.clock.advance(seconds=1)
        now = await wire.ok("POST", path, body)
        steps.append((round(now["strength"], 9), round(now["confidence"], 9)))
        assert now["last_validated"] == now["updated_at"] > edge["updated_at"]
        assert now["version"] == edge["version"] + 1
        edge = now
    assert steps == [(0.98, 0.98), (1, 1), (1, 1), (0.975, 0.985), (1, 1)]
    assert (edge["evidence_count"], edge["validation_count"], edge["counter_evidence_count"]) == (6, 4, 1)
    assert edge["success_rate"] == 0.8
    assert await wire.ok("GET", f"/relationships/{edge['id']}") == edge
    wrong: list[Any] = ["yes", 1, []]
    for value in wrong:
        assert list(await wire.bad("POST", path, {"success": value})) == ["success"]


async def test_failures_do_not_take_it_below_a_tenth(wire: Wire) -> None:
    edge = await relate(wire, "a", "b", strength=0.14, confidence=0.11)
    low = await relate(wire, "a", "c", strength=0.05, confidence=0)
    for _ in range(3):
        edge = await wire.ok("POST", f"/relationships/{edge['id']}/reinforce", {"success": False})
        low = await wire.ok("POST", f"/relationships/{low['id']}/reinforce", {"success": False})
    assert (round(edge["strength"], 9), round(edge["confidence"], 9)) == (0.1, 0.1)
    assert (low["strength"], low["confidence"]) == (0.05, 0)  # never raised by a failure
    assert (low["success_rate"], low["counter_evidence_count"]) == (0, 3)


async def test_invalidating(wire: Wire) -> None:
    edge = await relate(wire, "a", "b")
    path = f"/relationships/{edge['id']}/invalidate"
    for field, value in (
        ("invalidated_by", "a b"),
        ("invalidated_by", edge["id"]),
        ("reason", 5),
        ("reason", "x" * (REASON_LIMIT + 1)),
    ):
        assert list(await wire.bad("POST", path, {field: value})) == [field]
    wire.clock.advance(days=1)
    ended = await wire.ok("POST", path, {"invalidated_by": "rel_next", "reason": "replaced"})
    assert ended == {
        **edge,
        "valid_until": ended["updated_at"],
        "updated_at": ended["updated_at"],
        "invalidated_by": "rel_next",
        "invalidation_reason": "replaced",
        "version": 2,
    }
    assert ended["valid_until"].startswith("2025-02-01")
    wire.clock.advance(days=1)
    assert await wire.ok("POST", path, {"reason": "again"}) == ended  # it has ended
    assert await wire.ok("GET", f"/relationships/{edge['id']}") == ended
    assert (await wire.ok("GET", "/memories/a/related"))["related"] == []
    bare = await relate(wire, "a", "c")
    assert (await wire.ok("POST", f"/relationships/{bare['id']}/invalidate"))["valid_until"] is not None


async def test_the_types(wire: Wire) -> None:
    wire.files.batches = 0
    body = await wire.ok("GET", "/relationships/types")
    assert wire.files.batches == 0
    assert [one["type"] for one in body["types"]] == list(RelationshipType)
    assert body["types"][0].keys() == {"type", "category", "description", "symmetric", "inverse"}
    by_name = {one["type"]: one for one in body["types"]}
    assert (by_name["SOLVES"]["category"], by_name["SOLVES"]["inverse"]) == ("solution", None)
    assert (by_name["GENERALIZES"]["symmetric"], by_name["GENERALIZES"]["inverse"]) == (False, "SPECIALIZES")
    assert (by_name["SIMILAR_TO"]["symmetric"], by_name["SIMILAR_TO"]["inverse"]) == (True, "SIMILAR_TO")
    assert len(body["categories"]) == 7


# Around a memory.


async def test_related_in_both_dialects(wire: Wire) -> None:
    await relate(wire, "b", "a", "SOLVES", strength=0.9)
    await relate(wire, "a", "c", "CAUSES", strength=0.2)
    await relate(wire, "c", "d", "CAUSES", strength=1)
    mcp = check_related(await wire.ok("GET", "/search/memories/a/related?max_depth=2&relationship_types=CAUSES,SOLVES"))
    sdk = check_related(
        await wire.ok("GET", "/memories/a/related?max_depth=2&relationship_types=CAUSES&relationship_types=solves")
    )
    assert mcp == sdk
    assert [(item["memory"]["id"], item["depth"]) for item in sdk["related"]] == [("d", 2), ("b", 1), ("c", 1)]
    assert mcp["related_memories"][1]["relationship"] == {
        "id": mcp["related_memories"][1]["relationship"]["id"],
        **{"type": "SOLVES", "from_memory_id": "b", "to_memory_id": "a"},
        **{"strength": 0.9, "confidence": 0.8, "context": None},
    }
    assert (sdk["related"][1]["from_memory_id"], sdk["related"][1]["to_memory_id"]) == ("b", "a")
    nearest = check_related(await wire.ok("GET", "/memories/a/related"))
    assert [item["memory"]["id"] for item in nearest["related"]] == ["b", "c"]
    caused = await wire.ok("GET", "/memories/a/related?relationship_types=CAUSES&max_depth=5")
    assert [item["memory"]["id"] for item in caused["related"]] == ["d", "c"]
    empty: dict[str, list[Any]] = {"related": [], "related_memories": []}
    assert await wire.ok("GET", "/memories/b/related?relationship_types=CAUSES") == empty
    for path in ("/memories/nope/related", "/search/memories/nope/related"):
        await wire.bad("GET", path, status=404)


async def test_related_as_of_a_moment(wire: Wire) -> None:
    await relate(wire, "a", "b", valid_from="2020-01-01", valid_until="2021-01-01")
    await relate(wire, "a", "c", valid_from="2020-06-01")
    await relate(wire, "a", "d", valid_from="2100-01-01")

    async def around(query: str) -> list[str]:
        found = check_related(await wire.ok("GET", f"/memories/a/related{query}"))
        return sorted(item["memory"]["id"] for item in found["related"])

    assert await around("?as_of=2019-12-31T23:59:59.999999Z") == []
    assert await around("?as_of=2020-01-01") == ["b"]
    assert await around("?as_of=2020-12-31T23:59:59%2B00:00") == ["b", "c"]
    assert await around("?as_of=2021-01-01T00:00:00+00:00") == ["c"]  # an unescaped plus
    assert await around("?as_of=2021-01-01T01:00:00+01:30") == ["b", "c"]
    assert await around("?as_of=2100-01-01") == ["c", "d"]
    assert "c" in await around("")
    assert list(await wire.bad("GET", "/memories/a/related?as_of=once")) == ["as_of"]


async def test_a_path(wire: Wire) -> None:
    first = await relate(wire, "b", "a", "SOLVES")
    second = await relate(wire, "b", "c", "CAUSES")
    found = await wire.ok("GET", "/memories/a/path/c")
    assert (found["found"], found["length"]) == (True, 2)
    assert [check_memory(memory)["id"] for memory in found["memories"]] == ["a", "b", "c"]
    assert ids(found["relationships"]) == [first["id"], second["id"]]
    assert found["relationships"][0]["from_memory_id"] == "b"
    none: dict[str, Any] = {"found": False, "length": None, "memories": [], "relationships": []}
    assert await wire.ok("GET", "/memories/a/path/c?max_depth=1") == none
    assert await wire.ok("GET", "/memories/a/path/c?relationship_types=SOLVES,IMPROVES") == none
    assert await wire.ok("GET", "/memories/a/path/c?relationship_types=SOLVES&relationship_types=causes") == found
    assert await wire.ok("GET", "/memories/a/path/c?as_of=2020-01-01") == none
    assert await wire.ok("GET", "/memories/a/path/d") == none
    here = await wire.ok("GET", "/memories/a/path/a")
    assert (here["found"], here["length"], len(here["memories"])) == (True, 0, 1)
    for path in ("a/path/nope", "nope/path/a", "a/path/%00"):
        await wire.bad("GET", f"/memories/{path}", status=404)
    await wire.ok("POST", f"/relationships/{first['id']}/invalidate")
    assert await wire.ok("GET", "/memories/a/path/c") == none


async def test_a_path_is_looked_for_five_deep(wire: Wire) -> None:
    for number in range(7):
        await wire.store(id=f"n{number}")
        if number:
            await relate(wire, f"n{number - 1}", f"n{number}", "FOLLOWS")
    assert (await wire.ok("GET", "/memories/n0/path/n5"))["length"] == 5
    assert not (await wire.ok("GET", "/memories/n0/path/n6"))["found"]
    assert (await wire.ok("GET", "/memories/n0/path/n6?max_depth=10"))["length"] == 6


async def test_history(wire: Wire) -> None:
    newer = await relate(wire, "a", "b")
    older = await relate(wire, "c", "a", "CAUSES", valid_from="2020-01-01", valid_until="2021-01-01")
    await relate(wire, "b", "c")
    await wire("PUT", "/memories/a", {"title": "renamed"}, headers={"X-Agent": "editor"})
    history = await wire.ok("GET", "/memories/a/history")
    assert history["memory_id"] == "a"
    assert ids(history["relationships"]) == [older["id"], newer["id"]]
    assert history["relationships"][0] == {name: older[name] for name in older if name != "context_structure"}
    assert {name: history[name] for name in ("total", "limit", "offset", "has_more")} == {
        **{"total": 2, "limit": 100, "offset": 0, "has_more": False}
    }
    now, before = history["versions"]
    assert [(one["version"], one["title"]) for one in (now, before)] == [(2, "renamed"), (1, "a")]
    assert (now["valid_until"], now["valid_from"]) == (None, before["valid_until"])
    assert (now["author"]["agent"], now["author"].keys()) == ("editor", {"key", "account", "agent"})
    page = await wire.ok("GET", "/memories/a/history?limit=1")
    assert (ids(page["relationships"]), page["total"], page["has_more"]) == ([older["id"]], 2, True)
    page = await wire.ok("GET", "/memories/a/history?limit=1&offset=1")
    assert (ids(page["relationships"]), page["total"], page["has_more"]) == ([newer["id"]], 2, False)
    only = await wire.ok("GET", "/memories/a/history?relationship_types=CAUSES,IMPROVES")
    assert (ids(only["relationships"]), only["total"]) == ([older["id"]], 1)
    await wire.bad("GET", "/memories/nope/history", status=404)


async def test_what_changed(wire: Wire) -> None:
    first = await relate(wire, "a", "b")
    wire.clock.advance(days=1)
    moment = wire.clock.moment
    since = quote(moment.isoformat())
    second = await relate(wire, "b", "c", valid_from="2020-01-01")
    third = await relate(wire, "c", "d")
    await wire.ok("POST", f"/relationships/{first['id']}/invalidate")
    changed = await wire.ok("GET", f"/relationships/changes?since={since}")
    assert changed["since"] == moment.isoformat(timespec="microseconds")
    assert ids(changed["new_relationships"]) == [third["id"], second["id"]]
    assert ids(changed["invalidated_relationships"]) == [first["id"]]
    assert changed["has_more"] is False
    one = await wire.ok("GET", f"/relationships/changes?since={since}&limit=1")
    assert (ids(one["new_relationships"]), one["has_more"]) == ([third["id"]], True)
    later = await wire.ok("GET", "/relationships/changes?since=2025-03-01")
    assert later == {
        "since": "2025-03-01T00:00:00.000000+00:00",
        **{"new_relationships": [], "invalidated_relationships": [], "has_more": False, "next_cursor": None},
    }
    assert await wire.bad("GET", "/relationships/changes") == {"since": "is missing"}


async def test_what_changed_is_read_to_its_end(wire: Wire) -> None:
    since = quote(wire.clock.moment.isoformat())
    made = [(await relate(wire, "a", name, type_))["id"] for name in "bcd" for type_ in ("SOLVES", "CAUSES")]
    for one in made[:3]:
        await wire.ok("POST", f"/relationships/{one}/invalidate")
    new, ended, cursor = [], [], ""
    for _ in range(10):
        page = await wire.ok("GET", f"/relationships/changes?since={since}&limit=2{cursor}")
        new += ids(page["new_relationships"])
        ended += ids(page["invalidated_relationships"])
        assert page["has_more"] is (page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert (len(new), sorted(new)) == (6, sorted(made))
    assert (len(ended), sorted(ended)) == (3, sorted(made[:3]))


async def test_a_cursor_of_changes_is_one_of_ours_and_of_its_moment(wire: Wire) -> None:
    since = wire.clock.moment
    for name in "bcd":
        await relate(wire, "a", name)
    path = "/relationships/changes?limit=1&since="
    good = (await wire.ok("GET", path + quote(since.isoformat())))["next_cursor"]
    [moment, [[at, edge_id]], rest] = orjson.loads(base64.urlsafe_b64decode(good + "=="))
    assert rest == []
    forged: list[Any] = [
        *([], {}, 1, None, [moment], [moment, [], [], []], [moment, None, None], [moment, [[at]], []]),
        *([moment, [[at, 1]], []], [moment, [["x", edge_id]], []], [moment, [[1 << 62, edge_id]], []]),
        *([moment, [[at, "a/b"]], []], [moment + 1, [], []], [moment, [[at, edge_id], [at, edge_id]], []]),
    ]
    for cursor in ("x", "%C3%A9", "bm8", *(base64.urlsafe_b64encode(orjson.dumps(one)).decode() for one in forged)):
        assert list(await wire.bad("GET", f"{path}{quote(since.isoformat())}&cursor={cursor}")) == ["cursor"], cursor
    other = quote((since - timedelta(seconds=1)).isoformat())
    problem = await wire.bad("GET", f"{path}{other}&cursor={good}")
    assert "another moment" in problem["cursor"]


# By what their context says.


async def test_search_by_context(wire: Wire) -> None:
    partly = await relate(wire, "a", "b", context="partially implements auth module, only works in Production")
    tested = await relate(wire, "a", "c", context="verified by load tests, except XML, since v2.1", strength=0.9)
    sent = '{"text": "x", "scope": "partial", "components": ["Straße"], "evidence": ["unit tests"]}'
    given = await relate(wire, "a", "d", "CAUSES", context=sent, strength=0.7)
    await relate(wire, "b", "c")
    gone = await relate(wire, "b", "d", context="partially")
    await wire.ok("POST", f"/relationships/{gone['id']}/invalidate")

    async def found(**body: Any) -> list[str]:
        return ids((await wire.ok("POST", "/relationships/search", body))["relationships"])

    names = {partly["id"]: "partly", tested["id"]: "tested", given["id"]: "given"}

    async def named(**body: Any) -> list[str]:
        return [names[one] for one in await found(**body)]

    assert await named(scope="partial") == ["given", "partly"]
    assert await named(scope="FULL") == []
    assert await named(conditions="production") == ["partly"]
    assert await named(conditions=["nowhere", "PRODUCT"]) == ["partly"]
    assert await named(components=["STRASSE"]) == ["given"]
    assert await named(evidence="tests") == ["tested", "given"]
    assert await named(has_evidence=True) == ["tested", "given"]
    assert partly["id"] in await found(has_evidence=False, scope="partial")
    assert await named(exceptions="XML") == ["tested"]
    assert await named(temporal="V2") == ["tested"]
    assert await named(scope="partial", evidence=["tests"]) == ["given"]
    assert await named(evidence="tests", relationship_types=["causes"]) == ["given"]
    assert await named(evidence="tests", limit=1) == ["tested"]
    assert await named(components=[], evidence=[" "], temporal="", scope=None, has_evidence=True) == ["tested", "given"]
    everything = await wire.ok("POST", "/relationships/search", {})
    assert (len(everything["relationships"]), everything["limit"]) == (4, 20)
    assert everything["relationships"][1]["context_structure"]["components"] == ["Straße"]


BAD_REQUESTS: dict[str, list[str]] = {
    "/memories/a/related": ["max_depth=0", "max_depth=11", "max_depth=two", "max_depth=1.5", "max_depth="],
    "/search/memories/a/related": ["max_depth=-1", "relationship_types=FIXES"],
    "/memories/a/path/b": ["max_depth=0", "max_depth=11", "relationship_types=SOLVES,FIXES", "as_of=x"],
    "/memories/a/history": ["limit=0", "limit=1001", "limit=x", "offset=-1", "relationship_types=x"],
    "/relationships/changes": ["since=", "since=yesterday"],
}


@pytest.mark.parametrize(
    ("path", "query"), [(path, query) for path, queries in BAD_REQUESTS.items() for query in queries]
)
async def test_bad_parameters(wire: Wire, path: str, query: str) -> None:
    assert [name.partition(".")[0] for name in await wire.bad("GET", f"{path}?{query}")] == [query.partition("=")[0]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scope", "some"),
        ("scope", 1),
        ("components", 5),
        ("components", ["x"] * 101),
        ("conditions", "\0"),
        ("evidence", ["x" * 201]),
        ("exceptions", [["x"]]),
        ("temporal", ["x"]),
        ("has_evidence", "yes"),
        ("relationship_types", ["FIXES"]),
        ("limit", 0),
        ("limit", 101),
    ],
)
async def test_bad_searches(wire: Wire, field: str, value: Any) -> None:
    assert [name.partition(".")[0] for name in await wire.bad("POST", "/relationships/search", {field: value})] == [
        field
    ]


async def test_an_unknown_type_is_refused_rather_than_no_filter(wire: Wire) -> None:
    faults = await wire.bad("GET", "/memories/a/related?relationship_types=CAUSES,NOPE")
    assert list(faults) == ["relationship_types.1"]


async def test_each_operation_is_one_batch(wire: Wire) -> None:
    edge = (await relate(wire, "a", "b"))["id"]
    for method, path, body in (
        ("POST", "/relationships", {**AB, "to_memory_id": "c"}),
        ("POST", "/relationships", {**AB, "from_memory_id": "b", "to_memory_id": "a"}),
        ("GET", f"/relationships/{edge}", b""),
        ("PATCH", f"/relationships/{edge}", {"strength": 1}),
        ("PUT", f"/relationships/{edge}", {}),
        ("POST", f"/relationships/{edge}/reinforce", b""),
        ("POST", f"/relationships/{edge}/invalidate", b""),
        ("GET", "/memories/a/related?max_depth=10", b""),
        ("GET", "/memories/a/path/d?max_depth=10", b""),
        ("GET", "/memories/a/history", b""),
        ("GET", "/relationships/changes?since=2020-01-01", b""),
        ("POST", "/relationships/search", {"scope": "partial"}),
        ("DELETE", f"/relationships/{edge}", b""),
        ("DELETE", f"/relationships/{edge}", b""),
    ):
        wire.files.batches = 0
        await wire(method, path, body)
        assert wire.files.batches == 1, (method, path)


async def test_workspaces_never_see_each_other(file: SqliteDatabase, tmp_path: Path, wire: Wire) -> None:
    edge = await relate(wire, "a", "b", context="fully")
    other = SqliteDatabase(tmp_path / "other.db")
    await migrations.apply(other, migrations.load("sqlite"))
    both = Wire({"http://one.localhost": file, "http://two.localhost": other})
    both.key = both.keys["http://two.localhost"]
    await both.bad("GET", f"/relationships/{edge['id']}", status=404)
    assert (await both.ok("POST", "/relationships/search", {}))["relationships"] == []
    assert (await both.ok("GET", "/relationships/changes?since=2020-01-01"))["new_relationships"] == []
    await other.close()


async def test_the_agent_of_each_change_is_recorded(wire: Wire, file: SqliteDatabase) -> None:
    made = await wire("POST", "/relationships", AB, headers={"User-Agent": "memorygraph-mcp/1.0"})
    path = f"/relationships/{made.json()['id']}"
    agents = Statement("SELECT created_by_agent, updated_by_agent FROM relationships")
    for number, (method, more, body) in enumerate(
        (("PATCH", "", {"strength": 1}), ("POST", "/reinforce", {}), ("POST", "/invalidate", {}))
    ):
        await wire(method, path + more, body, headers={"User-Agent": "x", "X-Agent": f"editor {number}"})
        [found] = await file.batch([agents], write=False)
        assert found.rows == [("memorygraph-mcp/1.0", f"editor {number}")]
