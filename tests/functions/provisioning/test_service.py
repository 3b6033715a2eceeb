"""Opening an account against a real control plane, with Turso's API and its databases played by the test."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from core import keys
from core.adapters.http1 import HttpAnswer, HttpRefused
from core.adapters.postgres import Postgres
from core.ports import KeyRecord, KeyRefused, Statement, StoreAddress
from core.problems import Internal, Invalid, NotFound, Unavailable
from core.settings import Secret
from declarations import PLANS, ProvisioningSettings, StoreOpeningSettings
from memories.stores.postgres import PostgresStores
from provisioning import service, stores
from provisioning.turso import TursoRefused
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.provisioning.world import LocalDatabases, Outside, World, answer
from tests.functions.twins import TAG_SECRET


class Operator:
    """Who runs `make key`."""

    def __init__(self, world: World, databases: LocalDatabases) -> None:
        self.world, self.databases = world, databases
        self.turso, self.cache, self.control, self.sealer = world.outside, world.cache, world.control, world.sealer
        shared = {one.field: getattr(world.settings, one.field) for one in StoreOpeningSettings.variables()}
        self.settings = ProvisioningSettings(**shared, key_tag_secret=Secret(TAG_SECRET))
        self.tools = world.tools

    async def open(self, plan: str = "free", account_id: uuid.UUID | None = None) -> str:
        return await service.open_account(self.settings, plan, account_id=account_id, tools=self.tools)

    async def record(self, key: str) -> KeyRecord:
        found = await self.control.find_key(keys.hash_key(key))
        assert isinstance(found, KeyRecord)
        return found


@pytest.fixture
async def world(
    tmp_path: Path, control_plane: ControlPlaneUrls, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Operator]:
    monkeypatch.setattr(stores, "PAUSES", (0.0, 0.0))
    databases = LocalDatabases(tmp_path)
    world = World(control_plane, Outside(), databases)
    yield Operator(world, databases)
    await world.close()
    await databases.close()


@pytest.mark.parametrize("plan", PLANS)
async def test_an_account_that_works(world: Operator, plan: str) -> None:
    key = await world.open(plan)
    assert keys.is_genuine(key, [TAG_SECRET])
    record = await world.record(key)
    assert (record.plan, record.scopes, record.store_kind) == (
        plan,
        ("account", "memories:read", "memories:write"),
        PLANS[plan].store,
    )


async def test_a_free_workspace_has_a_database_of_its_own(world: Operator) -> None:
    record = await world.record(await world.open("free"))
    name = stores.database_name(record.workspace_id)
    assert (record.store_kind, record.store_url) == ("sqlite", f"http://{name}.localhost:1")
    assert record.store_url is not None
    token = world.sealer.open_text(record.store_token, record.workspace_id)
    database = world.databases.open(StoreAddress("sqlite", record.store_url, Secret(token)))
    (version,) = await database.batch([Statement("SELECT max(version) FROM _schema_version")], write=False)
    assert version.rows[0][0]


@pytest.mark.parametrize("plan", ["pro", "team"])
async def test_a_paid_workspace_has_a_place_in_postgres(
    world: Operator, control_plane: ControlPlaneUrls, plan: str
) -> None:
    account = uuid.uuid4()
    for _ in range(2):
        record = await world.record(await world.open(plan, account))
    assert (record.store_kind, record.store_url) == ("postgres", f"postgres:{record.workspace_id}")
    assert world.sealer.open_text(record.store_token, record.workspace_id) == ""
    assert not world.turso.databases
    memories = Postgres(Secret(control_plane.memories))
    address = StoreAddress(record.store_kind, record.store_url or "", Secret(""))
    statistics = await PostgresStores(memories).open(address).statistics()
    await memories.close()
    assert statistics.count_by_type == {}


async def test_a_stack_may_keep_free_workspaces_in_postgres(world: Operator) -> None:
    world.settings = replace(world.settings, free_store="postgres")
    record = await world.record(await world.open("free"))
    assert (record.store_kind, record.store_url) == ("postgres", f"postgres:{record.workspace_id}")
    assert not world.turso.databases


@pytest.mark.parametrize("plan", PLANS)
async def test_two_accounts_share_nothing(world: Operator, plan: str) -> None:
    one, two = await world.record(await world.open(plan)), await world.record(await world.open(plan))
    assert one.account_id != two.account_id
    assert one.workspace_id != two.workspace_id
    assert one.store_url != two.store_url


async def test_the_key_is_stored_nowhere(world: Operator, control_plane: ControlPlaneUrls) -> None:
    key = await world.open()
    owner = Postgres(Secret(control_plane.owner))
    rows = await owner.fetch("SELECT k::text || w::text FROM app.api_keys k, app.workspaces w")
    await owner.close()
    assert key[15:] not in rows[0][0]
    assert "token of" not in rows[0][0]


def test_database_names_are_what_turso_takes() -> None:
    name = stores.database_name(service.workspace_of(uuid.UUID(int=1)))
    assert len(name) <= 64
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert name == stores.database_name(service.workspace_of(uuid.UUID(int=1)))


FAULTS = [HttpRefused("refused", sent=False), HttpAnswer(503, {}, b"<html>")]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_turso_down_then_finished_by_the_same_call(world: Operator, fault: Exception | HttpAnswer) -> None:
    account = uuid.uuid4()
    world.turso.faults = {"": fault}
    with pytest.raises(Unavailable, match="Turso"):
        await world.open(account_id=account)
    world.turso.faults = {}
    for _ in range(2):  # the second time Turso answers 409: the database is there
        record = await world.record(await world.open(account_id=account))
        assert record.account_id == str(account)
    assert len(world.turso.databases) == 1


@pytest.mark.parametrize(("status", "hint"), [(401, "token"), (403, "plan"), (404, "pulumi up"), (422, "422")])
async def test_turso_refuses_in_its_words_and_ours(world: Operator, status: int, hint: str) -> None:
    world.turso.faults = {"": answer(status, {"error": "its words"})}
    with pytest.raises(TursoRefused, match="its words") as caught:
        await world.open()
    assert hint in caught.value.detail
    assert "turso-token" not in caught.value.detail


async def test_a_new_database_may_take_a_moment(world: Operator) -> None:
    world.databases.asleep = 2
    assert await world.open()
    world.databases.asleep = 3
    with pytest.raises(Unavailable):
        await world.open()


async def test_an_unknown_plan(world: Operator) -> None:
    with pytest.raises(Invalid, match="free, pro, team"):
        await world.open("gold")
    assert not world.turso.databases


async def test_a_missing_migration_says_what_to_do(world: Operator, control_plane: ControlPlaneUrls) -> None:
    owner = Postgres(Secret(control_plane.owner))
    await owner.fetch("DROP SCHEMA app CASCADE")
    await owner.close()
    with pytest.raises(Internal, match="pulumi up"):
        await world.open()


async def test_revoking(world: Operator) -> None:
    key = await world.open()
    before = (await world.record(key)).version
    for _ in range(2):
        revocation = await service.revoke_key(world.settings, f" {key}\n", tools=world.tools)
        assert "within 5 seconds" in str(revocation)
        assert world.cache.entries[keys.hash_key(key)][:2] == (before + 1, b"")
    assert await world.control.find_key(keys.hash_key(key)) == KeyRefused("revoked")


async def test_revoking_without_redis_says_that_it_takes_longer(world: Operator) -> None:
    key = await world.open()
    world.cache.down = True
    assert "within 60 seconds" in str(await service.revoke_key(world.settings, key, tools=world.tools))


async def test_revoking_an_unknown_key(world: Operator, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(NotFound) as caught:
        await service.revoke_key(world.settings, "mg_unknown", tools=world.tools)
    assert "mg_unknown" not in caught.value.detail + caplog.text


async def test_the_operator_sees_dead_jobs_and_revives_them(world: Operator) -> None:
    async def listed(state: str) -> str:
        return await service.list_jobs(world.settings, state, tools=world.tools)

    assert await listed("dead") == "No job is dead."
    await world.world.outbox.enqueue("void_keys", str(uuid.UUID(int=7)), {"secret": "mg_x"}, dedupe="1")
    assert (await world.world.run()).dead == 1
    (line,) = (await listed("dead")).splitlines()
    job = line.split()[2]
    assert "void_keys" in line
    assert "It names no keys." in line
    assert "mg_x" not in line
    assert "sweep" in await service.revive_job(world.settings, f" {job}\n", tools=world.tools)
    assert job in await listed("waiting")
    with pytest.raises(NotFound):
        await service.revive_job(world.settings, job, tools=world.tools)
    with pytest.raises(Invalid, match="no id"):
        await service.revive_job(world.settings, "7", tools=world.tools)
    with pytest.raises(Invalid, match="waiting, running, done, dead"):
        await listed("lost")
