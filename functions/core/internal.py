"""`serve_internal`: a function that only Google calls, its queue and its scheduler.

    match -> prove the caller -> handler -> render

The platform's IAM keeps everybody else away; the OIDC token is verified here too, so that a grant that was given by
mistake opens nothing. There is no edge, no key and no limit. Answers, problems and log lines are those of `core.http`.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from core import reporting
from core.http import Call, Pipeline, find_handlers, register
from core.routes import Routes
from declarations import Access, Function


class CallerVerifier(Protocol):
    """Proves who calls; `core.oidc.OidcVerifier` is one."""

    async def verify(self, authorization: str | None) -> object:
        """Nothing of interest, when the header holds a token of the expected caller.

        Raises:
            problems.Unauthorized: it does not.
            problems.Unavailable: the issuer's keys are not known and cannot be had.
        """
        ...


class InternalHandlers(Protocol):
    """The module `functions/NAME/handlers.py`: one coroutine function for each declared handler, and these."""

    def build(self, settings: Any) -> Any:
        """The service that every handler gets. Called once at cold start; connects to nothing."""
        ...

    def callers(self, settings: Any) -> CallerVerifier: ...


def serve_internal(function: Function, handlers: Any) -> Callable[[Request], Awaitable[Response]]:
    """Register `function` with functions-framework; its module-level name must be the function's name.

    Args:
        handlers: the module, see `InternalHandlers`.

    Raises:
        SystemExit: the environment lacks something; one log line says what.
    """

    def make() -> InternalPipeline:
        settings = function.settings.load()
        reporter = reporting.build(settings, function.name)
        return InternalPipeline(function, handlers, handlers.build(settings), handlers.callers(settings), reporter)

    return register(function, make)


class InternalPipeline(Pipeline):
    """`core.http.Pipeline` for callers that have no key. An OPEN route needs no proof."""

    def __init__(
        self,
        function: Function,
        handlers: Any,
        service: Any,
        callers: CallerVerifier,
        reporter: reporting.Reporter | None = None,
    ) -> None:
        self._reporter = reporter
        self._routes = Routes(function.routes)
        self._handlers = find_handlers(function, handlers)
        self._service = service
        self._callers = callers

    async def _run(self, request: Request, progress: Any) -> Response:
        progress.request_id = uuid.uuid4().hex
        route, path = self._routes.match(request.method, request.scope["path"])
        progress.route = route
        if route.access is not Access.OPEN:
            await self._callers.verify(progress.headers.get("authorization"))
        call = Call(request, progress.headers, route, path, None, progress.request_id)
        return await self._handlers[route.handler](call, self._service)
