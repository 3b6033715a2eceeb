"""Restores: over one workspace while people work in it, killed anywhere; on trial; and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from core.adapters.bulk import Bulk
from core.problems import Unavailable
from memories.stores.ports_move import Fence, Mode
from provisioning.backups import checking, control
from provisioning.backups.checking import check_backups
from provisioning.backups.taking import back_up, back_up_store
from provisioning.backups.tools import Backups
from provisioning.stores import database_name
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.samples import ANN, edge, memory
from tests.functions.provisioning.backing import Clients, MemoryBucket, backed
from tests.functions.provisioning.world import Killed, World

PLANS = ("free", "pro")
pytestmark = pytest.mark.usefixtures("backups")


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def backups(served: World, control_plane: ControlPlaneUrls, bucket: MemoryBucket) -> Backups:
    return backed(served, control_plane, bucket)


@pytest.fixture
async def clients(served: World, control_plane: ControlPlaneUrls) -> AsyncIterator[Clients]:
    made = Clients(served, control_plane)
    yield made
    await made.close()


async def order(world: World, workspace: str, name: str) -> None:
    await world.outbox.enqueue("restore_store", workspace, {"object": name}, dedupe=workspace)


async def kept(world: World, workspace: str) -> str:
    found = await back_up_store(world.parts, workspace)
    assert found is not None
    assert found[2] is not None
    return found[2]


async def digest_of(world: World, workspace: str) -> object:
    placement = await world.placements.read(workspace)
    assert placement is not None
    movable = world.parts.movable(world.parts.stores.address(workspace, placement))
    assert await movable.read_fence() == Fence(placement.epoch, Mode.OPEN)
    assert placement.move_epoch is None
    return await movable.digest()


@pytest.mark.parametrize("plan", PLANS)
async def test_a_workspace_is_again_what_it_was(
    served: World, bucket: MemoryBucket, clients: Clients, plan: str
) -> None:
    workspace = await clients.fill(plan, 4)
    store = await clients.open(workspace)
    await store.put(memory("m1", title="edited", version=2), ANN)
    await store.relate(edge("m0", "m1"), same_since=edge("m0", "m1").recorded_at, author=ANN)
    before, titles = await digest_of(served, workspace), await clients.titles(workspace)
    name = await kept(served, workspace)

    await store.delete("m0")
    await store.put(memory("m9"), ANN)
    after = await clients.titles(workspace)
    await order(served, workspace, name)
    assert (await served.run()).done == 1
    assert await digest_of(served, workspace) == before
    assert await clients.titles(workspace) == titles
    with pytest.raises(Unavailable):  # who was admitted before finds the fence
        await store.put(memory("late"), ANN)

    undo = bucket.of(workspace)[-1]  # what was there was kept
    assert undo != name
    await order(served, workspace, undo)
    await served.run()
    assert await clients.titles(workspace) == after


@pytest.mark.parametrize("plan", PLANS)
async def test_a_restore_that_is_killed_anywhere_is_followed(
    served: World, bucket: MemoryBucket, clients: Clients, plan: str
) -> None:
    workspace = await clients.fill(plan, 4)
    before = await digest_of(served, workspace)
    name = await kept(served, workspace)
    await (await clients.open(workspace)).put(memory("m9"), ANN)
    await order(served, workspace, name)
    for step in range(2, 60, 2):
        served.steps.reached, served.steps.kill_at = 0, step
        try:
            tally = await served.run()
        except Killed:
            served.owner.end_leases()
            continue
        assert tally.done == 1
        break
    served.steps.kill_at = None
    assert step > 10
    assert await digest_of(served, workspace) == before
    assert sorted(await clients.titles(workspace)) == ["m0", "m1", "m2", "m3"]
    assert bucket.of(workspace)[0] == name


async def test_a_database_that_is_lost_is_made_anew(served: World, clients: Clients) -> None:
    workspace = await clients.fill("free")
    name = await kept(served, workspace)
    host = served.outside.databases.pop(database_name(workspace))
    served.outside.on_delete(host["Name"])
    await order(served, workspace, name)
    assert (await served.run()).done == 1
    assert sorted(await clients.titles(workspace)) == ["m0", "m1", "m2"]


@pytest.mark.parametrize("what", ["part", "index", "gone", "swapped", "another"])
async def test_a_backup_that_is_not_whole_touches_nothing(
    served: World, bucket: MemoryBucket, clients: Clients, what: str
) -> None:
    workspace, other = await clients.fill("pro"), await clients.fill("pro", 2)
    name, others = await kept(served, workspace), await kept(served, other)
    await (await clients.open(workspace)).put(memory("m9"), ANN)
    held = await digest_of(served, workspace)
    placement = await served.placements.read(workspace)
    part = name.replace("index.json", "part-0001.jsonl.gz")
    if what == "part":
        bucket.objects[part] = bucket.objects[part][:-9] + b"x" + bucket.objects[part][-8:]
    elif what == "index":
        bucket.objects[name] = bucket.objects[name].replace(b'"memory":3', b'"memory":2')
    elif what == "gone":
        del bucket.objects[part]
    elif what == "swapped":
        bucket.objects[part] = bucket.objects[others.replace("index.json", "part-0001.jsonl.gz")]
    await order(served, workspace, others if what == "another" else name)
    assert (await served.run()).dead == 1
    [job] = await served.outbox.listed("dead")
    assert job.error is not None
    assert "Nothing was changed" in job.error
    assert await digest_of(served, workspace) == held
    assert await served.placements.read(workspace) == placement
    assert len(bucket.of(workspace)) == 1


async def test_what_was_erased_is_not_restored(served: World, bucket: MemoryBucket) -> None:
    account, workspace = await served.open("pro")
    name = await kept(served, workspace)
    served.confirm(account, workspace)
    await served.outbox.enqueue("erase_account", account, dedupe=account)
    await served.settle()
    [note] = await bucket.names(f"erased/{account}")
    assert orjson.loads(bucket.objects[note])["workspaces"] == [workspace]
    await order(served, workspace, name)
    assert (await served.run()).done == 1
    assert await served.placements.read(workspace) is None
    assert served.owner.run("SELECT count(*) FROM memory.memories WHERE workspace_id = %s", workspace) == [(0,)]


async def test_writers_lose_nothing_that_came_after_the_restore(served: World, clients: Clients) -> None:
    workspace = await clients.fill("free")
    name = await kept(served, workspace)
    stop, acknowledged = asyncio.Event(), asyncio.Queue[str]()

    async def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                await (await clients.open(workspace)).put(memory(f"w{number}"), ANN)
            except Unavailable:
                continue
            acknowledged.put_nowait(f"w{number}")

    writer = asyncio.create_task(write())
    await order(served, workspace, name)
    assert (await served.run()).done == 1
    while not acknowledged.empty():
        acknowledged.get_nowait()
    await acknowledged.get()  # the first may have been sent before
    later = {await acknowledged.get() for _ in range(3)}
    stop.set()
    await writer
    titles = await clients.titles(workspace)
    assert {"m0", "m1", "m2", *later} <= set(titles)


async def test_the_weekly_check_restores_on_trial_and_leaves_nothing(served: World, clients: Clients) -> None:
    for plan in PLANS:
        await clients.fill(plan)
    await back_up(served.parts)
    rows = "SELECT (SELECT count(*) FROM memory.memories), (SELECT count(*) FROM app.workspaces)"
    before = served.owner.run(rows)
    done = await check_backups(served.parts)
    assert done["error"] is None
    assert done["workspaces"] == 2
    assert done["rows"] > 4
    assert served.owner.run(rows) == before
    assert served.owner.run("SELECT 1 FROM pg_class WHERE relnamespace = 'scratch'::regnamespace") == []
    assert served.owner.run("SELECT check_error FROM app.backup_runs WHERE checked_at IS NOT NULL") == [(None,)]
    assert served.mails() == []


@pytest.mark.parametrize("what", ["control", "workspace", "rows", "references", "manifest"])
async def test_the_weekly_check_finds_what_is_wrong(
    served: World, bucket: MemoryBucket, clients: Clients, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await clients.fill("pro")
    served.owner.run("INSERT INTO app.audit_log (action) VALUES ('one')")
    await back_up(served.parts)
    [manifest] = bucket.manifests()
    if what in ("rows", "references"):
        put_all = checking.put_all
        lost = {"rows": "audit_log", "references": "accounts"}[what]
        if what == "references":  # what each table holds is as it was, but not together
            digests = orjson.loads(bucket.objects[manifest["control"]])["about"]["digests"]

            async def as_before(_database: object, table: str) -> object:
                return digests[table.removeprefix("scratch.")]

            monkeypatch.setattr(control, "digest", as_before)

        async def put_less(database: Bulk, *args: Any) -> None:
            await put_all(database, *args)
            await database.fetch(f"DELETE FROM scratch.{lost}")

        monkeypatch.setattr(checking, "put_all", put_less)
    else:
        name = manifest["control"] if what == "control" else next(iter(manifest["workspaces"].values()))
        if what == "manifest":
            name = next(one for one in bucket.objects if one.startswith("runs/"))
        bucket.objects[name] = bucket.objects[name].replace(b'"release"', b'"relaese"')
    done = await check_backups(served.parts)
    assert done["error"]
    assert served.owner.run("SELECT check_error IS NULL FROM app.backup_runs") == [(False,)]
    [mail] = served.mails()
    assert mail["data"]["headline"] == "A backup could not be restored"
    assert done["error"] in mail["data"]["lines"]


async def test_no_backup_yet_is_told(served: World) -> None:
    assert (await check_backups(served.parts))["error"] == "there is no backup yet"
    assert len(served.mails()) == 1


async def test_an_erasure_waits_for_its_note(served: World, bucket: MemoryBucket) -> None:
    """Else a restore might not know of it."""
    account, workspace = await served.open("pro")
    served.confirm(account, workspace)
    bucket.faults = [Unavailable("no", part="storage")]
    await served.outbox.enqueue("erase_account", account, dedupe=account)
    assert (await served.run()).again == 1
    assert await served.placements.read(workspace) is not None
    await served.settle()
    assert len(await bucket.names(f"erased/{account}")) == 1
    assert await served.placements.read(workspace) is None
