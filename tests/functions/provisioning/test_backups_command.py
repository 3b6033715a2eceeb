"""The operator's command: what it lists and chooses, and what it refuses before anything is changed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from core.problems import Conflict, Invalid, NotFound
from core.settings import Secret
from provisioning import restore
from provisioning.backups.archive import Corrupted
from provisioning.backups.bucket import Bucket
from provisioning.backups.command import list_backups, rebuild_control, restore_workspace
from provisioning.backups.taking import back_up, note_erasure
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.samples import ANN, memory
from tests.functions.provisioning.backing import Clients, MemoryBucket, backed
from tests.functions.provisioning.world import World


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
async def clients(served: World, control_plane: ControlPlaneUrls, bucket: MemoryBucket) -> AsyncIterator[Clients]:
    backed(served, control_plane, bucket)
    made = Clients(served, control_plane)
    yield made
    await made.close()


async def ask(world: World, bucket: Bucket, workspace: str, until: str = "") -> str:
    return await restore_workspace(bucket, world.outbox, world.parts.watch, workspace, until)


async def test_the_newest_until_then_is_restored(served: World, clients: Clients, bucket: MemoryBucket) -> None:
    workspace = await clients.fill("free")
    for day in ("one", "two"):
        await (await clients.open(workspace)).put(memory(day), ANN)
        served.owner.run("DELETE FROM app.backup_stores")
        await back_up(served.parts)
        served.clock.advance(86_400)
    one, two = bucket.of(workspace)
    assert (await list_backups(bucket, workspace)).splitlines() == [two, one]
    assert len((await list_backups(bucket)).splitlines()) == 2
    day = one.split("/")[2][:10]
    said = await ask(served, bucket, workspace.upper(), day)
    assert one in said
    assert "4 of memory" in said
    await served.run()
    assert sorted(await clients.titles(workspace)) == ["m0", "m1", "m2", "one"]
    assert two in await ask(served, bucket, workspace, two.split("/")[2][:18])
    await served.run()
    assert sorted(await clients.titles(workspace)) == ["m0", "m1", "m2", "one", "two"]
    with pytest.raises(NotFound, match="no backup"):
        await ask(served, bucket, workspace, "2020-01-01")


async def test_what_cannot_be_restored_is_said_at_once(served: World, clients: Clients, bucket: MemoryBucket) -> None:
    assert await list_backups(bucket) == "There is no backup."
    workspace = await clients.fill("pro")
    await back_up(served.parts)
    jobs = served.jobs()
    for wrong, until in (("mine", ""), (workspace, "yesterday"), (workspace, "2026-11-28T01:41")):
        with pytest.raises(Invalid):
            await ask(served, bucket, wrong, until)
    with pytest.raises(NotFound):
        await ask(served, bucket, str(uuid.uuid4()))
    [name] = bucket.of(workspace)
    part = name.replace("index.json", "part-0001.jsonl.gz")
    whole = bucket.objects[part]
    bucket.objects[part] = whole[::-1]
    with pytest.raises(Corrupted, match="Nothing was changed"):
        await ask(served, bucket, workspace)
    bucket.objects[part] = whole
    await note_erasure(served.parts, str(uuid.uuid4()), [workspace])
    with pytest.raises(NotFound, match="erased"):
        await ask(served, bucket, workspace)
    assert served.jobs() == jobs


async def test_the_control_plane_goes_into_an_empty_database_only(
    served: World, clients: Clients, bucket: MemoryBucket, control_plane: ControlPlaneUrls
) -> None:
    with pytest.raises(NotFound):
        await rebuild_control(bucket, Secret(control_plane.owner))
    await clients.fill("pro")
    await back_up(served.parts)
    with pytest.raises(Conflict):
        await rebuild_control(bucket, Secret(control_plane.owner))


def test_a_command_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert restore.main(["list"], {"BACKUP_BUCKET": "b", "DATABASE_URL": "postgresql://a secret"}) == 1
    told = capsys.readouterr().err
    assert "ACCESS_TOKEN is not set" in told
    assert "OWNER_URL is not set" in told
    assert "a secret" not in told
