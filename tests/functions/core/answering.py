"""A real HTTP server on loopback that answers as it is told, for adapters that speak to Google."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import orjson

Reply = tuple[int, Mapping[str, str], bytes] | bytes | None
"""Status, headers and body; or bytes as they are; or nothing, ever."""


@dataclass(frozen=True)
class Sent:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def json(value: object, status: int = 200, **headers: str) -> Reply:
    return status, {name.replace("_", "-"): text for name, text in headers.items()}, orjson.dumps(value)


@dataclass
class Answering:
    """`reply` decides on every answer; `sent` is what was asked."""

    url: str = ""
    reply: Callable[[Sent], Reply] = lambda _sent: (404, {}, b"")
    sent: list[Sent] = field(default_factory=list)
    _served: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served[task] = writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path, _ = head[0].split(" ")
                pairs = (line.partition(": ") for line in head[1:] if line)
                headers = {name.lower(): value for name, _, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                sent = Sent(method, path, headers, body)
                self.sent.append(sent)
                reply = self.reply(sent)
                if reply is None:
                    await reader.read()  # until the client gives up
                    break
                if isinstance(reply, bytes):
                    writer.write(reply)
                    break
                status, more, content = reply
                lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}"]
                lines += [f"{name}: {value}" for name, value in more.items()]
                writer.write("\r\n".join([*lines, "", ""]).encode() + content)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def hang_up(self) -> None:
        for writer in self._served.values():
            writer.transport.abort()
        await asyncio.gather(*self._served)


@contextlib.asynccontextmanager
async def answering() -> AsyncIterator[Answering]:
    told = Answering()
    server = await asyncio.start_server(told.serve, "127.0.0.1", 0)
    told.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield told
    finally:
        server.close()
        await told.hang_up()
