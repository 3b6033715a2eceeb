"""The client's own way from a local database to the cloud: `memorygraph migrate`, as its documentation has it.

It sends two requests for a memory and three for a relationship, and counts each refusal as skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.stack import REPOSITORY, Stack

MAKE = REPOSITORY / "tests" / "client" / "local_memories.py"
MEMORIES, RELATIONSHIPS = 100, 270


def client(python: Path, words: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the client's environment, which finds nothing of ours; `folder` is its home."""
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=folder,
        env={"PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]), "HOME": str(folder), **more},
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def local(client_python: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A local database, and what the package says is in it."""
    folder = tmp_path_factory.mktemp("local")
    made = client(client_python, [str(client_python), str(MAKE), str(folder / "memory.db")], folder)
    exported: dict[str, Any] = json.loads(made.stdout)
    assert (len(exported["memories"]), len(exported["relationships"])) == (MEMORIES, RELATIONSHIPS)
    return folder / "memory.db", exported


@pytest.mark.parametrize("plan", ["free", "pro"])
def test_the_whole_of_a_local_database_moves_to_the_cloud(
    stack: Stack, client_python: Path, local: tuple[Path, dict[str, Any]], tmp_path: Path, plan: str
) -> None:
    file, exported = local
    key = stack.make("key", f"PLAN={plan}").stdout.strip()
    words = f"memorygraph migrate --from sqlite --from-path {file} --to cloud --no-verify"
    told = client(
        client_python, words.split(), tmp_path, MEMORYGRAPH_API_URL=stack.api_url, MEMORYGRAPH_API_KEY=key
    ).stderr
    assert f"Migrated: {MEMORIES} memories" in told, told
    assert f"Migrated: {RELATIONSHIPS} relationships" in told, told
    assert "Skipped" not in told

    counts = stack.call("GET", "/graphs/statistics", key=key).body
    assert counts["total_memories"] == {"count": MEMORIES}
    assert counts["total_relationships"] == {"count": RELATIONSHIPS}
    found = stack.call("POST", "/search/advanced", {"limit": 1000}, key=key).body["memories"]
    assert by_id(found) == by_id(exported["memories"])
    edges = [edge for one in exported["memories"] for edge in edges_from(stack, key, one["id"])]
    assert sorted(edges) == sorted(edge_of(one) for one in exported["relationships"])


def by_id(memories: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What a migration carries over: all but the times, which the client does not send."""
    kept = ("type", "title", "content", "summary", "tags", "importance", "confidence")
    return {
        one["id"]: {**{name: one[name] for name in kept}, "context": without_empty(one.get("context"))}
        for one in memories
    }


def without_empty(context: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (context or {}).items() if value}


Edge = tuple[str, str, str, float, float, str]


def edge_of(relationship: dict[str, Any]) -> Edge:
    values = relationship["properties"]
    ends = (relationship["from_memory_id"], relationship["to_memory_id"])
    return (*ends, relationship["type"], values["strength"], values["confidence"], values["context"] or "")


def edges_from(stack: Stack, key: str, memory: str) -> list[Edge]:
    """The relationships that begin at a memory, by what is said about its neighbours."""
    related = stack.call("GET", f"/search/memories/{memory}/related?max_depth=1", key=key).body["related_memories"]
    edges = [one["relationship"] for one in related]
    return [edge_of({**edge, "properties": edge}) for edge in edges if edge["from_memory_id"] == memory]
