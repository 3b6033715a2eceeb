"""Writing that loses nothing: Idempotency-Key, ETag and If-Match, as-of reads of a memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.adapters.sqlite import SqliteDatabase
from tests.functions.memories.wire import Wire, check_memory

BODY = {"type": "fix", "title": "T", "content": "C"}


@pytest.fixture
def wire(file: SqliteDatabase) -> Wire:
    return Wire({"http://one.localhost": file})


def once(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


# Idempotency-Key


async def test_a_repeated_create_is_answered_as_the_first_one(wire: Wire) -> None:
    first = await wire("POST", "/memories", BODY, headers=once("k"))
    changed = await wire.ok("PATCH", f"/memories/{first.json()['id']}", {"title": "Changed"})
    again = await wire("POST", "/memories", BODY, headers=once("k"))
    assert first.status == 201
    assert (again.status, again.body, again.headers["etag"]) == (201, first.body, first.headers["etag"])
    assert (await wire.ok("GET", "/memories"))["total"] == 1
    assert await wire.memory(f"{changed['id']}") == changed  # nothing was written the second time


async def test_a_key_that_was_used_for_something_else_is_a_conflict(wire: Wire) -> None:
    await wire("POST", "/memories", BODY, headers=once("k"))
    answer = await wire("POST", "/memories", {**BODY, "title": "Other"}, headers=once("k"))
    assert answer.status == 409
    assert "Idempotency-Key" in answer.json()["detail"]
    assert (await wire.ok("GET", "/memories"))["total"] == 1


async def test_other_keys_store_again(wire: Wire) -> None:
    ids = {(await wire("POST", "/memories", BODY, headers=once(key))).json()["id"] for key in ("a", "b")}
    assert len(ids) == 2


async def test_a_refused_request_uses_no_key_up(wire: Wire) -> None:
    assert (await wire("POST", "/memories", {**BODY, "title": ""}, headers=once("k"))).status == 400
    assert (await wire("POST", "/memories", BODY, headers=once("k"))).status == 201


async def test_keys_are_forgotten_after_a_day(wire: Wire) -> None:
    first = await wire("POST", "/memories", BODY, headers=once("k"))
    wire.clock.advance(days=1, seconds=1)
    second = await wire("POST", "/memories", BODY, headers=once("k"))
    assert (first.status, second.status) == (201, 201)
    assert first.json()["id"] != second.json()["id"]


async def test_the_same_key_sent_at_once_stores_once(wire: Wire) -> None:
    answers = await asyncio.gather(*(wire("POST", "/memories", BODY, headers=once("k")) for _ in range(8)))
    assert len({answer.body for answer in answers}) == 1
    assert (await wire.ok("GET", "/memories"))["total"] == 1


# ETag and If-Match


async def test_every_answer_with_a_memory_has_its_tag(wire: Wire) -> None:
    created = await wire("POST", "/memories", BODY)
    path = f"/memories/{created.json()['id']}"
    assert (await wire("GET", path)).headers["etag"] == created.headers["etag"]
    for method, body in (("PUT", {"title": "2"}), ("PATCH", {"title": "3"})):
        updated = await wire(method, path, body)
        assert updated.headers["etag"] == (await wire("GET", path)).headers["etag"] != created.headers["etag"]
    assert updated.json()["version"] == 3


@pytest.mark.parametrize("method", ["PUT", "PATCH", "GET", "DELETE"])
async def test_another_state_than_the_expected_one_is_412(wire: Wire, method: str) -> None:
    created = await wire("POST", "/memories", BODY)
    path = f"/memories/{created.json()['id']}"
    updated = await wire("PATCH", path, {"title": "2"})
    body: Any = {"title": "lost"} if method in ("PUT", "PATCH") else b""
    answer = await wire(method, path, body, headers={"If-Match": created.headers["etag"]})
    assert answer.status == 412
    assert answer.headers["etag"] == updated.headers["etag"]
    assert answer.json()["current"] == {"version": 2, "etag": updated.headers["etag"]}
    assert await wire.memory(path.removeprefix("/memories/")) == check_memory(updated.json())


@pytest.mark.parametrize("sent", ["*", "{etag}", '"1-1", {etag}'])
async def test_the_expected_state_is_changed(wire: Wire, sent: str) -> None:
    created = await wire("POST", "/memories", BODY)
    path = f"/memories/{created.json()['id']}"
    headers = {"If-Match": sent.format(etag=created.headers["etag"])}
    assert (await wire("GET", path, headers=headers)).status == 200
    assert (await wire("PATCH", path, {"title": "2"}, headers=headers)).json()["title"] == "2"


async def test_an_update_without_changes_still_looks(wire: Wire) -> None:
    created = await wire("POST", "/memories", BODY)
    path = f"/memories/{created.json()['id']}"
    assert (await wire("PATCH", path, {}, headers={"If-Match": created.headers["etag"]})).status == 200
    assert (await wire("PATCH", path, {}, headers={"If-Match": '"7-7"'})).status == 412


@pytest.mark.parametrize("sent", ["nonsense", '"1-a" "2-b"'])
async def test_a_malformed_condition_changes_nothing(wire: Wire, sent: str) -> None:
    created = await wire("POST", "/memories", BODY)
    path = f"/memories/{created.json()['id']}"
    answer = await wire("PATCH", path, {"title": "2"}, headers={"If-Match": sent})
    assert (answer.status, answer.json()["errors"][0]["field"]) == (400, "If-Match")
    assert await wire.memory(path.removeprefix("/memories/")) == created.json()


async def test_a_memory_made_anew_is_not_the_deleted_one(wire: Wire) -> None:
    sent = {**BODY, "id": "m"}
    first = await wire("POST", "/memories", sent)
    await wire.ok("DELETE", "/memories/m", status=204)
    second = await wire("POST", "/memories", sent)
    assert second.json()["version"] == 1
    answer = await wire("PATCH", "/memories/m", {"title": "2"}, headers={"If-Match": first.headers["etag"]})
    assert answer.status == 412


async def test_of_writers_that_expect_the_same_state_one_wins(wire: Wire) -> None:
    created = await wire("POST", "/memories", BODY)
    path = f"/memories/{created.json()['id']}"
    headers = {"If-Match": created.headers["etag"]}
    answers = await asyncio.gather(*(wire("PATCH", path, {"title": f"{n}"}, headers=headers) for n in range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [412] * 7
    (winner,) = (answer.json() for answer in answers if answer.status == 200)
    assert await wire.memory(path.removeprefix("/memories/")) == winner


# As of


async def test_a_memory_as_it_was(wire: Wire) -> None:
    before = wire.clock.now().isoformat()
    first = await wire.store(id="m", title="first")
    second = await wire.ok("PATCH", "/memories/m", {"title": "second", "tags": ["x"]})
    third = await wire.store(id="m", title="third")
    assert await wire.memory("m", headers={}) == third
    for state in (first, second, third):
        moment = state["updated_at"].replace("+", "%2B")
        assert await wire.memory(f"m?as_of={moment}") == check_memory(state)
    assert (await wire("GET", f"/memories/m?as_of={before.replace('+', '%2B')}")).status == 404
    assert list(await wire.bad("GET", "/memories/m?as_of=yesterday")) == ["as_of"]


async def test_deleting_forgets_what_was(wire: Wire) -> None:
    first = await wire.store(id="m", title="first")
    await wire.ok("PATCH", "/memories/m", {"title": "second"})
    await wire.ok("DELETE", "/memories/m", status=204)
    moment = first["updated_at"].replace("+", "%2B")
    assert (await wire("GET", f"/memories/m?as_of={moment}")).status == 404
    await wire.store(id="m", title="new")
    assert (await wire("GET", f"/memories/m?as_of={moment}")).status == 404
