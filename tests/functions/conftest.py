"""What tests of the functions share: a real PostgreSQL, and a control plane in it as `pulumi up` makes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

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

    @property
    def database(self) -> str:
        return self.owner.rpartition("/")[2]

    def at(self, url: str) -> ControlPlaneUrls:
        """The same roles in another database of the server."""
        name = url.rpartition("/")[2]
        return replace(self, **{role: f"{old.rpartition('/')[0]}/{name}" for role, old in asdict(self).items()})


@pytest.fixture(scope="session")
def shared_control_plane(postgres_server: Server) -> ControlPlaneUrls:
    """Made once, by the provider's own code. Nobody changes it."""
    url = postgres_server.new_database()
    inputs = {
        "databaseUrl": url,
        "runtimeUrl": url,
        "digest": migrations.digest(),
        "roles": {"memories": postgres_server.password, "provisioning": postgres_server.password},
    }
    _, outputs = Schema().create(inputs, lambda _message: None)
    return ControlPlaneUrls(owner=url, **outputs["urls"])


@pytest.fixture
def control_plane(postgres_server: Server, shared_control_plane: ControlPlaneUrls) -> Iterator[ControlPlaneUrls]:
    """A copy that the test may change. It goes with the test: most of it then never reaches the disk."""
    copy = shared_control_plane.at(postgres_server.new_database(template=shared_control_plane.database))
    yield copy
    postgres_server.drop_database(copy.database)
