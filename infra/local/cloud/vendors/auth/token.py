"""Sessions for credentials: /token with the grants `password`, `refresh_token` and `pkce`; and /logout."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud.vendors.auth import passwords, reading
from infra.local.cloud.vendors.auth.callers import identify
from infra.local.cloud.vendors.auth.errors import AuthError
from infra.local.cloud.vendors.auth.project import Project
from infra.local.cloud.vendors.auth.sessions import TOKEN_LENGTH

SCOPES = ("global", "local", "others")


async def grant(project: Project, request: Request) -> Response:
    kind = request.query_params.get("grant_type", "")
    if kind == "password":
        return await _by_password(project, request)
    if kind == "refresh_token":
        return await _by_refresh_token(project, request)
    if kind == "pkce":
        return await _by_code(project, request)
    raise AuthError(400, "invalid_credentials", "unsupported_grant_type")


async def _by_password(project: Project, request: Request) -> Response:
    asked, settings = await reading.body(request), project.settings
    email, password = reading.text(asked, "email"), reading.text(asked, "password")
    if reading.text(asked, "phone"):
        raise AuthError(422, "phone_provider_disabled", "Phone logins are disabled")
    if not email:
        raise AuthError(400, "validation_failed", "missing email or phone")
    if not settings["external_email_enabled"]:
        raise AuthError(422, "email_provider_disabled", "Email logins are disabled")
    user = project.users.by_email(email.lower())
    if user is None or user["password"] is None:
        raise _wrong()
    if project.users.is_banned(user):
        raise AuthError(400, "user_banned", "User is banned")
    if not await passwords.matches(password, user["password"]):
        raise _wrong()
    user = project.users.by_id(user["id"])  # it may have been deleted while the password was looked at
    if user is None:
        raise _wrong()
    if user["email_confirmed_at"] is None:
        raise AuthError(400, "email_not_confirmed", "Email not confirmed")
    answer = project.sessions.begin(user, "password", settings)
    try:
        passwords.check(password, settings)
    except AuthError as error:  # it was good enough once; the client may ask for a better one
        answer["weak_password"] = {"message": error.message, "reasons": error.reasons}
    return JSONResponse(answer)


async def _by_refresh_token(project: Project, request: Request) -> Response:
    token = reading.text(await reading.body(request), "refresh_token")
    if len(token) < TOKEN_LENGTH:
        raise AuthError(400, "validation_failed", "Refresh token is not valid")
    return JSONResponse(project.sessions.refresh(token, project.settings))


async def _by_code(project: Project, request: Request) -> Response:
    asked = await reading.body(request)
    code, verifier = reading.text(asked, "auth_code"), reading.text(asked, "code_verifier")
    if not code or not verifier:
        message = "invalid request: both auth code and code verifier should be non-empty"
        raise AuthError(400, "validation_failed", message)
    flow = project.flows.take(code, verifier)
    user = project.users.by_id(flow["user_id"])
    assert user is not None  # its flows go with it
    answer = project.sessions.begin(user, flow["method"], project.settings)
    if flow["method"] == "oauth":
        answer["provider_token"] = "local-stand-in"  # noqa: S105  nobody's token: there is no provider behind it
    return JSONResponse(answer)


async def log_out(project: Project, request: Request) -> Response:
    caller = identify(project, request)
    scope = request.query_params.get("scope") or "global"
    if scope not in SCOPES:
        raise AuthError(400, "validation_failed", f'Unsupported logout scope "{scope}"')
    project.sessions.end(caller.user, caller.session, scope)
    return Response(status_code=204)


def _wrong() -> AuthError:
    return AuthError(400, "invalid_credentials", "Invalid login credentials")
