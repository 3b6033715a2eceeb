"""Cloud Scheduler: jobs fire when told to and by themselves, as their identity, and again when they failed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from core.adapters.http1 import HttpClient
from core.oidc import OidcVerifier
from infra.local.cloud.cloud import Cloud
from infra.local.cloud.ports import HOST
from infra.local.cloud.store import Record
from infra.local.cloud.vendors.google import scheduler
from infra.local.cloud.vendors.google.delivery import Attempt, Delivery, Outcome
from infra.local.cloud.vendors.google.scheduler import Scheduler
from tests.infra.local.google import JOB, Made, Target, declare_api, email, google_port, target
from tests.infra.local.program import REGION
from tests.infra.local.running import Daemon, Engine, Json, Refused, wait_for

NEVER = "0 0 30 2 *"
QUICK = {"minBackoffDuration": "0.01s", "maxBackoffDuration": "0.02s"}


@pytest.fixture
def made(engine: Engine) -> Iterator[Made]:
    declare_api(engine, "cloudscheduler")
    made = Made(engine)
    made.account("scheduler-invoker")
    yield made
    made.remove()


@pytest.fixture
def worker() -> Iterator[Target]:
    with target() as worker:
        yield worker


def job(made: Made, worker: Target, name: str, schedule: str = NEVER, **more: object) -> str:
    token = {"serviceAccountEmail": email("scheduler-invoker"), "audience": "the-worker"}
    http_target = {"uri": f"http://{HOST}:{worker.port}/sweep", "httpMethod": "POST", "oidcToken": token}
    id_, _ = made.make(JOB, {"name": name, "region": REGION, "schedule": schedule, "httpTarget": http_target, **more})
    return id_


async def test_a_job_fires_when_told_to(daemon: Daemon, made: Made, worker: Target) -> None:
    id_ = job(made, worker, "sweep")
    shown = daemon.control("POST", f"/v1/{id_}:run")
    assert (shown["name"], shown["state"]) == (id_, "ENABLED")
    request = worker.wait(1)[0]
    assert (request.method, request.path) == ("POST", "/sweep")
    assert request.headers["x-cloudscheduler-jobname"] == "sweep"
    assert request.headers["user-agent"] == "Google-Cloud-Scheduler"
    http = HttpClient()
    try:
        certs = f"http://{HOST}:{google_port(daemon)}/oauth2/v3/certs"
        verifier = OidcVerifier(http, certs, "the-worker", email("scheduler-invoker"))
        await verifier.verify(request.headers["authorization"])
    finally:
        await http.close()


def test_it_is_tried_again_as_often_as_declared(daemon: Daemon, made: Made, worker: Target) -> None:
    worker.status = lambda _request: 500
    id_ = job(made, worker, "failing", retryConfig={**QUICK, "retryCount": 2})

    def firings() -> list[str]:
        return [request.headers["x-cloudscheduler-scheduletime"] for request in worker.seen]

    def fire_again() -> bool:  # it is left out until the one before has ended
        daemon.control("POST", f"/v1/{id_}:run")
        return len(set(firings())) > 1

    wait_for(fire_again)
    assert firings().count(firings()[0]) == 3


def test_there_is_no_such_job(daemon: Daemon) -> None:
    with pytest.raises(AssertionError, match="Job not found"):
        daemon.control("POST", "/v1/projects/p/locations/l/jobs/none:run")


def test_its_identity_must_be_there(made: Made, worker: Target) -> None:
    inputs = {"uri": f"http://{HOST}:{worker.port}/", "oidcToken": {"serviceAccountEmail": email("nobody")}}
    with pytest.raises(Refused, match=r"nobody@.* does not exist"):
        made.make(JOB, {"name": "lost", "region": REGION, "schedule": NEVER, "httpTarget": inputs})


# By schedule: with a clock that the test moves.


class Recorder(Delivery):
    def __init__(self) -> None:
        self.sent: list[Attempt] = []

    async def send(self, attempt: Attempt) -> Outcome:
        self.sent.append(attempt)
        return Outcome(status=200)


class Clock:
    def __init__(self, text: str) -> None:
        self.moment = datetime.fromisoformat(f"{text}+00:00")

    def now(self, _zone: object) -> datetime:
        return self.moment

    def set(self, text: str) -> None:
        self.moment = datetime.fromisoformat(f"{text}+00:00")


def declared(schedule: str, **more: object) -> Record:
    inputs: Json = {"schedule": schedule, "httpTarget": {"uri": "http://127.0.0.1:1/"}, **more}
    return Record(type=JOB, id="projects/p/locations/l/jobs/j", urn="", inputs=inputs, outputs={})


async def test_jobs_fire_by_their_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock("2026-11-27 20:03:00")
    monkeypatch.setattr(scheduler, "datetime", clock)
    jobs = [declared("*/5 * * * *")]
    cloud = cast(Cloud, SimpleNamespace(store=SimpleNamespace(of=lambda _type: jobs)))
    recorder = Recorder()
    run = Scheduler(cloud, recorder)

    async def look(text: str) -> int:
        clock.set(text)
        run._look()
        for task in list(run._running.values()):
            await task
        return len(recorder.sent)

    assert await look("2026-11-27 20:03:00") == 0
    assert await look("2026-11-27 20:04:59") == 0
    assert await look("2026-11-27 20:05:00") == 1
    assert await look("2026-11-27 20:05:01") == 1
    assert await look("2026-11-27 20:30:00") == 2  # what was missed while the machine slept is not made up for
    jobs[0] = declared("*/5 * * * *", paused=True)
    assert await look("2026-11-27 20:36:00") == 2
    jobs[0] = declared("*/10 * * * *")
    assert await look("2026-11-27 20:37:00") == 2  # a new schedule counts from when it was seen
    assert await look("2026-11-27 20:40:00") == 3
    jobs.clear()
    assert await look("2026-11-27 20:50:00") == 3


async def test_a_job_that_runs_is_not_fired_again() -> None:
    class Slow(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.go = asyncio.Event()

        async def send(self, attempt: Attempt) -> Outcome:
            outcome = await super().send(attempt)
            await self.go.wait()
            return outcome

    record, slow = declared(NEVER), Slow()
    store = SimpleNamespace(of=lambda _type: [record], get=lambda _type, _id: record)
    run = Scheduler(cast(Cloud, SimpleNamespace(store=store)), slow)
    for _ in range(2):
        run.run(record.id)
    first = run._running[record.id]
    await asyncio.sleep(0)
    run.run(record.id)
    slow.go.set()
    await first
    assert len(slow.sent) == 1
    run.run(record.id)
    await run._running[record.id]
    assert len(slow.sent) == 2


async def test_the_next_look_is_no_later_than_a_job_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "datetime", Clock("2026-11-27 20:04:59.750"))
    jobs = [declared("*/5 * * * *")]
    cloud = cast(Cloud, SimpleNamespace(store=SimpleNamespace(of=lambda _type: jobs)))
    assert Scheduler(cloud, Recorder())._look() == pytest.approx(0.25)


def test_a_real_job_knows_when_it_is_due(daemon: Daemon, made: Made, worker: Target) -> None:
    id_ = job(made, worker, "every", schedule="* * * * *")
    wait_for(lambda: "scheduleTime" in daemon.control("POST", f"/v1/{id_}:run"))
    due = datetime.fromisoformat(daemon.control("POST", f"/v1/{id_}:run")["scheduleTime"])
    assert 0 <= (due - datetime.now(UTC)).total_seconds() + 5 <= 65
