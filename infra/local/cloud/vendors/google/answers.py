"""Google's manner of answering: errors as `{"error": {"code", "message", "status"}}`, callers known by their token."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.local.cloud.errors import CloudError
from infra.local.cloud.vendors.google.identities import Identities

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ALREADY_EXISTS",
    500: "INTERNAL",
}
log = logging.getLogger(__name__)
Handler = Callable[[Request], Awaitable[Response]]


class Failed(Exception):
    """An error of an API. `status` is Google's canonical name, by default the one of `code`."""

    def __init__(self, code: int, message: str, status: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.status = status or STATUSES[code]


def lacks(permission: str, resource: str, hint: str) -> Failed:
    """Google's refusal of a caller without a right, and what to declare."""
    return Failed(
        403,
        f'The principal (user or service account) lacks IAM permission "{permission}" for the resource "{resource}" '
        f"(or the resource may not exist). {hint}",
    )


async def caller(request: Request, identities: Identities) -> str:
    """The email of the account whose access token was sent.

    Raises:
        Failed: 401; there is no token, or it is none of ours, or has expired.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    email = await asyncio.to_thread(identities.account_of, token) if scheme.lower() == "bearer" else None
    if email is None:
        raise Failed(
            401,
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
            "valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
        )
    return email


def application(routes: Sequence[tuple[str, str, Handler]]) -> Starlette:
    """An app of (method, path, handler)."""
    return Starlette(
        routes=[Route(path, handler, methods=[method]) for method, path, handler in routes],
        exception_handlers={Failed: _failed, HTTPException: _refused, CloudError: _cloud, Exception: _fault},
    )


def _answer(code: int, message: str, status: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message, "status": status}}, code)


async def _failed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Failed)
    return _answer(error.code, str(error), error.status)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(error.status_code, error.detail, STATUSES.get(error.status_code, "UNKNOWN"))


async def _cloud(_request: Request, error: Exception) -> Response:
    return _answer(400, str(error), "FAILED_PRECONDITION")


async def _fault(request: Request, error: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(500, "Internal error encountered.", "INTERNAL")
