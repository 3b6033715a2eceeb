"""Secrets are replaced under traffic, and nobody notices."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cloud.stack import Stack

CALLERS = 2
PAUSE_SECONDS = 0.02


@contextmanager
def traffic(stack: Stack, key: str) -> Iterator[Counter[object]]:
    """Calls through the Worker as long as the block lasts; how often each status came."""
    seen: Counter[object] = Counter()
    over = threading.Event()

    def call() -> None:
        while not over.is_set():
            try:
                answer = stack.call("GET", "/memories/recent", key=key)
                seen[200 if answer.status == 200 else f"{answer.status} {answer.body['detail']}"] += 1
            except OSError as error:
                seen[type(error).__name__] += 1
            time.sleep(PAUSE_SECONDS)

    threads = [threading.Thread(target=call) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("name", ["memories-edge-secret", "memories-database-password"])
def test_no_request_fails(stack: Stack, name: str) -> None:
    key = stack.make("key", "PLAN=team").stdout.strip()
    with traffic(stack, key) as seen:
        stack.make("rotate", f"SECRET={name}")
    assert set(seen) == {200}, seen
    assert seen[200] > 100
    assert json.loads((stack.root / "rotation.json").read_text())[name] == [2]


def test_what_keys_depend_on_keeps_its_older_generation(stack: Stack) -> None:
    key = stack.make("key").stdout.strip()
    assert "the old one is accepted" in stack.make("rotate", "SECRET=key-tag-secret").stderr
    assert stack.call("GET", "/memories/recent", key=key).status == 200
    newer = stack.make("key").stdout.strip()
    assert stack.call("GET", "/memories/recent", key=newer).status == 200
    # The next `make up` keeps what was rotated here and before.
    changed = stack.make("up").stderr
    assert "replaced" not in changed
    assert "updated" not in changed
    assert stack.call("GET", "/memories/recent", key=key).status == 200
    again = stack.make("rotate", "SECRET=key-tag-secret", check=False)
    assert again.returncode != 0
    assert "cannot be dropped" in again.stderr


def test_an_unknown_name_is_answered_by_those_that_there_are(stack: Stack) -> None:
    done = stack.make("rotate", "SECRET=nothing", check=False)
    assert done.returncode != 0
    assert "memories-edge-secret" in done.stderr
