"""Becoming a user by e-mail and password, and the mails to come back: /signup, /resend, /recover."""

from __future__ import annotations

import sqlite3
import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth import letters, passwords, reading, redirects
from infra.local.cloud.vendors.auth.database import Row
from infra.local.cloud.vendors.auth.errors import AuthError
from infra.local.cloud.vendors.auth.flows import challenge
from infra.local.cloud.vendors.auth.project import Project
from infra.local.cloud.vendors.auth.users import EMAIL, moment

SIGNUP, RECOVERY, EMAIL_CHANGE = "email/signup", "recovery", "email_change"  # how a flow began


async def sign_up(project: Project, request: Request) -> Response:
    asked, settings = await reading.body(request), project.settings
    if settings["disable_signup"]:
        raise AuthError(422, "signup_disabled", "Signups not allowed for this instance")
    if reading.text(asked, "phone"):
        raise AuthError(400, "phone_provider_disabled", "Phone signups are disabled")
    if not reading.text(asked, "email") and not reading.text(asked, "password"):
        raise AuthError(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
    password = reading.text(asked, "password")
    if not password:
        raise AuthError(400, "validation_failed", "Signup requires a valid password")
    passwords.check(password, settings)
    pkce = challenge(asked)
    if not settings["external_email_enabled"]:
        raise AuthError(400, "email_provider_disabled", "Email signups are disabled")
    email = reading.address(reading.text(asked, "email"))
    metadata = reading.mapping(asked, "data") or {}
    user = project.users.by_email(email)
    made = None
    if user is None:
        hash_ = await passwords.hashed(password)
        try:
            user = made = project.users.add(email, hash_, EMAIL, metadata)
        except sqlite3.IntegrityError:  # the same sign-up, a moment earlier
            user = project.users.by_email(email)
            if user is None:
                raise AuthError(500, "unexpected_failure", "Database error saving new user") from None
    elif user["email_confirmed_at"] is not None:
        if settings["mailer_autoconfirm"]:
            raise AuthError(422, "user_already_exists", "User already registered")
        return JSONResponse(_obfuscated(project, email, metadata))
    try:
        if made is not None:
            user = project.users.email_identity(user, more=metadata)
            claims = {"sub": user["id"], "email": email, "email_verified": False, "phone_verified": False}
            user = project.users.merge(user, "user_metadata", claims)
        if settings["mailer_autoconfirm"]:
            user = project.users.confirm(user)
            return JSONResponse(project.sessions.begin(user, "password", settings))
        if pkce[0]:
            project.flows.begin(pkce, provider=EMAIL, method=SIGNUP, user_id=user["id"])
        redirect = redirects.target(request, settings)
        user = await letters.send_confirmation(project, user, redirect, pkce=bool(pkce[0]))
    except BaseException:
        if made is not None:
            project.users.delete(made)
        raise
    return JSONResponse(project.users.shown(user))


async def resend(project: Project, request: Request) -> Response:
    asked, settings = await reading.body(request), project.settings
    kind = reading.text(asked, "type")
    if kind not in ("signup", "email_change"):
        message = "Missing one of these types: signup, email_change, sms, phone_change"
        raise AuthError(400, "validation_failed", message)
    pkce = challenge(asked)
    user = project.users.by_email(reading.address(reading.text(asked, "email")))
    redirect = redirects.target(request, settings)
    if user is not None and kind == "signup" and user["email_confirmed_at"] is None:
        _begin(project, user, pkce, SIGNUP)
        await letters.send_confirmation(project, user, redirect, pkce=bool(pkce[0]))
    elif user is not None and kind == "email_change" and user["email_change"]:
        _begin(project, user, pkce, EMAIL_CHANGE)
        await letters.send_change(project, user, user["email_change"], redirect, pkce=bool(pkce[0]))
    return JSONResponse({})


async def recover(project: Project, request: Request) -> Response:
    asked, settings = await reading.body(request), project.settings
    if not reading.text(asked, "email"):
        raise AuthError(400, "validation_failed", "Password recovery requires an email")
    email, pkce = reading.address(reading.text(asked, "email")), challenge(asked)
    user = project.users.by_email(email)
    if user is not None:
        _begin(project, user, pkce, RECOVERY)
        redirect = redirects.target(request, settings)
        await letters.send_recovery(project, user, redirect, pkce=bool(pkce[0]))
    return JSONResponse({})


def _begin(project: Project, user: Row, pkce: tuple[str, str], method: str) -> None:
    if pkce[0]:
        project.flows.begin(pkce, provider=method, method=method, user_id=user["id"])


def _obfuscated(project: Project, email: str, metadata: Json) -> Json:
    """What a stranger learns about an address that has an account: nothing. No identities, and an id of nobody."""
    now = moment(project.users.clock())
    return {
        "id": str(uuid.uuid4()),
        "aud": "authenticated",
        "role": "",
        "email": email,
        "phone": "",
        "confirmation_sent_at": now,
        "app_metadata": {"provider": EMAIL, "providers": [EMAIL]},
        "user_metadata": metadata,
        "identities": [],
        "created_at": now,
        "updated_at": now,
        "is_anonymous": False,
    }
