"""Using up a one-time token: GET /verify is the link in a mail, POST /verify is for a page that took code or hash.

The link answers with a redirect: session in the fragment, or `?code=` where the flow began with PKCE.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from infra.local.cloud.vendors.auth import reading, redirects, signup, users
from infra.local.cloud.vendors.auth.account import TAKEN
from infra.local.cloud.vendors.auth.database import Row
from infra.local.cloud.vendors.auth.errors import AuthError, redirected
from infra.local.cloud.vendors.auth.mails import PKCE_PREFIX, hash_of
from infra.local.cloud.vendors.auth.project import Project

KINDS = {
    "signup": (users.CONFIRMATION,),
    "invite": (users.CONFIRMATION,),
    "email": (users.CONFIRMATION, users.RECOVERY),
    "recovery": (users.RECOVERY,),
    "magiclink": (users.RECOVERY,),
    "email_change": (users.CHANGE_CURRENT, users.CHANGE_NEW),
}
"""The type that a request names -> the tokens that it may use up."""
METHODS = {
    users.CONFIRMATION: signup.SIGNUP,
    users.RECOVERY: signup.RECOVERY,
    users.CHANGE_NEW: signup.EMAIL_CHANGE,
    users.CHANGE_CURRENT: signup.EMAIL_CHANGE,
}
HALF_WAY = "Confirmation link accepted. Please proceed to confirm link sent to the other email"


@dataclass(frozen=True)
class Used:
    """Whose token it was, and which; `complete` is False when the other address is yet to confirm."""

    user: Row
    kind: str
    complete: bool = True


async def open_link(project: Project, request: Request) -> Response:
    type_, token = request.query_params.get("type", ""), request.query_params.get("token", "")
    if not type_:
        raise AuthError(400, "validation_failed", "Verify requires a verification type")
    if not token:
        raise AuthError(400, "validation_failed", "Verify requires a token or a token hash")
    settings = project.settings
    back, pkce = redirects.target(request, settings), token.startswith(PKCE_PREFIX)
    try:
        used = _use(project, _by_hash(project, type_, token))
        if not used.complete:
            parameters = {"message": HALF_WAY}
        elif pkce:
            code = project.flows.code_for(used.user["id"], METHODS[used.kind])
            return RedirectResponse(redirects.with_query(back, {"code": code}), 303)
        else:
            answer = project.sessions.begin(used.user, "otp", settings)
            names = ("access_token", "token_type", "expires_in", "expires_at", "refresh_token")
            parameters = {**{name: str(answer[name]) for name in names}, "type": type_}
    except AuthError as error:
        parameters = redirected(error)
    if pkce:
        back = redirects.with_query(back, parameters)
    return RedirectResponse(redirects.with_fragment(back, parameters), 303)


async def verify(project: Project, request: Request) -> Response:
    asked = await reading.body(request)
    type_, code, hash_ = (reading.text(asked, name) for name in ("type", "token", "token_hash"))
    email = reading.text(asked, "email")
    if not type_:
        raise AuthError(400, "validation_failed", "Verify requires a verification type")
    if bool(code) == bool(hash_):
        raise AuthError(400, "validation_failed", "Verify requires either a token or a token hash")
    if hash_ and email:
        raise AuthError(400, "validation_failed", "Only the token_hash and type should be provided")
    if code and not email:
        message = "Only an email address or phone number should be provided on verify"
        raise AuthError(400, "validation_failed", message)
    token = _by_hash(project, type_, hash_) if hash_ else _by_code(project, type_, reading.address(email), code)
    used = _use(project, token)
    if not used.complete:
        return JSONResponse({"msg": HALF_WAY, "code": "200"})
    return JSONResponse(project.sessions.begin(used.user, "otp", project.settings))


def _by_hash(project: Project, type_: str, hash_: str) -> Row:
    token = project.users.token(_kinds(type_), hash_)
    if token is None or _over(project, token):
        raise AuthError(403, "otp_expired", "Email link is invalid or has expired")
    return token


def _by_code(project: Project, type_: str, email: str, code: str) -> Row:
    hash_ = hash_of(email, code)
    for candidate in (hash_, PKCE_PREFIX + hash_):
        token = project.users.token(_kinds(type_), candidate)
        if token is not None and not _over(project, token):
            return token
    raise AuthError(403, "otp_expired", "Token has expired or is invalid")


def _kinds(type_: str) -> tuple[str, ...]:
    if type_ not in KINDS:
        raise AuthError(400, "validation_failed", "Invalid email verification type")
    return KINDS[type_]


def _over(project: Project, token: Row) -> bool:
    return bool(project.users.clock() > token["sent_at"] + project.settings["mailer_otp_exp"])


def _use(project: Project, token: Row) -> Used:
    user, kind = project.users.by_id(token["user_id"]), str(token["kind"])
    assert user is not None  # its tokens go with it
    if project.users.is_banned(user):
        raise AuthError(403, "user_banned", "User is banned")
    with project.database.change():
        if kind in (users.CHANGE_CURRENT, users.CHANGE_NEW):
            return _change_address(project, user, kind)
        if kind == users.RECOVERY:
            project.users.drop_token(user, users.RECOVERY)
        if kind == users.CONFIRMATION or user["email_confirmed_at"] is None:
            user = project.users.confirm(user)
    return Used(project.users.reload(user), kind)


def _change_address(project: Project, user: Row, kind: str) -> Used:
    secure = project.settings["mailer_secure_email_change_enabled"]
    if secure and user["email"] and not user["email_change_confirmed"]:
        project.users.drop_token(user, kind)
        return Used(project.users.set(user, email_change_confirmed=1), kind, complete=False)
    new = user["email_change"]
    if project.users.by_email(new) is not None:  # somebody was faster
        raise AuthError(422, "email_exists", TAKEN)
    user = project.users.set(user, email=new, email_change="", email_change_confirmed=0)
    user = project.users.email_identity(user, verified=True)
    return Used(project.users.merge(project.users.confirm(user), "user_metadata", {"email": new}), kind)
