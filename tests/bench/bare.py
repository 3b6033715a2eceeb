"""Ceilings: what the parts below us give for the same work, without us.

`record` runs requests through the product's own pipeline with recorders in the place of its adapters, so what is
replayed is what the product sends, whatever that is. Nothing is executed while recording.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg
from starlette.requests import Request

from core import bootstrap, edge
from core.http import Pipeline
from declarations import MEMORIES, MemoriesSettings
from memories import handlers
from tests.bench import children
from tests.bench.cells import percentile
from tests.bench.ours import PUBLIC_HOST, Call
from tests.bench.wire import Line, WireError, render

PIPELINES = ("/v2/pipeline", "/v3/pipeline")


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement as it went to PostgreSQL."""

    text: str
    args: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Post:
    """One Hrana request as it went to sqld."""

    url: str
    headers: Mapping[str, str]
    body: bytes


Sent = Statement | Post


class _Recorded(BaseException):
    """Ends a request once what it sends to the store is known; no `except Exception` on the way may stop it."""


async def record(env: Mapping[str, str], calls: Sequence[tuple[str, Call]]) -> list[Sent]:
    """What each request (key, call) sends to its store.

    Args:
        env: the environment of the function.

    Raises:
        RuntimeError: a request sent nothing: it was refused, or this no longer fits the product.
    """
    settings = MemoriesSettings.load(env)
    tools = bootstrap.build(settings)
    sent: list[Sent] = []
    postgres: Any = tools.postgres
    client: Any = getattr(tools.databases, "client")  # noqa: B009  not part of the port
    ask, post = postgres.ask, client.post

    async def recording_ask(statement: str, args: Sequence[object] = (), *rest: Any, **more: Any) -> Any:
        if "memory." not in statement:  # admission: a lease saves it nearly always
            return await ask(statement, args, *rest, **more)
        sent.append(Statement(statement, tuple(args)))
        raise _Recorded

    async def recording_post(url: str, body: bytes, headers: Mapping[str, str], **more: Any) -> Any:
        if not url.endswith(PIPELINES):  # Redis
            return await post(url, body, headers, **more)
        sent.append(Post(url, dict(headers), body))
        raise _Recorded

    postgres.ask, client.post = recording_ask, recording_post
    pipeline = Pipeline(MEMORIES, handlers, tools)
    secret = settings.edge_secret.reveal().split()[0]
    found: list[Sent] = []
    try:
        for key, call in calls:
            sent.clear()
            with suppress(_Recorded):
                answer = await pipeline.answer(_request(secret, key, call))
                raise RuntimeError(f"{call[0]} {call[1]} asked no store: it was answered {answer.status_code}")
            found += sent
    finally:
        postgres.ask, client.post = ask, post
        await client.close()
        await postgres.close()
    return found


def _request(secret: str, key: str, call: Call) -> Request:
    method, target, body = call
    hop = edge.Hop(
        timestamp=str(int(time.time())), request_id="bench", method=method, host=PUBLIC_HOST, target=target, client=""
    )
    headers = {**edge.signed_headers(secret, hop), "x-api-key": key, "content-type": "application/json"}
    scope = {
        "type": "http",
        "method": method,
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(scope, receive)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What a ceiling gave: operations a second, latencies in ms."""

    rate: float
    p50: float | None
    p95: float | None
    errors: int
    load_cpu: float


async def replay(
    lanes: Sequence[Sequence[Sent]], seconds: float, execute: Callable[[int, Any], Awaitable[bool]]
) -> Rate:
    """Each lane is a task that sends its own, round and round, one at a time. `execute(lane, sent)` says success."""
    latencies: list[float] = []
    errors = 0
    started, cpu = time.perf_counter(), time.process_time()
    begins, ends = started + 0.1 * seconds, started + 1.1 * seconds

    async def go(number: int, lane: Sequence[Sent]) -> None:
        nonlocal errors
        place = 0
        while (now := time.perf_counter()) < ends:
            good = await execute(number, lane[place % len(lane)])
            place += 1
            errors += not good
            if good and begins <= (after := time.perf_counter()) <= ends:
                latencies.append((after - now) * 1000)

    await asyncio.gather(*(go(number, lane) for number, lane in enumerate(lanes)))
    elapsed = time.perf_counter() - started
    latencies.sort()
    return Rate(
        rate=round(len(latencies) / seconds, 1),
        p50=percentile(latencies, 0.5),
        p95=percentile(latencies, 0.95),
        errors=errors,
        load_cpu=round((time.process_time() - cpu) / elapsed, 2),
    )


async def postgres(
    url: str, lanes: Sequence[Sequence[Sent]], seconds: float, *, connections: int, prepared: bool
) -> Rate:
    """psycopg alone: tasks that share some connections, one statement each time, the rows fetched and left alone."""
    free: asyncio.LifoQueue[psycopg.AsyncConnection[Any]] = asyncio.LifoQueue()
    opened = [
        await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0 if prepared else None)
        for _ in range(connections)
    ]
    for one in opened:
        free.put_nowait(one)

    async def execute(_lane: int, sent: Statement) -> bool:
        connection = await free.get()
        try:
            await (await connection.execute(sent.text.encode(), sent.args)).fetchall()
        except psycopg.Error:
            return False
        finally:
            free.put_nowait(connection)
        return True

    try:
        return await replay(lanes, seconds, execute)
    finally:
        for one in opened:
            await one.close()


async def hrana(lanes: Sequence[Sequence[Sent]], seconds: float) -> Rate:
    """The same bytes to sqld, a connection for each task."""
    requests: dict[int, bytes] = {}
    lines: list[Line] = []
    for lane in lanes:
        first = lane[0]
        assert isinstance(first, Post)
        lines.append(Line(children.HOST, urlsplit(first.url).port or 80))
        for sent in lane:
            assert isinstance(sent, Post)
            target = urlsplit(sent.url)
            headers = {name: value for name, value in sent.headers.items() if name.lower() != "content-type"}
            requests[id(sent)] = render("POST", target.netloc, target.path, headers, sent.body)

    async def execute(lane: int, sent: Post) -> bool:
        try:
            status, body = await lines[lane].ask(requests[id(sent)])
        except WireError:
            return False
        return status == 200 and b'"error":{' not in body

    try:
        return await replay(lanes, seconds, execute)
    finally:
        for line in lines:
            line.close()
