"""Users for administrators, who have the secret key: /admin/users.

Left out: soft deletion (`should_soft_delete` is refused), filters, factors, generated links.
"""

from __future__ import annotations

import re
import secrets
import uuid
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth import passwords, reading
from infra.local.cloud.vendors.auth.account import TAKEN
from infra.local.cloud.vendors.auth.database import Row
from infra.local.cloud.vendors.auth.errors import AuthError
from infra.local.cloud.vendors.auth.project import Project
from infra.local.cloud.vendors.auth.users import EMAIL, PAGE_MOST

PAGE_SIZE = 50
DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|m|s))+")
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


async def list_users(project: Project, request: Request) -> Response:
    page, size = (_number(request, name, start) for name, start in (("page", 1), ("per_page", PAGE_SIZE)))
    rows, count = project.users.page(max(page, 1), min(max(size, 1), PAGE_MOST))
    last = -(-count // max(size, 1))
    links = [(page + 1, "next")] if last > page else []
    header = ", ".join(
        f'<{request.url.path}?{urlencode({**dict(request.query_params), "page": number})}>; rel="{rel}"'
        for number, rel in [*links, (last, "last")]
    )
    body = {"users": [project.users.shown(row) for row in rows], "aud": "authenticated"}
    return JSONResponse(body, headers={"Link": header, "X-Total-Count": str(count)})


async def read_user(project: Project, request: Request) -> Response:
    return JSONResponse(project.users.shown(_find(project, request)))


async def create_user(project: Project, request: Request) -> Response:
    asked = await reading.body(request)
    email = reading.text(asked, "email")
    if not email:
        message = "Cannot create a user without either an email or phone"
        raise AuthError(400, "validation_failed", message)
    email = reading.address(email)
    if project.users.by_email(email) is not None:
        raise AuthError(422, "email_exists", TAKEN)
    id_ = reading.text(asked, "id")
    if id_ and not _is_uuid(id_):
        raise AuthError(400, "validation_failed", "ID must conform to the uuid v4 format")
    metadata = reading.mapping(asked, "user_metadata") or {}
    ban = _ban(project, asked)
    password = reading.text(asked, "password") or secrets.token_urlsafe(48)
    if len(password.encode()) > passwords.LONGEST_BYTES:
        raise AuthError(400, "validation_failed", "bcrypt: password length exceeds 72 bytes")
    hash_ = await passwords.hashed(password)
    with project.database.change():
        if project.users.by_email(email) is not None or (id_ and project.users.by_id(id_) is not None):
            raise AuthError(422, "email_exists", TAKEN)
        user = project.users.add(email, hash_, EMAIL, metadata, id_=id_)
        user = project.users.email_identity(user)
        user = project.users.merge(user, "app_metadata", reading.mapping(asked, "app_metadata") or {})
        user = _set_columns(project, user, asked, ban)
    return JSONResponse(project.users.shown(user))


async def update_user(project: Project, request: Request) -> Response:
    user, asked = _find(project, request), await reading.body(request)
    email = reading.text(asked, "email") and reading.address(reading.text(asked, "email"))
    password, ban = reading.text(asked, "password"), _ban(project, asked)
    hash_ = ""
    if password:
        passwords.check(password, project.settings)
        hash_ = await passwords.hashed(password)
    taken = project.users.by_email(email) if email else None
    if taken is not None and taken["id"] != user["id"]:
        raise AuthError(422, "email_exists", TAKEN)
    with project.database.change():
        if hash_:
            project.users.clear_tokens(user)
            project.sessions.end(user, None, "global")
            user = project.users.set(user, password=hash_)
        if email:
            user = project.users.set(user, email=email)
            user = project.users.email_identity(user, verified=bool(asked.get("email_confirm")))
        for name in ("app_metadata", "user_metadata"):
            user = project.users.merge(user, name, reading.mapping(asked, name) or {})
        user = _set_columns(project, user, asked, ban)
    return JSONResponse(project.users.shown(user))


async def delete_user(project: Project, request: Request) -> Response:
    user, asked = _find(project, request), await reading.body(request)
    if asked.get("should_soft_delete"):
        raise AuthError(400, "validation_failed", "The local cloud deletes users for good only")
    project.users.delete(user)
    return JSONResponse({})


def _set_columns(project: Project, user: Row, asked: Json, ban: Json) -> Row:
    if reading.text(asked, "role"):
        user = project.users.set(user, role=asked["role"])
    if asked.get("email_confirm"):
        user = project.users.confirm(user)
    return project.users.set(user, **ban) if ban else user


def _ban(project: Project, asked: Json) -> Json:
    """`ban_duration` is Go's way to say a time ("24h", "1h30m"), or "none"."""
    text = reading.text(asked, "ban_duration")
    if not text:
        return {}
    if text == "none":
        return {"banned_until": None}
    if not DURATION.fullmatch(text):
        raise AuthError(400, "validation_failed", f'invalid format for ban duration: time: invalid duration "{text}"')
    seconds = sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)([hms])", text))
    return {"banned_until": project.users.clock() + seconds}


def _find(project: Project, request: Request) -> Row:
    id_ = request.path_params["user_id"]
    if not _is_uuid(id_):
        raise AuthError(404, "validation_failed", "user_id must be an UUID")
    user = project.users.by_id(id_.lower())
    if user is None:
        raise AuthError(404, "user_not_found", "User not found")
    return user


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _number(request: Request, name: str, otherwise: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return otherwise
    if not text.isdigit():
        raise AuthError(400, "validation_failed", f"Bad Pagination Parameters: {name} is no number")
    return int(text)
