"""A server that answers as it is told, one answer for each request, on a socket of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

HANG = "hang"
DROP = "drop"
TRICKLE = "trickle"


@dataclass
class Answer:
    """`body`: bytes, or a value that is sent as JSON."""

    status: int = 200
    body: object = b""
    headers: dict[str, str] = field(default_factory=dict)

    def bytes(self) -> bytes:
        content = self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)
        headers = {"Content-Length": str(len(content)), "Request-Id": "req_scripted", **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Something\r\n{lines}\r\n".encode() + content


@dataclass
class Seen:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Script:
    """`answers` are given in their order, the last one from then on; HANG, DROP and TRICKLE are answers too."""

    def __init__(self, *answers: Answer | str) -> None:
        self.answers = list(answers)
        self.seen: list[Seen] = []
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Script]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        pairs = (line.partition(": ") for line in head[1:] if line)
        headers = {name.lower(): value for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.seen.append(Seen(method, target, headers, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == HANG:
            await reader.read()  # until the client goes
            return False
        if answer == DROP:
            return False
        if answer == TRICKLE:
            writer.write(b"HTTP/1.1 200 Something\r\nContent-Length: 100000\r\n\r\n")
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        assert isinstance(answer, Answer)
        writer.write(answer.bytes())
        await writer.drain()
        return True
