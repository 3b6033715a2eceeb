"""The memories function on a port of this machine, behind what stands for the edge: for tools that speak HTTP only."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from core import keys, migrations
from core.adapters.postgres import Postgres
from core.adapters.sqlite import SqliteDatabase
from core.bootstrap import Tools
from core.http import Pipeline
from core.ports import KeyRecord, StoreAddress
from core.settings import Secret
from declarations import MEMORIES
from memories import handlers
from tests.functions.asgi import signed
from tests.functions.memories.wire import OneFile, TickingClock
from tests.functions.twins import SETTINGS, Gate

SECONDS_TO_START = 20.0

Prepared = AbstractAsyncContextManager[tuple[ASGIApp, str]]
"""An application and a key for it."""


@dataclass(frozen=True)
class Served:
    url: str
    key: str


@contextmanager
def serving(prepare: Callable[[], Prepared]) -> Iterator[Served]:
    """Serve what `prepare` makes, in a thread with an event loop of its own, to which all of it belongs."""
    started = threading.Event()
    found: list[Served] = []
    servers: list[uvicorn.Server] = []
    errors: list[BaseException] = []

    async def run() -> None:
        async with prepare() as (app, key):
            server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
            # The protocol is said because asyncio sends small answers at once only where it is.
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
                listening.bind(("127.0.0.1", 0))
                listening.listen()  # from now on: who comes before uvicorn accepts waits
                servers.append(server)
                found.append(Served(f"http://127.0.0.1:{listening.getsockname()[1]}", key))
                started.set()
                await server.serve(sockets=[listening])

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            errors.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=work, name="served", daemon=True)
    thread.start()
    try:
        assert started.wait(SECONDS_TO_START), "the server did not start"
        assert not errors, errors
        yield found[0]
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(SECONDS_TO_START)
    assert not errors, errors


@asynccontextmanager
async def over_file(path: Path) -> AsyncIterator[tuple[ASGIApp, str]]:
    database = SqliteDatabase(path)
    await migrations.apply(database, migrations.load("sqlite"))
    address = StoreAddress("sqlite", "http://db.localhost:1", Secret(""))
    try:
        yield _app(address, OneFile({address.url: database}), Postgres(Secret("")))
    finally:
        await database.close()


@asynccontextmanager
async def over_postgres(url: str, address: StoreAddress) -> AsyncIterator[tuple[ASGIApp, str]]:
    """`url`: of the database, as the function logs in."""
    adapter = Postgres(Secret(url))
    try:
        yield _app(address, OneFile({}), adapter)
    finally:
        await adapter.close()


def _app(address: StoreAddress, files: OneFile, postgres: Postgres) -> tuple[ASGIApp, str]:
    gate = Gate()
    key = gate.add_key()
    record = gate.directory.keys[keys.hash_key(key)]
    assert isinstance(record, KeyRecord)
    gate.directory.keys[keys.hash_key(key)] = replace(
        record, store_kind=address.kind, store_url=address.url, plan="team"
    )
    tools = Tools(settings=SETTINGS, clock=TickingClock(), databases=files, postgres=postgres, admission=gate.admission)
    return behind_edge(Pipeline(MEMORIES, handlers, tools)), key


def behind_edge(pipeline: Pipeline) -> ASGIApp:
    """Its requests are signed as the edge would."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        target, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        # Nobody's address: bad credentials are tried often, and would be told to wait.
        hop = signed(scope["method"], f"{target}?{query}" if query else target, client="")
        added = [(name.lower().encode(), value.encode("latin-1")) for name, value in hop.items()]
        scope = {**scope, "headers": [*scope["headers"], *added]}
        response = await pipeline.answer(Request(scope, receive))
        await response(scope, receive, send)

    return app
