"""Limits over real processes, sockets and the stand-in of Upstash: what is given is the limit, and hardly less."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn

from core.adapters import redis
from core.adapters.http1 import HttpClient
from core.adapters.redis import RedisPrincipalCache
from core.adapters.redis_calls import RedisCallCounter
from core.limits import Limits, calls_in
from core.limits_pool import Pool
from core.settings import Secret
from declarations import FREE, MIGRATION_CREDIT_CALLS
from infra.local.cloud.vendors.redis_rest import Front
from tests.functions.twins import FakeClock

PROCESSES = 20
CAP = 300
SECONDS = 60.0


class Upstash:
    """The stand-in, served by the loop of the test."""

    def __init__(self, front: Front, url: str) -> None:
        self.redis = front._redis
        self.url = url
        self.started = time.time()

    def counted(self) -> int:
        return calls_in((self.redis.get("calls:w:20260301") or b"").decode())

    async def hammer(
        self, *, calls: int = 1_000_000, callers: int = 8, cap: int | None = None, credit: int = 0
    ) -> Process:
        environment = {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "REDIS_URL": self.url,
            "REDIS_TOKEN": "token",
            "STARTED": str(self.started),
            "CALLS": str(calls),
            "CALLERS": str(callers),
            "CAP": "" if cap is None else str(cap),
            "CREDIT": str(credit),
        }
        program = (sys.executable, "-m", "tests.functions.core.hammering")
        process = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, env=environment)
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), SECONDS) == b"ready\n"
        return process


@pytest.fixture
async def upstash() -> AsyncIterator[Upstash]:
    front = Front("token", "reader")
    # The protocol is said because asyncio sends small answers at once only where it is.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server = uvicorn.Server(uvicorn.Config(front.application(), lifespan="off", log_level="warning"))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    yield Upstash(front, f"http://127.0.0.1:{listening.getsockname()[1]}")
    server.should_exit = True
    await task


def begin(*processes: Process) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")


async def said(process: Process) -> tuple[int, int]:
    """What it was allowed, and the size of its last grant."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), SECONDS)
    allowed, size = map(int, line.split())
    return allowed, size


@asynccontextmanager
async def ended(*processes: Process) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def test_twenty_processes_get_the_day_and_the_credit_and_hardly_less(upstash: Upstash) -> None:
    most = FREE.calls_per_day + MIGRATION_CREDIT_CALLS
    processes = await asyncio.gather(*(upstash.hammer(credit=MIGRATION_CREDIT_CALLS) for _ in range(PROCESSES)))
    async with ended(*processes):
        begin(*processes)
        allowed = [(await said(process))[0] for process in processes]
    assert 0.99 * most <= sum(allowed) <= most
    assert upstash.counted() == most
    assert int(upstash.redis.get("credit:w")) == MIGRATION_CREDIT_CALLS


async def test_a_capped_key_gets_its_cap_and_hardly_less(upstash: Upstash) -> None:
    processes = [await upstash.hammer(cap=CAP) for _ in range(2)]
    async with ended(*processes):
        begin(*processes)
        allowed = [(await said(process))[0] for process in processes]
    assert 0.99 * CAP <= sum(allowed) <= CAP
    assert int(upstash.redis.get("key:k:20260301")) == CAP


async def test_a_killed_process_costs_what_its_ramp_had_reached(upstash: Upstash) -> None:
    doomed = await upstash.hammer(calls=40, callers=1)
    async with ended(doomed):
        begin(doomed)
        allowed, size = await said(doomed)
        doomed.kill()
        await doomed.wait()
    lost = upstash.counted() - allowed
    assert allowed == 40
    assert 0 <= lost < size <= 40
    survivor = await upstash.hammer()
    async with ended(survivor):
        begin(survivor)
        others, _ = await said(survivor)
    assert others == FREE.calls_per_day - allowed - lost


async def test_a_redis_that_answers_after_ten_seconds_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes connections and is silent. The wait is that of the adapter, made short."""
    monkeypatch.setattr(redis, "ANSWER_SECONDS", 0.05)
    clock, http = FakeClock(), HttpClient()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    cache = RedisPrincipalCache(http, url, Secret("token"), monotonic=clock.monotonic)
    limits = Limits(counter=RedisCallCounter(cache.redis), clock=clock, instances=10, monotonic=clock.monotonic)
    pool = Pool("w", "", FREE, None, 0)
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(SECONDS):
            for _ in range(100):
                await limits.spend(pool)
    assert len(caplog.records) == 2  # Redis does not answer; nobody counts
    await http.close()
    server.close()
