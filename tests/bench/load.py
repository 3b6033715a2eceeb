"""The closed loop: clients that each wait for their answer and then ask again, and what that measures.

A `System` is what is under load; it gives a `Client` to each of them. After the load every acknowledged store is read
back: one that is not there, or holds something else, is lost. Then what was stored is deleted, so that the next cell
meets the same size.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from tests.bench.cells import Cell, counted, machine_busy
from tests.bench.workload import Item, Kind, Operation, Workload

WARM_UP_SHARE = 0.1
CHECKERS = 8


class Failed(Exception):
    """An operation that was not answered as it should be; the text is short, and counted by."""


class Client(Protocol):
    """One client of a system, one operation at a time. Every method raises `Failed`."""

    async def store(self, item: Item) -> str:
        """Store and give the id under which it is found again."""
        ...

    async def get(self, memory_id: str) -> bytes:
        """The answer as it came; it must hold the content."""
        ...

    async def search(self, query: str) -> bytes:
        """The answer as it came."""
        ...

    async def delete(self, memory_id: str) -> None: ...

    async def close(self) -> None: ...


class System(Protocol):
    """What is put under load, once it runs. `preload` gives the ids of the items, in their order."""

    name: str

    async def preload(self, items: Sequence[Item]) -> list[str]: ...

    async def client(self, number: int) -> Client: ...


@dataclass
class _Tally:
    latencies: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    stored: dict[str, Item] = field(default_factory=dict)
    """Id -> what was acknowledged last."""
    uncertain: set[str] = field(default_factory=set)
    """Ids whose last store failed: either content may be there."""
    begins: float = 0.0
    ends: float = 0.0
    done: int = 0
    attempts: int = 0


async def run(
    system: System,
    workload: Workload,
    ids: Sequence[str],
    *,
    clients: int,
    seconds: float,
    label: str,
    rewrite: bool = False,
    most: int | None = None,
    pause: float = 0.0,
    parts: Callable[[], Mapping[str, float]] = dict,
) -> Cell:
    """Load `system` for `seconds` after a short warm-up.

    Args:
        ids: of `workload.items` in the system.
        label: sets what is stored apart from other cells.
        rewrite: stores put the preloaded memories anew, each client its own, in place of new ones.
        most: so many operations of each client at most.
        pause: seconds between an answer and the next operation, on average.
        parts: the processor seconds that the system's parts have used so far, by name.
    """
    tally = _Tally()
    workers = [await system.client(number) for number in range(clients)]
    plans = [workload.operations(n, label, range(n, workload.size, clients) if rewrite else ()) for n in range(clients)]
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        tally.begins = started + seconds * WARM_UP_SHARE
        tally.ends = tally.begins + seconds
        cpu, busy, spent = time.process_time(), machine_busy(), parts()
        loops = [
            _loop(worker, plan, workload, ids, tally, most, pause, number / max(clients, 1))
            for number, (worker, plan) in enumerate(zip(workers, plans, strict=True))
        ]
        await asyncio.gather(*loops)
        ended = time.perf_counter()
        cpu, busy_after, spent_after = time.process_time() - cpu, machine_busy(), parts()
    finally:
        gc.enable()
    everything = sum(map(len, tally.latencies.values()))
    done, taken = counted(tally.done, everything, clients, tally.begins, tally.ends, ended)
    lost = await _check(workers[:CHECKERS], tally)
    if not rewrite:
        await _delete(workers[:CHECKERS], list(tally.stored))
    for worker in workers:
        await worker.close()
    return Cell(
        system=system.name,
        size=workload.size,
        clients=clients,
        done=done,
        seconds=taken,
        latencies={kind: sorted(tally.latencies[kind]) for kind in sorted(tally.latencies)},
        errors=dict(tally.errors),
        acknowledged=len(tally.stored),
        lost=lost,
        attempts=tally.attempts,
        load_cpu=cpu / (ended - started),
        machine_cpu=(busy_after[0] - busy[0]) / max(busy_after[1] - busy[1], 1),
        part_ms={
            name: round(seconds * 1000 / max(tally.attempts, 1), 3)
            for name, seconds in (*((n, spent_after[n] - spent.get(n, 0.0)) for n in spent_after), ("load", cpu))
        },
        answer_bytes={kind: tally.sizes[kind] // max(len(tally.latencies[kind]), 1) for kind in sorted(tally.sizes)},
    )


async def _loop(
    client: Client,
    plan: Iterator[Operation],
    workload: Workload,
    ids: Sequence[str],
    tally: _Tally,
    most: int | None,
    pause: float,
    phase: float,
) -> None:
    clock = time.perf_counter
    chance = random.Random(phase)
    if pause:
        await asyncio.sleep(pause * phase)  # not all at once
    for number, operation in enumerate(plan):
        started = clock()
        if started >= tally.ends or number == most:
            return
        tally.attempts += 1
        try:
            answer = await _do(client, operation, workload, ids, tally)
        except Failed as error:
            tally.errors[f"{operation.kind}: {error}"] += 1
            await asyncio.sleep(0)  # an error that comes at once must not starve the others
        else:
            now = clock()
            if now >= tally.begins:
                tally.done += now <= tally.ends
                tally.latencies[operation.kind].append((now - started) * 1000)
                tally.sizes[operation.kind] += len(answer)
        if pause:
            await asyncio.sleep(pause * chance.uniform(0.5, 1.5))


async def _do(client: Client, operation: Operation, workload: Workload, ids: Sequence[str], tally: _Tally) -> bytes:
    if operation.kind is Kind.SEARCH:
        return await client.search(operation.query)
    if operation.kind is Kind.GET:
        answer = await client.get(ids[operation.index])
        if workload.items[operation.index].marker.encode() not in answer:
            raise Failed("another memory than asked for")
        return answer
    assert operation.item is not None
    try:
        memory_id = await client.store(operation.item)
    except Failed:
        tally.uncertain.add(operation.item.id)
        raise
    tally.uncertain.discard(memory_id)
    tally.stored[memory_id] = operation.item
    return b""


async def _check(clients: Sequence[Client], tally: _Tally) -> int:
    """How many acknowledged stores cannot be read back."""
    waiting = [(memory_id, item) for memory_id, item in tally.stored.items() if memory_id not in tally.uncertain]
    lost = 0

    async def look(client: Client) -> None:
        nonlocal lost
        while waiting:
            memory_id, item = waiting.pop()
            try:
                lost += item.content.encode() not in await client.get(memory_id)
            except Failed:
                lost += 1

    await asyncio.gather(*map(look, clients))
    return lost


async def _delete(clients: Sequence[Client], waiting: list[str]) -> None:
    async def remove(client: Client) -> None:
        while waiting:
            with suppress(Failed):  # a lost one; it was counted
                await client.delete(waiting.pop())

    await asyncio.gather(*map(remove, clients))


async def store_all(clients: Sequence[Client], items: Sequence[Item]) -> list[str]:
    """Store items through several clients; the ids in the order of the items. Raises Failed."""
    ids = [""] * len(items)
    waiting = list(range(len(items)))[::-1]

    async def fill(client: Client) -> None:
        while waiting:
            index = waiting.pop()
            ids[index] = await client.store(items[index])

    await asyncio.gather(*map(fill, clients))
    for client in clients:
        await client.close()
    return ids
