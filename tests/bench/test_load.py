"""The load finds what is wrong with a system: lost stores, wrong answers, errors. The systems here live in a dict."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.bench import cells, load
from tests.bench.load import Failed
from tests.bench.workload import Item, Workload

SECONDS = 30.0  # the number of operations ends these loads, not the time


class Shelf:
    """A system that keeps everything; `System` and `Client` in one."""

    name = "shelf"

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def preload(self, items: Sequence[Item]) -> list[str]:
        return await load.store_all([self, self], items)

    async def client(self, number: int) -> Shelf:
        del number
        return self

    async def store(self, item: Item) -> str:
        self.kept[item.id] = item.content
        return item.id

    async def get(self, memory_id: str) -> bytes:
        if memory_id not in self.kept:
            raise Failed("status 404")
        return self.kept[memory_id].encode()

    async def search(self, query: str) -> bytes:
        return query.encode()

    async def delete(self, memory_id: str) -> None:
        if self.kept.pop(memory_id, None) is None:
            raise Failed("status 404")

    async def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def workload() -> Workload:
    return Workload(20)


async def run(shelf: Shelf, workload: Workload, *, rewrite: bool = False) -> cells.Cell:
    ids = await shelf.preload(workload.items)
    assert ids == [item.id for item in workload.items]
    return await load.run(shelf, workload, ids, clients=3, seconds=SECONDS, label="t", most=80, rewrite=rewrite)


async def test_a_sound_system_loses_nothing_and_is_left_as_it_was(workload: Workload) -> None:
    shelf = Shelf()
    cell = await run(shelf, workload)
    assert (cell.lost, cell.errors) == (0, {})
    assert cell.acknowledged > 0
    assert set(shelf.kept) == {item.id for item in workload.items}


async def test_a_store_that_was_acknowledged_and_dropped_is_lost(workload: Workload) -> None:
    class Sieve(Shelf):
        async def store(self, item: Item) -> str:
            return await super().store(item) if item in workload.items else item.id

    cell = await run(Sieve(), workload)
    assert cell.lost == cell.acknowledged > 0


async def test_an_older_content_is_lost_too(workload: Workload) -> None:
    class Stubborn(Shelf):
        async def store(self, item: Item) -> str:
            self.kept.setdefault(item.id, item.content)
            return item.id

    cell = await run(Stubborn(), workload, rewrite=True)
    assert cell.lost == cell.acknowledged > 0
    assert (await run(Shelf(), workload, rewrite=True)).lost == 0


async def test_a_refused_store_is_an_error_and_not_lost(workload: Workload) -> None:
    class Full(Shelf):
        async def store(self, item: Item) -> str:
            if item not in workload.items:
                raise Failed("status 403")
            return await super().store(item)

    cell = await run(Full(), workload)
    assert cell.lost == cell.acknowledged == 0
    assert list(cell.errors) == ["store: status 403"]


async def test_another_memory_than_asked_for_is_an_error(workload: Workload) -> None:
    class Confused(Shelf):
        async def get(self, memory_id: str) -> bytes:
            return b"mk999999 " + memory_id.encode()

    cell = await run(Confused(), workload)
    assert "get: another memory than asked for" in cell.errors


def test_answers_in_time_count_over_that_time() -> None:
    assert cells.counted(500, 508, 8, 10.0, 15.0, 15.2) == (500, 5.0)
    assert cells.counted(80, 80, 8, 10.0, 15.0, 12.0) == (80, 2.0), "a bounded load ends before its time"


def test_a_system_too_slow_for_its_clients_is_counted_over_all_the_time_that_it_took() -> None:
    assert cells.counted(3, 32, 32, 10.0, 11.0, 14.0) == (32, 4.0)


def test_percentiles_are_of_the_nearest_rank() -> None:
    ordered = [float(value) for value in range(1, 101)]
    assert [cells.percentile(ordered, share) for share in (0.5, 0.95, 0.99, 1.0)] == [51.0, 96.0, 100.0, 100.0]
    assert cells.percentile([], 0.5) is None
