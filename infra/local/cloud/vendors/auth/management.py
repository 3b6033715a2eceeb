"""The part of Supabase's Management API that is about Auth, below /v1/projects/{ref}.

GET/PATCH config/auth; GET/POST config/auth/signing-keys, POST .../legacy, GET/PATCH/DELETE .../{id}; GET/POST api-keys,
GET/DELETE api-keys/{id}, with `?reveal=true` for secret ones. Unlike Supabase, a misspelt setting is 400.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud import web
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth import apikeys, settings, signing


class Configurations(Protocol):
    """Where the projects are kept."""

    def configuration(self, ref: str) -> Json:
        """See `project.new_configuration`. Raises NotFound."""

    def configure(self, ref: str, change: Callable[[Json], None]) -> None:
        """Change it as one step; nothing is changed when `change` raises. Raises NotFound."""


class Management:
    """Handlers over `projects`."""

    def __init__(self, projects: Configurations) -> None:
        self._projects = projects

    def routes(self) -> list[tuple[str, str, web.Handler]]:
        project = "/v1/projects/{ref}"
        auth, keys = f"{project}/config/auth", f"{project}/config/auth/signing-keys"
        return [
            ("GET", auth, self._read_settings),
            ("PATCH", auth, self._change_settings),
            ("GET", keys, self._list_signing_keys),
            ("POST", keys, self._create_signing_key),
            ("POST", f"{keys}/legacy", self._create_legacy_key),
            ("GET", f"{keys}/{{id}}", self._read_signing_key),
            ("PATCH", f"{keys}/{{id}}", self._change_signing_key),
            ("DELETE", f"{keys}/{{id}}", self._delete_signing_key),
            ("GET", f"{project}/api-keys", self._list_api_keys),
            ("POST", f"{project}/api-keys", self._create_api_key),
            ("GET", f"{project}/api-keys/{{id}}", self._read_api_key),
            ("DELETE", f"{project}/api-keys/{{id}}", self._delete_api_key),
        ]

    async def _read_settings(self, request: Request) -> Response:
        return JSONResponse(settings.shown(self._found(request)["settings"]))

    async def _change_settings(self, request: Request) -> Response:
        asked = settings.check(await web.body(request))

        def change(found: Json) -> None:
            merged = {**found["settings"], **asked}
            found["settings"] = {name: value for name, value in merged.items() if value is not None}

        await self._change(request, change)
        return JSONResponse(settings.shown(self._found(request)["settings"]))

    async def _list_signing_keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [signing.shown(key) for key in self._found(request)["signing_keys"]]})

    async def _create_signing_key(self, request: Request) -> Response:
        asked = await web.body(request)
        return await self._with_signing_keys(request, lambda keys: signing.add(keys, asked), 201)

    async def _create_legacy_key(self, request: Request) -> Response:
        return await self._with_signing_keys(request, signing.add_legacy, 201)

    async def _read_signing_key(self, request: Request) -> Response:
        found = signing.find(self._found(request)["signing_keys"], request.path_params["id"])
        return JSONResponse(signing.shown(found))

    async def _change_signing_key(self, request: Request) -> Response:
        id_, asked = request.path_params["id"], await web.body(request)
        return await self._with_signing_keys(request, lambda keys: signing.move(keys, id_, asked.get("status")))

    async def _delete_signing_key(self, request: Request) -> Response:
        id_ = request.path_params["id"]
        return await self._with_signing_keys(request, lambda keys: signing.remove(keys, id_))

    async def _with_signing_keys(
        self, request: Request, work: Callable[[list[Json]], Json], status: int = 200
    ) -> Response:
        made: list[Json] = []
        await self._change(request, lambda found: made.append(work(found["signing_keys"])))
        return JSONResponse(signing.shown(made[0]), status)

    async def _list_api_keys(self, request: Request) -> Response:
        keys = self._found(request)["api_keys"]
        return JSONResponse([apikeys.shown(key, reveal=_reveals(request)) for key in keys])

    async def _create_api_key(self, request: Request) -> Response:
        asked, made = await web.body(request), []
        await self._change(request, lambda found: made.append(apikeys.add(found["api_keys"], asked)))
        return JSONResponse(apikeys.shown(made[0], reveal=_reveals(request)), 201)

    async def _read_api_key(self, request: Request) -> Response:
        key = apikeys.find(self._found(request)["api_keys"], request.path_params["id"])
        return JSONResponse(apikeys.shown(key, reveal=_reveals(request)))

    async def _delete_api_key(self, request: Request) -> Response:
        key = apikeys.find(self._found(request)["api_keys"], request.path_params["id"])
        await self._change(request, lambda found: found["api_keys"].remove(key))
        return JSONResponse(apikeys.shown(key, reveal=False))

    def _found(self, request: Request) -> Json:
        return self._projects.configuration(request.path_params["ref"])

    async def _change(self, request: Request, change: Callable[[Json], None]) -> None:
        await asyncio.to_thread(self._projects.configure, request.path_params["ref"], change)


def _reveals(request: Request) -> bool:
    return request.query_params.get("reveal") == "true"
