"""The control API of the daemon, for the commands around it: status, addresses, mails, firing scheduled jobs, stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud import web
from infra.local.cloud.cloud import Cloud
from infra.local.cloud.runtime import worker
from infra.local.cloud.vendors.google.scheduler import Scheduler
from infra.local.cloud.vendors.mail import Mail


class Control:
    """GET /status, GET /addresses, POST /v1/{job}:run, POST /stop; errors are `{"error"}`.

    A job is named as at Google: projects/P/locations/L/jobs/NAME. Mails: GET /mail tells how to send, GET
    /mail/messages (`?to=ADDRESS`) what was sent, DELETE /mail/messages throws it away.
    """

    def __init__(
        self, cloud: Cloud, addresses: dict[str, str], scheduler: Scheduler, mail: Mail, stop: Callable[[], None]
    ) -> None:
        self._cloud = cloud
        self._addresses = addresses
        self._scheduler = scheduler
        self._mail = mail
        self._stop = stop

    def application(self, token: str) -> Starlette:
        routes: list[tuple[str, str, web.Handler]] = [
            ("GET", "/status", self._status),
            ("GET", "/addresses", self._read_addresses),
            ("POST", "/v1/{job:path}:run", self._run_job),
            ("GET", "/mail", self._read_mail),
            ("GET", "/mail/messages", self._list_messages),
            ("DELETE", "/mail/messages", self._clear_messages),
            ("POST", "/stop", self._stop_all),
        ]
        return web.application(routes, token, lambda message: {"error": message})

    async def _status(self, _request: Request) -> Response:
        parts = await self._cloud.supervisor.statuses()
        return JSONResponse({"parts": parts, "resources": self._cloud.store.count()})

    async def _read_addresses(self, _request: Request) -> Response:
        smtp = {f"smtp_{name}": str(value) for name, value in self._mail.access().items()}
        return JSONResponse({"edge_url": worker.edge_url(self._cloud), **self._addresses, **smtp})

    async def _run_job(self, request: Request) -> Response:
        return JSONResponse(self._scheduler.run(request.path_params["job"]))

    async def _read_mail(self, _request: Request) -> Response:
        return JSONResponse(self._mail.access())

    async def _list_messages(self, request: Request) -> Response:
        messages = await asyncio.to_thread(self._mail.box.messages, request.query_params.get("to", ""))
        return JSONResponse({"messages": messages})

    async def _clear_messages(self, _request: Request) -> Response:
        await asyncio.to_thread(self._mail.box.clear)
        return Response(status_code=204)

    async def _stop_all(self, _request: Request) -> Response:
        self._stop()
        return JSONResponse({"stopping": True}, 202)
