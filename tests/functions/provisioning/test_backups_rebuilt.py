"""A control plane that was lost, with all that was in PostgreSQL, put into a new place; and who was erased stays so."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.problems import Conflict, Unavailable
from core.settings import Secret
from memories.stores.ports_move import Fence, Mode
from provisioning.backups.archive import Corrupted
from provisioning.backups.rebuilding import Which, rebuild
from provisioning.backups.taking import back_up
from provisioning.stores import database_name
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.samples import ANN, memory
from tests.functions.postgres import Server
from tests.functions.provisioning.backing import Clients, MemoryBucket, backed
from tests.functions.provisioning.rows import left
from tests.functions.provisioning.world import World


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def new_place(postgres_server: Server, shared_control_plane: ControlPlaneUrls) -> ControlPlaneUrls:
    """As `pulumi up` makes it."""
    return shared_control_plane.at(postgres_server.new_database(template=shared_control_plane.database))


@pytest.fixture
async def rebuilt(served: World, new_place: ControlPlaneUrls, bucket: MemoryBucket) -> AsyncIterator[World]:
    """Provisioning in the new place. Turso is the same, with its databases."""
    world = World(new_place, served.outside, served.plain_databases)
    backed(world, new_place, bucket)
    yield world
    await world.close()


@pytest.fixture
async def clients(served: World, control_plane: ControlPlaneUrls, bucket: MemoryBucket) -> AsyncIterator[Clients]:
    backed(served, control_plane, bucket)
    made = Clients(served, control_plane)
    yield made
    await made.close()


def manifest_of(bucket: MemoryBucket) -> str:
    return next(name for name in bucket.objects if name.startswith("runs/"))


async def test_all_of_it_in_a_new_place(
    served: World, rebuilt: World, clients: Clients, bucket: MemoryBucket, new_place: ControlPlaneUrls
) -> None:
    free, pro = await clients.fill("free"), await clients.fill("pro")
    made = "upper text GENERATED ALWAYS AS (upper(email)) STORED"
    auth = f"CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, {made})"
    for world in (served, rebuilt):
        world.owner.run("CREATE SCHEMA auth")
        world.owner.run(auth)
    served.owner.run("INSERT INTO auth.users SELECT id, email FROM app.accounts")
    served.owner.run("INSERT INTO app.audit_log (action) VALUES ('one'), ('two')")
    await back_up(served.parts)
    await (await clients.open(free)).put(memory("newer"), ANN)  # Turso still has it
    done = await rebuild(bucket, manifest_of(bucket), Secret(new_place.owner), Which.POSTGRES)
    assert (done.erased, done.stores) == (0, 1)
    for rows in ("SELECT * FROM app.members ORDER BY 1", "SELECT * FROM auth.users ORDER BY 1"):
        assert rebuilt.owner.run(rows) == served.owner.run(rows) != []
    again = Clients(rebuilt, new_place)
    with pytest.raises(Unavailable):  # an empty store must take nothing that the restore would lose
        await (await again.open(pro)).put(memory("early"), ANN)
    assert (await rebuilt.run()).done == 1
    assert sorted(await again.titles(pro)) == ["m0", "m1", "m2"]
    assert sorted(await again.titles(free)) == ["m0", "m1", "m2", "newer"]
    rebuilt.owner.run("INSERT INTO app.audit_log (action) VALUES ('three')")  # its numbers go on
    assert rebuilt.owner.run("SELECT count(*) FROM app.audit_log") == [(3,)]
    assert rebuilt.owner.run("SELECT 1 FROM pg_class WHERE relnamespace = 'scratch'::regnamespace") == []
    placement = await rebuilt.placements.read(pro)
    assert placement is not None
    movable = rebuilt.parts.movable(rebuilt.parts.stores.address(pro, placement))
    assert await movable.read_fence() == Fence(placement.epoch, Mode.OPEN)
    await again.close()


async def test_with_the_databases_when_they_are_lost_too(
    served: World, rebuilt: World, clients: Clients, bucket: MemoryBucket, new_place: ControlPlaneUrls
) -> None:
    free = await clients.fill("free")
    await back_up(served.parts)
    served.outside.on_delete(served.outside.databases.pop(database_name(free))["Name"])
    done = await rebuild(bucket, manifest_of(bucket), Secret(new_place.owner), Which.ALL)
    assert done.stores == 1
    assert (await rebuilt.run()).done == 1
    again = Clients(rebuilt, new_place)
    assert sorted(await again.titles(free)) == ["m0", "m1", "m2"]
    await again.close()


async def test_who_was_erased_since_is_erased_again(
    served: World, rebuilt: World, clients: Clients, bucket: MemoryBucket, new_place: ControlPlaneUrls
) -> None:
    gone, kept = await clients.fill("pro"), await clients.fill("pro")
    [(account,)] = served.owner.run("SELECT account_id::text FROM app.members WHERE workspace_id = %s", gone)
    await back_up(served.parts)
    served.confirm(account, gone)
    await served.outbox.enqueue("erase_account", account, dedupe=account)
    await served.settle()
    served.outside.users.add(account)  # Supabase's users came back, too
    done = await rebuild(bucket, manifest_of(bucket), Secret(new_place.owner), Which.POSTGRES)
    assert (done.erased, done.stores) == (1, 1)
    assert left(new_place.owner, account, gone) != []
    await rebuilt.settle()
    assert left(new_place.owner, account, gone) == []
    assert account not in rebuilt.outside.users
    [(finished,)] = rebuilt.owner.run("SELECT finished_at IS NOT NULL FROM app.erased WHERE account_id = %s", account)
    assert finished
    again = Clients(rebuilt, new_place)
    assert sorted(await again.titles(kept)) == ["m0", "m1", "m2"]
    await again.close()


@pytest.mark.parametrize("what", ["used", "old", "corrupted", "erasures"])
async def test_what_does_not_fit_changes_nothing(
    served: World, rebuilt: World, clients: Clients, bucket: MemoryBucket, new_place: ControlPlaneUrls, what: str
) -> None:
    await clients.fill("pro")
    await back_up(served.parts)
    [manifest] = bucket.manifests()
    if what == "used":
        rebuilt.owner.run("INSERT INTO app.accounts (id, name) VALUES (gen_random_uuid(), 'Bob')")
    elif what == "old":
        rebuilt.owner.run(
            "DELETE FROM app.schema_migrations WHERE version = (SELECT max(version) FROM app.schema_migrations)"
        )
    elif what == "corrupted":
        part = manifest["control"].replace("index.json", "part-0001.jsonl.gz")
        bucket.objects[part] = bucket.objects[part][:-1]
    else:
        bucket.objects["erased/someone.json"] = b"{}"
    before = rebuilt.owner.run("SELECT * FROM app.accounts")
    expected = Conflict if what in ("used", "old") else Corrupted
    with pytest.raises(expected, match="Nothing was changed"):
        await rebuild(bucket, manifest_of(bucket), Secret(new_place.owner), Which.ALL)
    assert rebuilt.owner.run("SELECT * FROM app.accounts") == before
    assert rebuilt.jobs() == []
