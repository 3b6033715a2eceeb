"""Opening an account against a real control plane, with Turso's API and its databases played by the test."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from core import keys
from core.adapters.control import ControlPlane
from core.adapters.http1 import HttpAnswer, HttpClient, HttpRefused
from core.adapters.postgres import Postgres
from core.adapters.sqlite import SqliteDatabase
from core.bootstrap import ProvisioningTools
from core.ports import Database, KeyRecord, KeyRefused, Result, Statement, StoreAddress
from core.problems import Internal, Invalid, NotFound, Unavailable
from core.seal import Sealer
from core.settings import Secret
from declarations import PLANS, ProvisioningSettings
from memories.stores.postgres import PostgresStores
from provisioning import service
from provisioning.turso import TursoRefused
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.twins import SETTINGS, TAG_SECRET, FakeClock, MemoryCache


class FakeTurso(HttpClient):
    """Turso's Platform API. `fault` is raised or answered instead."""

    def __init__(self) -> None:
        super().__init__()
        self.databases: set[str] = set()
        self.fault: Exception | HttpAnswer | None = None

    async def request(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float,
        connect_timeout: float = 1.0,
        retry: bool = True,  # noqa: ARG002  the interface
    ) -> HttpAnswer:
        assert headers is not None
        assert headers["Authorization"] == "Bearer turso-token"
        assert timeout <= 20
        assert connect_timeout <= 2
        if isinstance(self.fault, HttpAnswer):
            return self.fault
        if self.fault:
            raise self.fault
        return self._answer(method, url, orjson.loads(body or b"{}"))

    def _answer(self, method: str, url: str, asked: dict[str, Any]) -> HttpAnswer:
        parts = urlsplit(url)
        base = "/v1/organizations/an-org/databases"
        if (method, parts.path) == ("POST", base):
            name = asked["name"]
            assert asked["group"] == "a-group"
            if name in self.databases:
                return _json(409, {"error": f"database with name {name} already exists"})
            self.databases.add(name)
            return _json(200, {"database": {"Hostname": f"{name}.localhost:1", "Name": name}})
        name = parts.path.removeprefix(base + "/").partition("/")[0]
        assert name in self.databases
        if method == "GET":
            return _json(200, {"database": {"Hostname": f"{name}.localhost:1", "Name": name}})
        assert parts.query == "authorization=full-access"
        return _json(200, {"jwt": f"token of {name}"})


def _json(status: int, body: object) -> HttpAnswer:
    return HttpAnswer(status, {}, orjson.dumps(body))


class LocalDatabases:
    """Each database of Turso is a file. `asleep` is how many more times a database does not answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.asleep = 0

    def open(self, address: StoreAddress) -> Database:
        name = urlsplit(address.url).hostname or ""
        assert address.token.reveal() == f"token of {name.removesuffix('.localhost')}"
        return _Sleepy(self, SqliteDatabase(self._folder / name))


class _Sleepy:
    def __init__(self, owner: LocalDatabases, database: SqliteDatabase) -> None:
        self._owner, self._database = owner, database

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        if self._owner.asleep:
            self._owner.asleep -= 1
            raise Unavailable("asleep", part="store")
        return await self._database.batch(statements, write=write)


class World:
    def __init__(self, folder: Path, urls: ControlPlaneUrls) -> None:
        self.turso = FakeTurso()
        self.cache = MemoryCache(FakeClock())
        self.databases = LocalDatabases(folder)
        self.postgres = Postgres(Secret(urls.provisioning))
        self.control = ControlPlane(self.postgres)
        self.settings = ProvisioningSettings(
            **{variable.field: getattr(SETTINGS, variable.field) for variable in SETTINGS.variables()},
            turso_api_url="http://127.0.0.1:1",
            turso_api_token=Secret("turso-token"),
            turso_organization="an-org",
            turso_group="a-group",
        )
        self.sealer = Sealer(self.settings.store_seal_key, "STORE_SEAL_KEY")
        self.tools = ProvisioningTools(
            http=self.turso,
            postgres=self.postgres,
            control=self.control,
            cache=self.cache,
            databases=self.databases,
            store_sealer=self.sealer,
        )

    async def open(self, plan: str = "free", account_id: uuid.UUID | None = None) -> str:
        return await service.open_account(self.settings, plan, account_id=account_id, tools=self.tools)

    async def record(self, key: str) -> KeyRecord:
        found = await self.control.find_key(keys.hash_key(key))
        assert isinstance(found, KeyRecord)
        return found


@pytest.fixture
async def world(
    tmp_path: Path, control_plane: ControlPlaneUrls, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(service, "PAUSES", (0.0, 0.0))
    world = World(tmp_path, control_plane)
    yield world
    await world.tools.close()


@pytest.mark.parametrize("plan", PLANS)
async def test_an_account_that_works(world: World, plan: str) -> None:
    key = await world.open(plan)
    assert keys.is_genuine(key, [TAG_SECRET])
    record = await world.record(key)
    assert (record.plan, record.scopes, record.store_kind) == (
        plan,
        ("memories:read", "memories:write"),
        PLANS[plan].store,
    )


async def test_a_free_workspace_has_a_database_of_its_own(world: World) -> None:
    record = await world.record(await world.open("free"))
    name = service.database_name(record.workspace_id)
    assert (record.store_kind, record.store_url) == ("sqlite", f"http://{name}.localhost:1")
    assert record.store_url is not None
    token = world.sealer.open_text(record.store_token, record.workspace_id)
    database = world.databases.open(StoreAddress("sqlite", record.store_url, Secret(token)))
    (version,) = await database.batch([Statement("SELECT max(version) FROM _schema_version")], write=False)
    assert version.rows[0][0]


@pytest.mark.parametrize("plan", ["pro", "team"])
async def test_a_paid_workspace_has_a_place_in_postgres(
    world: World, control_plane: ControlPlaneUrls, plan: str
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


@pytest.mark.parametrize("plan", PLANS)
async def test_two_accounts_share_nothing(world: World, plan: str) -> None:
    one, two = await world.record(await world.open(plan)), await world.record(await world.open(plan))
    assert one.account_id != two.account_id
    assert one.workspace_id != two.workspace_id
    assert one.store_url != two.store_url


async def test_the_key_is_stored_nowhere(world: World, control_plane: ControlPlaneUrls) -> None:
    key = await world.open()
    owner = Postgres(Secret(control_plane.owner))
    rows = await owner.fetch("SELECT k::text || w::text FROM app.api_keys k, app.workspaces w")
    await owner.close()
    assert key[15:] not in rows[0][0]
    assert "token of" not in rows[0][0]


def test_database_names_are_what_turso_takes() -> None:
    name = service.database_name(service.workspace_of(uuid.UUID(int=1)))
    assert len(name) <= 64
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert name == service.database_name(service.workspace_of(uuid.UUID(int=1)))


FAULTS = [HttpRefused("refused", sent=False), HttpAnswer(503, {}, b"<html>")]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_turso_down_then_finished_by_the_same_call(world: World, fault: Exception | HttpAnswer) -> None:
    account = uuid.uuid4()
    world.turso.fault = fault
    with pytest.raises(Unavailable, match="Turso"):
        await world.open(account_id=account)
    world.turso.fault = None
    for _ in range(2):  # the second time Turso answers 409: the database is there
        record = await world.record(await world.open(account_id=account))
        assert record.account_id == str(account)
    assert len(world.turso.databases) == 1


@pytest.mark.parametrize(("status", "hint"), [(401, "token"), (403, "plan"), (404, "pulumi up"), (422, "422")])
async def test_turso_refuses_in_its_words_and_ours(world: World, status: int, hint: str) -> None:
    world.turso.fault = _json(status, {"error": "its words"})
    with pytest.raises(TursoRefused, match="its words") as caught:
        await world.open()
    assert hint in caught.value.detail
    assert "turso-token" not in caught.value.detail


async def test_a_new_database_may_take_a_moment(world: World) -> None:
    world.databases.asleep = 2
    assert await world.open()
    world.databases.asleep = 3
    with pytest.raises(Unavailable):
        await world.open()


async def test_an_unknown_plan(world: World) -> None:
    with pytest.raises(Invalid, match="free, pro, team"):
        await world.open("gold")
    assert not world.turso.databases


async def test_a_missing_migration_says_what_to_do(world: World, control_plane: ControlPlaneUrls) -> None:
    owner = Postgres(Secret(control_plane.owner))
    await owner.fetch("DROP SCHEMA app CASCADE")
    await owner.close()
    with pytest.raises(Internal, match="pulumi up"):
        await world.open()


async def test_revoking(world: World) -> None:
    key = await world.open()
    before = (await world.record(key)).version
    for _ in range(2):
        revocation = await service.revoke_key(world.settings, f" {key}\n", tools=world.tools)
        assert "within 5 seconds" in str(revocation)
        assert world.cache.entries[keys.hash_key(key)][:2] == (before + 1, b"")
    assert await world.control.find_key(keys.hash_key(key)) == KeyRefused("revoked")


async def test_revoking_without_redis_says_that_it_takes_longer(world: World) -> None:
    key = await world.open()
    world.cache.down = True
    assert "within 60 seconds" in str(await service.revoke_key(world.settings, key, tools=world.tools))


async def test_revoking_an_unknown_key(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(NotFound) as caught:
        await service.revoke_key(world.settings, "mg_unknown", tools=world.tools)
    assert "mg_unknown" not in caught.value.detail + caplog.text
