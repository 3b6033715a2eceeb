"""The load's own HTTP/1.1 client: requests are bytes made beforehand, answers are a status and a body.

It shares the processors with what it measures, so it does nothing that it need not: one connection for each client,
no pool, no URLs, no header is looked at. `render` makes a request; `Line` sends it and waits for the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

import httptools

ANSWER_SECONDS = 30.0


class WireError(Exception):
    """The connection broke, or the answer did not come in time."""


def render(method: str, host: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """One request. `target` and the headers are sent as they are."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method in ("POST", "PUT", "PATCH"):
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Line(asyncio.Protocol):
    """One kept connection for one client: a request at a time. A closed one is opened again by the next request."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._body: list[bytes] = []
        self.reconnects = 0

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and give status and body.

        Raises:
            WireError: no connection, or no whole answer within `ANSWER_SECONDS`.
        """
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            try:
                await loop.create_connection(lambda: self, *self._address)
            except OSError as error:
                raise WireError(str(error)) from error
        assert self._transport is not None
        self._waiter = loop.create_future()
        timer = loop.call_later(ANSWER_SECONDS, self._fail, "no answer in time")
        self._transport.write(request)
        try:
            return await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none of asyncio's classes
        self._parser = httptools.HttpResponseParser(self)
        self._body = []

    def data_received(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(str(error))

    def connection_lost(self, error: Exception | None) -> None:
        self.reconnects += 1
        self._transport = None
        self._fail(str(error or "closed"))

    def _fail(self, reason: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(WireError(reason))
            self.close()

    # httptools calls these

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        assert self._parser is not None
        body, self._body = b"".join(self._body), []
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result((self._parser.get_status_code(), body))
        if not self._parser.should_keep_alive():
            self.close()
