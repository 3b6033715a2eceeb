"""Everything that the program declares, as one reviewed file: graph.json."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from tests.infra.program import Graph, Resource
from tests.infra.wire import UNKNOWN, is_archive, is_secret

SNAPSHOT = Path(__file__).with_name("graph.json")
COMMAND = "make snapshot"


def test_the_graph_is_the_reviewed_one(real: Graph) -> None:
    text = json.dumps(_shown(real), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    reviewed = SNAPSHOT.read_text(encoding="utf-8") if SNAPSHOT.exists() else ""
    assert text == reviewed, f"The program declares something else: run `{COMMAND}` and review the change of {SNAPSHOT}"


def test_the_snapshot_holds_no_secret_and_no_machine_path() -> None:
    text = SNAPSHOT.read_text(encoding="utf-8")
    assert str(SNAPSHOT.parents[2]) not in text
    assert "hidden" not in text  # as every secret of tests/infra/program.py is called


def _shown(graph: Graph) -> dict[str, Any]:
    return {
        "resources": {_short(urn): _resource(resource) for urn, resource in graph.resources.items()},
        "outputs": _masked(graph.outputs),
    }


def _resource(resource: Resource) -> dict[str, Any]:
    shown: dict[str, Any] = {"inputs": _masked(resource.inputs)}
    if resource.protect:
        shown["protect"] = True
    if resource.depends_on:
        shown["depends_on"] = sorted(_short(urn) for urn in resource.depends_on)
    return shown


def _masked(value: Any) -> Any:
    """Secrets, code and hashes of code left out: they change with every run or every edit."""
    if is_secret(value):
        return "<secret>"
    if is_archive(value):
        return "<archive>"
    if isinstance(value, dict):
        return {name: "<code>" if name in ("content", "digest") else _masked(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if isinstance(value, str) and value != UNKNOWN:
        return re.sub(r"-[0-9a-f]{16}\.zip$", "-<hash>.zip", value)
    return value


def _short(urn: str) -> str:
    """`gcp:storage/bucket:Bucket archives`: the type without its parents, and the name."""
    kind, name = urn.split("::")[2:]
    return f"{kind.rpartition('$')[2]} {name}"
