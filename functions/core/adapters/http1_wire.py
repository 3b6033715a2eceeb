"""One HTTP/1.1 exchange on the wire: failures, answers, addresses, and the connection with its parser.

HttpError              `sent`: whether the server may have seen the request
├── HttpRefused        no connection could be made
├── HttpTimeout        no connection, no free connection, or no whole answer in time
└── HttpBroken         the connection closed inside the answer, or what came is not HTTP or is too large
    └── HttpStale      it closed before the first byte of an answer
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast
from urllib.parse import urlsplit

import httptools

from core.urls import is_here


class HttpError(Exception):
    """No usable answer. `sent` is False when the server cannot have acted on the request."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class HttpRefused(HttpError):
    pass


class HttpTimeout(HttpError):
    pass


class HttpBroken(HttpError):
    pass


class HttpStale(HttpBroken):
    """The connection closed before the first byte of an answer."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer. Header names are lower-case; a repeated header is joined with a comma.

    `resent`: the request was sent twice, and the server may have acted on it twice.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    resent: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect. `host` is the name in the URL, `address` what is connected to."""

    tls: bool
    host: str
    address: str
    port: int


class Connection(asyncio.Protocol):
    """One connection and its parser: one exchange at a time, never pipelined."""

    _transport: asyncio.Transport
    _received: int
    _status: int
    _headers: dict[str, str]
    _parts: list[bytes]
    _keep: bool
    _complete: bool
    _until_close: bool

    def __init__(self, loop: asyncio.AbstractEventLoop, max_answer_bytes: int) -> None:
        self.used = False
        self.idle_since = 0.0
        self.open = False
        self.reusable = False
        self.closed = asyncio.Event()
        self._loop = loop
        self._max = max_answer_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._reset()

    def exchange(self, message: bytes) -> asyncio.Future[HttpAnswer]:
        self._answer = self._loop.create_future()
        self.reusable = False
        self._reset()
        if self.open:
            self._transport.write(message)
        else:
            self._fail(HttpStale("the connection had been closed", sent=False))
        self.used = True
        return self._answer

    def abort(self) -> None:
        self.open = self.reusable = False
        self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's TLS transport is one in all but its base class
        self.open = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()  # an answer nobody asked for: whatever follows cannot be trusted
            return
        self._received += len(data)
        if self._received > self._max:
            self._fail(HttpBroken(f"the answer is larger than {self._max} bytes", sent=True))
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._keep = False
            if not self._complete:
                self._fail(HttpBroken(f"the answer is not HTTP: {error}", sent=True))
                self.abort()
                return
        if self._complete:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = self.reusable = False
        self.closed.set()
        if self._answer is None or self._answer.done():
            return
        if self._until_close and exc is None:
            self._finish()
        elif self._received:
            self._fail(HttpBroken("the connection closed inside the answer", sent=True))
        else:
            self._fail(HttpStale("the connection closed before an answer", sent=True))

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._complete:
            self._keep = False  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._complete:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        self._status = self._parser.get_status_code()
        self._keep = self._parser.should_keep_alive()
        sized = "content-length" in self._headers or "transfer-encoding" in self._headers
        self._until_close = not sized and self._status >= 200

    def on_body(self, data: bytes) -> None:
        if not self._complete:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        if self._complete:
            return
        if self._status < 200:
            self._headers = {}  # an interim answer (103); the real one follows
        else:
            self._complete = True

    def _reset(self) -> None:
        self._received = 0
        self._status = 0
        self._headers = {}
        self._parts = []
        self._keep = self._complete = self._until_close = False

    def _finish(self) -> None:
        self.reusable = self.open and self._keep
        assert self._answer is not None
        self._answer.set_result(HttpAnswer(self._status, self._headers, b"".join(self._parts)))

    def _fail(self, error: HttpError) -> None:
        assert self._answer is not None
        if not self._answer.done():
            self._answer.set_exception(error)


@lru_cache(maxsize=4096)
def parse_url(url: str) -> tuple[Origin, str]:
    """The origin and the request target of a URL. Names that end in `.localhost` are this machine (RFC 6761)."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("a URL must be http or https, with a host and without a user name")
    host = parts.hostname
    tls = parts.scheme == "https"
    origin = Origin(tls, host, "127.0.0.1" if is_here(host) else host, parts.port or (443 if tls else 80))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii() or not target.isprintable() or " " in target or not host.isascii():
        raise ValueError("a URL must be percent-encoded")
    return origin, target


def render(method: str, origin: Origin, target: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    if method == "HEAD" or not method.isalpha():
        raise ValueError(f"cannot send {method!r}")
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    if origin.port != (443 if origin.tls else 80):
        host = f"{host}:{origin.port}"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    for name, value in headers.items():
        line = f"{name}: {value}"
        if "\r" in line or "\n" in line or "\0" in line:
            raise ValueError(f"the header {name!r} holds a line break")
        lines.append(line)
    return "\r\n".join((*lines, "\r\n")).encode("latin-1") + body
