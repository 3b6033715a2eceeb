"""A lean HTTP/1.1 client: what the hot path uses to reach Turso, sqld and Upstash.

The client library decides the cost of the path (reference/local-parts.md, section 4: httpx 1.8-3 ms of CPU a call,
this one 0.07 ms), hence our own: `asyncio.Protocol`, httptools' parser, one bounded keep-alive pool per origin.

Left out on purpose: redirects, cookies, compression, proxies, HEAD, streaming, HTTP/2. A client belongs to one event
loop; it connects to nothing until it is asked to.

    HttpError              `sent`: whether the server may have seen the request
    ├── HttpRefused        no connection could be made
    ├── HttpTimeout        no connection, no free connection, or no whole answer in time
    └── HttpBroken         the connection closed inside the answer, or what came is not HTTP or is too large
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import cast
from urllib.parse import urlsplit

import httptools

MAX_ANSWER_BYTES = 32 << 20
CONNECTIONS_PER_ORIGIN = 32
KEPT_CONNECTIONS = 256
KEEP_SECONDS = 30.0


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


class _Stale(HttpBroken):
    """The connection closed before the first byte of an answer."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer. Header names are lower-case; a repeated header is joined with a comma."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect. `host` is the name in the URL, `address` what is connected to."""

    tls: bool
    host: str
    address: str
    port: int


class HttpClient:
    """Requests over kept connections.

    Args:
        connections_per_origin: at most so many at once; further callers queue, in order, within their timeout.
        kept_connections: at most so many idle ones over all origins (each tenant is an origin); the oldest go first.
        keep_seconds: an idle connection older than this is not used again.
        max_answer_bytes: head and body together; a larger answer is `HttpBroken`.
    """

    def __init__(
        self,
        *,
        connections_per_origin: int = CONNECTIONS_PER_ORIGIN,
        kept_connections: int = KEPT_CONNECTIONS,
        keep_seconds: float = KEEP_SECONDS,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._limit = connections_per_origin
        self._kept_limit = kept_connections
        self._keep_seconds = keep_seconds
        self._max_answer_bytes = max_answer_bytes
        self._pools: dict[Origin, _Pool] = {}
        self._idle: OrderedDict[_Connection, _Pool] = OrderedDict()  # oldest first, over all pools

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float,
        connect_timeout: float = 1.0,
        retry: bool = True,
    ) -> HttpAnswer:
        """`request("POST", ...)`."""
        return await self.request(
            "POST", url, body, headers, timeout=timeout, connect_timeout=connect_timeout, retry=retry
        )

    async def request(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float,
        connect_timeout: float = 1.0,
        retry: bool = True,
    ) -> HttpAnswer:
        """Send one request and wait for the whole answer, whatever its status.

        Args:
            timeout: seconds for waiting for a free connection and for the answer together.
            connect_timeout: further seconds for name, TCP and TLS when a new connection is needed.
            retry: send once more, on a new connection, when a kept one turns out closed before any byte of an answer.
                The server may then see the request twice.

        Raises:
            HttpError: see the module.
            ValueError: the URL or a header cannot be sent.
        """
        origin, target = parse_url(url)
        message = _render(method, origin, target, body, headers or {})
        deadline = asyncio.get_running_loop().time() + timeout
        fresh = False
        while True:
            connection = await self._acquire(origin, deadline, connect_timeout, fresh=fresh)
            kept = connection.used
            try:
                async with asyncio.timeout_at(deadline):
                    return await connection.exchange(message)
            except TimeoutError:
                raise HttpTimeout(f"{origin.host}: no answer within {timeout:g} s", sent=True) from None
            except _Stale:
                if not (retry and kept) or fresh:
                    raise
                fresh = True
            finally:
                self._release(connection)

    async def close(self) -> None:
        """Close every connection, also those in use, and wait until they are closed."""
        connections = [connection for pool in self._pools.values() for connection in pool.connections]
        self._idle.clear()
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.closed.wait()

    async def _acquire(self, origin: Origin, deadline: float, connect_timeout: float, *, fresh: bool) -> _Connection:
        pool = self._pools.get(origin) or _Pool(origin)
        now = asyncio.get_running_loop().time()
        while pool.idle:
            connection = pool.idle.pop()  # the newest is the least likely to be stale
            self._idle.pop(connection, None)
            if fresh or not connection.open or now - connection.idle_since > self._keep_seconds:
                self._discard(pool, connection)
                continue
            return connection
        self._pools[origin] = pool  # new, or dropped when its last stale connection went
        if pool.slots < self._limit:
            pool.slots += 1
        else:
            handed = await self._queue(pool, deadline)
            if handed is not None and not fresh and handed.open:
                return handed
            if handed is not None:
                pool.connections.discard(handed)
                handed.abort()
        try:
            connection = await self._connect(origin, connect_timeout)
        except BaseException:
            self._free_slot(pool)
            raise
        pool.connections.add(connection)
        connection.pool = pool
        return connection

    async def _queue(self, pool: _Pool, deadline: float) -> _Connection | None:
        """Wait for a connection, or for the right to open one (None)."""
        waiter: asyncio.Future[_Connection | None] = asyncio.get_running_loop().create_future()
        pool.waiters.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():  # handed over in the same moment: pass it on
                self._hand_on(pool, waiter.result())
            elif waiter in pool.waiters:
                pool.waiters.remove(waiter)
            if isinstance(error, TimeoutError):
                raise HttpTimeout(f"{pool.origin.host}: all {self._limit} connections are busy", sent=False) from None
            raise

    async def _connect(self, origin: Origin, connect_timeout: float) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop, self._max_answer_bytes),
                    origin.address,
                    origin.port,
                    ssl=_tls_context() if origin.tls else None,
                    server_hostname=origin.host if origin.tls else None,
                )
        except TimeoutError:
            raise HttpTimeout(f"{origin.host}: no connection within {connect_timeout:g} s", sent=False) from None
        except OSError as error:  # also DNS (gaierror) and TLS (SSLError)
            raise HttpRefused(f"{origin.host}:{origin.port}: {error}", sent=False) from error
        return connection

    def _release(self, connection: _Connection) -> None:
        pool = connection.pool
        if connection.reusable:
            self._hand_on(pool, connection)
        else:
            self._discard(pool, connection)

    def _hand_on(self, pool: _Pool, connection: _Connection | None) -> None:
        """Give a free connection to whoever waits, or keep it; None is a free slot."""
        if connection is None:
            self._free_slot(pool)
            return
        while pool.waiters:
            waiter = pool.waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        connection.idle_since = asyncio.get_running_loop().time()
        pool.idle.append(connection)
        self._idle[connection] = pool
        oldest = next(iter(self._idle))
        stale = connection.idle_since - oldest.idle_since > self._keep_seconds
        if stale or len(self._idle) > self._kept_limit:
            owner = self._idle.pop(oldest)
            owner.idle.remove(oldest)
            self._discard(owner, oldest)

    def _discard(self, pool: _Pool, connection: _Connection) -> None:
        pool.connections.discard(connection)
        connection.abort()
        self._free_slot(pool)

    def _free_slot(self, pool: _Pool) -> None:
        while pool.waiters:
            waiter = pool.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        pool.slots -= 1
        if not pool.slots:
            self._pools.pop(pool.origin, None)


@dataclass(slots=True, eq=False)
class _Pool:
    """The connections of one origin. `slots` counts them, with those being made or handed over."""

    origin: Origin
    slots: int = 0
    idle: list[_Connection] = field(default_factory=list)
    connections: set[_Connection] = field(default_factory=set)
    waiters: deque[asyncio.Future[_Connection | None]] = field(default_factory=deque)


class _Connection(asyncio.Protocol):
    """One connection and its parser: one exchange at a time, never pipelined."""

    pool: _Pool
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
            self._fail(_Stale("the connection had been closed", sent=False))
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
            self._fail(_Stale("the connection closed before an answer", sent=True))

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
    local = host == "localhost" or host.endswith(".localhost")
    tls = parts.scheme == "https"
    origin = Origin(tls, host, "127.0.0.1" if local else host, parts.port or (443 if tls else 80))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii() or not target.isprintable() or " " in target or not host.isascii():
        raise ValueError("a URL must be percent-encoded")
    return origin, target


def _render(method: str, origin: Origin, target: str, body: bytes, headers: Mapping[str, str]) -> bytes:
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


@cache
def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


__all__ = [
    "HttpAnswer",
    "HttpBroken",
    "HttpClient",
    "HttpError",
    "HttpRefused",
    "HttpTimeout",
]
