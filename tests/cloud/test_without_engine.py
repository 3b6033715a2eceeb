"""The first run on a machine with no Pulumi: the SDK's own runtime feeds the same program to the same local cloud."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cloud.conftest import Conversation
from tests.cloud.stack import Stack, wait_until
from tests.processes import alive, family


class WithoutEngine(Stack):
    """The same checkout, another LOCAL_ROOT, and no engine on PATH or in the cache."""

    cache: Path

    def environment(self) -> dict[str, str]:
        inherited = super().environment()
        path = [part for part in inherited["PATH"].split(os.pathsep) if not (Path(part) / "pulumi").exists()]
        return inherited | {
            "PATH": os.pathsep.join(path),
            "XDG_CACHE_HOME": str(self.cache),
            # Packages are still taken from the caches of the person who runs the tests.
            "UV_CACHE_DIR": inherited.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")),
        }


@pytest.fixture(scope="module")
def bare(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> WithoutEngine:
    bare = WithoutEngine(stack.checkout, {"LOCAL_ROOT": ".local-bare"})
    bare.cache = tmp_path_factory.mktemp("cache")
    return bare


def test_up_without_an_engine_serves_the_client_and_destroy_leaves_nothing(
    bare: WithoutEngine, stack: Stack, converse: Conversation
) -> None:
    said = bare.make("up")
    assert "make engine" in said.stdout + said.stderr, "it says which driver it used and how to get the other"
    assert bare.api_url != stack.api_url, "two environments run side by side"
    memory = {"type": "general", "title": "First run", "content": "No Pulumi installed."}
    found = converse(bare.api_url, bare.key, [("store_memory", memory), ("search_memories", {"query": "first run"})])
    assert "First run" in found[2]["text"]

    bare.make("up")
    bare.make("down")
    bare.make("up")
    found = converse(bare.api_url, bare.key, [("search_memories", {"query": "first run"})])
    assert "First run" in found[1]["text"]

    refused = bare.make("preview", check=False)
    assert refused.returncode != 0
    assert "make engine" in refused.stderr
    assert "Traceback" not in refused.stderr

    pids = [pid for part in bare.parts() if part["pid"] for pid in family(part["pid"])]
    bare.make("destroy")
    wait_until(lambda: not [pid for pid in pids if alive(pid)], 10, "no process is left")
    assert stack.call("GET", "/health").status == 200, "the other environment goes on"
    bare.make("clean")
    assert not bare.root.exists()
    assert stack.call("GET", "/health").status == 200
