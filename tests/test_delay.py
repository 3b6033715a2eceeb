"""The proxy that counts round trips, with a server that answers each line with the same line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.delay import HOST, DelayingProxy


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server's port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_turn_is_a_question_after_an_answer() -> None:
    async with echo() as target, DelayingProxy(target) as proxy:
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        for turns, questions in enumerate((b"a\n", b"b\nc\n", b"d\n"), start=1):
            for letter in questions:  # however many pieces it comes in
                writer.write(bytes([letter]))
                await writer.drain()
            for line in questions.splitlines(keepends=True):
                assert await reader.readline() == line
            assert proxy.turns == turns
        writer.write_eof()
        assert await reader.read() == b"", "the end of the talk travels too"
        assert (proxy.turns, proxy.connects) == (3, 1)
        writer.close()


async def test_each_connection_has_turns_of_its_own() -> None:
    async with echo() as target, DelayingProxy(target) as proxy:
        talks = [await asyncio.open_connection(HOST, proxy.port) for _ in range(2)]
        for _, writer in talks:
            writer.write(b"a\n")
        for reader, writer in talks:
            assert await reader.readline() == b"a\n"
            writer.close()
        assert (proxy.turns, proxy.connects) == (2, 2)


async def test_every_direction_is_delayed() -> None:
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)

    async with echo() as target, DelayingProxy(target, seconds=100, sleep=sleep) as proxy:
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        writer.write(b"a\n")
        assert await reader.readline() == b"a\n"
        writer.close()
        assert [round(seconds, -1) for seconds in asked[:2]] == [100, 100]


async def test_a_server_that_is_not_there_is_a_closed_connection() -> None:
    async with echo() as target:
        pass
    async with DelayingProxy(target) as proxy:
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(1)
        writer.close()
