"""What a client is told when the plan has no room, and how a request finds a workspace that has moved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.adapters.sqlite import SqliteDatabase
from core.ports import KeyRecord
from declarations import FREE
from memories.stores.ports_move import Fence, Mode
from memories.stores.sqlite.moves import SqliteMovable
from tests.functions.memories.transfers import edge, lines, memory, send
from tests.functions.memories.wire import Wire

FULL = "Your Free plan holds 100 memories and 100 are stored. Delete some, or upgrade to Pro for 10,000."


@pytest.fixture
async def full(file: SqliteDatabase) -> Wire:
    """A workspace of the Free plan with as many memories as it holds."""
    wire = Wire({"http://one.localhost": file}, plan="free")
    assert FREE.memories is not None
    batch = [{"type": "general", "title": "T", "content": "C", "id": f"m{n}"} for n in range(FREE.memories)]
    done = await wire.ok("POST", "/memories/batch", {"memories": batch})
    assert done["created"] == FREE.memories
    return wire


def item(**fields: Any) -> dict[str, Any]:
    return {"type": "general", "title": "T", "content": "C", **fields}


async def test_a_full_workspace_takes_no_new_memory_and_all_else(full: Wire) -> None:
    answer = await full("POST", "/memories", item())
    assert (answer.status, answer.headers["content-type"]) == (403, "application/problem+json")
    assert answer.json()["detail"] == FULL
    assert (await full("POST", "/memories", item(id="m1", title="other"))).status == 200
    assert (await full("PATCH", "/memories/m1", {"title": "another"})).status == 200
    related = {"from_memory_id": "m1", "to_memory_id": "m2", "relationship_type": "SOLVES"}
    assert (await full("POST", "/relationships", related)).status == 201
    assert (await full("GET", "/memories/m1")).status == 200
    assert (await full("GET", "/export")).status == 200
    assert (await full("DELETE", "/memories/m1")).status == 204
    assert (await full("POST", "/memories", item())).status == 201


async def test_a_batch_says_so_once_or_for_each(full: Wire) -> None:
    batch = [item(id="m1", title="other"), item(id="new"), item(title=" ")]
    answer = await full("POST", "/memories/batch", {"memories": batch[:2]})
    assert (answer.status, answer.json()["detail"]) == (403, FULL)
    assert (await full.ok("GET", "/memories/m1"))["title"] == "T"

    done = await full.ok("POST", "/memories/batch", {"memories": batch, "atomic": False})
    assert [result["status"] for result in done["results"]] == [200, 403, 400]
    assert done["results"][1] == {"index": 1, "status": 403, "detail": FULL}
    assert (done["created"], done["updated"], done["failed"]) == (0, 1, 2)
    assert (await full("GET", "/memories/new")).status == 404


async def test_an_import_tells_each_row_and_the_limit(full: Wire) -> None:
    later = "2099-01-01T00:00:00Z"
    body = lines(memory("new"), memory("m1", updated_at=later), edge("m1", "m2", id="e"))
    done = await send(full, body, "?import_id=i&part=1")
    assert (done["memories"]["updated"], done["relationships"]["created"], done["bad"]) == (1, 1, 1)
    assert done["bad_rows"] == [
        {
            "row": 1,
            "kind": "memory",
            "id": "new",
            "errors": [{"field": "", "message": "has no room: the plan's number of memories is reached"}],
        }
    ]
    assert done["quota"] == FULL
    # After an upgrade, or when something was deleted, the same part finds room.
    assert (await full.ok("GET", "/import/i"))["parts"] == []
    await full("DELETE", "/memories/m5")
    done = await send(full, body, "?import_id=i&part=1")
    assert (done["memories"]["created"], done["bad"], done["quota"]) == (1, 0, None)
    assert [part["part"] for part in (await full.ok("GET", "/import/i"))["parts"]] == [1]


async def test_a_fence_is_answered_with_503_and_nothing_is_done(
    full: Wire, file: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.http.PASSING_SECONDS", 0.0)
    await SqliteMovable(file).fence(Fence(1, Mode.READ_ONLY))
    answer = await full("DELETE", "/memories/m1")
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert (await full("GET", "/memories/m1")).status == 200
    await SqliteMovable(file).fence(Fence(2, Mode.OPEN))
    assert (await full("GET", "/memories/m1")).status == 503


async def test_a_workspace_that_moved_is_looked_up_again_and_served(full: Wire, file: SqliteDatabase) -> None:
    assert (await full("GET", "/memories/m1")).status == 200  # who asks is known from here on
    await SqliteMovable(file).fence(Fence(2, Mode.OPEN))
    [(key, record)] = full.gate.directory.keys.items()
    assert isinstance(record, KeyRecord)
    full.gate.directory.keys[key] = replace(record, epoch=2, version=record.version + 1)
    assert (await full("DELETE", "/memories/m1")).status == 204
    assert (await full("GET", "/memories/m1")).status == 404
