"""The one rule that turns a host name from a cloud's output into a URL, for real clouds and the local one alike."""

from __future__ import annotations


def base_url(host: str) -> str:
    """`http://` for this machine (a name that is or ends in `localhost`, RFC 6761, with or without a port), else https.

    No trailing slash. A numeric loopback address is not a vendor's host name, so it gets no exception here.
    """
    name = host.partition(":")[0].lower().rstrip(".")
    local = name == "localhost" or name.endswith(".localhost")
    return f"{'http' if local else 'https'}://{host}"
