"""MCP's reference server-memory over stdio: one JSONL file, read and written whole. Its search has no limit."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.bench.load import System
from tests.bench.peers import stdio
from tests.bench.peers.install import Site
from tests.bench.workload import Item

NAME = "server-memory 2026.8.31, stdio"
AT_ONCE = 1000


class _ServerMemory:
    name = NAME

    def __init__(self, session: stdio.Session) -> None:
        self._session = session

    async def preload(self, items: Sequence[Item]) -> list[str]:
        """In large batches: each call writes the whole file."""
        for start in range(0, len(items), AT_ONCE):
            entities = [_entity(item) for item in items[start : start + AT_ONCE]]
            await self._session.call("create_entities", {"entities": entities})
        return [item.title for item in items]

    async def client(self, number: int) -> _Client:
        del number
        return _Client(self._session)


class _Client:
    def __init__(self, session: stdio.Session) -> None:
        self._session = session

    async def store(self, item: Item) -> str:
        await self._session.call("create_entities", {"entities": [_entity(item)]})
        return item.title

    async def get(self, memory_id: str) -> bytes:
        return (await self._session.call("open_nodes", {"names": [memory_id]}))[1]

    async def search(self, query: str) -> bytes:
        """It looks for the query as one text, so several words would find nothing: the first one is sent."""
        return (await self._session.call("search_nodes", {"query": query.split()[0]}))[1]

    async def delete(self, memory_id: str) -> None:
        await self._session.call("delete_entities", {"entityNames": [memory_id]})

    async def close(self) -> None:
        """The session is shared."""


def _entity(item: Item) -> dict[str, object]:
    return {"name": item.title, "entityType": item.type, "observations": [item.content]}


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[System]:
    """Raises NotHere."""
    node, modules = site.node_modules()
    package = modules / "@modelcontextprotocol" / "server-memory"
    program = package / next(iter(json.loads((package / "package.json").read_text())["bin"].values()))
    folder = site.fresh("server-memory")
    env = {"PATH": os.defpath, "HOME": str(folder), "MEMORY_FILE_PATH": str(folder / "memory.jsonl")}
    async with stdio.opened([node, program], env=env, cwd=folder, log=folder / "log") as session:
        yield _ServerMemory(session)
