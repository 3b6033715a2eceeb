"""A TCP proxy between a function and a part that shows what is sent towards the part (tests/delay.py delays)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from tests.bench import children

CHUNK_BYTES = 1 << 16


@asynccontextmanager
async def tapped(port: int, seen: Callable[[bytes], None]) -> AsyncIterator[int]:
    """A port that leads to `port` of this machine; `seen` is given what goes there."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(children.HOST, port)
        except OSError:
            writer.close()
            return
        loop = asyncio.get_running_loop()
        both = {
            loop.create_task(_pump(reader, there_writer, seen)),
            loop.create_task(_pump(there_reader, writer, lambda _data: None)),
        }
        tasks.update(both)
        await asyncio.wait(both)
        tasks.difference_update(both)

    server = await asyncio.start_server(serve, children.HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Callable[[bytes], None]) -> None:
    try:
        while data := await reader.read(CHUNK_BYTES):
            seen(data)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # one side is gone
    finally:
        with suppress(OSError):
            writer.close()
