"""Where Auth may send a browser: to the site itself, to loopback, to what the allow list names; else to the site.

The allow list's patterns, with commas between them: `*` any characters but `.` and `/`, `**` any at all, `?` one that
is neither, `[...]` a set.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import SplitResult, urlencode, urlsplit, urlunsplit

from starlette.requests import Request

from infra.local.cloud.provider.wire import Json

HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?")


def target(request: Request, settings: Json) -> str:
    """The address that the request asks to go back to, if it may; else the site's."""
    for asked in (
        request.headers.get("redirect_to", ""),
        request.query_params.get("redirect_to", ""),
        request.headers.get("referer", ""),
    ):
        if asked and allowed(asked, settings):
            return asked
    return str(settings["site_url"])


def allowed(url: str, settings: Json) -> bool:
    try:
        asked, site = urlsplit(url), urlsplit(settings["site_url"])
        ports = asked.port, site.port
    except ValueError:
        return False
    host = asked.hostname or ""
    if host == (site.hostname or "") and asked.scheme == site.scheme and (ports[0] == ports[1] or _loopback(host)):
        return True
    if host.isdigit():
        return False
    address = _address(host)
    if address is not None:
        return address.is_loopback
    if asked.scheme in ("http", "https") and not HOSTNAME.fullmatch(host):
        return False
    bare = url.partition("#")[0]
    patterns = (pattern.strip() for pattern in str(settings["uri_allow_list"]).split(","))
    return any(_pattern(pattern).fullmatch(bare) for pattern in patterns if pattern)


def with_query(url: str, parameters: dict[str, str]) -> str:
    """The address with more parameters in its query."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(parameters))))
    return urlunsplit(parts._replace(query=query))


def with_fragment(url: str, parameters: dict[str, str]) -> str:
    """The address with parameters behind `#`; the empty `sb` tells clients that Supabase made them."""
    parts: SplitResult = urlsplit(url)
    return urlunsplit(parts._replace(fragment=urlencode({**parameters, "sb": ""})))


def _loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    pieces = []
    for piece in re.findall(r"\*\*+|\*|\?|\[[^\]]+\]|.", glob, re.DOTALL):
        if piece.startswith("**"):
            pieces.append(".*")
        elif piece == "*":
            pieces.append("[^./]*")
        elif piece == "?":
            pieces.append("[^./]")
        elif len(piece) > 1:
            pieces.append(piece.replace("\\", "").replace("[!", "[^"))
        else:
            pieces.append(re.escape(piece))
    return re.compile("".join(pieces), re.DOTALL)
