"""The API keys of one project: `sb_publishable_...` for programs of users, `sb_secret_...` for our own servers.

Left out: the legacy `anon` and `service_role` tokens, and templates of secret keys.
"""

from __future__ import annotations

import hmac
import re
import secrets
import uuid
from datetime import UTC, datetime

from infra.local.cloud.errors import AlreadyExists, CloudError, NotFound
from infra.local.cloud.provider.wire import Json

PUBLISHABLE, SECRET = "publishable", "secret"
NAME = re.compile(r"[a-z_][a-z0-9_]{3,63}")
PREFIX_LENGTH = 20


def first() -> list[Json]:
    """The keys that a project comes with."""
    return [_make(PUBLISHABLE, "default"), _make(SECRET, "default")]


def add(keys: list[Json], asked: Json) -> Json:
    kind, name = asked.get("type"), asked.get("name")
    if kind not in (PUBLISHABLE, SECRET):
        raise CloudError(f"type: must be {PUBLISHABLE} or {SECRET}")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise CloudError("name: 4 to 64 of a-z, 0-9 and _, not beginning with a digit")
    if any(key["type"] == kind and key["name"] == name for key in keys):
        raise AlreadyExists(f"There is already a {kind} key {name}")
    key = _make(kind, name)
    keys.append(key)
    return key


def find(keys: list[Json], id_: str) -> Json:
    for key in keys:
        if key["id"] == id_:
            return key
    raise NotFound("API key not found")


def shown(key: Json, *, reveal: bool) -> Json:
    """A key as the Management API shows it; a secret one only when it is to be revealed."""
    value = str(key["api_key"])
    hidden = key["type"] == SECRET and not reveal
    return {**key, "api_key": value[:PREFIX_LENGTH] + "·" * 12 if hidden else value, "prefix": value[:PREFIX_LENGTH]}


def kind_of(keys: list[Json], sent: str) -> str | None:
    """Which kind of key was sent; None when it is none of ours."""
    found = None
    for key in keys:
        if hmac.compare_digest(str(key["api_key"]).encode(), sent.encode()):
            found = str(key["type"])
    return found


def _make(kind: str, name: str) -> Json:
    now = datetime.now(UTC).isoformat()
    return {
        "id": str(uuid.uuid4()),
        "type": kind,
        "name": name,
        "description": None,
        "api_key": f"sb_{kind}_{secrets.token_urlsafe(24)}",
        "inserted_at": now,
        "updated_at": now,
    }
