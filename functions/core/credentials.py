"""What a request brings along to say who asks: a key, or the token of a person and the workspace they mean."""

from __future__ import annotations

import hashlib
import re

from core.problems import Invalid, Unauthorized

WORKSPACE = "X-Workspace"

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def bearer(authorization: str | None) -> str | None:
    """What the header `Authorization` holds, or None.

    Raises:
        Unauthorized: it is of another scheme than Bearer.
    """
    scheme, _, value = (authorization or "").strip().partition(" ")
    if not scheme:
        return None
    if scheme.lower() != "bearer":
        raise Unauthorized("Send your API key as `Authorization: Bearer mg_...` or `X-API-Key: mg_...`.")
    return value.strip() or None


def workspace_id(header: str | None) -> str | None:
    """The workspace that a person names by the header `X-Workspace`; None: their own.

    Raises:
        Invalid: it is no UUID.
    """
    text = (header or "").strip().lower()
    if not text:
        return None
    if not _UUID.fullmatch(text):
        message = "must be the id of a workspace, like 6f1d3c1e-5b0e-4f7c-9d43-2f6d7c1b8a90; leave it out for your own"
        raise Invalid(f"The header {WORKSPACE} {message}.", errors={WORKSPACE: message})
    return text


def person_name(account_id: str, workspace: str | None) -> str:
    """What a person in a workspace is called in leases and in the shared cache, as a key is by its hash."""
    return hashlib.sha256(f"person {account_id} {workspace or ''}".encode()).hexdigest()
