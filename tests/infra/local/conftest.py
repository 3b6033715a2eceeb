"""One daemon for all tests that do not harm it; others start their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.providers.api import Api as SupabaseApi
from infra.providers.supabase_auth import AuthSettings
from tests.infra.local.auth import SECRETS, SETTINGS, Auth
from tests.infra.local.program import FUNCTION, Deployed
from tests.infra.local.running import HOST, Daemon, Engine, link_parts, wait_for


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


@pytest.fixture(scope="session")
def auth(daemon: Daemon) -> Iterator[Auth]:
    """The Auth of a project that our own provider has set up: it mails to the local cloud and signs with ES256."""
    api = daemon.api("supabase")
    asked = {"organization_slug": "local", "name": "auth", "region": "us-east-1", "db_pass": "a password"}
    _, made = api("POST", "/v1/projects", asked)
    path = f"/v1/projects/{made['ref']}"
    wait_for(lambda: api("GET", path)[1]["status"] == "ACTIVE_HEALTHY")
    mail = daemon.control("GET", "/mail")
    server = {"smtp_host": mail["host"], "smtp_port": str(mail["port"]), "smtp_user": mail["user"]}
    inputs = {
        "project": made["ref"],
        "settings": {**SETTINGS, **server},
        "secrets": {**SECRETS, "smtp_pass": mail["password"]},
    }
    kind = AuthSettings(SupabaseApi("Supabase", f"http://{HOST}:{api.port}", api.token, setting="supabase"))
    _, outputs = kind.create(inputs, lambda _: None)
    auth = Auth(daemon, api, made["ref"], outputs["apiUrl"], outputs["publishableKey"], outputs["secretKey"])
    yield auth
    assert api("DELETE", path)[0] == 200


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
