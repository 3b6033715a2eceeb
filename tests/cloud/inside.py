"""What lies behind the API: the settings of a function, its log, the stores under it, the vendors as one process."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.cloud.stack import Stack
from tests.processes import freeze


def part(stack: Stack, name: str) -> dict[str, Any]:
    [found] = [one for one in stack.parts() if one["name"] == name]
    return found


def environment(stack: Stack, function: str) -> dict[str, str]:
    """What a function's process was started with, secrets included: never to be printed."""
    text = Path(f"/proc/{part(stack, function)['pid']}/environ").read_bytes().decode()
    return dict(line.split("=", 1) for line in text.split("\0") if line)


def log(stack: Stack, name: str) -> Path:
    return stack.root / "cloud" / "logs" / f"{name}.log"


class Said:
    """What a part has logged since this was made."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._path = log(stack, name)
        self._start = self._path.stat().st_size

    def lines(self) -> list[dict[str, Any]]:
        with self._path.open("rb") as file:
            file.seek(self._start)
            text = file.read().decode()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def redis(stack: Stack, *command: str) -> Any:
    """What the Redis behind the functions answers to one command."""
    settings = environment(stack, "memories")
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(settings["REDIS_URL"]).port, timeout=20)
    try:
        headers = {"Authorization": f"Bearer {settings['REDIS_TOKEN']}"}
        connection.request("POST", "/", json.dumps(command), headers)
        answer = json.loads(connection.getresponse().read())
        assert "error" not in answer, answer
        return answer["result"]
    finally:
        connection.close()


def sql(stack: Stack, statement: str, *values: object, **named: object) -> list[tuple[Any, ...]]:
    """Rows of a statement run by the superuser, whom no program of ours may be."""
    held = json.loads((stack.root / "cloud" / "resources.json").read_text())["sections"]["supabase"]
    [project] = held.values()
    [server] = [one for one in stack.parts() if one["kind"] == "postgres"]
    with psycopg.connect(
        host="127.0.0.1",
        port=server["port"],
        user="supabase_admin",
        password=project["admin_password"],
        dbname="postgres",
        autocommit=True,
    ) as connection:
        cursor = connection.execute(statement.encode(), named or values)
        return cursor.fetchall() if cursor.description else []


def sweep(stack: Stack) -> None:
    """Have what was left taken up."""
    run_schedule(stack, "sweep")


def run_schedule(stack: Stack, name: str) -> None:
    """Fire a scheduled job, as `gcloud scheduler jobs run` does."""
    held = json.loads((stack.root / "cloud" / "resources.json").read_text())["resources"]
    jobs = [one["id"] for one in held if one["type"].startswith("gcp:cloudscheduler/job:")]
    [job] = [one for one in jobs if one.rsplit("/", 1)[-1].startswith(name)]
    stack.control(f"/v1/{job}:run", "POST")


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    try:
        freeze(*pids)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def frozen_vendors(stack: Stack) -> Iterator[None]:
    """Supabase Auth, Turso's Platform API, the mail server, Cloud Tasks, Scheduler and Secret Manager, all of which the
    daemon stands in for: they take connections and never answer. What serves memories goes on."""
    with frozen(stack.daemon()["pid"]):
        yield
