"""What a plan allows, measured at its edge: calls by many clients through many processes, and memories."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from declarations import FREE, MIGRATION_CREDIT_CALLS, PREFIX
from tests.cloud import inside
from tests.cloud.conftest import Conversation
from tests.cloud.hammering import signed
from tests.cloud.stack import REPOSITORY, Answer, Stack

CLIENTS = 20
INSTANCES = 3
"""Of `memories`, beside the one behind the Worker."""
CREDIT_LEFT = 500
MEMORY = {"type": "general", "title": "One of many", "content": "Text."}


@contextmanager
def instance(stack: Stack, function: str) -> Iterator[tuple[str, Path]]:
    """Another process of a deployed function, as Cloud Run starts them: its address, and its log."""
    pid = inside.part(stack, function)["pid"]
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    listening = socket.create_server(("127.0.0.1", 0))
    ready, begun = os.pipe()
    port = listening.getsockname()[1]
    for flag, descriptor in (("--listen-fd", listening.fileno()), ("--ready-fd", begun)):
        words[words.index(flag) + 1] = str(descriptor)
    path = stack.root / f"{function}-{port}.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            words,
            cwd=f"/proc/{pid}/cwd",
            env={**inside.environment(stack, function), "PORT": str(port)},
            pass_fds=(listening.fileno(), begun),
            stdout=log,
            stderr=log,
        )
    listening.close()
    os.close(begun)
    try:
        assert os.read(ready, 1) == b"1", path.read_text()
        yield f"http://127.0.0.1:{port}{PREFIX}", path
    finally:
        os.close(ready)
        process.terminate()
        process.wait(20)


@contextmanager
def hammer(key: str, url: str, edge: str | None) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cloud.hammering"],
        cwd=REPOSITORY,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdin is not None
            asked = {"url": f"{url}/health", "headers": {"X-API-Key": key}, "edge": edge}
            print(json.dumps(asked), file=process.stdin, flush=True)
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def counted(stack: Stack, workspace: str) -> list[int]:
    value = inside.redis(stack, "GET", f"calls:{workspace}:{datetime.now(UTC):%Y%m%d}")
    return [int(number) for number in (value or "0").split(" ")]


def test_twenty_clients_of_one_key_get_the_limit_and_hardly_less(stack: Stack) -> None:
    """The most of the credit is taken beforehand: the calls of a minute would come first otherwise."""
    key = stack.make("key").stdout.strip()
    known = stack.call("GET", "/auth/verify", key=key)
    workspace = known.body["workspace"]["id"]
    inside.redis(stack, "SET", f"credit:{workspace}", str(MIGRATION_CREDIT_CALLS - CREDIT_LEFT))
    limit = FREE.calls_per_day + CREDIT_LEFT
    assert limit < FREE.calls_per_minute
    edge = inside.environment(stack, "memories")["EDGE_SECRET"].split()[0]
    heard = [inside.Said(stack, name) for name in ("memories", "accounts")]
    with ExitStack() as running:
        others = [running.enter_context(instance(stack, "memories")) for _ in range(INSTANCES)]
        ways = [(stack.api_url, None), *((url, edge) for url, _ in others)]
        for url, secret in ways:  # a process that has just begun takes longer than it gives Redis
            warm = {} if secret is None else signed(secret, urlsplit(url).netloc, f"{PREFIX}/health")
            assert stack.call("GET", "/health", key=key, url=url, **warm).status == 200
        clients = [running.enter_context(hammer(key, *place(ways, number))) for number in range(CLIENTS)]
        for client in clients:
            assert said(client) == "ready"
        before = counted(stack, workspace)[0]
        for client in clients:
            assert client.stdin is not None
            print(file=client.stdin, flush=True)
        results = [json.loads(said(client)) for client in clients]
        logs = [path.read_text() for _, path in others]
    lines = [json.loads(line) for text in logs for line in text.splitlines() if line.startswith("{")]
    lines += [line for one in heard for line in one.lines()]
    assert not [line for line in lines if line.get("limits") == "open"], "Redis was reachable all the time"
    assert all('"status":200' in text for text in logs), "each instance took part"
    seen = sum((Counter(result["seen"]) for result in results), Counter[str]())
    assert set(seen) == {"200", "429"}
    allowed = seen["200"] + before
    assert 0.99 * limit <= allowed <= limit, seen
    assert_names_the_limit(results[0]["refusal"], stack.call("GET", "/health", key=key))


def place(ways: list[tuple[str, str | None]], number: int) -> tuple[str, str | None]:
    return ways[number % len(ways)]


def assert_names_the_limit(*refusals: Any) -> None:
    for refusal in refusals:
        found = refusal if isinstance(refusal, Answer) else Answer(**refusal)
        assert found.status == 429
        assert re.fullmatch("[1-9][0-9]*", found.headers["retry-after"])
        assert found.headers["content-type"] == "application/problem+json"
        assert found.headers["x-ratelimit-limit"] == str(FREE.calls_per_day)
        assert found.headers["x-ratelimit-remaining"] == "0"
        assert 0 < int(found.headers["x-ratelimit-reset"]) <= 86_400
        for part in ("1,000 calls a day", "free plan", "pro", "00:00 UTC"):
            assert part in found.body["detail"], found.body


def test_a_capped_key_ends_before_its_workspace(stack: Stack) -> None:
    whole = stack.make("key").stdout.strip()
    made = stack.call("POST", "/api-keys", {"name": "robot", "calls_per_day": 5}, key=whole)
    assert made.status == 201, made
    answers = [stack.call("GET", "/memories/recent", key=made.body["key"]) for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0"]
    assert "own limit" in answers[-1].body["detail"]
    assert stack.call("GET", "/memories/recent", key=whole).status == 200


def test_a_full_workspace_says_so_and_still_reads_deletes_and_exports(stack: Stack, converse: Conversation) -> None:
    assert FREE.memories == 100
    key = stack.make("key").stdout.strip()
    batch = {"memories": [{**MEMORY, "id": f"m{number}"} for number in range(100)]}
    filled = stack.call("POST", "/memories/batch", batch, key=key)
    assert filled.status in {200, 201}, filled
    full = stack.call("POST", "/memories", MEMORY, key=key)
    assert (full.status, full.headers["content-type"]) == (403, "application/problem+json")
    for part in ("Free plan holds 100 memories", "100 are stored", "upgrade to Pro for 10,000"):
        assert part in full.body["detail"], full.body
    _, shown = converse(stack.api_url, key, [("store_memory", MEMORY)])
    assert full.body["detail"] in shown["text"], "the client shows the text of a 403 to its user"

    assert stack.call("GET", "/memories/m1", key=key).status == 200
    assert stack.call("POST", "/search/advanced", {"query": "many"}, key=key).body["memories"]
    assert stack.call("PUT", "/memories/m1", {"title": "Changed"}, key=key).status == 200
    assert stack.call("POST", "/memories", {**MEMORY, "id": "m1"}, key=key).status in {200, 201}, "it was there before"
    exported = stack.text("GET", "/export", key=key)
    assert exported.count('"kind":"memory"') == 100
    assert stack.call("GET", "/dashboard/stats", key=key).body["memory_count"] == 100
    assert stack.call("DELETE", "/memories/m1", key=key).status in {200, 204}
    assert stack.call("POST", "/memories", MEMORY, key=key).status == 201
    assert stack.call("POST", "/memories", MEMORY, key=key).status == 403
