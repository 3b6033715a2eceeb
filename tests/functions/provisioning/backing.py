"""What tests of backups share: a bucket in memory that keeps its promises, and a world that backs up into it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import psycopg

from core.adapters.postgres import Postgres
from core.problems import Internal, NotFound
from core.settings import Secret
from memories.ports import Store
from memories.stores.by_kind import StoresByKind
from memories.stores.postgres import PostgresStores
from memories.stores.sqlite import SqliteStores
from provisioning import kinds
from provisioning.backups.bucket import Bucket
from provisioning.backups.ledger import BackupLedger
from provisioning.backups.tools import Backups
from provisioning.jobs import Runner
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.samples import ANN, find, memory
from tests.functions.provisioning.world import Steps, World

PASSWORD = "backup"


@dataclass
class MemoryBucket:
    """`Bucket`: nothing is written twice, nothing is removed."""

    steps: Steps | None = None
    objects: dict[str, bytes] = field(default_factory=dict)
    faults: list[Exception] = field(default_factory=list)

    async def write(self, name: str, content: bytes) -> None:
        if self.steps:
            self.steps.reach(f"write {name}")
        if self.faults:
            raise self.faults.pop(0)
        if name in self.objects:
            raise Internal(f"{name} is there")
        self.objects[name] = content

    async def read(self, name: str) -> bytes:
        if name not in self.objects:
            raise NotFound(f"There is no object {name}.")
        return self.objects[name]

    async def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.objects if name.startswith(prefix))

    def of(self, workspace: str) -> list[str]:
        """The indexes of its backups, oldest first."""
        start = f"workspaces/{workspace}/"
        return [name for name in self.objects if name.startswith(start) and name.endswith("/index.json")]

    def rows(self, index: str) -> list[tuple[str, dict[str, Any]]]:
        lines = []
        for part in orjson.loads(self.objects[index])["parts"]:
            lines += gzip.decompress(self.objects[part["name"]]).splitlines()
        return [(kind, row) for kind, row in map(orjson.loads, lines)]

    def manifests(self) -> list[dict[str, Any]]:
        return [orjson.loads(content) for name, content in self.objects.items() if name.startswith("runs/")]


def backed(world: World, urls: ControlPlaneUrls, bucket: Bucket) -> Backups:
    """Have a world keep backups, by the role `backup`."""
    with psycopg.connect(urls.owner, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE backup LOGIN PASSWORD '{PASSWORD}'".encode())
    _, _, host = urls.owner.partition("@")
    backups = Backups(
        bucket=bucket, ledger=BackupLedger(world.plain), url=Secret(f"postgresql://backup:{PASSWORD}@{host}")
    )
    world.parts = replace(world.parts, backups=backups)
    world.runner = Runner(world.outbox, kinds.works(world.parts), linger_seconds=0.0)
    return backups


class Clients:
    """Opens stores as `memories` does."""

    def __init__(self, world: World, urls: ControlPlaneUrls) -> None:
        self._world = world
        self._postgres = Postgres(Secret(urls.memories))
        self._stores = StoresByKind(sqlite=SqliteStores(world.plain_databases), postgres=PostgresStores(self._postgres))

    async def open(self, workspace: str) -> Store:
        placement = await self._world.placements.read(workspace)
        assert placement is not None
        return self._stores.open(self._world.parts.stores.address(workspace, placement))

    async def fill(self, plan: str, count: int = 3) -> str:
        """A workspace of its own with so many memories: m0, m1, ..."""
        _, workspace = await self._world.open(plan)
        await (await self.open(workspace)).put_many([memory(f"m{n}") for n in range(count)], ANN)
        return workspace

    async def titles(self, workspace: str) -> dict[str, str]:
        page = await (await self.open(workspace)).search(find("", limit=100))
        assert page is not None
        return {hit.memory.id: hit.memory.title for hit in page.hits}

    async def close(self) -> None:
        await self._postgres.close()
