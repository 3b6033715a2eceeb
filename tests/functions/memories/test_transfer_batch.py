"""POST /memories/batch."""

from __future__ import annotations

from typing import Any

import pytest

from core.adapters.sqlite import SqliteDatabase
from memories.transfer.model import BATCH_MOST
from tests.functions.memories.wire import Wire, check_memory


@pytest.fixture
def wire(file: SqliteDatabase) -> Wire:
    return Wire({"http://one.localhost": file})


def item(**fields: Any) -> dict[str, Any]:
    return {"type": "fix", "title": "T", "content": "C", **fields}


async def total(wire: Wire) -> Any:
    return (await wire.ok("GET", "/memories"))["total"]


async def test_new_and_known_ones(wire: Wire) -> None:
    old = await wire.store(id="known", title="Old")
    done = await wire.ok("POST", "/memories/batch", {"memories": [item(id="known", title="New"), item()]})
    assert (done["created"], done["updated"], done["failed"]) == (1, 1, 0)
    first, second = done["results"]
    assert (first["index"], first["status"], first["id"], first["version"]) == (0, 200, "known", 2)
    assert (first["created_at"], first["updated_at"] > old["updated_at"]) == (old["created_at"], True)
    assert (second["index"], second["status"], second["version"]) == (1, 201, 1)
    assert second["id"].startswith("mem_")
    known = check_memory(await wire.ok("GET", "/memories/known"))
    assert {name: first[name] for name in ("id", "version", "created_at", "updated_at")}.items() <= known.items()
    assert known["title"] == "New"
    check_memory(await wire.ok("GET", f"/memories/{second['id']}"))


async def test_one_round_trip_for_the_largest(wire: Wire) -> None:
    before = wire.files.batches
    done = await wire.ok("POST", "/memories/batch", {"memories": [item(title=f"{n}") for n in range(BATCH_MOST)]})
    assert wire.files.batches - before == 1
    assert done["created"] == BATCH_MOST
    assert [result["index"] for result in done["results"]] == list(range(BATCH_MOST))


@pytest.mark.parametrize("atomic", [{}, {"atomic": True}, {"atomic": None}])
async def test_all_or_nothing_names_each_wrong_field(wire: Wire, atomic: dict[str, Any]) -> None:
    memories = [item(), item(title=" "), item(id="a/b", importance=2), "text", item(id="x"), item(id="x")]
    errors = await wire.bad("POST", "/memories/batch", {"memories": memories, **atomic})
    assert set(errors) == {
        "memories.1.title",
        "memories.2.id",
        "memories.2.importance",
        "memories.3",
        "memories.5.id",
    }
    assert await total(wire) == 0


async def test_each_on_its_own(wire: Wire) -> None:
    memories = [item(id="a"), item(title=""), item(id="a", title="Again"), None, item(tags=["A"])]
    done = await wire.ok("POST", "/memories/batch", {"memories": memories, "atomic": False})
    assert [result["status"] for result in done["results"]] == [201, 400, 400, 400, 201]
    assert [[fault["field"] for fault in result.get("errors", [])] for result in done["results"]] == [
        [],
        ["title"],
        ["id"],
        [""],
        [],
    ]
    assert (done["created"], done["updated"], done["failed"]) == (2, 0, 3)
    assert (await wire.ok("GET", "/memories/a"))["title"] == "T"  # the first of an id
    assert await total(wire) == 2


async def test_nothing_good_is_no_failure_of_the_request(wire: Wire) -> None:
    done = await wire.ok("POST", "/memories/batch", {"memories": [{}], "atomic": False})
    assert (done["created"], done["updated"], done["failed"]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "memories"),
        ({"memories": []}, "memories"),
        ({"memories": {"a": 1}}, "memories"),
        ({"memories": [item()] * (BATCH_MOST + 1)}, "memories"),
        ({"memories": [item()], "atomic": "yes"}, "atomic"),
    ],
)
async def test_what_is_no_batch(wire: Wire, body: Any, field: str) -> None:
    assert field in await wire.bad("POST", "/memories/batch", body)
    await wire.bad("POST", "/memories/batch", b"[]")


async def test_a_thousand_mistakes_make_a_short_answer(wire: Wire) -> None:
    answer = await wire("POST", "/memories/batch", {"memories": [{}] * BATCH_MOST})
    assert (answer.status, len(answer.json()["errors"])) == (400, 100)
    assert f"and {3 * BATCH_MOST - 100} more" in answer.json()["detail"]


async def test_a_repeated_batch_is_answered_as_the_first_one(wire: Wire) -> None:
    body = {"memories": [item(), item(title="U"), {}], "atomic": False}
    key = {"Idempotency-Key": "batch"}
    first = await wire("POST", "/memories/batch", body, headers=key)
    again = await wire("POST", "/memories/batch", body, headers=key)
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    assert await total(wire) == 2
    assert (await wire("POST", "/memories/batch", {"memories": [item()]}, headers=key)).status == 409
