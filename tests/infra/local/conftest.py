"""One daemon for all tests that do not harm it; others start their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.local.program import FUNCTION, Deployed
from tests.infra.local.running import Daemon, Engine, link_parts


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    root = tmp_path_factory.mktemp("cloud") / "root"
    link_parts(root)
    daemon = Daemon(root)
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.clean()


@pytest.fixture
def own_daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon of this test alone; not started."""
    root = tmp_path / "root"
    link_parts(root)
    daemon = Daemon(root)
    try:
        yield daemon
    finally:
        daemon.clean()


@pytest.fixture(scope="session")
def engine(daemon: Daemon) -> Engine:
    return daemon.engine()


@pytest.fixture(scope="module")
def deployed(engine: Engine) -> Iterator[Deployed]:
    """A function that runs: everything around it, the function itself, open to all."""
    deployed = Deployed(engine, "echo")
    deployed.surroundings()
    deployed.grant()
    deployed.upload()
    deployed.make(FUNCTION, deployed.inputs())
    deployed.invoker()
    try:
        yield deployed
    finally:
        deployed.remove()
