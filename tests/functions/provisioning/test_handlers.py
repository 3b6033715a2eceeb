"""The function as Google calls it: who gets in, what a wake-up and the sweep do, and what is logged."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from billing.model import Status
from core.internal import InternalPipeline
from core.problems import Unauthorized, Unavailable
from declarations import PRO, PROVISIONING, ProvisioningFunctionSettings
from provisioning import handlers
from provisioning.handlers import Service
from tests.functions.asgi import Answer, call
from tests.functions.billing.payments import DOWN
from tests.functions.provisioning.paying import paying, plan_of
from tests.functions.provisioning.world import World, settings


class Callers:
    """Implements `core.internal.CallerVerifier`."""

    def __init__(self) -> None:
        self.down = False

    async def verify(self, authorization: str | None) -> None:
        if self.down:
            raise Unavailable("no certificates", part="certificates")
        if authorization != "Bearer scheduler":
            raise Unauthorized("not you")


class Front:
    """The function behind an ASGI interface."""

    def __init__(self, world: World) -> None:
        self.callers = Callers()
        self.pipeline = InternalPipeline(PROVISIONING, handlers, Service(world.parts, world.runner), self.callers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response: Response = await self.pipeline.answer(Request(scope, receive))
        await response(scope, receive, send)

    async def ask(self, method: str, path: str, token: str | None = "scheduler") -> Answer:
        app: ASGIApp = self
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await call(app, method, path, headers=headers, through_edge=False)


@pytest.fixture
def front(served: World) -> Front:
    return Front(served)


def log_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The last line of the request log."""
    line: dict[str, Any] = orjson.loads(capsys.readouterr().out.splitlines()[-1])
    return line


@pytest.mark.parametrize("path", ["/jobs", "/sweep", "/reconcile"])
@pytest.mark.parametrize("token", [None, "somebody", "mg_0123"])
async def test_nobody_else_gets_in(
    served: World, front: Front, capsys: pytest.CaptureFixture[str], path: str, token: str | None
) -> None:
    await served.outbox.enqueue("void_keys", None, {"keys": []}, dedupe="1")
    answer = await front.ask("POST", path, token)
    assert answer.status == 401
    assert answer.json()["detail"] == "not you"
    assert served.jobs() == [("void_keys", "waiting")]
    assert log_of(capsys)["status"] == 401


async def test_who_calls_cannot_be_known(front: Front) -> None:
    front.callers.down = True
    answer = await front.ask("POST", "/jobs")
    assert answer.status == 503
    assert answer.headers["retry-after"].isdigit()


async def test_a_wake_up_runs_what_is_due(served: World, front: Front, capsys: pytest.CaptureFixture[str]) -> None:
    _, workspace = served.new_workspace("pro")
    await served.outbox.enqueue("open_store", workspace, {"plan": "pro"}, dedupe=workspace)
    answer = await front.ask("POST", "/jobs")
    assert (answer.status, answer.json()) == (200, {"done": 1, "again": 0, "dead": 0, "lost": 0})
    assert (await front.ask("POST", "/jobs")).json()["done"] == 0
    line = log_of(capsys)
    assert (line["route"], line["status"], len(line["request_id"])) == ("/jobs", 200, 32)


async def test_health_needs_no_proof(front: Front) -> None:
    answer = await front.ask("GET", "/health", None)
    assert answer.json()["status"] == "healthy"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/jobs", 405), ("POST", "/", 404), ("POST", "/jobs/", 404)]
)
async def test_other_paths(front: Front, method: str, path: str, status: int) -> None:
    assert (await front.ask(method, path)).status == status


async def test_the_control_plane_is_down(front: Front, served: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*_args: Any) -> None:
        raise Unavailable("down", part="control plane")

    monkeypatch.setattr(served.outbox, "claim", down)
    assert (await front.ask("POST", "/jobs")).status == 503
    assert (await front.ask("POST", "/sweep")).status == 503


async def test_the_sweep_does_what_is_due_by_time(served: World, front: Front) -> None:
    """Redis is not there in this test: its step fails, and stops no other."""
    _, workspace = await served.open("free")
    served.clock.advance(15 * 86_400)
    await served.outbox.enqueue("void_keys", None, {}, dedupe="broken")
    answer = await front.ask("POST", "/sweep")
    assert answer.status == 200
    said = answer.json()
    assert said["counted"] == "failed"
    assert {name for name, value in said.items() if value == "failed"} == {"counted"}
    assert (said["renewals"], said["databases"]) == (1, 1)
    assert said["jobs"]["done"] == 1
    assert said["jobs"]["dead"] == 1
    placement = await served.parts.stores.placements.read(workspace)
    assert placement
    assert placement.token_ends
    assert placement.token_ends > served.clock.now()
    assert (await front.ask("POST", "/sweep")).json()["dead"] == 1
    assert served.mails()[0]["template"] == "operator"


async def test_the_nightly_look(served: World, front: Front) -> None:
    one = await paying(served, PRO)
    served.payments.change(one.subscription, status=Status.CANCELED)
    answer = await front.ask("POST", "/reconcile")
    assert (answer.status, answer.json()["settled"], answer.json()["complete"]) == (200, 1, True)
    assert plan_of(served, one.workspace) == "free"
    served.payments.fail("list_customers", DOWN)
    assert (await front.ask("POST", "/reconcile")).status == 503


async def test_a_failing_step_is_logged_without_values(
    served: World, front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    served.new_workspace()
    with caplog.at_level(logging.INFO):
        await front.ask("POST", "/sweep")
    assert "'counted' failed: Redis" in caplog.text
    assert "token" not in caplog.text


def test_the_module_is_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the platform loads it: from its environment, connecting to nothing."""
    held = settings()
    for variable in ProvisioningFunctionSettings.variables():
        value = getattr(held, variable.field)
        monkeypatch.setenv(variable.name, value.reveal() if variable.secret else str(value))
    from provisioning import main

    assert main.provisioning.__name__ == PROVISIONING.name
