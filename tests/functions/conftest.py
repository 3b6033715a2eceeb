"""What tests of the functions share: a real PostgreSQL, and a control plane in it as `pulumi up` makes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from infra.providers import migrations
from infra.providers.schema import Schema
from tests.functions.postgres import Server, running_server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """One server for the session. Whoever stops or kills it brings it back."""
    with running_server() as server:
        yield server


@dataclass(frozen=True)
class ControlPlaneUrls:
    """One migrated database: its URL for `postgres`, and for each login role."""

    owner: str
    memories: str
    provisioning: str


@pytest.fixture
def control_plane(postgres_server: Server) -> ControlPlaneUrls:
    url = postgres_server.new_database()
    inputs = {
        "databaseUrl": url,
        "runtimeUrl": url,
        "digest": migrations.digest(),
        "roles": {"memories": postgres_server.password, "provisioning": postgres_server.password},
    }
    _, outputs = Schema().create(inputs, lambda _message: None)
    return ControlPlaneUrls(owner=url, **outputs["urls"])
