"""Moving between real stores while writers are at work: nothing that was acknowledged is lost, nothing is doubled,
nothing that was removed comes back, wherever the move is killed."""

from __future__ import annotations

import asyncio
import itertools
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from core.adapters.http1 import HttpRefused
from core.adapters.postgres import Postgres
from core.problems import Unavailable
from core.settings import Secret
from declarations import FREE
from memories.ports import Store
from memories.stores.by_kind import StoresByKind
from memories.stores.fence import Fenced
from memories.stores.ports_move import Digest, Fence, Mode
from memories.stores.postgres import PostgresStores
from memories.stores.sqlite import SqliteStores
from provisioning.leftovers import drop_database
from provisioning.moves import TOO_LARGE, move_store
from provisioning.outbox import Job
from provisioning.stores import database_name
from provisioning.turso import TursoRefused
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.samples import ANN, NOW, SECOND, edge, memory
from tests.functions.provisioning.world import Killed, World

PLACES = [("free", "postgres"), ("pro", "sqlite")]


class Client:
    """Somebody's requests: each finds the store by what is known, and asks anew once when it is refused."""

    def __init__(self, world: World, urls: ControlPlaneUrls, workspace: str) -> None:
        self._world, self._workspace = world, workspace
        self._postgres = Postgres(Secret(urls.memories))
        self._stores = StoresByKind(sqlite=SqliteStores(world.plain_databases), postgres=PostgresStores(self._postgres))
        self._store: Store | None = None
        self.held: dict[str, str] = {}
        self.edges: set[str] = set()
        self.gone: set[str] = set()

    async def store(self, *, anew: bool = False) -> Store:
        if self._store is None or anew:
            placement = await self._world.placements.read(self._workspace)
            assert placement is not None
            self._store = self._stores.open(self._world.parts.stores.address(self._workspace, placement))
        return self._store

    async def put(self, name: str, content: str) -> bool:
        """Whether it was acknowledged."""
        one = memory(name, content=content, at=NOW + SECOND * len(self.held))
        for anew in (False, True):
            try:
                await (await self.store(anew=anew)).put(one, ANN)
            except Unavailable:
                continue
            self.held[name] = content
            self.gone.discard(name)
            return True
        return False

    async def delete(self, name: str) -> bool:
        for anew in (False, True):
            try:
                await (await self.store(anew=anew)).delete(name)
            except Unavailable:
                continue
            self.held.pop(name, None)
            self.gone.add(name)
            return True
        return False

    async def relate(self, one: str, other: str) -> bool:
        made = edge(one, other, "RELATED_TO")
        for anew in (False, True):
            try:
                await (await self.store(anew=anew)).relate(made, same_since=made.recorded_at, author=ANN)
            except Unavailable:
                continue
            self.edges.add(made.id)
            return True
        return False

    async def check(self) -> None:
        """Everything that was acknowledged, and nothing else, is where the workspace is now."""
        store = await self.store(anew=True)
        for name, content in self.held.items():
            found = await store.get(name)
            assert found is not None, name
            assert found.content == content
        for name in self.gone:
            assert await store.get(name) is None, name
        assert (await store.read_usage()).memories == len(self.held)
        for name in self.edges:
            assert await store.relationship(name) is not None, name

    async def close(self) -> None:
        await self._postgres.close()


@asynccontextmanager
async def writing(client: Client) -> AsyncIterator[None]:
    """A writer that never stops: new memories, changes, removals."""
    stop = asyncio.Event()

    async def write() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            name = f"w{number % 12}"
            if number % 5 == 4:
                await client.delete(name)
            else:
                await client.put(name, f"content {number}")
            await asyncio.sleep(0.005)

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        stop.set()
        await task


@pytest.fixture
async def clients() -> AsyncIterator[list[Client]]:
    """Those that `begin` made; closed at the end."""
    made: list[Client] = []
    yield made
    for one in made:
        await one.close()


async def begin(
    world: World, urls: ControlPlaneUrls, clients: list[Client], plan: str, count: int = 5
) -> tuple[str, Client]:
    """A workspace with some memories and relationships."""
    _, workspace = await world.open(plan)
    client = Client(world, urls, workspace)
    clients.append(client)
    for number in range(count):
        assert await client.put(f"m{number}", "first")
    assert await client.put("m0", "second")  # it has an earlier state
    assert await client.relate("m0", "m1")
    return workspace, client


async def order(world: World, workspace: str, to: str) -> None:
    """Its plan was changed to one that is there."""
    plan = "free" if to == "sqlite" else "pro"
    world.owner.run("UPDATE app.workspaces SET plan = %s WHERE id = %s", plan, workspace)
    await world.outbox.enqueue("move_store", workspace, {"to": to}, dedupe=workspace)


@pytest.mark.parametrize(("plan", "to"), PLACES)
async def test_a_move_under_writing(
    served: World, control_plane: ControlPlaneUrls, clients: list[Client], plan: str, to: str
) -> None:
    workspace, client = await begin(served, control_plane, clients, plan)
    before = await served.placements.read(workspace)
    assert before
    async with writing(client):
        await order(served, workspace, to)
        assert (await served.run()).done == 1
    after = await served.placements.read(workspace)
    assert after
    assert (after.kind, after.epoch, after.move_epoch) == (to, before.epoch + 1, None)
    await client.check()
    store = await client.store()
    versions = await store.get_as_of("m0", NOW)
    assert versions is None or versions.content in ("first", "second")
    assert await client.put("after", "the move")
    source = served.parts.movable(served.parts.stores.address(workspace, before))
    assert await source.read_fence() == Fence(after.epoch, Mode.CLOSED)


@pytest.mark.parametrize(("plan", "to"), PLACES)
async def test_there_and_back(
    served: World, control_plane: ControlPlaneUrls, clients: list[Client], plan: str, to: str
) -> None:
    workspace, client = await begin(served, control_plane, clients, plan)
    for target in (to, "sqlite" if to == "postgres" else "postgres", to):
        async with writing(client):
            await order(served, workspace, target)
            assert (await served.run()).done == 1
        await client.check()
    after = await served.placements.read(workspace)
    assert after
    assert (after.kind, after.epoch) == (to, 4)


async def test_killed_between_any_two_calls(
    served: World, control_plane: ControlPlaneUrls, clients: list[Client]
) -> None:
    """To Turso, to the databases and to PostgreSQL, with a writer at work throughout: between some of them, and with
    EXHAUSTIVE=1 between all. A real process at every step, and 10,000 memories: test_moves_killed.py."""
    workspace, client = await begin(served, control_plane, clients, "free")
    last = dict.fromkeys(("postgres", "sqlite"), 0)
    unfinished = set(last)
    for point in itertools.count(1, 1 if os.environ.get("EXHAUSTIVE") == "1" else 9):
        for to in last:
            await order(served, workspace, to)
            async with writing(client):
                served.steps.kill_at, served.steps.reached = point, 0
                try:
                    await served.run()
                except Killed:
                    last[to] = point
                    served.steps.kill_at = None
                    for _ in range(3):  # a call that holds the lease may still be on its way
                        served.owner.end_leases()
                        if (await served.run()).done:
                            break
                else:
                    unfinished.discard(to)
            after = await served.placements.read(workspace)
            assert after
            assert (after.kind, after.move_epoch) == (to, None), point
            await client.check()
            served.owner.run("DELETE FROM app.jobs")
        if not unfinished:
            break
    assert min(last.values()) > 30, last


@pytest.mark.parametrize(("plan", "to"), PLACES)
async def test_a_runner_that_was_overtaken_spoils_nothing(
    served: World, control_plane: ControlPlaneUrls, clients: list[Client], plan: str, to: str
) -> None:
    """It stalls before it empties the target; meanwhile another one has moved all of it, and it is written to."""
    workspace, client = await begin(served, control_plane, clients, plan)
    await order(served, workspace, to)
    at_it, go_on = asyncio.Event(), asyncio.Event()
    movable = served.parts.movable

    class Stalling:
        def __init__(self, inner: object) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> object:
            found = getattr(self._inner, name)
            if name != "erase" or at_it.is_set():
                return found

            async def stalled() -> bool:
                at_it.set()
                await go_on.wait()
                done: bool = await found()
                return done

            return stalled

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(served.parts), "movable", lambda _self, address: Stalling(movable(address)))
        first = asyncio.create_task(served.run())
        async with asyncio.timeout(30):
            await at_it.wait()
        served.owner.end_leases()
        assert (await served.run()).done == 1
        assert await client.put("since", "the other one moved it")
        go_on.set()
        assert (await first).done == 0
    await client.check()
    assert await client.put("still", "open")


async def test_a_copy_that_differs_is_not_taken(
    served: World, control_plane: ControlPlaneUrls, clients: list[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, client = await begin(served, control_plane, clients, "free")
    await order(served, workspace, "postgres")

    async def other(_self: object) -> Digest:
        return Digest(1, 2, 3, 4)

    with monkeypatch.context() as patch:
        patch.setattr("memories.stores.postgres.moves.PostgresMovable.digest", other)
        assert (await served.run()).again == 1
    placement = await served.placements.read(workspace)
    assert placement
    assert (placement.kind, placement.epoch) == ("sqlite", 1)
    assert await client.put("meanwhile", "it goes on")
    served.owner.make_due()
    assert (await served.run()).done == 1
    await client.check()


async def test_turso_away_leaves_everything_as_it_was(
    served: World, control_plane: ControlPlaneUrls, clients: list[Client]
) -> None:
    workspace, client = await begin(served, control_plane, clients, "pro")
    await order(served, workspace, "sqlite")
    served.outside.faults = {"POST": HttpRefused("refused", sent=False)}
    assert (await served.run()).again == 1
    assert await client.put("meanwhile", "it goes on")
    served.outside.faults = {}
    served.owner.make_due()
    assert (await served.run()).done == 1
    await client.check()


async def test_what_does_not_fit_stays(
    served: World, control_plane: ControlPlaneUrls, clients: list[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, client = await begin(served, control_plane, clients, "pro", 7)
    monkeypatch.setattr("provisioning.moves.PLANS", {"free": replace(FREE, memories=6)})
    await order(served, workspace, "sqlite")
    assert (await served.run()).done == 1
    placement = await served.placements.read(workspace)
    assert placement
    assert (placement.kind, placement.note, placement.epoch) == ("postgres", TOO_LARGE, 1)
    assert await client.delete("m5")
    await order(served, workspace, "sqlite")
    assert (await served.run()).done == 1
    placement = await served.placements.read(workspace)
    assert placement
    assert (placement.kind, placement.note) == ("sqlite", None)
    await client.check()


async def test_moving_to_where_it_is_changes_nothing(
    served: World, control_plane: ControlPlaneUrls, clients: list[Client]
) -> None:
    workspace, client = await begin(served, control_plane, clients, "free")
    before = await served.placements.read(workspace)
    await order(served, workspace, "sqlite")
    assert (await served.run()).done == 1
    assert await served.placements.read(workspace) == before
    await client.check()


async def test_a_suspended_workspace_is_not_moved_out_of_its_suspension(
    served: World, control_plane: ControlPlaneUrls, clients: list[Client]
) -> None:
    workspace, client = await begin(served, control_plane, clients, "pro")
    await served.outbox.enqueue("suspend_store", workspace, {"reads": False, "writes": True}, dedupe="s")
    await order(served, workspace, "sqlite")
    tally = await served.run()
    assert (tally.done, tally.dead) == (2, 1)  # it is told to the caches, too
    with pytest.raises(Fenced):
        await (await client.store()).put(memory("late"), ANN)


@pytest.mark.parametrize(("plan", "to"), PLACES)
async def test_the_source_is_kept_for_a_week(
    served: World, control_plane: ControlPlaneUrls, clients: list[Client], plan: str, to: str
) -> None:
    workspace, client = await begin(served, control_plane, clients, plan)
    before = await served.placements.read(workspace)
    assert before
    await order(served, workspace, to)
    await served.run()
    source = served.parts.movable(served.parts.stores.address(workspace, before))
    assert (await source.digest()).memories == len(client.held)
    kind = "drop_database" if to == "postgres" else "drop_memories"
    assert served.owner.run("SELECT kind, (run_at - now()) > '6 days' FROM app.jobs WHERE state = 'waiting'") == [
        (kind, True)
    ]
    served.owner.make_due()
    assert (await served.run()).done == 1
    if to == "postgres":
        assert database_name(workspace) not in served.outside.databases
    else:
        assert (await source.digest()).memories == 0
    await client.check()


async def test_what_moved_back_is_not_dropped(
    served: World, control_plane: ControlPlaneUrls, clients: list[Client]
) -> None:
    workspace, client = await begin(served, control_plane, clients, "free")
    for target in ("postgres", "sqlite"):
        await order(served, workspace, target)
        await served.run()
    served.owner.make_due()
    assert (await served.run()).done == 2
    await client.check()


@pytest.mark.parametrize("name", ["protect_database", "delete_database"])
async def test_a_deletion_that_was_frozen_spares_what_was_made_anew(
    served: World,
    control_plane: ControlPlaneUrls,
    clients: list[Client],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """Between two of its calls, the workspace moves back to the database of that name."""
    workspace, client = await begin(served, control_plane, clients, "free")
    await order(served, workspace, "postgres")
    await served.run()
    payload = {"epoch": 2}
    dropping = Job(id=str(uuid.uuid4()), claim="", kind="drop_database", subject=workspace, payload=payload, attempts=1)
    moved = False
    call = getattr(type(served.parts.stores.turso), name)

    async def frozen(self: object, *args: object, **kwargs: object) -> object:
        nonlocal moved
        if not moved:
            moved = True
            await order(served, workspace, "sqlite")
            await move_store(served.parts, replace(dropping, kind="move_store", payload={"to": "sqlite"}))
            assert await client.put("anew", name)
        return await call(self, *args, **kwargs)

    monkeypatch.setattr(type(served.parts.stores.turso), name, frozen)
    if name == "delete_database":
        with pytest.raises(TursoRefused, match="is protected"):
            await drop_database(served.parts, dropping)
    else:
        await drop_database(served.parts, dropping)
    assert moved
    assert served.outside.databases[database_name(workspace)]["delete_protection"]
    await client.check()


async def test_closing_after_a_move_erases_both(
    served: World, control_plane: ControlPlaneUrls, clients: list[Client]
) -> None:
    workspace, client = await begin(served, control_plane, clients, "free")
    await order(served, workspace, "postgres")
    await served.run()
    await served.outbox.enqueue("close_store", workspace, {}, dedupe=workspace)
    assert (await served.run()).done == 1
    assert not served.outside.databases
    with pytest.raises(Unavailable):
        await (await client.store()).put(memory("late"), ANN)


async def test_it_must_say_where_to(served: World) -> None:
    _, workspace = await served.open()
    await order(served, workspace, "nowhere")
    assert (await served.run()).dead == 1
