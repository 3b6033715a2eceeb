"""Backups over a real PostgreSQL and a real sqld: what is in them, what writers do to them, what is not read again."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import psycopg
import pytest

from core.adapters.bulk import Bulk
from core.problems import Unavailable
from core.settings import Secret
from memories.stores.ports_move import Fence, Kind, Mode, Raw
from memories.stores.sqlite.moves import SqliteMovable
from provisioning.backups import stores
from provisioning.backups.restoring import read_workspace
from provisioning.backups.taking import back_up, back_up_store, go_on
from provisioning.backups.tools import Backups
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.samples import ANN, memory
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


def called(world: World, workspace: str) -> None:
    """Somebody called, as the sweep counts."""
    world.owner.run(
        "INSERT INTO app.usage_daily (workspace_id, day, calls) VALUES (%s, (now() AT TIME ZONE 'UTC')::date, 1)"
        " ON CONFLICT (workspace_id, day) DO UPDATE SET calls = app.usage_daily.calls + 1",
        workspace,
    )


async def test_everything_is_in_one_manifest(
    served: World, backups: Backups, bucket: MemoryBucket, clients: Clients
) -> None:
    workspaces = [await clients.fill(plan) for plan in PLANS]
    done = await back_up(served.parts)
    assert done == {"kept": True, "under_way": False, "looked": 2, "written": 2, "failed": 0}
    [manifest] = bucket.manifests()
    assert sorted(manifest["workspaces"]) == sorted(workspaces)
    for workspace in workspaces:
        index = await read_workspace(bucket, manifest["workspaces"][workspace], workspace)
        assert index.counts == {"memory": 3}
        assert {row["id"] for _, row in bucket.rows(index.name)} == {"m0", "m1", "m2"}
    kept = {kind for kind, _ in bucket.rows(manifest["control"])}
    assert {"accounts", "workspaces", "members"} <= kept
    assert "jobs" not in kept
    newest = await backups.ledger.newest()
    assert newest is not None
    assert newest.failed == 0


async def test_what_is_unchanged_is_not_read_again(
    served: World, bucket: MemoryBucket, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspaces = [await clients.fill(plan) for plan in PLANS]
    await back_up(served.parts)
    looked: list[str] = []
    look = stores.look

    async def watched(*args: object, **kwargs: object) -> stores.Seen:
        seen = await look(*args, **kwargs)  # type: ignore[arg-type]
        looked.append("read" if seen.digest else "seen")
        return seen

    monkeypatch.setattr(stores, "look", watched)
    await back_up(served.parts)
    assert looked == []  # nobody called
    for workspace in workspaces:
        called(served, workspace)
    await back_up(served.parts)
    assert looked == ["seen", "seen"]  # somebody did, and changed nothing
    for workspace in workspaces:
        await (await clients.open(workspace)).put(memory("m1", title="another"), ANN)
    await back_up(served.parts)
    assert looked[2:] == ["read", "read"]
    assert [len(bucket.of(one)) for one in workspaces] == [2, 2]
    served.owner.run("UPDATE app.backup_stores SET written_at = now() - interval '8 days'")
    await back_up(served.parts)
    assert [len(bucket.of(one)) for one in workspaces] == [3, 3]  # else it would end with the old object
    assert all(len(one["workspaces"]) == 2 for one in bucket.manifests())


@pytest.mark.parametrize("plan", PLANS)
async def test_a_backup_is_of_one_moment(
    served: World,
    bucket: MemoryBucket,
    clients: Clients,
    plan: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A writer changes all memories to the same title, again and again: a backup holds one title only, and of each
    memory every state before that one and none after it."""
    workspace = await clients.fill(plan, 20)
    store = await clients.open(workspace)
    stop, wrote = asyncio.Event(), asyncio.Event()
    rounds = 0

    async def write() -> None:
        nonlocal rounds
        while not stop.is_set():
            rounds += 1
            await store.put_many([memory(f"m{n}", title=f"round {rounds}") for n in range(20)], ANN)
            wrote.set()

    copy = Bulk.copy

    async def copy_slowly(self: Bulk, query: str, args: Sequence[object] = ()) -> AsyncGenerator[str, None]:
        """Between two tables something is written each time."""
        async for text in copy(self, query, args):
            yield text
        for _ in range(2):
            wrote.clear()
            await wrote.wait()

    monkeypatch.setattr(Bulk, "copy", copy_slowly)
    writer = asyncio.create_task(write())
    await wrote.wait()
    names: list[str] = []
    while len(names) < 3:
        found = await back_up_store(served.parts, workspace)
        assert found is not None
        assert found[2] is not None
        names.append(found[2])
    stop.set()
    await writer
    for name in names:
        await read_workspace(bucket, name, workspace)
        titles = {row["title"] for kind, row in bucket.rows(name) if kind == "memory"}
        assert len(titles) == 1
        now = {row["id"]: row["version"] for kind, row in bucket.rows(name) if kind == "memory"}
        before = Counter(row["id"] for kind, row in bucket.rows(name) if kind == "version")
        assert before
        assert dict(before) == {id_: version - 1 for id_, version in now.items() if version > 1}


async def test_who_is_killed_is_followed_and_nothing_is_written_twice(
    served: World,
    bucket: MemoryBucket,
    clients: Clients,
) -> None:
    workspaces = [await clients.fill(plan) for plan in (*PLANS, "pro")]
    bucket.steps = served.steps
    start = served.steps.reached
    kills = 0
    for at in range(1, 200):
        served.steps.kill_at = start + at * 3 if kills < 12 else None
        start = served.steps.reached
        try:
            done = await back_up(served.parts, fresh=kills == 0)
        except Killed:
            kills += 1
            served.owner.run("UPDATE app.backup_runs SET held_until = now() WHERE finished_at IS NULL")
            continue
        if not done["under_way"]:
            break
    assert kills > 2
    [manifest] = bucket.manifests()
    for workspace in workspaces:
        await read_workspace(bucket, manifest["workspaces"][workspace], workspace)
    recorded = [row[0] for row in served.owner.run("SELECT object FROM app.backup_stores")]
    assert sorted(recorded) == sorted(manifest["workspaces"].values())
    assert len([name for name in bucket.objects if name.startswith("runs/")]) == 1


async def test_a_store_that_fails_stops_no_other_and_is_told(
    served: World, backups: Backups, bucket: MemoryBucket, clients: Clients
) -> None:
    broken, good = await clients.fill("free"), await clients.fill("pro")
    served.owner.run("UPDATE app.workspaces SET store_token = 'broken' WHERE id = %s", broken)
    done = await back_up(served.parts)
    assert done["failed"] == 1
    [manifest] = bucket.manifests()
    assert manifest["failed"] == [broken]
    assert list(manifest["workspaces"]) == [good]
    [mail] = [one for one in served.mails() if one["template"] == "operator"]
    assert broken in str(mail["data"])
    rows = served.owner.run("SELECT attempts FROM app.backup_stores WHERE workspace_id = %s", broken)
    assert rows == [(3,)]
    newest = await backups.ledger.newest()
    assert newest is not None
    assert newest.failed == 1


async def test_two_runs_do_not_mix_and_the_sweep_goes_on(
    served: World, backups: Backups, bucket: MemoryBucket, clients: Clients
) -> None:
    await clients.fill("pro")
    assert await backups.ledger.hold(str(uuid.uuid4()), 60.0, fresh=True) is not None
    assert await back_up(served.parts) == {"kept": True, "under_way": False}
    assert bucket.objects == {}
    served.owner.run("UPDATE app.backup_runs SET held_until = now()")
    assert await go_on(served.parts, 60.0) == 1
    assert len(bucket.manifests()) == 1
    assert await go_on(served.parts, 60.0) == 0


async def test_a_bucket_that_does_not_answer_leaves_the_run_open(
    served: World,
    bucket: MemoryBucket,
    clients: Clients,
) -> None:
    await clients.fill("pro")
    bucket.faults = [Unavailable("no", part="storage")]
    with pytest.raises(Unavailable):
        await back_up(served.parts)
    assert bucket.manifests() == []
    assert await go_on(served.parts, 60.0) == 1
    assert len(bucket.manifests()) == 1


async def test_a_backup_that_is_overdue_is_told(served: World) -> None:
    await back_up(served.parts)
    await go_on(served.parts, 60.0)
    assert served.mails() == []
    served.owner.run("UPDATE app.backup_runs SET began_at = now() - interval '31 hours'")
    await go_on(served.parts, 60.0)
    await go_on(served.parts, 60.0)
    assert [one["data"]["headline"] for one in served.mails()] == ["No backup for more than a day"]


async def test_the_role_reads_everything_and_writes_nothing(
    served: World,
    backups: Backups,
    clients: Clients,
) -> None:
    """A table that a later migration makes must be opened to it there, as at the end of 0021_backups.sql."""
    await clients.fill("pro")
    names = served.owner.run(
        "SELECT c.oid::regclass::text FROM pg_class c"
        " WHERE c.relnamespace IN ('app'::regnamespace, 'memory'::regnamespace) AND c.relkind = 'r'"
    )
    opened = served.owner.run(
        "SELECT polrelid::regclass::text FROM pg_policy WHERE polname = 'for_backup' AND polcmd = 'r'"
    )
    assert {row[0] for row in names} - {row[0] for row in opened} == {"app.schema_migrations"}
    with psycopg.connect(backups.url.reveal(), autocommit=True) as connection:
        counted = connection.execute("SELECT count(*) FROM memory.memories").fetchone()
        assert counted is not None
        assert counted[0] >= 3  # other tests of this session leave theirs
        connection.execute("SET default_transaction_read_only = off")
        for (name,) in names:
            for statement in (f"DELETE FROM {name}", f"UPDATE {name} SET ctid = ctid", f"TRUNCATE {name}"):
                with pytest.raises(psycopg.Error) as refused:
                    connection.execute(statement.encode())
                assert refused.value.sqlstate in ("42501", "0A000", "42703")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE app.mine (id int)")


async def test_users_are_in_it_when_there_are_any(
    served: World,
    backups: Backups,
    bucket: MemoryBucket,
) -> None:
    served.owner.run("CREATE SCHEMA auth")
    served.owner.run("CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, encrypted_password text)")
    served.owner.run("INSERT INTO auth.users VALUES (gen_random_uuid(), 'ada@example.test', 'a hash')")
    await back_up(served.parts)
    [manifest] = bucket.manifests()
    [user] = [row for kind, row in bucket.rows(manifest["control"]) if kind == "auth.users"]
    assert user["encrypted_password"] == "a hash"
    assert backups.url != Secret("")


async def test_a_large_database_is_read_again_when_it_changed(
    served: World, bucket: MemoryBucket, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not read in one transaction then."""
    workspace = await clients.fill("free", 4)
    monkeypatch.setattr(stores, "WHOLE_BYTES", 0)
    store, pages, changes = await clients.open(workspace), SqliteMovable.raw_page, 1

    async def page(self: SqliteMovable, kind: Kind, *args: Any, **kwargs: Any) -> list[Raw]:
        nonlocal changes
        found = await pages(self, kind, *args, **kwargs)
        if kind is Kind.MEMORY and changes:
            changes -= 1
            await store.put(memory("m0", title=f"changed {changes}"), ANN)
        return found

    monkeypatch.setattr(SqliteMovable, "raw_page", page)
    found = await back_up_store(served.parts, workspace)
    assert found is not None
    assert found[2] is not None
    await read_workspace(bucket, found[2], workspace)
    titles = {row["id"]: row["title"] for kind, row in bucket.rows(found[2]) if kind == "memory"}
    assert titles["m0"] == "changed 0"
    assert len(titles) == 4
    changes = 1000
    with pytest.raises(stores.Changing):
        await back_up_store(served.parts, workspace)
    assert len(bucket.of(workspace)) == 1


async def test_a_workspace_that_is_closed_is_read_only_when_it_is_suspended(served: World, clients: Clients) -> None:
    for plan in PLANS:
        workspace = await clients.fill(plan)
        placement = await served.placements.read(workspace)
        assert placement is not None
        movable = served.parts.movable(served.parts.stores.address(workspace, placement))
        await movable.fence(Fence(placement.epoch, Mode.CLOSED))
        with pytest.raises(stores.Changing):  # a move or a restore is at it
            await back_up_store(served.parts, workspace)
        await served.placements.suspend(workspace, "all")
        assert await back_up_store(served.parts, workspace) is not None
