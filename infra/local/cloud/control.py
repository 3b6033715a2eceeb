"""The control API of the daemon, for the commands around it: status, addresses, stop."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud import web
from infra.local.cloud.cloud import Cloud
from infra.local.cloud.runtime import worker


class Control:
    """GET /status, GET /addresses, POST /stop; errors are `{"error"}`."""

    def __init__(self, cloud: Cloud, addresses: dict[str, str], stop: Callable[[], None]) -> None:
        self._cloud = cloud
        self._addresses = addresses
        self._stop = stop

    def application(self, token: str) -> Starlette:
        routes: list[tuple[str, str, web.Handler]] = [
            ("GET", "/status", self._status),
            ("GET", "/addresses", self._read_addresses),
            ("POST", "/stop", self._stop_all),
        ]
        return web.application(routes, token, lambda message: {"error": message})

    async def _status(self, _request: Request) -> Response:
        parts = await self._cloud.supervisor.statuses()
        return JSONResponse({"parts": parts, "resources": self._cloud.store.count()})

    async def _read_addresses(self, _request: Request) -> Response:
        return JSONResponse({"edge_url": worker.edge_url(self._cloud), **self._addresses})

    async def _stop_all(self, _request: Request) -> Response:
        self._stop()
        return JSONResponse({"stopping": True}, 202)
