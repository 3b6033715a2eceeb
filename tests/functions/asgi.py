"""Driving an ASGI application without sockets, as the edge would: signed, with a raw target."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.types import ASGIApp, Message

from core import edge
from tests.functions.twins import EDGE_SECRET

REQUEST_ID = "0123456789abcdef0123456789abcdef"


@dataclass
class Answer:
    """Header names are lower-case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        return orjson.loads(self.body)


def signed(method: str, target: str, secret: str = EDGE_SECRET, *, client: str = "203.0.113.9") -> dict[str, str]:
    """The headers that the edge adds."""
    hop = edge.Hop(
        timestamp=str(int(time.time())),
        request_id=REQUEST_ID,
        method=method,
        host="api.example",
        target=target,
        client=client,
    )
    return edge.signed_headers(secret, hop)


async def call(
    app: ASGIApp,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: Any = b"",
    key: str | None = None,
    through_edge: bool = True,
) -> Answer:
    """One request. `body`: bytes, an iterable of chunks (None: the client goes away), or a value to send as JSON."""
    sent = {**(signed(method, target) if through_edge else {}), **(headers or {})}
    if key:
        sent["X-API-Key"] = key
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }
    messages = iter(_messages(body))
    answer = Answer()

    async def receive() -> Message:
        for message in messages:
            return message
        await asyncio.Event().wait()  # as a server does while the client stays
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    await app(scope, receive, send)
    return answer


def _messages(body: Any) -> Iterable[Message]:
    chunks: list[bytes | None]
    if isinstance(body, bytes):
        chunks = [body]
    elif isinstance(body, list) and all(chunk is None or isinstance(chunk, bytes) for chunk in body):
        chunks = body
    else:
        chunks = [orjson.dumps(body)]
    for chunk in chunks:
        if chunk is None:
            yield {"type": "http.disconnect"}
            return
        yield {"type": "http.request", "body": chunk, "more_body": True}
    yield {"type": "http.request", "body": b"", "more_body": False}
