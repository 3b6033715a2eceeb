"""mcp-memory-service over REST, with hash embeddings: no model is downloaded, so its search costs less than in use."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson

from tests.bench import children
from tests.bench.load import Failed, System, store_all
from tests.bench.peers.install import NotHere, Site
from tests.bench.wire import Line, WireError, render
from tests.bench.workload import SEARCH_LIMIT, Item

NAME = "mcp-memory-service 12.2.0, REST, hash embeddings"
START_SECONDS = 60.0
FILLERS = 8


class _MemoryService:
    name = NAME

    def __init__(self, port: int) -> None:
        self._port = port

    async def preload(self, items: Sequence[Item]) -> list[str]:
        return await store_all([_Client(self._port) for _ in range(FILLERS)], items)

    async def client(self, number: int) -> _Client:
        del number
        return _Client(self._port)


class _Client:
    def __init__(self, port: int) -> None:
        self._host = f"{children.HOST}:{port}"
        self._line = Line(children.HOST, port)

    async def store(self, item: Item) -> str:
        # A conversation's memories are not compared with each other: otherwise alike ones would be refused.
        body = {"content": item.content, "tags": item.tags, "conversation_id": "bench"}
        answer = orjson.loads(await self._ask("POST", "/api/memories", body))
        if not answer.get("success"):
            raise Failed("not stored")
        memory_id: str = answer["content_hash"]
        return memory_id

    async def get(self, memory_id: str) -> bytes:
        return await self._ask("GET", f"/api/memories/{memory_id}")

    async def search(self, query: str) -> bytes:
        return await self._ask("POST", "/api/search", {"query": query, "n_results": SEARCH_LIMIT})

    async def delete(self, memory_id: str) -> None:
        await self._ask("DELETE", f"/api/memories/{memory_id}")

    async def health(self) -> None:
        await self._ask("GET", "/api/health")

    async def close(self) -> None:
        self._line.close()

    async def _ask(self, method: str, target: str, body: object = None) -> bytes:
        data = orjson.dumps(body) if body is not None else b""
        try:
            status, answer = await self._line.ask(render(method, self._host, target, {}, data))
        except WireError as error:
            raise Failed(str(error)) from error
        if status != 200:
            raise Failed(f"status {status}")
        return answer


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[System]:
    """Raises NotHere."""
    programs = site.python_environment()
    folder = site.fresh("memory-service")
    port = children.free_port()
    env = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "MCP_ALLOW_ANONYMOUS_ACCESS": "true",
        "MCP_MEMORY_ALLOW_HASH_EMBEDDINGS": "1",
        "MCP_MEMORY_ONNX_ALLOW_DOWNLOAD": "0",
        "HF_HUB_OFFLINE": "1",
        "MCP_MEMORY_BASE_DIR": str(folder),
        "MCP_MEMORY_SQLITE_PATH": str(folder / "memories.db"),
        "MCP_HTTP_ENABLED": "true",
        "MCP_HTTP_HOST": children.HOST,
        "MCP_HTTP_PORT": str(port),
        "MCP_MDNS_ENABLED": "false",
    }
    with children.running([programs / "memory", "server", "--http"], env=env, cwd=folder, log=folder / "log") as server:
        await _healthy(port, server.poll)
        yield _MemoryService(port)


async def _healthy(port: int, ended: object) -> None:
    client = _Client(port)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            await client.health()
        except Failed:
            if time.monotonic() > deadline or (callable(ended) and ended() is not None):
                raise NotHere("it did not start; see its log below LOCAL_ROOT/bench/data") from None
            await asyncio.sleep(0.2)
        else:
            break
    await client.close()
