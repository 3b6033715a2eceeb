"""What a request asks: its JSON object, and texts, objects and addresses in it."""

from __future__ import annotations

import json
import re

from starlette.requests import Request

from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth.errors import AuthError

LONGEST_ADDRESS = 255
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*")


async def body(request: Request) -> Json:
    """The JSON object; an empty body is an empty object."""
    raw = await request.body()
    try:
        value = json.loads(raw) if raw.strip() else {}
    except ValueError:
        raise AuthError(400, "bad_json", "Could not parse request body as JSON") from None
    if not isinstance(value, dict):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON: it is no object")
    return value


def text(asked: Json, name: str) -> str:
    """A text; empty when it is missing."""
    value = asked.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise AuthError(400, "bad_json", f"Could not parse request body as JSON: {name} is no string")
    return value


def mapping(asked: Json, name: str) -> Json | None:
    value = asked.get(name)
    if value is not None and not isinstance(value, dict):
        raise AuthError(400, "bad_json", f"Could not parse request body as JSON: {name} is no object")
    return value


def address(value: str) -> str:
    """An e-mail address in small letters.

    Raises:
        AuthError: it is none.
    """
    if not value:
        raise AuthError(400, "validation_failed", "An email address is required")
    if len(value) > LONGEST_ADDRESS:
        raise AuthError(400, "validation_failed", "An email address is too long")
    if not ADDRESS.fullmatch(value):
        raise AuthError(400, "validation_failed", "Unable to validate email address: invalid format")
    return value.lower()
