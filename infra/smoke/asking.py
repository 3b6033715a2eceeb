"""One request at a time to an API of ours, each with a time limit; never follows a redirect."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from infra.local.trouble import Trouble

SECONDS = 20.0
"""Longest wait for one answer: an instance that starts, and a database that slept."""
MOST_BYTES = 1 << 20
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Silence(Exception):
    """No answer, or half of one. The message says why."""


@dataclass(frozen=True)
class Answer:
    """Header names are lower-case. `body`: the JSON value; None when there is none."""

    status: int
    headers: Mapping[str, str]
    body: Any

    def member(self, name: str) -> Any:
        """A member of the body; None when there is none of that name."""
        return self.body.get(name) if isinstance(self.body, dict) else None


class Api:
    """Args: url: with or without the path /api/v1.

    Raises:
        Trouble: the URL is none, or would send the key in the clear.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:  # a port that is no number
            host, port = "", None
        if not host or parts.scheme not in ("http", "https"):
            raise Trouble(f"URL is {url!r}, which is no address: make smoke URL=https://api.example.com KEY=mg_...")
        if parts.scheme == "http" and host not in LOOPBACK:
            raise Trouble(f"URL is {url!r}: the key would travel in the clear. Use https.")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._port = host, port

    def ask(self, method: str, path: str, *, key: str = "", body: Any = None) -> Answer:
        """The answer to one request. `path` is below /api/v1.

        Raises:
            Silence: there was none within `SECONDS`.
        """
        headers = {"User-Agent": "memorygraph-cloud-smoke"}
        if key:
            headers["X-API-Key"] = key
        sent = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            sent = json.dumps(body).encode()
        connection = (
            http.client.HTTPSConnection(self._host, self._port, timeout=SECONDS, context=self._tls)
            if self._tls
            else http.client.HTTPConnection(self._host, self._port, timeout=SECONDS)
        )
        try:
            connection.request(method, f"/api/v1{path}", sent, headers)
            response = connection.getresponse()
            text = response.read(MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise Silence(f"no answer from {self.url} ({type(error).__name__}: {error})") from None
        finally:
            connection.close()
        names = {name.lower(): value for name, value in response.getheaders()}
        try:
            value = json.loads(text) if text else None
        except ValueError:
            value = None
        return Answer(response.status, names, value)
