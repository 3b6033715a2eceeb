"""The signed-in user: GET /user, PUT /user (password, e-mail, data)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud.vendors.auth import letters, passwords, reading, redirects, signup
from infra.local.cloud.vendors.auth.callers import Caller, identify
from infra.local.cloud.vendors.auth.database import Row
from infra.local.cloud.vendors.auth.errors import AuthError
from infra.local.cloud.vendors.auth.flows import challenge
from infra.local.cloud.vendors.auth.project import Project
from infra.local.cloud.vendors.auth.users import EMAIL

TAKEN = "A user with this email address has already been registered"
RECENT_SECONDS = 24 * 3600


async def read(project: Project, request: Request) -> Response:
    return JSONResponse(project.users.shown(identify(project, request).user))


async def update(project: Project, request: Request) -> Response:
    caller, asked, settings = identify(project, request), await reading.body(request), project.settings
    user = caller.user
    email = reading.text(asked, "email") and reading.address(reading.text(asked, "email"))
    password, data = reading.text(asked, "password"), reading.mapping(asked, "data")
    pkce = challenge(asked)
    if "app_metadata" in asked:
        raise AuthError(403, "not_admin", "Updating app_metadata requires admin privileges")
    if password:
        passwords.check(password, settings)
    if email and email != user["email"] and project.users.by_email(email) is not None:
        raise AuthError(422, "email_exists", TAKEN)
    if password:
        user = await _set_password(project, caller, password)
    if data is not None:
        user = project.users.merge(user, "user_metadata", data)
    if email and email != user["email"]:
        if pkce[0]:
            project.flows.begin(pkce, provider=EMAIL, method=signup.EMAIL_CHANGE, user_id=user["id"])
        redirect = redirects.target(request, settings)
        user = await letters.send_change(project, user, email, redirect, pkce=bool(pkce[0]))
    return JSONResponse(project.users.shown(user))


async def _set_password(project: Project, caller: Caller, password: str) -> Row:
    """Every other session ends: whoever has one may be why the password is changed."""
    user, session = caller.user, caller.session
    wants_code = project.settings["security_update_password_require_reauthentication"]
    if wants_code and (session is None or project.users.clock() > session["created_at"] + RECENT_SECONDS):
        raise AuthError(400, "reauthentication_needed", "Password update requires reauthentication")
    if await passwords.matches(password, user["password"]):
        raise AuthError(422, "same_password", "New password should be different from the old password.")
    hash_ = await passwords.hashed(password)
    with project.database.change():
        project.users.clear_tokens(user)
        project.sessions.end(user, session, "others")
        user = project.users.set(
            user, password=hash_, confirmation_sent_at=None, recovery_sent_at=None, email_change_sent_at=None
        )
        if user["email"] and project.users.identity(EMAIL, user["id"]) is None:
            user = project.users.email_identity(user, verified=user["email_confirmed_at"] is not None)
    return user
