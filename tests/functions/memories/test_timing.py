"""Server-Timing: waiting for a store is counted as such, whichever it is, for its own request only."""

from __future__ import annotations

import asyncio

import pytest

from core import timing
from core.adapters.sqlite import SqliteDatabase
from memories.model import Search
from memories.ports import Store
from tests.functions.memories.samples import ANN, memory
from tests.functions.memories.wire import Wire


async def test_every_store_counts_its_waits(store: Store) -> None:
    spent = timing.begin()
    await store.put(memory("a"), ANN)
    after_one = spent.store
    await store.search(Search())
    assert 0 < after_one < spent.store <= spent.total()


async def test_requests_at_once_have_their_own(store: Store) -> None:
    async def ask(times: int) -> timing.Spent:
        spent = timing.begin()
        for _ in range(times):
            await store.get("a")
        return spent

    none, some = await asyncio.gather(ask(0), ask(3))
    assert none.store == 0 < some.store


async def test_what_is_asked_outside_a_request_is_not_counted(store: Store) -> None:
    await store.get("a")  # no request began in this context


@pytest.mark.parametrize("body", [{"type": "fix", "title": "T", "content": "C"}, {"type": "nonsense"}])
async def test_an_answer_that_asked_a_store_says_so(
    file: SqliteDatabase, body: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_spent: timing.Spent) -> str:
        return str(_spent.store > 0)

    monkeypatch.setattr(timing.Spent, "header", slow)
    answer = await Wire({"http://one.localhost": file})("POST", "/memories", body)
    assert answer.headers["server-timing"] == str(answer.status == 201)
