"""The environment that `make up` makes from a fresh copy of the repository, shared by every test in this folder."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.stack import Stack, copy_repository

Conversation = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`make up` in a fresh copy, through the real engine."""
    stack = Stack(copy_repository(tmp_path_factory.mktemp("clone")))
    try:
        stack.make("up", timeout=600)
        yield stack
    finally:
        stack.make("clean", check=False)


@pytest.fixture(scope="session")
def client_python() -> Path:
    """Python of the real client's own environment, which `make test` installs."""
    place = os.environ.get("MEMORYGRAPH_CLIENT_PYTHON")
    assert place, "MEMORYGRAPH_CLIENT_PYTHON is not set: run the tests by `make test`"
    return Path(place)


@pytest.fixture
def converse(client_python: Path, tmp_path: Path) -> Conversation:
    """Call tools of the real memorygraphMCP over stdio, pointed at a stack by its three variables.

    It works in `tmp_path`, which is the project that it takes itself to be in.
    """

    def run(url: str, key: str, calls: list[tuple[str, dict[str, Any]]], profile: str = "core") -> list[dict[str, Any]]:
        script = Path(__file__).parents[1] / "client" / "conversation.py"
        done = subprocess.run(
            [str(client_python), str(script), profile],
            input=json.dumps(calls),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.environ["HOME"],
                "MEMORYGRAPH_API_URL": url,
                "MEMORYGRAPH_API_KEY": key,
                "MEMORY_BACKEND": "cloud",
            },
        )
        assert done.returncode == 0, done.stderr
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    return run
