"""URLs made by one rule: of a host name from a cloud's output, real or local, and of a workspace in PostgreSQL."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit, urlunsplit

_WORKSPACE = "postgres:"


def base_url(host: str) -> str:
    """`http://` for this machine (a name that is or ends in `localhost`, RFC 6761, with or without a port), else https.

    No trailing slash. A numeric loopback address is not a vendor's host name, so it gets no exception here.
    """
    return f"{'http' if is_here(host.partition(':')[0].lower().rstrip('.')) else 'https'}://{host}"


def is_here(host: str) -> bool:
    """Whether a name, in lower case, is this machine's by RFC 6761, whatever its resolver knows of that."""
    return host == "localhost" or host.endswith(".localhost")


def resolved(url: str) -> str:
    """The URL for a client that asks the resolver, which need not know the names of this machine."""
    parts = urlsplit(url)
    if not is_here(parts.hostname or ""):
        return url
    return urlunsplit(parts._replace(netloc=f"127.0.0.1:{parts.port}" if parts.port else "127.0.0.1"))


def workspace_url(workspace: str) -> str:
    """The `url` of a `StoreAddress` of kind `postgres`."""
    return f"{_WORKSPACE}{uuid.UUID(workspace)}"


def workspace_of_url(url: str) -> uuid.UUID:
    """Raises: ValueError: this was not made by `workspace_url`."""
    return uuid.UUID(url.removeprefix(_WORKSPACE))
