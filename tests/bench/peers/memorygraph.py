"""memorygraphMCP with its own SQLite backend, over stdio: what its users have without a cloud."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.bench.load import Failed, System, store_all
from tests.bench.peers import stdio
from tests.bench.peers.install import Site
from tests.bench.workload import SEARCH_LIMIT, Item

NAME = "memorygraphMCP 0.12.4, SQLite, stdio"
_ID = re.compile(r"ID: ([0-9a-f-]{36})")


class _MemoryGraph:
    name = NAME

    def __init__(self, session: stdio.Session) -> None:
        self._session = session

    async def preload(self, items: Sequence[Item]) -> list[str]:
        return await store_all([_Client(self._session)], items)

    async def client(self, number: int) -> _Client:
        del number  # one process, one session: that is all that there is
        return _Client(self._session)


class _Client:
    def __init__(self, session: stdio.Session) -> None:
        self._session = session

    async def store(self, item: Item) -> str:
        arguments = {
            "type": item.type,
            "title": item.title,
            "content": item.content,
            "tags": item.tags,
            "importance": item.importance,
        }
        result, _ = await self._session.call("store_memory", arguments)
        found = _ID.search(result["content"][0]["text"])
        if found is None:
            raise Failed("no id")
        return found[1]

    async def get(self, memory_id: str) -> bytes:
        return (await self._session.call("get_memory", {"memory_id": memory_id, "include_relationships": False}))[1]

    async def search(self, query: str) -> bytes:
        return (await self._session.call("search_memories", {"query": query, "limit": SEARCH_LIMIT}))[1]

    async def delete(self, memory_id: str) -> None:
        await self._session.call("delete_memory", {"memory_id": memory_id})

    async def close(self) -> None:
        """The session is shared."""


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[System]:
    """Raises NotHere."""
    program = site.client_python.with_name("memorygraph")
    folder = site.fresh("memorygraph")
    env = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "MEMORY_BACKEND": "sqlite",
        "MEMORY_SQLITE_PATH": str(folder / "memories.db"),
        "MEMORY_LOG_LEVEL": "WARNING",
    }
    log = folder / "log"
    async with stdio.opened([program, "--backend", "sqlite"], env=env, cwd=folder, log=log) as session:
        yield _MemoryGraph(session)
