"""Movers that are killed or frozen, and the writers who are at work meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.adapters.postgres import Postgres
from core.adapters.sqlite import SqliteDatabase
from core.http import PASSING_PAUSE_SECONDS
from core.migrations import apply, load
from core.problems import Unavailable
from core.settings import Secret
from memories.ports import Store
from memories.stores.by_kind import StoresByKind
from memories.stores.ports_move import Digest, Fence, Mode
from memories.stores.postgres import PostgresStores
from memories.stores.sqlite import SqliteStore, SqliteStores
from memories.stores.sqlite.moves import SqliteMovable
from provisioning.moves import PAUSES
from provisioning.placements import Placement
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.samples import ANN, NOW, SECOND, edge, memory, once
from tests.functions.provisioning.world import World

PROGRAM = Path(__file__).with_name("mover.py")
REFUSED_MOST = round(15 / PASSING_PAUSE_SECONDS)
"""Tries of one write, as far apart as a waiting request makes them, that all refuse: as many as fit into a pause."""
SECONDS = 300.0
WRITERS_PAUSE = 0.01
"""Else what they leave behind takes more time to copy than it shows."""

Write = Callable[[Store], Awaitable[object]]


@dataclass
class Mover:
    """One process. `calls`, `flips`: what it did, once it ended."""

    pid: int
    before: str = ""
    number: int = 0
    calls: list[str] = field(default_factory=list)
    flips: list[bool | None] = field(default_factory=list)
    state: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def reaches(self, *states: str) -> str:
        async with asyncio.timeout(SECONDS):
            while self.state not in (*states, "ended"):
                self.changed.clear()
                await self.changed.wait()
        assert self.state in states, self.calls
        return self.state

    def thaw(self) -> None:
        self.state = ""
        os.kill(self.pid, signal.SIGCONT)


class Movers:
    """The program of movers, and the processes that it made."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._started: asyncio.Queue[Mover] = asyncio.Queue()
        self._known: dict[int, Mover] = {}
        self._listener = asyncio.create_task(self._listen())

    @staticmethod
    async def start(settings: str) -> Movers:
        """`settings`: as one line."""
        functions = Path(__file__).parents[3] / "functions"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, PROGRAM),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(functions)},
        )
        assert process.stdin
        process.stdin.write(settings.encode())
        return Movers(process)

    async def begin(
        self,
        *,
        at: int | None = None,
        on: Sequence[str] = (),
        send: signal.Signals = signal.SIGKILL,
        pauses: tuple[float, ...] = PAUSES,
    ) -> Mover:
        """A mover that sends itself a signal before its call number `at`, or before the last of `on`."""
        assert self._process.stdin
        asked = {"at": at, "on": list(on), "signal": int(send), "pauses": pauses}
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        async with asyncio.timeout(SECONDS):
            return await self._started.get()

    async def run(self, **asked: Any) -> Mover:
        """See `begin`; until it has ended, or was killed."""
        mover = await self.begin(**asked)
        await mover.reaches("ended", "killed")
        return mover

    async def _listen(self) -> None:
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            mover = self._known.setdefault(told.get("pid") or told["started"], Mover(told.get("pid", 0)))
            if "started" in told:
                mover.pid = told["started"]
                self._started.put_nowait(mover)
                continue
            assert told.get("code", 0) == 0, told
            for name in ("before", "number", "calls", "flips", "state"):
                setattr(mover, name, told.get(name, getattr(mover, name)))
            mover.changed.set()

    async def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        for mover in self._known.values():
            if mover.state == "stopped":
                with suppress(ProcessLookupError):
                    os.kill(mover.pid, signal.SIGKILL)
        await self._process.wait()
        await self._listener


class Writers:
    """Somebody's requests, which never stop, and a store that knows no moves and is told what was acknowledged.

    Each request finds its store by what was known last, looks anew when it is refused, and waits, as core/http.py does.
    Every write can be sent again: it has a key, or is a removal.
    """

    def __init__(self, world: World, urls: ControlPlaneUrls, workspace: str) -> None:
        self._world, self.workspace = world, workspace
        self._postgres = Postgres(Secret(urls.memories))
        self._stores = StoresByKind(sqlite=SqliteStores(world.plain_databases), postgres=PostgresStores(self._postgres))
        self._ledger = SqliteDatabase(Path(":memory:"))
        self._told: list[Write] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._acknowledged = asyncio.Event()
        self.count = 0
        """Writes that were acknowledged."""
        self.refused = 0
        """The most tries of one write that were refused."""

    async def fill(self, count: int) -> None:
        await apply(self._ledger, load("sqlite"))
        for start in range(0, count, 500):
            some = [memory(f"m{number}") for number in range(start, min(start + 500, count))]
            await self.write(lambda store, some=some: store.put_many(some, ANN), None)  # type: ignore[misc]

    async def placement(self) -> Placement:
        placement = await self._world.placements.read(self.workspace)
        assert placement is not None
        return placement

    async def _open(self) -> tuple[Placement, Store]:
        placement = await self.placement()
        return placement, self._stores.open(self._world.parts.stores.address(self.workspace, placement))

    async def write(self, write: Write, held: tuple[Placement, Store] | None) -> tuple[Placement, Store]:
        """Until it is acknowledged; where that was."""
        held = held or await self._open()
        for refused in range(REFUSED_MOST):
            try:
                await write(held[1])
            except Unavailable:
                before, held = held, await self._open()
                if before[0] == held[0]:
                    await asyncio.sleep(PASSING_PAUSE_SECONDS)
            else:
                self._told.append(write)
                self.count += 1
                self._acknowledged.set()
                self.refused = max(self.refused, refused)
                return held
        raise AssertionError(f"a write was refused {REFUSED_MOST} times")

    async def _go_on(self, name: str) -> None:
        held: tuple[Placement, Store] | None = None
        number = 0
        while not self._stopping:
            number += 1
            for one in _writes(f"{name}-{self.count}-{number}", f"{name}{number % 4}", number):
                held = await self.write(one, held)
                await asyncio.sleep(WRITERS_PAUSE)

    def start(self, count: int = 2) -> None:
        self._stopping = False
        self._tasks = [asyncio.create_task(self._go_on(f"w{number}")) for number in range(count)]

    async def some_more(self) -> None:
        """Wait until some more writes were acknowledged."""
        enough = self.count + 10
        async with asyncio.timeout(SECONDS):
            while self.count < enough:
                self._acknowledged.clear()
                await self._acknowledged.wait()

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def check(self, to: str, left: Placement) -> None:
        """The move from where the workspace was is done, and everything that was acknowledged is there, once.

        Writers are stopped."""
        placement = await self.placement()
        assert (placement.kind, placement.move_epoch) == (to, None)
        assert placement.epoch > left.epoch
        movable = self._world.parts.movable
        source = movable(self._world.parts.stores.address(self.workspace, left))
        target = movable(self._world.parts.stores.address(self.workspace, placement))
        assert await source.read_fence() == Fence(placement.epoch, Mode.CLOSED)
        assert await source.read_journal(0, 1) == []
        assert await target.read_fence() == Fence(placement.epoch, Mode.OPEN)
        assert await target.digest() == await self.expected()

    async def expected(self) -> Digest:
        store = SqliteStore(self._ledger)
        told, self._told = self._told, []
        for write in told:
            await write(store)
        return await SqliteMovable(self._ledger).digest()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._postgres.close()
        await self._ledger.close()


def _writes(key: str, name: str, number: int) -> list[Write]:
    """Some of one writer: it makes a memory or writes it anew, changes one of those that were there before, relates
    the two, and in the end removes what it made."""
    other = f"{name}{number % 3}"
    mine = memory(name, content=f"content {key}", at=NOW + SECOND)
    theirs = memory(other, content=f"content {key}", at=NOW + 2 * SECOND)
    made = edge(name, other, edge_id=f"e-{other}")
    writes: list[Write] = [
        lambda store: store.put(mine, ANN, once(f"put {key}")),
        lambda store: store.put(theirs, ANN, once(f"other {key}")),
        lambda store: store.relate(made, same_since=NOW, author=ANN, once=once(f"edge {key}")),
    ]
    if number % 5 == 0:
        writes += [lambda store: store.unrelate(made.id), lambda store: store.delete(name)]
    return writes
