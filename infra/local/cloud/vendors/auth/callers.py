"""Who calls: the API key that Supabase's gateway asks of every caller, and the user or administrator behind a token."""

from __future__ import annotations

import re
from dataclasses import dataclass

import jwt
from starlette.requests import Request

from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth.apikeys import SECRET
from infra.local.cloud.vendors.auth.database import Row
from infra.local.cloud.vendors.auth.errors import AuthError, GatewayError
from infra.local.cloud.vendors.auth.project import Project

BEARER = re.compile(r"[Bb]earer (.+)")
BROWSER = re.compile(r"Mozilla/")


@dataclass(frozen=True)
class Caller:
    """A signed-in user and the session of the token."""

    user: Row
    session: Row | None


def check_key(project: Project, request: Request) -> str:
    """The kind of the API key that came along.

    Raises:
        GatewayError: none came, or it is not one of this project, or a browser uses a secret one.
    """
    sent = request.headers.get("apikey") or request.query_params.get("apikey", "")
    if not sent:
        hint = "No `apikey` request header or url param was found."
        raise GatewayError("No API key found in request", hint)
    kind = project.key_kind(sent)
    if kind is None:
        hint = "Double check the provided API key as it is not registered for this project."
        raise GatewayError("Unregistered API key", hint)
    if kind == SECRET and BROWSER.search(request.headers.get("user-agent", "")):
        hint = "Secret API keys can only be used in a protected environment and should never be used in a browser."
        raise GatewayError("Forbidden use of secret API key in browser", hint)
    return kind


def identify(project: Project, request: Request) -> Caller:
    """The user whose access token came as the Bearer token.

    Raises:
        AuthError: 401 without one; 403 for a bad one, a user or a session that is gone, a banned user.
    """
    token = _bearer(request)
    if not token:
        raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    claims = _claims(project, token)
    if not claims.get("sub"):
        raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
    user = project.users.by_id(str(claims["sub"]))
    if user is None:
        raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
    session = project.sessions.find(str(claims.get("session_id")))
    if session is None:
        raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
    if project.users.is_banned(user):
        raise AuthError(403, "user_banned", "User is banned")
    return Caller(user, session)


def check_admin(project: Project, request: Request) -> None:
    """Let a caller with the secret key pass.

    Raises:
        AuthError: it has another key, or a user's token.
    """
    token = _bearer(request)
    if not token:  # the gateway makes the API key the token then
        token = request.headers.get("apikey") or request.query_params.get("apikey", "")
    if project.key_kind(token) == SECRET:
        return
    if project.key_kind(token) is None:
        _claims(project, token)
    raise AuthError(403, "not_admin", "User not allowed")


def _claims(project: Project, token: str) -> Json:
    if project.key_kind(token) is not None:
        return {}  # the gateway turns an API key into a token of a role, which has no user
    try:
        return project.verify(token)
    except jwt.PyJWTError as error:
        message = f"invalid JWT: unable to parse or verify signature, {error}"
        raise AuthError(403, "bad_jwt", message) from None


def _bearer(request: Request) -> str:
    match = BEARER.fullmatch(request.headers.get("authorization", ""))
    return match[1] if match else ""
