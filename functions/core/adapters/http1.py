"""A lean HTTP/1.1 client: what the hot path uses to reach Turso, sqld and Upstash.

The client library decides the cost of the path (reference/local-parts.md, section 4: httpx 1.8-3 ms of CPU a call,
this one 0.07 ms), hence our own: `asyncio.Protocol`, httptools' parser, one bounded keep-alive pool per origin.

Left out on purpose: redirects, cookies, compression, proxies, HEAD, streaming, HTTP/2. A client belongs to one event
loop; it connects to nothing until it is asked to. The failures are drawn in `http1_wire`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from core.adapters.http1_wire import (
    Connection,
    HttpAnswer,
    HttpBroken,
    HttpError,
    HttpRefused,
    HttpStale,
    HttpTimeout,
    Origin,
    parse_url,
    render,
)

MAX_ANSWER_BYTES = 32 << 20
CONNECTIONS_PER_ORIGIN = 32
KEPT_CONNECTIONS = 256
KEEP_SECONDS = 30.0


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
        self._idle: OrderedDict[Connection, _Pool] = OrderedDict()  # oldest first, over all pools

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
                The server may then see the request twice; `HttpAnswer.resent` tells.

        Raises:
            HttpError: see the module.
            ValueError: the URL or a header cannot be sent.
        """
        origin, target = parse_url(url)
        message = render(method, origin, target, body, headers or {})
        deadline = asyncio.get_running_loop().time() + timeout
        fresh = False
        while True:
            connection = await self._acquire(origin, deadline, connect_timeout, fresh=fresh)
            kept = connection.used
            try:
                async with asyncio.timeout_at(deadline):
                    answer = await connection.exchange(message)
                return replace(answer, resent=True) if fresh else answer
            except TimeoutError:
                raise HttpTimeout(f"{origin.host}: no answer within {timeout:g} s", sent=True) from None
            except HttpStale:
                if not (retry and kept) or fresh:
                    raise
                fresh = True
            finally:
                self._release(origin, connection)

    async def close(self) -> None:
        """Close every connection, also those in use, and wait until they are closed."""
        connections = [connection for pool in self._pools.values() for connection in pool.connections]
        self._idle.clear()
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.closed.wait()

    async def _acquire(self, origin: Origin, deadline: float, connect_timeout: float, *, fresh: bool) -> Connection:
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
        return connection

    async def _queue(self, pool: _Pool, deadline: float) -> Connection | None:
        """Wait for a connection, or for the right to open one (None)."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
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

    async def _connect(self, origin: Origin, connect_timeout: float) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, self._max_answer_bytes),
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

    def _release(self, origin: Origin, connection: Connection) -> None:
        pool = self._pools[origin]  # it is there while one of its connections is in use
        if connection.reusable:
            self._hand_on(pool, connection)
        else:
            self._discard(pool, connection)

    def _hand_on(self, pool: _Pool, connection: Connection | None) -> None:
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

    def _discard(self, pool: _Pool, connection: Connection) -> None:
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
    idle: list[Connection] = field(default_factory=list)
    connections: set[Connection] = field(default_factory=set)
    waiters: deque[asyncio.Future[Connection | None]] = field(default_factory=deque)


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
    "parse_url",
]
