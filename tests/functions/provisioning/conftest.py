"""Provisioning over a real control plane and a real sqld."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.adapters.hrana import HranaDatabases
from tests.functions.adapters.sqld import Sqld
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.conftest import sqld
from tests.functions.postgres import Server
from tests.functions.provisioning.rows import KeptOwner
from tests.functions.provisioning.world import LocalDatabases, Outside, World

__all__ = ["sqld"]


@pytest.fixture
async def served(sqld: Sqld, control_plane: ControlPlaneUrls) -> AsyncIterator[World]:
    """Databases at Turso are namespaces of sqld."""

    def create(name: str) -> str:
        sqld.create(name)
        return f"{name}.localhost:{sqld.port}"

    outside = Outside(create, sqld.token)
    outside.on_delete = sqld.delete
    world = World(control_plane, outside, HranaDatabases(outside))
    yield world
    await world.close()


@pytest.fixture(scope="session")
def emptied_control_plane(postgres_server: Server, shared_control_plane: ControlPlaneUrls) -> ControlPlaneUrls:
    """One for all tests of `world`."""
    return shared_control_plane.at(postgres_server.new_database(template=shared_control_plane.database))


@pytest.fixture
async def world(emptied_control_plane: ControlPlaneUrls, tmp_path: Path) -> AsyncIterator[World]:
    """An empty one. Databases at Turso are files: for what hardly asks them."""
    made = World(emptied_control_plane, Outside(), LocalDatabases(tmp_path))
    made.owner = owner = KeptOwner(emptied_control_plane.owner)
    owner.empty()
    yield made
    owner.close()
    await made.close()
