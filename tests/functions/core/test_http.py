"""The pipeline, through the real functions-framework: signature, routes, access, bodies, answers, the log line."""

from __future__ import annotations

import asyncio
import json
import re
import types
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import functions_framework.aio
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp

from core import admission, http, problems
from core.adapters.postgres import Postgres
from core.bootstrap import Tools
from core.http import Call, serve
from core.ports import KeyRecord, StoreAddress
from core.problems import Problem, Unavailable
from core.settings import Secret
from declarations import BODY_LIMIT_BYTES, PREFIX, Access, Function, Route
from tests.functions.asgi import REQUEST_ID, Answer, call, signed
from tests.functions.twins import SETTINGS, Gate, admit_to
from tests.functions.upstash import FakeUpstash

LARGE = 3 * BODY_LIMIT_BYTES

THINGS = Function(
    name="things",
    settings=type(SETTINGS),
    routes=(
        Route(method="GET", path=PREFIX + "/things/{id}", handler="read", access=Access.READ),
        Route(method="PUT", path=PREFIX + "/things/{id}", handler="write", access=Access.WRITE),
        Route(method="GET", path=PREFIX + "/things/recent", handler="recent", access=Access.READ),
        Route(method="POST", path=PREFIX + "/things", handler="write", access=Access.WRITE),
        Route(method="POST", path=PREFIX + "/parts", handler="measure", access=Access.WRITE, body_bytes=LARGE),
        Route(method="GET", path=PREFIX + "/open", handler="opened", access=Access.OPEN),
        Route(method="GET", path=PREFIX + "/fails", handler="fails", access=Access.OPEN),
        Route(method="DELETE", path=PREFIX + "/things/{id}", handler="remove", access=Access.WRITE),
    ),
)
SECRET_TEXT = "what a user stored"
site_time = datetime(2026, 1, 2, tzinfo=UTC)


class Service:
    """What the handlers do next; `fault` is raised."""

    fault: Exception | None = None
    tools: Tools


def handlers(service: Service) -> Any:
    """A module of handlers."""

    def build(tools: Tools) -> Service:
        service.tools = tools
        return service

    async def read(call: Call, _service: Service) -> Response:
        return call.reply({"id": call.path["id"], "workspace": call.caller.workspace_id})

    async def recent(call: Call, _service: Service) -> Response:
        return call.reply({"recent": call.request.query_params.getlist("q")})

    async def write(call: Call, _service: Service) -> Response:
        return call.reply({"got": await call.json()}, status=201)

    async def measure(call: Call, _service: Service) -> Response:
        once = await call.once(site_time)
        return call.reply({"bytes": len(await call.body()), "once": once.key if once else None})

    async def opened(call: Call, _service: Service) -> Response:
        return call.reply({"who": call.principal.key_id if call.principal else None, "request_id": call.request_id})

    async def fails(_call: Call, service: Service) -> Response:
        assert service.fault is not None
        raise service.fault

    async def remove(call: Call, _service: Service) -> Response:
        return call.no_content()

    return types.SimpleNamespace(**{name: value for name, value in locals().items() if name != "service"})


class Site:
    """The function, running in functions-framework over twins; by default without limits."""

    def __init__(self, gate: Gate | None = None) -> None:
        self.gate = gate or Gate()
        self.key = self.gate.add_key()
        self.service = Service()
        tools = Tools(
            settings=SETTINGS,
            clock=self.gate.clock,
            databases=NoDatabases(),
            postgres=Postgres(Secret("")),
            admission=self.gate.admission,
        )
        self.app = framework_app(serve(THINGS, handlers(self.service), tools=tools))

    async def __call__(self, method: str, path: str, **more: Any) -> Answer:
        return await call(self.app, method, PREFIX + path, **{"key": self.key, **more})


class NoDatabases:
    def open(self, address: StoreAddress) -> Any:
        raise AssertionError(address)


def framework_app(function: Callable[..., Any]) -> ASGIApp:
    module = types.ModuleType("main")
    module.things = function  # type: ignore[attr-defined]  # as functions/things/main.py would
    create: Any = functions_framework.aio.create_asgi_app_from_module
    app: ASGIApp = create("things", "main.py", "http", module, None)
    return app


@pytest.fixture
def site() -> Site:
    return Site()


# The signed hop


@pytest.mark.parametrize("path", ["/open", "/nowhere", "/things/1"])
async def test_nothing_is_answered_without_the_edge(site: Site, path: str) -> None:
    answer = await site("GET", path, through_edge=False)
    assert answer.status == 401
    assert "only through the edge" in answer.json()["detail"]
    assert site.gate.directory.asked == 0


async def test_a_signature_for_another_path_is_refused(site: Site) -> None:
    headers = signed("GET", PREFIX + "/things/recent?q=1")
    answer = await site("GET", "/things/recent?q=2", headers=headers, through_edge=False)
    assert answer.status == 401


async def test_the_raw_target_is_what_is_signed(site: Site) -> None:
    answer = await site("GET", "/things/a%2Eb?q=%C3%BC&q=a+b")
    assert (answer.status, answer.json()["id"]) == (200, "a.b")


async def test_the_edges_request_id_is_on_every_answer(site: Site) -> None:
    for path, status in (("/open", 200), ("/nowhere", 404), ("/fails", 500)):
        answer = await site("GET", path)
        assert (answer.status, answer.headers["x-request-id"]) == (status, REQUEST_ID)


async def test_no_answer_may_be_kept_by_a_cache(site: Site) -> None:
    for path in ("/open", "/nowhere", "/fails"):
        assert (await site("GET", path)).headers["cache-control"] == "no-store"


async def test_an_unsigned_request_gets_an_id_of_its_own(site: Site) -> None:
    answer = await site("GET", "/open", headers={"X-Edge-Request-Id": "forged"}, through_edge=False)
    assert answer.headers["x-request-id"] not in ("forged", REQUEST_ID)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


# Routes


async def test_fixed_paths_come_before_parameters_whatever_the_order(site: Site) -> None:
    assert (await site("GET", "/things/recent?q=a&q=b")).json() == {"recent": ["a", "b"]}
    assert (await site("GET", "/things/x1")).json()["id"] == "x1"


@pytest.mark.parametrize("path", ["/nowhere", "/things/1/", "/things//", "/open/", "/things/a/b", "/Things"])
async def test_no_path_is_ever_redirected(site: Site, path: str) -> None:
    answer = await site("GET", path)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_another_method_is_told_which_are_allowed(site: Site) -> None:
    answer = await site("PATCH", "/things/1")
    assert answer.status == 405
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"
    assert (await site("GET", "/things")).headers["allow"] == "OPTIONS, POST"


async def test_a_fixed_path_is_no_thing_of_that_name(site: Site) -> None:
    answer = await site("PUT", "/things/recent", body={})  # there is PUT /things/{id}
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_options_needs_no_key(site: Site) -> None:
    answer = await site("OPTIONS", "/things/1", key=None)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"
    assert (await site("OPTIONS", "/nowhere", key=None)).status == 404


async def test_head_is_as_get(site: Site) -> None:
    answer = await site("HEAD", "/things/1")
    assert answer.status == 200
    assert (await site("HEAD", "/things")).status == 405


# Access


async def test_open_routes_take_no_key_or_a_good_one(site: Site) -> None:
    assert (await site("GET", "/open", key=None)).json()["who"] is None
    assert (await site("GET", "/open")).json()["who"]
    assert (await site("GET", "/open", key="mg_wrong")).status == 401


async def test_keyed_routes(site: Site) -> None:
    refused = await site("GET", "/things/1", key=None)
    assert refused.status == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    by_bearer = await site("GET", "/things/1", key=None, headers={"Authorization": f"Bearer {site.key}"})
    assert by_bearer.json()["workspace"] == (await site("GET", "/things/1")).json()["workspace"]


async def test_a_read_key_may_not_write(site: Site) -> None:
    key = site.gate.add_key(scopes=("memories:read",))
    assert (await site("GET", "/things/1", key=key)).status == 200
    answer = await site("PUT", "/things/1", key=key, body={})
    assert answer.status == 403
    assert "memories:write" in answer.json()["detail"]


async def test_a_refused_caller_is_not_read(site: Site) -> None:
    unread: list[bytes | None] = [None]  # reading it would end in a disconnect
    assert (await site("PUT", "/things/1", key=None, body=unread)).status == 401


# Bodies


async def test_json_arrives_whole_in_any_pieces(site: Site) -> None:
    answer = await site("POST", "/things", body=[b'{"a":', b'"\xc3', b'\xbc"}'])
    assert (answer.status, answer.json()) == (201, {"got": {"a": "ü"}})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b"[" * 100_000,
        b"[" * 5000 + b"]" * 5000,
    ],
    ids=lambda body: repr(body[:12]),
)
async def test_what_is_not_json_is_a_bad_request(site: Site, body: bytes) -> None:
    answer = await site("POST", "/things", body=body)
    assert answer.status == 400
    [fault] = answer.json()["errors"]
    assert fault["field"] == "body"
    assert fault["message"] in answer.json()["detail"]


async def test_what_is_not_utf_8_is_told_from_what_is_not_json(site: Site) -> None:
    answer = await site("POST", "/things", body=b'{"a": "\xff"}')
    assert answer.json()["detail"] == "The body is not text in UTF-8, at byte 7."


@pytest.mark.parametrize("body", [b"[" * 64 + b"]" * 64, b"[" + b"{}," * 1000 + b"1]", b'"' + b"[{" * 100 + b'"'])
async def test_wide_is_not_deep(site: Site, body: bytes) -> None:
    assert (await site("POST", "/things", body=body)).status == 201


async def test_the_largest_body_and_one_byte_more(site: Site) -> None:
    largest = b'"' + b"x" * (BODY_LIMIT_BYTES - 2) + b'"'
    assert (await site("POST", "/things", body=largest)).status == 201
    assert (await site("POST", "/things", body=largest + b" ")).status == 413
    endless: list[bytes | None] = [b"x" * (BODY_LIMIT_BYTES // 2)] * 3 + [None]  # the rest is never asked for
    assert (await site("POST", "/things", body=endless)).status == 413


async def test_a_route_may_read_more(site: Site) -> None:
    answer = await site("POST", "/parts", body=b"x" * LARGE)
    assert answer.json() == {"bytes": LARGE, "once": None}
    refused = await site("POST", "/parts", body=b"x" * (LARGE + 1))
    assert refused.status == 413
    assert f"{LARGE >> 10} KiB" in refused.json()["detail"]


async def test_an_idempotency_key_is_the_api_keys_own(site: Site) -> None:
    other = site.gate.add_key()
    answers = [
        await site("POST", "/parts", body=b"x", key=key, headers={"Idempotency-Key": "k1"}) for key in (site.key, other)
    ]
    names = [answer.json()["once"] for answer in answers]
    assert len(set(names)) == 2
    assert all(name.endswith(":k1") for name in names)
    refused = await site("POST", "/parts", body=b"x", headers={"Idempotency-Key": "k 1"})
    assert (refused.status, refused.json()["errors"][0]["field"]) == (400, "Idempotency-Key")


@pytest.mark.parametrize("path", ["/open", "/things/1", "/nowhere", "/fails"])
async def test_every_answer_says_where_its_time_went(site: Site, path: str) -> None:
    timing = (await site("GET", path)).headers["server-timing"]
    parts = re.fullmatch(r"admit;dur=(\d+\.\d), store;dur=(\d+\.\d), total;dur=(\d+\.\d)", timing)
    assert parts is not None, timing
    admit, store, total = map(float, parts.groups())
    assert admit + store <= total + 0.1  # rounded, each by itself


async def test_a_client_who_goes_away_is_no_error_of_ours(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    await site("POST", "/things", body=[b'{"a"', None])
    assert '"severity":"ERROR"' not in capsys.readouterr().out


# Failures


def _kinds(kind: type[Problem]) -> list[type[Problem]]:
    public = [] if kind.__name__.startswith("_") else [kind]
    return public + [found for child in kind.__subclasses__() for found in _kinds(child)]


PROBLEMS = {
    kind: kind("Said.", **more)
    for kind in _kinds(Problem)
    if kind.__module__ == problems.__name__
    for more in [
        {"part": "store", "retry_after_seconds": 2}
        if issubclass(kind, Unavailable)
        else {"retry_after_seconds": 2}
        if issubclass(kind, problems.TooManyRequests)
        else {"etag": '"2-a"', "version": 2}
        if issubclass(kind, problems.PreconditionFailed)
        else {}
    ]
}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=[kind.__name__ for kind in PROBLEMS])
async def test_every_problem_has_one_shape(site: Site, problem: Problem) -> None:
    site.service.fault = problem
    answer = await site("GET", "/fails")
    assert answer.status == problem.status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert isinstance(body, dict)  # the MCP client reads `detail` of an object
    assert {name: body[name] for name in ("type", "title", "status", "detail", "request_id")} == {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": "Said.",
        "request_id": REQUEST_ID,
    }
    for name, value in problem.headers.items():
        assert answer.headers[name.lower()] == value
    if problem.status in (429, 503):
        assert answer.headers["retry-after"] == "2"  # whole seconds: a date breaks the client


async def test_each_status_of_the_contract_has_a_problem() -> None:
    assert {kind.status for kind in PROBLEMS} == {400, 401, 402, 403, 404, 405, 409, 412, 413, 429, 500, 503}


async def test_the_unexpected_is_logged_and_not_shown(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise KeyError(SECRET_TEXT)
    except KeyError as error:
        site.service.fault = ValueError(f"invalid literal: {SECRET_TEXT}")
        site.service.fault.__cause__ = error
    answer = await site("GET", "/fails")
    assert answer.status == 500
    assert "ValueError" not in answer.body.decode()
    out = capsys.readouterr().out
    assert SECRET_TEXT not in answer.body.decode() + out
    (line,) = (json.loads(text) for text in out.splitlines())
    assert line["severity"] == "ERROR"
    assert "builtins.KeyError" in line["stack_trace"]
    assert "in fails" in line["stack_trace"]
    assert line["stack_trace"].endswith("builtins.ValueError")


async def test_an_answer_that_cannot_be_rendered_is_a_500(site: Site) -> None:
    site.service.fault = None  # the handler's own assertion fails
    assert (await site("GET", "/fails")).status == 500


class Moved(Unavailable):
    stale_address = True


async def test_a_caller_whose_store_moved_is_admitted_again(site: Site) -> None:
    """The store refuses the address of a cached principal; the handler runs again with the new one, body and all."""
    seen: list[str] = []

    async def write(call: Call, _service: Service) -> Response:
        body = await call.json()
        seen.append(call.caller.store.url)
        if len(seen) == 1:
            move_store(site)
            raise Moved("moved", part="store")
        return call.reply(body)

    app = _app_with(site, write=write)
    answer = await call(app, "POST", PREFIX + "/things", key=site.key, body={"a": 1})
    assert (answer.status, answer.json()) == (200, {"a": 1})
    assert seen == ["http://db.localhost:1", "http://new.localhost:1"]


class Moving(Moved):
    passing = True


async def test_a_request_waits_for_a_workspace_that_moves(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PASSING_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(admission, "RENEW_SECONDS", 0.0)
    seen: list[str] = []

    async def write(call: Call, _service: Service) -> Response:
        seen.append(call.caller.store.url)
        if len(seen) == 3:
            move_store(site)
        if "new" not in seen[-1]:
            raise Moving("moving", part="store")
        return call.reply(await call.json())

    answer = await call(_app_with(site, write=write), "POST", PREFIX + "/things", key=site.key, body={"a": 1})
    assert (answer.status, answer.json()) == (200, {"a": 1})
    assert seen == [*["http://db.localhost:1"] * 3, "http://new.localhost:1"]


async def test_it_does_not_wait_for_ever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PASSING_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(http, "PASSING_SECONDS", 0.02)
    calls = 0

    async def write(_call: Call, _service: Service) -> Response:
        nonlocal calls
        calls += 1
        raise Moving("moving", part="store")

    answer = await call(_app_with(site, write=write), "POST", PREFIX + "/things", key=site.key, body={})
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert calls > 1


@pytest.mark.parametrize(("suspended", "status", "calls"), [("all", 403, 1), ("writes", 403, 1), (None, 200, 2)])
async def test_a_suspension_is_not_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch, suspended: str | None, status: int, calls: int
) -> None:
    """The fence of the store holds before what is cached of the principal says why."""
    monkeypatch.setattr(http, "PASSING_SECONDS", 3600.0)
    seen: list[str] = []

    async def write(call: Call, _service: Service) -> Response:
        seen.append(call.caller.store.url)
        if len(seen) == 1:
            move_store(site, suspended=suspended)
            raise Moving("moving", part="store")
        return call.reply({})

    answer = await call(_app_with(site, write=write), "POST", PREFIX + "/things", key=site.key, body={})
    assert (answer.status, len(seen)) == (status, calls)
    assert ("suspended" in answer.body.decode()) == (status == 403)


async def test_what_a_suspended_workspace_still_takes_does_not_wait_for_its_store(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "PASSING_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(http, "PASSING_SECONDS", 0.02)
    calls = 0

    async def fails(_call: Call, _service: Service) -> Response:
        nonlocal calls
        calls += 1
        raise Moving("moving", part="store")

    app = _app_with(site, fails=fails)
    move_store(site, suspended="all")
    for _ in range(2):
        calls = 0
        assert (await call(app, "GET", PREFIX + "/fails", key=site.key)).status == 503
        assert calls == 1


async def test_few_requests_of_a_workspace_wait_at_a_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PASSING_MOST", 3)
    monkeypatch.setattr(http, "PASSING_PAUSE_SECONDS", 0.001)
    refused = asyncio.Event()
    statuses: list[int] = []

    async def write(call: Call, _service: Service) -> Response:
        if refused.is_set():
            return call.reply({})
        raise Moving("moving", part="store")

    app = _app_with(site, write=write)

    async def ask() -> None:
        statuses.append((await call(app, "POST", PREFIX + "/things", key=site.key, body={})).status)
        if statuses == [503] * 5:
            refused.set()

    async with asyncio.timeout(5):
        await asyncio.gather(*(ask() for _ in range(8)))
    assert sorted(statuses) == [200] * 3 + [503] * 5


async def test_a_store_that_refuses_for_another_reason_is_asked_once(site: Site) -> None:
    calls = 0

    async def write(_call: Call, _service: Service) -> Response:
        nonlocal calls
        calls += 1
        raise Moved("gone", part="store")

    app = _app_with(site, write=write)
    assert (await call(app, "POST", PREFIX + "/things", key=site.key, body={})).status == 503
    assert calls == 1


def move_store(site: Site, **changes: Any) -> None:
    directory = site.gate.directory
    for key_hash, record in directory.keys.items():
        assert isinstance(record, KeyRecord)
        directory.keys[key_hash] = replace(record, store_url="http://new.localhost:1", **changes)


def _app_with(site: Site, **changed: Any) -> ASGIApp:
    module = handlers(site.service)
    for name, handler in changed.items():
        setattr(module, name, handler)
    return framework_app(serve(THINGS, module, tools=site.service.tools))


# Limits


RATES = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


@pytest.fixture
def limited() -> Site:
    return Site(Gate(FakeUpstash().tools))


async def test_every_answer_to_a_good_credential_tells_its_limits(limited: Site) -> None:
    reader = limited.gate.add_key(scopes=("memories:read",))
    asked: list[tuple[int, str, str, dict[str, Any], Exception | None]] = [
        (200, "GET", "/things/1", {}, None),
        (200, "GET", "/open", {}, None),
        (201, "POST", "/things", {"body": {}}, None),
        (204, "DELETE", "/things/1", {}, None),
        (400, "POST", "/things", {"body": b"{"}, None),
        (403, "POST", "/things", {"body": {}, "key": reader}, None),
        (404, "GET", "/fails", {}, problems.NotFound("none")),
        (429, "GET", "/fails", {}, problems.TooManyRequests("of its own", retry_after_seconds=3)),
        (500, "GET", "/fails", {}, ValueError("broken")),
        (503, "GET", "/fails", {}, Unavailable("down", part="store")),
    ]
    for status, method, path, more, fault in asked:
        limited.service.fault = fault
        answer = await limited(method, path, **more)
        assert answer.status == status
        limit, remaining, reset = (int(answer.headers[name]) for name in RATES)
        assert (limit, reset) == (1000, 86_400 - limited.gate.clock.seconds % 86_400), path
        assert 980 < remaining < 1000, path


async def test_nobody_is_told_nothing(limited: Site) -> None:
    for method, path, key in (
        ("GET", "/open", None),
        ("GET", "/things/1", None),
        ("GET", "/things/1", "mg_wrong"),
        ("OPTIONS", "/things/1", limited.key),
        ("GET", "/nowhere", limited.key),
    ):
        assert not set(RATES) & set((await limited(method, path, key=key)).headers)
    assert int((await limited("GET", "/open")).headers["x-ratelimit-remaining"]) == 999  # nothing of it counted


async def test_remaining_goes_down_by_one_a_call(limited: Site) -> None:
    told = [int((await limited("GET", "/open")).headers["x-ratelimit-remaining"]) for _ in range(40)]
    assert told == list(range(999, 959, -1))


async def test_too_many_requests(limited: Site) -> None:
    key = limited.gate.add_key(key_calls_per_day=2)
    for _ in range(2):
        assert (await limited("GET", "/things/1", key=key)).status == 200
    for path in ("/things/1", "/open"):
        answer = await limited("GET", path, key=key)
        assert answer.status == 429
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json()["status"], answer.json()["title"]) == (429, "Too many requests")
        assert "2 calls a day of this API key's own limit" in answer.json()["detail"]
        assert answer.headers["retry-after"].isdecimal()  # whole seconds: a date breaks the client
        assert [int(answer.headers[name]) for name in RATES[:2]] == [2, 0]
        assert answer.headers["retry-after"] == answer.headers["x-ratelimit-reset"]


async def test_who_is_refused_is_logged(limited: Site, capsys: pytest.CaptureFixture[str]) -> None:
    key = limited.gate.add_key(scopes=("memories:read",), key_calls_per_day=1)
    for method in ("PUT", "GET"):
        await limited(method, "/things/1", key=key, body={})
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [line["status"] for line in lines] == [403, 429]
    assert len({line["workspace"] for line in lines}) == 1


async def test_failed_credentials_are_counted_by_the_edges_client(limited: Site) -> None:
    answers = [await limited("GET", "/open", key="mg_wrong") for _ in range(21)]
    assert [answer.status for answer in answers] == [401] * 20 + [429]
    assert answers[-1].headers["retry-after"] == "60"
    assert not set(RATES) & set(answers[-1].headers)
    assert (await limited("GET", "/open")).status == 200


async def test_a_person_asks_with_a_token_and_names_a_workspace(limited: Site) -> None:
    workspace = "6f1d3c1e-5b0e-4f7c-9d43-2f6d7c1b8a90"
    person = limited.gate.record("0" * 64, (), 1)
    limited.gate.directory.members["ann", None] = replace(person, key_id="", account_id="ann")
    token = limited.gate.tokens.add("ann", limited.gate.clock.seconds + 60)
    headers = {"Authorization": f"Bearer {token}"}
    answer = await limited("POST", "/parts", key=None, headers={**headers, "Idempotency-Key": "k1"}, body=b"x")
    assert answer.json()["once"] == "ann:k1"
    assert answer.headers["x-ratelimit-limit"] == "1000"
    refused = await limited("GET", "/things/1", key=None, headers={**headers, "X-Workspace": workspace})
    assert refused.status == 403
    malformed = await limited("GET", "/things/1", key=None, headers={**headers, "X-Workspace": "mine"})
    assert (malformed.status, malformed.json()["errors"][0]["field"]) == (400, "X-Workspace")


# Logs


async def test_one_line_a_request(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "a-project")
    trace = {"X-Cloud-Trace-Context": "0af7651916cd43dd8448eb211c80319c/123;o=1"}
    await site("PUT", "/things/my-id?q=secret", headers=trace, body={"content": SECRET_TEXT})
    out = capsys.readouterr().out
    (line,) = (json.loads(text) for text in out.splitlines())
    assert line.pop("latency_ms") > 0
    admitted = await admit_to(site.gate.admission, site.key, None, Access.READ)
    assert admitted is not None
    principal = admitted.principal
    assert line == {
        "severity": "INFO",
        "message": f"PUT {PREFIX}/things/{{id}} 201",
        "logging.googleapis.com/trace": "projects/a-project/traces/0af7651916cd43dd8448eb211c80319c",
        "request_id": REQUEST_ID,
        "method": "PUT",
        "route": PREFIX + "/things/{id}",
        "status": 201,
        "account": principal.account_id,
        "workspace": principal.workspace_id,
        "key": principal.key_id,
    }
    assert site.key not in out
    assert SECRET_TEXT not in out


@pytest.mark.parametrize(("path", "severity"), [("/open", "INFO"), ("/nowhere", "NOTICE"), ("/fails", "ERROR")])
async def test_severity(site: Site, capsys: pytest.CaptureFixture[str], path: str, severity: str) -> None:
    site.service.fault = Unavailable("down", part="store")
    site.service.fault.__cause__ = TimeoutError(SECRET_TEXT)
    await site("GET", path)
    (line,) = (json.loads(text) for text in capsys.readouterr().out.splitlines())
    assert line["severity"] == severity
    assert line.get("part") == ("store" if path == "/fails" else None)
    expected = "core.problems.Unavailable <- builtins.TimeoutError" if path == "/fails" else None
    assert line.get("cause") == expected
    assert "stack_trace" not in line


# Cold start


def test_a_missing_setting_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in THINGS.settings.variables():
        monkeypatch.delenv(variable.name, raising=False)
    with pytest.raises(SystemExit) as caught:
        serve(THINGS, handlers(Service()))
    assert caught.value.code == 1
    (line,) = (json.loads(text) for text in capsys.readouterr().out.splitlines())
    assert line["severity"] == "CRITICAL"
    assert "things cannot start" in line["message"]
    for variable in THINGS.settings.variables():
        assert (variable.name in line["message"]) is variable.required


def test_a_malformed_key_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for variable in THINGS.settings.variables():
        monkeypatch.setenv(variable.name, "not-a-key")
    with pytest.raises(SystemExit):
        serve(THINGS, handlers(Service()))
    out = capsys.readouterr().out
    assert "SEAL_KEY" in out
    assert "not-a-key" not in out


def test_a_missing_handler_is_named(site: Site) -> None:
    module = handlers(Service())
    del module.remove
    with pytest.raises(TypeError, match="async def remove"):
        serve(THINGS, module, tools=site.service.tools)
