"""`serve`: one function's request pipeline, from its declaration and its handlers.

    edge signature -> match -> admit -> parse -> handler -> render

One `try` turns everything into an answer: problems as RFC 9457 bodies, anything unexpected as a 500 that says nothing
of its cause. No answer is a redirect: the SDK breaks on any 3xx (client contract 1.3). HEAD is answered as GET (the
server drops the body); OPTIONS says what a path allows, without a key. An answer to a good credential, good or bad,
tells by `X-RateLimit-*` what it may still do. Left out: cross-origin headers (no browser calls these routes) and
everything that the edge adds.
"""

from __future__ import annotations

import asyncio
import inspect
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol, cast
from urllib.parse import quote

import functions_framework.aio
import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from core import bootstrap, edge, logs, problems, reporting, timing
from core.admission import Admitted
from core.body import parse_json, read_body
from core.bootstrap import Tools
from core.conditions import if_match
from core.once import Once, once
from core.ports import Principal
from core.problems import Internal, Invalid, Problem, Unavailable
from core.routes import Routes
from core.settings import SettingsError
from declarations import Function, Route

Handler = Callable[["Call", Any], Awaitable[Response]]

PASSING_SECONDS = 10.0
"""How long a request waits for a workspace that moves (DESIGN, section 5); its fence lasts 5 at most."""
PASSING_PAUSE_SECONDS = 0.25
PASSING_MOST = 16
"""Requests of one workspace that wait so, in one process: one that is shut for long must not fill it with them."""


class Handlers(Protocol):
    """The module `functions/NAME/handlers.py`: `build`, and one coroutine function for each declared handler."""

    def build(self, tools: Tools) -> Any:
        """The service that every handler gets. Called once at cold start; connects to nothing."""
        ...


@dataclass(slots=True)
class Call:
    """One admitted request, as a handler sees it.

    `headers`: lower-case names, the last of several (the request's own look-up goes through all of them each time).
    `path` holds the parameters of the route.
    """

    request: Request
    headers: Mapping[str, str]
    route: Route
    path: Mapping[str, str]
    principal: Principal | None
    request_id: str
    _body: bytes | None = None

    @property
    def caller(self) -> Principal:
        """Who asks. Only an OPEN route has nobody."""
        assert self.principal is not None, "an OPEN route has no certain caller"
        return self.principal

    async def body(self) -> bytes:
        """The body as it was sent; read once.

        Raises:
            problems.TooLarge: it is larger than the route's `body_bytes`.
        """
        if self._body is None:
            self._body = await read_body(self.request, self.route.body_bytes)
        return self._body

    async def json(self) -> Any:
        """The body.

        Raises:
            problems.Invalid: it is not JSON in UTF-8, holds NaN or a lone surrogate, or nests too deep.
            problems.TooLarge: see `body`.
        """
        return parse_json(await self.body())

    async def once(self, now: datetime) -> Once | None:
        """What the request's `Idempotency-Key` asks for.

        Raises:
            problems.Invalid: it is malformed.
            problems.TooLarge: see `body`.
        """
        sent = self.headers.get("idempotency-key")
        if sent is None:
            return None
        request = (self.route.method.encode(), self.request.scope["path"].encode(), await self.body())
        return once(sent, self.caller.key_id or self.caller.account_id, request, now)

    def if_match(self) -> tuple[str, ...] | None:
        """See `conditions.if_match`."""
        return if_match(self.headers.get("if-match"))

    def reply(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        return Response(orjson.dumps(body), status, headers, media_type="application/json")

    def no_content(self) -> Response:
        return Response(status_code=204)


def serve(function: Function, handlers: Any, *, tools: Tools | None = None) -> Callable[[Request], Awaitable[Response]]:
    """Register `function` with functions-framework; its module-level name must be the function's name.

    Args:
        handlers: the module, see `Handlers`.
        tools: for tests; otherwise they are built from the environment, once, here.

    Raises:
        SystemExit: the environment lacks something; one log line says what.
    """
    return register(function, lambda: Pipeline(function, handlers, tools or _tools(function)))


def register(function: Function, make: Callable[[], Pipeline]) -> Callable[[Request], Awaitable[Response]]:
    """Have functions-framework answer by the pipeline that `make` makes, once, here. Raises SystemExit as `serve`."""
    logs.configure()
    try:
        pipeline = make()
    except SettingsError as error:
        logs.LOGGER.critical("The function %s cannot start. %s.", function.name, error)
        raise SystemExit(1) from None

    async def entry(request: Request) -> Response:
        return await pipeline.answer(request)

    entry.__name__ = entry.__qualname__ = function.name
    return cast(Callable[[Request], Awaitable[Response]], functions_framework.aio.http(entry))


@dataclass(slots=True)
class _Progress:
    """How far a request came: what its log line can say. `headers`: lower-case names; decoded once, read often."""

    headers: dict[str, str]
    spent: timing.Spent
    request_id: str = ""
    route: Route | None = None
    principal: Principal | None = None
    admitted: Admitted | None = None
    failure: BaseException | None = None


class Pipeline:
    def __init__(self, function: Function, handlers: Any, tools: Tools) -> None:
        self._tools = tools
        self._reporter = reporting.build(tools.settings, function.name)
        self._edge_secrets = tools.settings.edge_secret.reveal().split()
        self._routes = Routes(function.routes)
        self._handlers = find_handlers(function, handlers)
        self._service = handlers.build(tools)
        self._passing: Counter[str] = Counter()

    async def answer(self, request: Request) -> Response:
        """The answer to one request, whatever happens."""
        spent = timing.begin()
        progress = _Progress(
            {name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]}, spent
        )
        try:
            response = await self._run(request, progress)
        except Problem as problem:
            response = _refuse(problem, progress)
        except ClientDisconnect:
            response = _refuse(Invalid("The request ended before its body did."), progress)
        except Exception as error:
            progress.failure = error
            response = _refuse(Internal("Something went wrong on our side. Please try again."), progress)
        if progress.admitted is not None:
            response.raw_headers += self._tools.admission.headers(progress.admitted)
        response.raw_headers += (
            (b"x-request-id", progress.request_id.encode("latin-1")),
            (b"cache-control", b"no-store"),  # no cache on the way may give one caller's answer to another
            (b"server-timing", spent.header().encode()),
        )
        _log(request, response, progress, spent.total())
        if response.status_code == 500 and self._reporter is not None and progress.failure is not None:
            await self._reporter.tell(progress.failure, _tags(request, progress))
        return response

    async def _run(self, request: Request, progress: _Progress) -> Response:
        headers = progress.headers
        hop = edge.check(self._edge_secrets, request.method, _target(request), headers, time.time())
        progress.request_id = hop.request_id
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": self._routes.allowed(request.scope["path"])})
        route, path = self._routes.match(request.method, request.scope["path"])
        progress.route = route
        credentials = (headers.get("x-api-key"), headers.get("authorization"))
        workspace = headers.get("x-workspace")
        admission = self._tools.admission
        arrived = time.perf_counter()
        admitted = await admission.identify(*credentials, workspace=workspace, client=hop.client)
        if admitted is not None:
            progress.admitted, progress.principal = admitted, admitted.principal
        await admission.allow(admitted, route.access)
        progress.spent.admit = time.perf_counter() - arrived
        call = Call(request, headers, route, path, progress.principal, progress.request_id)
        handler = self._handlers[route.handler]
        try:
            return await handler(call, self._service)
        except Unavailable as problem:
            if not problem.stale_address:
                raise
            renew = partial(admission.renew, *credentials, route.access, workspace=workspace)
            passing = problem.passing and call.caller.suspended is None
            waits = passing and self._passing[call.caller.workspace_id] < PASSING_MOST
            with self._held(call.caller.workspace_id):
                return await self._again(problem, call, progress, renew, PASSING_SECONDS if waits else 0.0)

    @contextmanager
    def _held(self, workspace: str) -> Iterator[None]:
        self._passing[workspace] += 1
        try:
            yield
        finally:
            self._passing[workspace] -= 1
            if not self._passing[workspace]:
                del self._passing[workspace]

    async def _again(
        self,
        problem: Unavailable,
        call: Call,
        progress: _Progress,
        renew: Callable[[], Awaitable[Principal | None]],
        seconds: float,
    ) -> Response:
        """Handle a request again whose store refused its address: it moved, or its token was renewed. So nothing was
        done yet. While the store is moving, the request waits so long."""
        handler = self._handlers[call.route.handler]
        ends = time.monotonic() + seconds
        while True:
            renewed = await renew()
            if renewed is not None and renewed != call.principal:
                call.principal = progress.principal = renewed
            elif time.monotonic() >= ends:
                raise problem
            else:
                await asyncio.sleep(PASSING_PAUSE_SECONDS)
            try:
                return await handler(call, self._service)
            except Unavailable as again:
                if not again.passing or call.caller.suspended is not None or time.monotonic() >= ends:
                    raise
                problem = again


def _tools(function: Function) -> Tools:
    return bootstrap.build(function.settings.load(), instances=function.sizing.max_instances)


def find_handlers(function: Function, handlers: Any) -> dict[str, Handler]:
    """The coroutine function of each declared handler, by name. Raises TypeError: one is missing."""
    return {route.handler: _handler(function, handlers, route.handler) for route in function.routes}


def _handler(function: Function, handlers: Any, name: str) -> Handler:
    handler: Handler | None = getattr(handlers, name, None)
    if not inspect.iscoroutinefunction(handler):
        raise TypeError(f"functions/{function.name}/handlers.py must define `async def {name}(call, service)`")
    return handler


def _target(request: Request) -> str:
    """Path and query as they arrived, before any decoding."""
    raw: bytes = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    query: bytes = request.scope["query_string"]
    return (raw + b"?" + query if query else raw).decode("latin-1")


def _refuse(problem: Problem, progress: _Progress) -> Response:
    if problem.status >= 500 and progress.failure is None:
        progress.failure = problem
    progress.request_id = progress.request_id or uuid.uuid4().hex  # the edge did not vouch for one
    body = orjson.dumps(problems.render(problem, progress.request_id))
    return Response(body, problem.status, problem.headers, "application/problem+json")


def _tags(request: Request, progress: _Progress) -> dict[str, str | None]:
    route = progress.route.path if progress.route else None
    return {"method": request.method, "route": route, "request_id": progress.request_id}


def _log(request: Request, response: Response, progress: _Progress, seconds: float) -> None:
    principal = progress.principal
    fields = {
        "request_id": progress.request_id,
        "method": request.method,
        "route": progress.route.path if progress.route else None,
        "account": principal.account_id if principal else None,
        "workspace": principal.workspace_id if principal else None,
        "key": principal.key_id if principal else None,
        "part": getattr(progress.failure, "part", None),
        **logs.trace_fields(progress.headers.get("x-cloud-trace-context", "")),
    }
    logs.request_line(response.status_code, seconds, fields, progress.failure)
