"""URLs made by one rule: of a host name from a cloud's output, real or local, and of a workspace in PostgreSQL."""

from __future__ import annotations

import uuid

_WORKSPACE = "postgres:"


def base_url(host: str) -> str:
    """`http://` for this machine (a name that is or ends in `localhost`, RFC 6761, with or without a port), else https.

    No trailing slash. A numeric loopback address is not a vendor's host name, so it gets no exception here.
    """
    name = host.partition(":")[0].lower().rstrip(".")
    local = name == "localhost" or name.endswith(".localhost")
    return f"{'http' if local else 'https'}://{host}"


def workspace_url(workspace: str) -> str:
    """The `url` of a `StoreAddress` of kind `postgres`."""
    return f"{_WORKSPACE}{uuid.UUID(workspace)}"


def workspace_of_url(url: str) -> uuid.UUID:
    """Raises: ValueError: this was not made by `workspace_url`."""
    return uuid.UUID(url.removeprefix(_WORKSPACE))
