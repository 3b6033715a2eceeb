"""A stand-in of the metadata server, from which code on Google Cloud gets its project and the tokens of its identity.

On Google's machines it is one address that answers each instance differently. Here every identity has a path of its
own that nobody can guess (`Identities.environment`), under which the server's usual paths lie.

Left out: scopes, other instance and project attributes, `?recursive`, waiting for changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from infra.local.cloud.cloud import PROJECT, PROJECT_NUMBER
from infra.local.cloud.vendors.google.identities import TOKEN_SECONDS, Identities

FLAVOR = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class Metadata:
    """GET /{identity}/computeMetadata/v1/...; every answer and every request bears `Metadata-Flavor: Google`."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    def application(self) -> Starlette:
        return Starlette(routes=[Route("/{identity}", self._root), Route("/{identity}/{path:path}", self._read)])

    async def _root(self, request: Request) -> Response:
        known = await self._account(request)
        return _text("computeMetadata/\n") if known else _missing()

    async def _read(self, request: Request) -> Response:
        email = await self._account(request)
        if email is None:
            return _missing()
        if request.headers.get("metadata-flavor") != "Google" or "x-forwarded-for" in request.headers:
            return PlainTextResponse("Missing Metadata-Flavor:Google header.\n", 403, FLAVOR)
        path = request.path_params["path"].strip("/")
        answers: dict[str, Callable[[], Response]] = {
            "": lambda: _text("computeMetadata/\n"),
            "computeMetadata/v1": lambda: _text("instance/\nproject/\n"),
            "computeMetadata/v1/project/project-id": lambda: _text(PROJECT),
            "computeMetadata/v1/project/numeric-project-id": lambda: _text(str(PROJECT_NUMBER)),
        }
        for alias in ("default", email):
            account = f"computeMetadata/v1/instance/service-accounts/{alias}"
            answers[account] = lambda: self._described(email)
            answers[f"{account}/email"] = lambda: _text(email)
            answers[f"{account}/token"] = lambda: self._token(email)
            answers[f"{account}/identity"] = lambda: self._identity(email, request.query_params.get("audience", ""))
        answer = answers.get(path)
        return await asyncio.to_thread(answer) if answer is not None else _missing()

    async def _account(self, request: Request) -> str | None:
        return await asyncio.to_thread(self._identities.account_at, request.path_params["identity"])

    def _described(self, email: str) -> Response:
        return JSONResponse({"aliases": ["default"], "email": email, "scopes": [SCOPE]}, headers=FLAVOR)

    def _token(self, email: str) -> Response:
        if not self._identities.exists(email):
            return _missing()
        token = self._identities.access_token(email)
        body = {"access_token": token, "expires_in": TOKEN_SECONDS - 1, "token_type": "Bearer"}
        return JSONResponse(body, headers=FLAVOR)

    def _identity(self, email: str, audience: str) -> Response:
        if not audience:
            return PlainTextResponse("non-empty audience parameter required\n", 400, FLAVOR)
        if not self._identities.exists(email):
            return _missing()
        return _text(self._identities.identity_token(email, audience))


def _text(text: str) -> Response:
    return PlainTextResponse(text, headers={**FLAVOR, "Content-Type": "application/text"})


def _missing() -> Response:
    return PlainTextResponse("Not Found\n", 404, FLAVOR)
