"""What is not a table of loads: cold starts, a request without a store, many users, a store far away, Redis."""

from __future__ import annotations

import asyncio
import compileall
import os
import re
import shutil
import socket
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.bench import children, load
from tests.bench.cells import percentile
from tests.bench.cloud import Cloud, NotPossible
from tests.bench.ours import Door, Ours, health_call
from tests.bench.tap import tapped
from tests.bench.wire import Line, WireError
from tests.bench.workload import Workload
from tests.delay import DelayingProxy

STARTS = 10
USERS = 100
USER_PAUSE_SECONDS = 1.0
WARM_CLIENTS = 8
WARM_SECONDS = 0.5
NETWORK_MS = 20
CALLS_A_SECOND = 50
IDLE_SECONDS = 6.0
HELLO = Path(__file__).with_name("hello")
_COMMAND = re.compile(rb'\["([A-Za-z_]+)"')


async def store_free(cloud: Cloud, key: str, clients: int, seconds: float) -> dict[str, dict[str, float]]:
    """GET /health with a key, and the same of a handler that does nothing, under the same server: a second, and ms."""
    direct = Door(children.HOST, cloud.function_port, cloud.edge_secret)
    found = {
        "function": await _hammer(direct, key, clients, seconds),
        "edge": await _hammer(Door(*cloud.edge), key, clients, seconds),
    }
    with cloud.bare_worker(hello(cloud.folder), "hello") as port:
        found["bare"] = await _hammer(Door(children.HOST, port), "", clients, seconds)
    return found


async def _hammer(door: Door, key: str, clients: int, seconds: float) -> dict[str, float]:
    latencies: list[float] = []
    errors = 0
    started, cpu = time.perf_counter(), time.process_time()
    begins, ends = started + 0.2 * seconds, started + 1.2 * seconds

    async def go() -> None:
        nonlocal errors
        line = Line(*door.address)
        while (now := time.perf_counter()) < ends:
            try:
                status, _ = await line.ask(door.request(key, health_call()))
            except WireError:
                status = 0
            if status != 200:
                errors += 1
                await asyncio.sleep(0)
            elif begins <= (after := time.perf_counter()) <= ends:
                latencies.append((after - now) * 1000)
        line.close()

    await asyncio.gather(*(go() for _ in range(clients)))
    elapsed = time.perf_counter() - started
    latencies.sort()
    return {
        "rate": round(len(latencies) / seconds, 1),
        "p50": round(percentile(latencies, 0.5) or 0, 2),
        "p95": round(percentile(latencies, 0.95) or 0, 2),
        "errors": errors,
        "load_cpu": round((time.process_time() - cpu) / elapsed, 2),
    }


def hello(folder: Path) -> Path:
    """The bare function in a folder of its own, compiled."""
    target = folder / "hello"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    shutil.copyfile(HELLO / "main.py", target / "main.py")
    compileall.compile_dir(target, quiet=1)
    return target


def cold_starts(cloud: Cloud, times: int = STARTS) -> dict[str, dict[str, float]]:
    """ms from starting the process to its first 200, of `memories` and of the bare function, in turn.

    Both under the same server; bytecode is there; the request is there before the process listens.
    """
    bare = hello(cloud.folder)
    found: dict[str, list[float]] = {"memories": [], "bare": []}
    for _ in range(times):
        found["memories"].append(_cold_start(cloud, cloud.function.env, cloud.function.cwd, cloud.edge_secret))
        env = {"PATH": os.defpath, "FUNCTION_TARGET": "hello", "FUNCTION_SIGNATURE_TYPE": "http"}
        found["bare"].append(_cold_start(cloud, env, bare, None))
    return {
        name: {
            "median": round(statistics.median(values), 1),
            "least": round(min(values), 1),
            "most": round(max(values), 1),
            "times": len(values),
        }
        for name, values in found.items()
    }


def _cold_start(cloud: Cloud, env: dict[str, str] | object, cwd: Path, edge_secret: str | None) -> float:
    assert isinstance(env, dict)
    ready, said = os.pipe()
    with children.listening() as listener:
        host, port = listener.getsockname()
        request = Door(host, port, edge_secret).request("", health_call())
        started = time.perf_counter()
        process = children.start(
            cloud.function.command(listener.fileno(), said),
            env=env,
            cwd=cwd,
            log=cloud.folder / "cold.log",
            fds=(listener.fileno(), said),
        )
        os.close(said)
        try:
            with socket.create_connection((host, port), timeout=30) as connection:
                connection.sendall(request)
                answer = connection.recv(4096)
            seconds = time.perf_counter() - started
        finally:
            os.close(ready)
            children.end(process)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"a cold start was answered {answer[:40]!r}")
    return seconds * 1000


async def users(ours: Ours, workload: Workload, ids: Sequence[str], seconds: float) -> dict[str, object]:
    """100 users who each pause a second between calls; and 100 who do not."""
    calm = await load.run(
        ours, workload, ids, clients=USERS, seconds=seconds, label=f"calm{ours.name}", pause=USER_PAUSE_SECONDS
    )
    greedy = await load.run(ours, workload, ids, clients=USERS, seconds=seconds, label=f"greedy{ours.name}")
    return {"pausing": calm.record(), "without pause": greedy.record()}


async def far_store(
    cloud: Cloud, key: str, workload: Workload, ids: Sequence[str], seconds: float
) -> dict[str, object]:
    """The same with 20 ms of network between the function and both PostgreSQL and Redis."""
    database = urlsplit(cloud.function.env["DATABASE_URL"])
    redis = urlsplit(cloud.function.env["REDIS_URL"])
    way = NETWORK_MS / 2000
    async with (
        DelayingProxy(database.port or 5432, seconds=way) as to_database,
        DelayingProxy(redis.port or 80, seconds=way) as to_redis,
    ):
        changes = {
            "DATABASE_URL": moved(database.geturl(), to_database.port),
            "REDIS_URL": moved(redis.geturl(), to_redis.port),
        }
        with cloud.worker(changes) as port:
            ours = Ours("function, store 20 ms away", Door(children.HOST, port, cloud.edge_secret), [key])
            # As the edge's users meet a process that serves already; a cold start is a row of its own.
            await load.run(ours, workload, ids, clients=WARM_CLIENTS, seconds=WARM_SECONDS, label="warm")
            return await users(ours, workload, ids, seconds)


def moved(url: str, port: int) -> str:
    """The URL with this machine and `port` as its address."""
    parts = urlsplit(url)
    who, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{who}{at}{children.HOST}:{port}"))


async def redis_commands(
    cloud: Cloud, key: str, workload: Workload, ids: Sequence[str], seconds: float
) -> dict[str, object]:
    """Commands that the function sends to Redis, counted on their way: of a steady caller, and of one after a pause.

    Raises:
        NotPossible: nothing came by, not even at the first call: it does not go this way.
    """
    commands: list[str] = []

    def seen(data: bytes) -> None:
        commands.extend(name.decode().upper() for name in _COMMAND.findall(data))

    redis = urlsplit(cloud.function.env["REDIS_URL"])
    async with tapped(redis.port or 80, seen) as to_redis:
        with cloud.worker({"REDIS_URL": moved(redis.geturl(), to_redis)}) as port:
            door = Door(children.HOST, port, cloud.edge_secret)
            ours = Ours("function, Redis counted", door, [key])
            clients = 10
            client = await ours.client(0)
            await client.get(ids[0])
            if not commands:
                raise NotPossible("no command to Redis was seen on its way")
            commands.clear()
            cell = await load.run(
                ours, workload, ids, clients=clients, seconds=seconds, label="redis", pause=clients / CALLS_A_SECOND
            )
            # The read-back and the deletes after the load are calls too.
            calls = cell.attempts + 2 * cell.acknowledged
            steady = {"calls": calls, "rate": round(cell.rate, 1), "commands": _counted(commands)}
            await asyncio.sleep(IDLE_SECONDS)
            commands.clear()
            await client.get(ids[0])
            await client.close()
            return {"steady": steady, "after a pause": {"calls": 1, "commands": _counted(commands)}}


def _counted(commands: Sequence[str]) -> dict[str, int]:
    return {name: commands.count(name) for name in sorted(set(commands))}
