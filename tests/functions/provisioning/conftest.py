"""Provisioning over a real control plane and a real sqld."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.adapters.hrana import HranaDatabases
from tests.functions.adapters.sqld import Sqld
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.conftest import sqld
from tests.functions.provisioning.world import Outside, World

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
