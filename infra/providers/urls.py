"""Which addresses may be configured: https, or http on this machine."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from infra.config import is_loopback


def url_fault(value: Any) -> str | None:
    """What is wrong with an address, or None."""
    try:
        parts = urlsplit(str(value))
    except ValueError:  # brackets that hold no address
        parts = urlsplit("")
    host = parts.hostname or ""
    if host and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        return None
    return f"{value!r} must be an https URL, or an http one on this machine"
