"""An MCP session over a process's standard streams: one JSON object a line. Requests of many clients share it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from tests.bench import children
from tests.bench.load import Failed

LINE_BYTES = 64 << 20
ANSWER_SECONDS = 60.0
STOP_SECONDS = 5.0


class Session:
    """Use `opened`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._number = 0

    async def call(self, tool: str, arguments: Mapping[str, object]) -> tuple[Any, bytes]:
        """One tool call: the result, and the line that it came in.

        Raises:
            Failed: the tool says so, or there is no answer.
        """
        result, line = await self._ask("tools/call", {"name": tool, "arguments": arguments})
        if result.get("isError"):
            raise Failed(f"{tool} refused")
        return result, line

    async def _ask(self, method: str, params: Mapping[str, object]) -> tuple[Any, bytes]:
        self._number += 1
        number = self._number
        self._write({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiter
        timer = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._give_up, number)
        try:
            message, line = await waiter
        finally:
            timer.cancel()
            self._waiting.pop(number, None)
        if "result" not in message:
            raise Failed(f"error {message.get('error', {}).get('code')}")
        return message["result"], line

    def _write(self, message: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(message) + b"\n")

    def _give_up(self, number: int) -> None:
        waiter = self._waiting.get(number)
        if waiter is not None and not waiter.done():
            waiter.set_exception(Failed("no answer in time"))

    async def greet(self) -> None:
        """What a client says first."""
        client = {"name": "memorygraph-bench", "version": "1"}
        await self._ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client})
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def read(self) -> None:
        """Hand answers out until the process closes its end."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message = orjson.loads(line)
            waiter = self._waiting.get(message.get("id"))
            if waiter is not None and not waiter.done():
                waiter.set_result((message, line))
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(Failed("the server ended"))


@asynccontextmanager
async def opened(
    words: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, log: Path
) -> AsyncIterator[Session]:
    """A server that runs as long as the block."""
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *map(str, words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            env=dict(env),
            cwd=cwd,
            limit=LINE_BYTES,
            start_new_session=True,
            preexec_fn=children.die_with_parent,
        )
    session = Session(process)
    reader = asyncio.get_running_loop().create_task(session.read())
    try:
        await session.greet()
        yield session
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
                break
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader
