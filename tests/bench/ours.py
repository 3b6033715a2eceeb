"""The memories API as a system under load, through the edge or straight to a function process.

A request is what memorygraphMCP sends: the key in `X-API-Key`, an id of the client's own with every store.
Straight to the function the hop is signed here, as the Worker signs it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from core import edge
from declarations import PREFIX
from tests.bench import children
from tests.bench.load import Failed, store_all
from tests.bench.wire import Line, WireError, render
from tests.bench.workload import SEARCH_LIMIT, Item

FILLERS = 16
PUBLIC_HOST = "api.memorygraph.localhost"
Call = tuple[str, str, bytes]
"""Method, path and body."""


def search_call(query: str) -> Call:
    return "POST", f"{PREFIX}/search/advanced", json.dumps({"query": query, "limit": SEARCH_LIMIT}).encode()


def get_call(memory_id: str) -> Call:
    return "GET", f"{PREFIX}/memories/{memory_id}", b""


def store_call(item: Item) -> Call:
    body = {
        "id": item.id,
        "type": item.type,
        "title": item.title,
        "content": item.content,
        "tags": item.tags,
        "importance": item.importance,
    }
    return "POST", f"{PREFIX}/memories", json.dumps(body).encode()


def health_call() -> Call:
    return "GET", f"{PREFIX}/health", b""


class Door:
    """Where requests go in: an address, and the secret of the signed hop when there is no Worker to sign."""

    def __init__(self, host: str, port: int, edge_secret: str | None = None) -> None:
        self.address = (host, port)
        self._secret = edge_secret
        self._host = f"{host}:{port}"
        self._number = 0

    def request(self, key: str, call: Call) -> bytes:
        method, target, body = call
        headers = {"X-API-Key": key, "Accept": "application/json"} if key else {"Accept": "application/json"}
        if self._secret is not None:
            self._number += 1
            hop = edge.Hop(
                timestamp=str(int(time.time())),
                request_id=f"bench-{self._number}",
                method=method,
                host=PUBLIC_HOST,
                target=target,
                client=children.HOST,
            )
            headers.update(edge.signed_headers(self._secret, hop))
        return render(method, self._host, target, headers, body)


class Ours:
    """One workspace, or several with the same memories among which clients spread (a Free one has few calls a day)."""

    def __init__(self, name: str, door: Door, keys: Sequence[str]) -> None:
        self.name = name
        self.door = door
        self._keys = keys
        self.clients = 1
        """How many clients the next cell has: they share the workspaces out."""

    async def preload(self, items: Sequence[Item]) -> list[str]:
        ids: list[str] = []
        for key in self._keys:
            ids = await store_all([OurClient(self.door, [key]) for _ in range(FILLERS)], items)
        return [memory_id.partition("/")[2] for memory_id in ids]

    async def client(self, number: int) -> OurClient:
        return OurClient(self.door, self._keys[number % len(self._keys) :: min(self.clients, len(self._keys))])


class OurClient:
    """See `load.Client`. An id that it gives says in which of its workspaces the memory is."""

    def __init__(self, door: Door, keys: Sequence[str]) -> None:
        self._door = door
        self._keys = keys
        self._turn = 0
        self._line = Line(*door.address)

    async def store(self, item: Item) -> str:
        key = self._next()
        await self._ask(key, store_call(item), (200, 201))
        return f"{key}/{item.id}"

    async def get(self, memory_id: str) -> bytes:
        key, _, bare = memory_id.rpartition("/")
        return await self._ask(key or self._next(), get_call(bare), (200,))

    async def search(self, query: str) -> bytes:
        return await self._ask(self._next(), search_call(query), (200,))

    async def delete(self, memory_id: str) -> None:
        key, _, bare = memory_id.rpartition("/")
        await self._ask(key or self._next(), ("DELETE", f"{PREFIX}/memories/{bare}", b""), (204,))

    async def health(self) -> bytes:
        return await self._ask(self._next(), health_call(), (200,))

    async def close(self) -> None:
        self._line.close()

    def _next(self) -> str:
        self._turn += 1
        return self._keys[self._turn % len(self._keys)]

    async def _ask(self, key: str, call: Call, good: tuple[int, ...]) -> bytes:
        try:
            status, body = await self._line.ask(self._door.request(key, call))
        except WireError as error:
            raise Failed(str(error)) from error
        if status not in good:
            raise Failed(f"status {status}")
        return body
