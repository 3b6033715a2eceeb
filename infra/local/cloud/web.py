"""Small HTTP services inside the daemon's loop: the control API and the vendors' management APIs."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.local.cloud import peers
from infra.local.cloud.errors import AlreadyExists, CloudError, NotFound
from infra.local.cloud.provider.wire import Json

log = logging.getLogger(__name__)
Shape = Callable[[str], Json]
Handler = Callable[[Request], Awaitable[Response]]


class Bearer:
    """Middleware: 401 without the right `Authorization: Bearer`, or from another user of this machine."""

    def __init__(self, app: ASGIApp, token: str, shape: Shape) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()
        self._shape = shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = dict(scope.get("headers", ())).get(b"authorization", b"")
        known = hmac.compare_digest(sent, self._expected) and _is_ours(scope)
        if scope["type"] == "http" and not known:
            await JSONResponse(self._shape("Unauthorized"), 401)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class OwnUser:
    """Middleware: 403 for another user of this machine, as at the vendors' other APIs, where callers need no token."""

    def __init__(self, app: ASGIApp, shape: Shape) -> None:
        self._app = app
        self._shape = shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_ours(scope):
            await JSONResponse(self._shape(peers.REFUSAL), 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_ours(scope: Scope) -> bool:
    client, server = scope.get("client"), scope.get("server")
    return not client or not server or peers.allowed(client[1], server[1])


def application(routes: Sequence[tuple[str, str, Handler]], token: str, shape: Shape) -> Starlette:
    """An app of (method, path, handler). `shape` makes the vendor's error body from a message."""

    def answer(status: int) -> Callable[[Request, Exception], Response]:
        def render(request: Request, error: Exception) -> Response:
            if status == 500:
                log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
            message = error.detail if isinstance(error, HTTPException) else str(error)
            code = error.status_code if isinstance(error, HTTPException) else status
            return JSONResponse(shape(message), code)

        return render

    return Starlette(
        routes=[Route(path, handler, methods=[method]) for method, path, handler in routes],
        middleware=[Middleware(Bearer, token=token, shape=shape)],
        exception_handlers={
            HTTPException: answer(500),
            NotFound: answer(404),
            AlreadyExists: answer(409),
            CloudError: answer(400),
            Exception: answer(500),
        },
    )


async def body(request: Request) -> Json:
    """The JSON object of a request; an empty body is an empty object.

    Raises:
        CloudError: it is something else.
    """
    raw = await request.body()
    if not raw:
        return {}
    try:
        value = await request.json()
    except ValueError:
        raise CloudError("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise CloudError("The body must be a JSON object.")
    return value


class Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


Service = tuple[Server, asyncio.Task[None]]


class Services:
    """The running HTTP services; stopped together, or one by one."""

    def __init__(self) -> None:
        self._running: list[Service] = []

    def serve(self, app: ASGIApp, sock: socket.socket) -> Service:
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=2, server_header=False
        )
        server = Server(config)
        service = server, asyncio.create_task(server.serve(sockets=[sock]))
        self._running.append(service)
        return service

    async def end(self, service: Service) -> None:
        """Stop one service; its port is free afterwards."""
        self._running.remove(service)
        server, task = service
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)

    async def stop(self) -> None:
        for server, _ in self._running:
            server.should_exit = True
        await asyncio.gather(*(task for _, task in self._running), return_exceptions=True)
