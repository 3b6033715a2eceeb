"""What Sentry is told of a failure, by its real library, over HTTP to a sink of our own."""

from __future__ import annotations

import gzip
import inspect
import json
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import sentry_sdk
from starlette.requests import Request
from starlette.responses import Response

from core import reporting
from core.adapters.postgres import Postgres
from core.bootstrap import Tools
from core.http import Call, Pipeline
from core.internal import InternalPipeline
from core.problems import Internal, Invalid, Unavailable
from core.reporting import Reporter, scrub
from core.settings import Secret, SettingsError
from declarations import MEMORIES, PREFIX, VERSION, Access, Function, MemoriesSettings, Route
from provisioning import ceiling, grace, misplaced, quotas, renewals, usage
from provisioning.backups import taking
from provisioning.jobs import GaveUp, Runner
from provisioning.outbox import Job
from provisioning.sweep import sweep
from tests.functions.asgi import REQUEST_ID, Answer, call
from tests.functions.twins import SETTINGS, FakeClock, Gate

MEMORY = "the launch code is swordfish"
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
MAIL = "ada.lovelace@example.com"
API_KEY = "mg_0123456789abcdefghijklmnop"
DATABASE = "postgresql://memories:hunter2@db.example.com/postgres"
PLANTED = (MEMORY, "swordfish", JWT, "eyJhbGci", MAIL, "lovelace", API_KEY, "hunter2")
TEXT = f"{MEMORY}; {JWT}; {MAIL}; {API_KEY}; {DATABASE}"

ROUTES = (
    Route(method="POST", path=PREFIX + "/things/{id}", handler="fails", access=Access.OPEN),
    Route(method="GET", path=PREFIX + "/fine", handler="works", access=Access.OPEN),
)
THINGS = Function(name="things", settings=MemoriesSettings, routes=ROUTES)


class Sink(ThreadingHTTPServer):
    """Takes envelopes as Sentry does. `holding` makes it keep whoever sends one waiting."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.envelopes: list[bytes] = []
        self.holding = threading.Event()
        self.free = threading.Event()

    @property
    def dsn(self) -> Secret:
        return Secret(f"http://public@127.0.0.1:{self.server_port}/42")

    def events(self) -> list[dict[str, Any]]:
        found = []
        for envelope in self.envelopes:
            _head, *items = envelope.strip().split(b"\n")
            found += [
                json.loads(body) for head, body in zip(items[::2], items[1::2], strict=True) if b'"event"' in head
            ]
        return found


class _Handler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/api/42/envelope/"
        self.server.envelopes.append(body)
        if self.server.holding.is_set():
            self.server.free.wait(30)
        with suppress(OSError):  # who was kept waiting may have gone
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.free.set()
        made.shutdown()
        thread.join()


def fails_with(error: Exception) -> Any:
    """Handlers of THINGS, one of which fails so, deep down and with everything planted that there is."""

    def deep(text: str) -> None:
        own_variable = text  # what a report of local variables would hold
        try:
            raise KeyError(own_variable)
        except KeyError as cause:
            error.add_note(own_variable)
            raise error from cause

    async def fails(_call: Call, _service: Any) -> Response:
        deep(TEXT)
        raise AssertionError

    async def works(call: Call, _service: Any) -> Response:
        return call.reply({})

    return types.SimpleNamespace(build=lambda _tools: None, fails=fails, works=works)


class Site:
    """THINGS behind the edge, reporting to the sink."""

    def __init__(self, dsn: Secret, error: Exception) -> None:
        gate = Gate()
        tools = Tools(
            settings=replace(SETTINGS, sentry_dsn=dsn),
            clock=gate.clock,
            databases=None,  # type: ignore[arg-type]  # no handler has a store
            postgres=Postgres(Secret("")),
            admission=gate.admission,
        )
        self._pipeline = Pipeline(THINGS, fails_with(error), tools)

    async def fail(self) -> Answer:
        headers = {"X-Note": TEXT, "User-Agent": MAIL}
        target = f"{PREFIX}/things/{MAIL}?q=swordfish"
        return await call(self._app, "POST", target, headers=headers, body={"content": TEXT})

    async def fine(self) -> Answer:
        return await call(self._app, "GET", f"{PREFIX}/fine")

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        response = await self._pipeline.answer(Request(scope, receive))
        await response(scope, receive, send)


@pytest.fixture
def planted_scope() -> Iterator[None]:
    """What other code of the process may have given to Sentry's library."""
    with sentry_sdk.isolation_scope() as scope:
        scope.set_user({"email": MAIL})
        scope.set_extra("memory", TEXT)
        scope.set_tag("note", TEXT)
        sentry_sdk.add_breadcrumb(message=TEXT, data={"key": API_KEY})
        yield


@pytest.mark.usefixtures("planted_scope")
async def test_a_failure_is_there_before_the_answer_and_holds_nothing_of_anybody(sink: Sink) -> None:
    answer = await Site(sink.dsn, ValueError(TEXT)).fail()
    (event,) = sink.events()  # already: nothing is waited for here
    assert answer.status == 500
    sent = b"".join(sink.envelopes).decode()
    assert [text for text in PLANTED if text in sent] == []
    cause, failure = event["exception"]["values"]
    assert (cause["type"], failure["type"]) == ("KeyError", "ValueError")
    frame = failure["stacktrace"]["frames"][-1]
    assert frame["function"] == "deep"
    assert frame["lineno"] > 0
    assert event["release"] == VERSION
    assert event["tags"] == {
        "function": "things",
        "method": "POST",
        "route": PREFIX + "/things/{id}",
        "request_id": REQUEST_ID,
    }


@pytest.mark.parametrize(
    ("error", "status", "reports"),
    [
        (Internal("It is broken."), 500, 1),
        (Unavailable("The store does not answer.", part="store"), 503, 0),
        (Invalid("That is wrong."), 400, 0),
    ],
)
async def test_only_faults_are_told(sink: Sink, error: Exception, status: int, reports: int) -> None:
    site = Site(sink.dsn, error)
    assert (await site.fail()).status == status
    assert (await site.fine()).status == 200
    assert len(sink.events()) == reports


async def test_functions_that_only_google_calls_tell_too(sink: Sink) -> None:
    internal = Function(name="things", settings=MemoriesSettings, routes=ROUTES)
    reporter = reporting.build(replace(SETTINGS, sentry_dsn=sink.dsn), "things")
    pipeline = InternalPipeline(internal, fails_with(ValueError(TEXT)), None, None, reporter)  # type: ignore[arg-type]
    site = Site(sink.dsn, ValueError())
    site._pipeline = pipeline
    assert (await site.fail()).status == 500
    assert len(sink.events()) == 1


async def test_one_that_does_not_answer_delays_one_answer_and_is_left_alone(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(sink.dsn, ValueError(TEXT))
    assert (await site.fail()).status == 500
    assert len(sink.events()) == 1
    assert caplog.messages == []
    monkeypatch.setattr(reporting, "FLUSH_SECONDS", 0.3)
    sink.holding.set()
    for _ in range(3):
        assert (await site.fail()).status == 500
    assert len(sink.events()) == 2, "the third and fourth were not tried"
    assert [text.startswith("A failure could not be told to Sentry in time.") for text in caplog.messages] == [True]


async def test_one_that_is_not_there_harms_nothing() -> None:
    with Sink() as gone:
        dsn = gone.dsn
    site = Site(dsn, ValueError(TEXT))
    for _ in range(2):
        assert (await site.fail()).status == 500
    assert (await site.fine()).status == 200


async def test_a_fault_of_the_reporter_is_none_of_the_callers(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the library is broken")

    monkeypatch.setattr(reporting, "_client", broken)
    assert (await Site(sink.dsn, ValueError(TEXT)).fail()).status == 500
    assert sink.events() == []


async def test_a_fault_that_every_request_meets_is_told_ten_times_a_minute(sink: Sink) -> None:
    clock = FakeClock()
    reporter = Reporter(sink.dsn, "things", clock.monotonic)
    for _ in range(25):
        await reporter.tell(ValueError(), {})
    assert len(sink.events()) == reporting.MOST_PER_MINUTE
    clock.advance(61)
    await reporter.tell(ValueError(), {})
    assert len(sink.events()) == reporting.MOST_PER_MINUTE + 1


def test_nothing_that_an_event_can_hold_gets_through_but_what_is_listed() -> None:
    hostile = {
        "event_id": "1",
        "level": "error",
        "message": TEXT,
        "logentry": {"message": "%s", "params": [TEXT]},
        "request": {"url": f"https://api/{MAIL}", "data": TEXT, "headers": {"X-API-Key": API_KEY}, "cookies": JWT},
        "user": {"email": MAIL, "ip_address": "203.0.113.9"},
        "extra": {"sys.argv": [API_KEY]},
        "contexts": {"memory": {"text": TEXT}},
        "breadcrumbs": {"values": [{"message": TEXT}]},
        "server_name": "host",
        "modules": {"a": TEXT},
        "tags": {"route": f"/things/{MAIL}", "kind": API_KEY, "note": MEMORY, "request_id": JWT},
        "threads": {"values": [{"stacktrace": {"frames": [{"vars": {"a": TEXT}}]}}]},
        "exception": {
            "values": [
                {
                    "type": "ValueError",
                    "value": TEXT,
                    "module": None,
                    "mechanism": {"type": "generic", "data": {"a": TEXT}, "meta": {"b": TEXT}, "handled": True},
                    "stacktrace": {
                        "frames": [
                            {
                                "function": "f",
                                "lineno": 3,
                                "vars": {"a": TEXT},
                                "context_line": f"x = '{MEMORY}'",
                                "pre_context": [TEXT],
                                "abs_path": "/home/ada.lovelace/x.py",
                            }
                        ]
                    },
                },
                "not one",
            ]
        },
    }
    sent = scrub(hostile)
    assert [text for text in PLANTED if text in json.dumps(sent)] == []
    assert sent == {
        "event_id": "1",
        "level": "error",
        "tags": {"route": "[removed]", "kind": "[removed]", "request_id": "[removed]"},
        "exception": {
            "values": [
                {
                    "type": "ValueError",
                    "module": None,
                    "mechanism": {"type": "generic", "handled": True},
                    "stacktrace": {"frames": [{"function": "f", "lineno": 3}]},
                }
            ]
        },
    }
    assert scrub({}) == {"tags": {}, "exception": {"values": []}}


def test_without_a_dsn_nothing_is_told_and_a_wrong_one_is_named() -> None:
    assert reporting.build(SETTINGS, "things") is None
    for wrong in ("true", "https://example.com/1", "https://key@example.com", "https://[", "ftp://key@host/1"):
        with pytest.raises(SettingsError, match=r"SENTRY_DSN is not like https://KEY@HOST/PROJECT") as caught:
            reporting.build(replace(SETTINGS, sentry_dsn=Secret(wrong)), "things")
        assert wrong not in str(caught.value)
    assert reporting.build(replace(SETTINGS, sentry_dsn=Secret("https://key@host.example/42")), "things") is not None


def test_a_cold_start_imports_nothing_of_sentry_even_with_a_dsn() -> None:
    values = {variable.name: getattr(SETTINGS, variable.field) for variable in MEMORIES.settings.variables()}
    environment = {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}
    program = "import sys, memories.main; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"SENTRY_DSN": "https://key@host.example/42"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert not [name for name in done.stdout.split() if name.startswith("sentry_sdk")]


class OneJob:
    """An outbox with one job."""

    def __init__(self) -> None:
        self.jobs = [Job(id="1", claim="c", kind="send_mail", subject=None, payload={}, attempts=1)]

    async def claim(self, _lease: str, _seconds: float) -> Job | None:
        return self.jobs.pop() if self.jobs else None

    async def hold(self, _job: Job, _seconds: float) -> bool:
        return True

    async def fail(self, _job: Job, _why: str, *, final: bool) -> str:
        return "dead" if final else "waiting"

    async def next_in(self) -> None:
        return None


@pytest.mark.parametrize(
    ("error", "reports"),
    [(ValueError(TEXT), 1), (Internal("x"), 1), (Unavailable("x", part="mail"), 0), (GaveUp("x"), 0)],
)
async def test_a_job_with_a_fault_is_told_with_its_kind(sink: Sink, error: Exception, reports: int) -> None:
    async def work(_job: Job) -> None:
        raise error

    outbox: Any = OneJob()
    runner = Runner(outbox, {"send_mail": work}, linger_seconds=0.0, reporter=Reporter(sink.dsn, "provisioning"))
    await runner.run()
    events = sink.events()
    assert [event["tags"] for event in events] == [{"kind": "send_mail", "function": "provisioning"}] * reports
    assert [text for text in PLANTED if text in json.dumps(events)] == []


class Down:
    """Parts of which none answers."""

    def __getattr__(self, _name: str) -> Down:
        return self

    def __call__(self, *_: Any) -> None:
        raise Unavailable("x", part="all")


async def test_a_step_of_the_sweep_with_a_fault_is_told(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any) -> None:
        raise ValueError(TEXT)

    async def refuses(*_: Any) -> None:
        raise Unavailable("x", part="all")

    for module in (renewals, usage, quotas, grace, misplaced, ceiling, taking):
        for name in vars(module):
            if inspect.iscoroutinefunction(vars(module)[name]):
                monkeypatch.setattr(module, name, fails if (module, name) == (usage, "measure") else refuses)
    outbox: Any = OneJob()
    outbox.jobs.clear()
    down: Any = Down()
    runner = Runner(outbox, {}, linger_seconds=0.0, reporter=Reporter(sink.dsn, "provisioning"))
    said = await sweep(down, runner)
    assert said["measured"] == said["counted"] == "failed"
    assert [event["tags"]["kind"] for event in sink.events()] == ["sweep: measured"]
