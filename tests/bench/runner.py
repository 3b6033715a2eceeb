"""The stages of a run, in order. A stage that cannot be done here is left out, with its reason; the others go on."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from declarations import PLANS
from tests.bench import bare, children, extras, load
from tests.bench.cloud import Cloud, NotPossible
from tests.bench.load import Failed
from tests.bench.ours import Call, Door, Ours, get_call, search_call, store_call
from tests.bench.peers import PEERS, Peer, Site
from tests.bench.peers.install import NotHere
from tests.bench.workload import Kind, Operation, Workload

EDGE_TEAM = "ours: edge, Team"
FUNCTION_TEAM = "ours: function, Team"
EDGE_FREE = "ours: edge, Free"
FUNCTION_FREE = "ours: function, Free"
TWO = ", 2 workers"

LANES = 32
RECORDED = 60  # requests of each lane of a ceiling
FREE_ACCOUNTS = 16
FREE_SPARE_CALLS = 60  # of an account's calls a day, kept for reading back
PRELOAD_SECONDS = 240.0
KEPT_SECONDS = 7.0  # until workerd has closed connections that nobody used


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is measured."""

    seconds: float
    sizes: tuple[int, ...]
    clients: tuple[int, ...]
    clients_when_large: tuple[int, ...]
    starts: int
    peers: tuple[str, ...]


@dataclass
class Run:
    """One run and what it found; `results` is JSON."""

    cloud: Cloud
    site: Site
    extent: Extent
    say: Callable[[str], None]
    cells: list[dict[str, object]] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    skipped: list[dict[str, str]] = field(default_factory=list)
    _minute: int = 0
    _spent: int = 0
    _fastest: float = 0.0
    _team: dict[int, tuple[str, Workload, list[str]]] = field(default_factory=dict)

    async def all(self) -> None:
        first, *larger = self.extent.sizes
        await self._try(f"Team at {first}", self._team_loads(first))
        await self._try(f"bare PostgreSQL at {first}", self._bare_postgres(first))
        for name in self.extent.peers:
            await self._try(name, self._peer(PEERS[name], self.extent.sizes))
        await self._try("Free", self._free())
        await self._try("a request that touches no store", self._store_free())
        await self._try("cold start", self._cold())
        await self._try("100 users", self._users())
        await self._try("a store 20 ms away", self._far())
        await self._try("Redis", self._redis())
        for size in larger:
            await self._try(f"Team at {size}", self._team_loads(size))
            await self._try(f"bare PostgreSQL at {size}", self._bare_postgres(size))
        await self._try("two workers", self._two_workers(first))

    async def _try(self, what: str, stage: Awaitable[None]) -> None:
        self.say(what)
        try:
            await stage
        except (NotHere, NotPossible, Failed) as error:
            self._skip(what, str(error))
        except Exception as error:  # one stage must not take the figures of the others
            self.say(traceback.format_exc())
            self._skip(what, f"{type(error).__name__}: {error}")

    def _skip(self, what: str, why: str) -> None:
        self.say(f"  left out: {why}")
        self.skipped.append({"what": what, "why": why})

    async def _cell(
        self, system: load.System, workload: Workload, ids: Sequence[str], clients: int, **more: Any
    ) -> None:
        label = f"r{len(self.cells)}"
        await self._room()
        if isinstance(system, Ours):
            more["parts"] = self.cloud.spent
        cell = await load.run(system, workload, ids, clients=clients, seconds=self.extent.seconds, label=label, **more)
        self.cells.append(cell.record())
        self._spent += round(cell.count * 1.3)  # and the warm-up, the read-back and the deletes
        self._fastest = max(self._fastest, cell.rate)
        errors = f", {sum(cell.errors.values())} errors" if cell.errors else ""
        lost = f", {cell.lost} lost" if cell.lost else ""
        self.say(f"  {cell.rate:8.0f}/s  {system.name}, {workload.size} memories, {clients} clients{errors}{lost}")

    async def _room(self) -> None:
        """Wait for the next minute when a load might run into the Team plan's limit of calls in this one."""
        minute = int(time.time() // 60)
        if minute != self._minute:
            self._minute, self._spent = minute, 0
        expected = self._fastest * self.extent.seconds * 1.5
        if self._spent and self._spent + expected > 0.9 * PLANS["team"].calls_per_minute:
            await asyncio.sleep(60 - time.time() % 60 + 1)
            self._minute, self._spent = int(time.time() // 60), 0

    def _clients(self, size: int) -> tuple[int, ...]:
        return self.extent.clients if size == self.extent.sizes[0] else self.extent.clients_when_large

    def _edge(self) -> Door:
        return Door(*self.cloud.edge)

    def _function(self) -> Door:
        return Door(children.HOST, self.cloud.function_port, self.cloud.edge_secret)

    # Team: PostgreSQL

    async def _team_workspace(self, size: int) -> tuple[str, Workload, list[str]]:
        if size not in self._team:
            workload = Workload(size)
            [key] = await self.cloud.open_accounts("team", 1)
            ids = await Ours(FUNCTION_TEAM, self._function(), [key]).preload(workload.items)
            self._spent += size
            self._team[size] = (key, workload, ids)
        return self._team[size]

    async def _team_loads(self, size: int, suffix: str = "") -> None:
        key, workload, ids = await self._team_workspace(size)
        for name, door in ((EDGE_TEAM, self._edge()), (FUNCTION_TEAM, self._function())):
            for clients in self._clients(size):
                await self._cell(Ours(name + suffix, door, [key]), workload, ids, clients)

    async def _two_workers(self, size: int) -> None:
        with self.cloud.second_worker():
            await asyncio.sleep(KEPT_SECONDS)
            await self._team_loads(size, TWO)

    async def _bare_postgres(self, size: int) -> None:
        _, workload, _ = await self._team_workspace(size)
        [key] = await self.cloud.open_accounts("team", 1)  # its own: what it stores is not deleted
        ids = await Ours(FUNCTION_TEAM, self._function(), [key]).preload(workload.items)
        lanes = await self._lanes(workload, ids, [key])
        url = self.cloud.function.env["DATABASE_URL"]
        found = self.found.setdefault("bare PostgreSQL", {})[str(size)] = {}
        for connections in (4, LANES):
            for prepared in (False, True):
                rate = await bare.postgres(url, lanes, self.extent.seconds, connections=connections, prepared=prepared)
                name = f"{connections} connections, {'prepared' if prepared else 'as we send it'}"
                found[name] = asdict(rate)
                self.say(f"  {rate.rate:8.0f}/s  {name}")

    async def _lanes(self, workload: Workload, ids: Sequence[str], keys: Sequence[str]) -> list[list[bare.Sent]]:
        """What LANES clients send to the store, of the same mix as ever."""
        calls: list[tuple[str, Call]] = []
        for lane in range(LANES):
            key = keys[lane % len(keys)]
            own = range(lane, workload.size, LANES) if len(keys) > 1 else ()
            plan = workload.operations(lane, "bare", own)
            calls += [(key, _call(next(plan), ids)) for _ in range(RECORDED)]
        sent = await bare.record(self.cloud.function.env, calls)
        return [sent[start : start + RECORDED] for start in range(0, len(sent), RECORDED)]

    # Free: sqld

    async def _free(self) -> None:
        plan = PLANS["free"]
        size = plan.memories or 100
        workload = Workload(size, name="free")
        calls = plan.calls_per_day - size - FREE_SPARE_CALLS
        keys: list[str] = []
        for name, door in ((EDGE_FREE, self._edge()), (FUNCTION_FREE, self._function())):
            for clients in self.extent.clients:
                # Fresh accounts each time: one has so few calls a day. Clients share them out.
                keys = await self.cloud.open_accounts(plan.name, FREE_ACCOUNTS)
                ours = Ours(name, door, keys)
                ours.clients = clients
                ids = await Ours(name, self._function(), keys).preload(workload.items)
                most = int(calls * 0.85 * FREE_ACCOUNTS / clients)  # each store is read back
                await self._cell(ours, workload, ids, clients, rewrite=True, most=most)
        lanes = await self._lanes(workload, [item.id for item in workload.items], keys)
        rate = await bare.hrana(lanes, self.extent.seconds)
        self.found["bare sqld"] = {str(size): asdict(rate)}
        self.say(f"  {rate.rate:8.0f}/s  bare sqld, {rate.errors} errors")

    # Peers

    async def _peer(self, peer: Peer, sizes: Sequence[int]) -> None:
        took = 0.0  # seconds for each memory of the size before
        for size in sizes:
            workload = Workload(size)
            if took * size > PRELOAD_SECONDS:
                raise NotHere(f"storing {size} memories would take {took * size:.0f} s")
            async with peer(self.site) as system:
                started = time.monotonic()
                try:
                    async with asyncio.timeout(PRELOAD_SECONDS):
                        ids = await system.preload(workload.items)
                    took = (time.monotonic() - started) / size
                except TimeoutError:
                    raise NotHere(f"storing {size} memories took longer than {PRELOAD_SECONDS:.0f} s") from None
                for clients in self._clients(size):
                    await self._cell(system, workload, ids, clients)

    # The rest

    async def _store_free(self) -> None:
        key, _, _ = await self._team_workspace(self.extent.sizes[0])
        self.found["store free"] = await extras.store_free(self.cloud, key, LANES, self.extent.seconds)

    async def _cold(self) -> None:
        self.found["cold start"] = await asyncio.to_thread(extras.cold_starts, self.cloud, self.extent.starts)

    async def _users(self) -> None:
        key, workload, ids = await self._team_workspace(self.extent.sizes[0])
        ours = Ours(EDGE_TEAM, self._edge(), [key])
        await self._room()
        self.found["users"] = await extras.users(ours, workload, ids, self.extent.seconds)

    async def _far(self) -> None:
        await self._room()
        key, workload, ids = await self._team_workspace(self.extent.sizes[0])
        self.found["far store"] = await extras.far_store(self.cloud, key, workload, ids, self.extent.seconds)

    async def _redis(self) -> None:
        key, workload, ids = await self._team_workspace(self.extent.sizes[0])
        seconds = max(self.extent.seconds, 2.0)
        self.found["redis"] = await extras.redis_commands(self.cloud, key, workload, ids, seconds)


def _call(operation: Operation, ids: Sequence[str]) -> Call:
    if operation.kind is Kind.SEARCH:
        return search_call(operation.query)
    if operation.kind is Kind.GET:
        return get_call(ids[operation.index])
    assert operation.item is not None
    return store_call(operation.item)
