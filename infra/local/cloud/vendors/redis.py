"""The process behind one Upstash database, `redis_rest.py`: its own, so that it can be killed and frozen alone.

Its contents are in memory and are lost when it stops; Upstash keeps them on disk. Nothing that must last is in there.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from infra.local.cloud import probes
from infra.local.cloud.cloud import Cloud
from infra.local.cloud.ports import HOST
from infra.local.cloud.processes import Launch
from infra.local.cloud.supervisor import Plan

REPOSITORY = Path(__file__).resolve().parents[4]
PING = json.dumps(["PING"]).encode()


class Redis:
    """The REST front of one database, and the Redis behind it."""

    def __init__(self, cloud: Cloud, database: str, token: str, reader: str) -> None:
        self._cloud = cloud
        self._token = token
        self._reader = reader
        self.name = self.part_name(database)

    @staticmethod
    def part_name(database: str) -> str:
        return f"redis-{database[:8]}"

    async def create(self) -> None:
        await self._cloud.supervisor.start(self.plan())

    def bring_back(self) -> None:
        self._cloud.supervisor.bring_back(self.plan())

    async def delete(self) -> None:
        await self._cloud.supervisor.remove(self.name)
        self._cloud.ports.release(self.name)

    def plan(self) -> Plan:
        return Plan(
            name=self.name,
            kind="redis",
            prepare=self._launch,
            probe=lambda: probes.http(self._port or 0, "/", method="POST", body=PING, token=self._token),
            port=lambda: self._port,
        )

    @property
    def _port(self) -> int | None:
        return self._cloud.ports.of(self.name)

    async def _launch(self, _ready: int) -> Launch:
        port = self._cloud.ports.claim(self.name)
        return Launch(
            argv=(sys.executable, "-m", "infra.local.cloud.vendors.redis_rest"),
            env={
                "PATH": os.defpath,
                "HOST": HOST,
                "PORT": str(port),
                "REST_TOKEN": self._token,
                "READ_ONLY_REST_TOKEN": self._reader,
                "PYTHONUNBUFFERED": "1",
            },
            cwd=REPOSITORY,
        )
