"""Failures as Supabase Auth tells them, in the three shapes that its clients know.

Without the header `X-Supabase-Api-Version: 2024-01-01`, `{code, error_code, msg}` with the status in `code`; with it,
`{code, message}` with the word in `code`. OAuth's own, `{error, error_description}`, are the same in both.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud.provider.wire import Json

VERSION_HEADER = "X-Supabase-Api-Version"
VERSION = "2024-01-01"
OAUTH_WORDS = {
    400: "invalid_request",
    401: "unauthorized_client",
    403: "access_denied",
    500: "server_error",
    503: "temporarily_unavailable",
}


class AuthError(Exception):
    """One refusal: HTTP status, the vendor's word for it, a sentence."""

    def __init__(self, status: int, code: str, message: str, *, reasons: list[str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.reasons = reasons


class OAuthError(Exception):
    """A refusal in OAuth's shape; 400."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error, self.description = error, description


class GatewayError(Exception):
    """What stands before Auth at Supabase refused: the API key is missing or wrong; 401."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def weak_password(reasons: list[str], message: str) -> AuthError:
    return AuthError(422, "weak_password", message, reasons=reasons)


def render(request: Request, error: Exception) -> Response:
    """The answer to a request that failed."""
    if isinstance(error, GatewayError):
        return JSONResponse({"message": error.message, "hint": error.hint}, 401)
    if isinstance(error, OAuthError):
        return JSONResponse({"error": error.error, "error_description": error.description}, 400)
    assert isinstance(error, AuthError)
    headers = {"x-sb-error-code": error.code}
    if request.headers.get(VERSION_HEADER, "") >= VERSION:
        body: Json = {"code": error.code, "message": error.message}
        headers[VERSION_HEADER] = VERSION
    else:
        body = {"code": error.status, "error_code": error.code, "msg": error.message}
    if error.reasons:
        body["weak_password"] = {"reasons": error.reasons}
    return JSONResponse(body, error.status, headers)


def redirected(error: AuthError | OAuthError) -> dict[str, str]:
    """The parameters that tell a web page, after a redirect, what went wrong."""
    if isinstance(error, OAuthError):
        return {"error": error.error, "error_description": error.description}
    word = OAUTH_WORDS.get(error.status)
    return {**({"error": word} if word else {}), "error_code": error.code, "error_description": error.message}
