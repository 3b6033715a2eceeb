"""A network between a client and a server on this machine: it delays what both say, and counts how often they wait.

A turn begins when the client speaks after the server did, or after it connected: so an operation on a warm connection
takes as many round trips as it takes turns. Counting needs no delay, so a test that counts is exact and fast.

Left out: bandwidth, jitter, loss. Every byte arrives the same time after it was sent, however much is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType

HOST = "127.0.0.1"
CHUNK_BYTES = 1 << 16


class DelayingProxy:
    """Listens on `port` of this machine while it is entered, and speaks to `target` in the name of who connects.

    Args:
        target: port of the server.
        seconds: how long a byte travels in each direction; a round trip takes twice as long.
    """

    def __init__(
        self, target: int, *, seconds: float = 0.0, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._target = target
        self._seconds = seconds
        self._sleep = sleep
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.turns = 0
        self.connects = 0
        """Connections that were made. Each costs a round trip of its own, which is not a turn."""

    @property
    def port(self) -> int:
        assert self._server, "enter the proxy first"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> DelayingProxy:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: asyncio would log the end of one that was cancelled as an error.
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects += 1
        server_spoke = True  # connecting counts as an answer

        def client_speaks() -> None:
            nonlocal server_spoke
            self.turns += server_spoke
            server_spoke = False

        def server_is_heard() -> None:
            nonlocal server_spoke
            server_spoke = True

        writers = [writer]
        try:
            with suppress(ConnectionError):  # both ends learn of it when their connections close
                far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
                writers.append(far_writer)
                await asyncio.gather(
                    self._carry(reader, far_writer, sent=client_speaks),
                    self._carry(far_reader, writer, heard=server_is_heard),
                )
        finally:
            for one in writers:
                one.close()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        sent: Callable[[], None] = lambda: None,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        """One direction, until its sender ends it."""
        now = asyncio.get_running_loop().time
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                arrives, data = await under_way.get()
                if (left := arrives - now()) > 0:
                    await self._sleep(left)
                if not data:
                    writer.write_eof()
                    return
                heard()
                writer.write(data)
                await writer.drain()

        async def collect() -> None:
            while data := await reader.read(CHUNK_BYTES):
                sent()
                under_way.put_nowait((now() + self._seconds, data))
            under_way.put_nowait((now() + self._seconds, b""))

        await asyncio.gather(collect(), deliver())
