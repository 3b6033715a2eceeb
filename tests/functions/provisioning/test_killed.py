"""A real process, killed with -9 while Turso or Supabase Auth has done what it was asked but has not answered yet."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest

from core.settings import Secret
from provisioning.stores import database_name
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.core.answering import Answering, Reply, Sent, answering
from tests.functions.provisioning.world import World

PROGRAM = """
import asyncio, json, sys
from declarations import ProvisioningFunctionSettings
from provisioning import kinds, parts
from provisioning.jobs import Runner

async def main():
    built = parts.build(ProvisioningFunctionSettings.load(json.loads(sys.stdin.readline())))
    await Runner(built.outbox, kinds.works(built), linger_seconds=0.0).run()

asyncio.run(main())
"""


class Vendors:
    """Turso's Platform API and Supabase Auth over real HTTP. The request number `hangs_at` is done, not answered."""

    def __init__(self, world: World, http: Answering, urls: ControlPlaneUrls) -> None:
        self._world, self._http, self._urls = world, http, urls
        self.hangs_at: int | None = None
        self.count = 0
        self.hanging = asyncio.Event()
        http.reply = self._reply

    def _reply(self, sent: Sent) -> Reply:
        self.count += 1
        outside = self._world.outside
        headers = {name.title() if name == "authorization" else name: value for name, value in sent.headers.items()}
        play = outside._turso if sent.path.startswith("/v1/") else outside._auth
        found = play(sent.method, urlsplit(sent.path).path, sent.path, orjson.loads(sent.body or b"{}"), headers)
        if self.count == self.hangs_at:
            self.hanging.set()
            return None
        return found.status, {}, found.body

    def environment(self) -> str:
        """The settings of a process, as one line."""
        held = replace(
            self._world.settings,
            database_url=Secret(self._urls.provisioning),
            turso_api_url=self._http.url,
            auth_url=self._http.url,
        )
        values = {field.name.upper(): getattr(held, field.name) for field in fields(held)}
        told = {name: value.reveal() if isinstance(value, Secret) else str(value) for name, value in values.items()}
        return orjson.dumps(told).decode() + "\n"

    async def start(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "functions")},
        )
        assert process.stdin
        process.stdin.write(self.environment().encode())
        process.stdin.close()
        return process

    async def kill_at(self, number: int) -> bool:
        """Run a process until that request, and kill it. False: it ended before."""
        self.count, self.hangs_at = 0, number
        self.hanging.clear()
        process = await self.start()
        ended, hangs = asyncio.create_task(process.wait()), asyncio.create_task(self.hanging.wait())
        await asyncio.wait((ended, hangs), return_when=asyncio.FIRST_COMPLETED)
        hangs.cancel()
        self.hangs_at = None
        if ended.done():
            assert ended.result() == 0
            return False
        process.kill()
        await ended
        return True


@pytest.fixture
async def vendors(served: World, control_plane: ControlPlaneUrls) -> AsyncIterator[Vendors]:
    async with answering() as http:
        yield Vendors(served, http, control_plane)


async def test_opening_a_store(served: World, vendors: Vendors) -> None:
    killed, number = True, 0
    while killed:
        number += 1
        _, workspace = served.new_workspace()
        await served.outbox.enqueue("open_store", workspace, {"plan": "free"}, dedupe=workspace)
        killed = await vendors.kill_at(number)
        served.owner.end_leases()
        await served.run()
        placement = await served.parts.stores.placements.read(workspace)
        assert placement is not None
        assert (placement.kind, placement.note) == ("sqlite", None)
        store = served.parts.contents.open(served.parts.stores.address(workspace, placement))
        assert (await store.read_usage()).memories == 0
    assert number == 3
    assert len(served.outside.databases) == number


async def test_erasing_an_account(served: World, vendors: Vendors) -> None:
    killed, number = True, 0
    while killed:
        number += 1
        account, workspace = await served.open()
        served.owner.run(
            "INSERT INTO app.erased (account_id, workspaces) VALUES (%s, %s::uuid[])", account, [workspace]
        )
        await served.outbox.enqueue("erase_account", account, {}, dedupe=account)
        killed = await vendors.kill_at(number)
        served.owner.run("UPDATE app.jobs SET locked_until = now() WHERE kind = 'erase_account' AND state = 'running'")
        await served.run()
        assert served.owner.run("SELECT finished_at IS NOT NULL FROM app.erased WHERE account_id = %s", account)[0][0]
        assert database_name(workspace) not in served.outside.databases
        assert account not in served.outside.users
        assert served.owner.run("SELECT 1 FROM app.accounts WHERE id = %s", account) == []
        served.owner.run("DELETE FROM app.jobs")
    assert number == 6
