"""The operator's commands on one environment: make up, preview, change, down, destroy, with the real engine."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

import pytest

from tests.cloud.conftest import Conversation
from tests.cloud.stack import Stack, alive, copy_repository, family, processes_of, wait_until


def test_up_tells_how_to_point_a_client_at_it(stack: Stack) -> None:
    said = stack.make("up").stdout
    for line in (
        f"MEMORYGRAPH_API_URL={stack.api_url}",
        f"MEMORYGRAPH_API_KEY={stack.key}",
        "MEMORY_BACKEND=cloud",
        '"mcpServers"',
    ):
        assert line in said
    assert stack.api_url.endswith("/api/v1")
    assert stack.key.startswith("mg_")


def test_secrets_stay_with_their_owner(stack: Stack) -> None:
    assert stat.S_IMODE(stack.root.stat().st_mode) == 0o700
    for name in ("env", "pulumi.env", "cloud.json"):
        assert stat.S_IMODE((stack.root / name).stat().st_mode) == 0o600, name


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    before = (stack.root / "env").read_text(), stack.pids("function"), stack.pids("postgres")
    stack.make("up")
    assert ((stack.root / "env").read_text(), stack.pids("function"), stack.pids("postgres")) == before


def test_key_prints_the_key_of_a_fresh_account_and_nothing_else(stack: Stack) -> None:
    keys = {stack.make("key", f"PLAN={plan}").stdout for plan in ("free", "pro", "team")}
    assert len(keys) == 3
    for key in keys:
        assert re.fullmatch(r"mg_[0-9A-Za-z]{52}\n", key)
        assert stack.call("GET", "/memories", key=key.strip()).body["memories"] == []
    refused = stack.make("key", "PLAN=platinum", check=False)
    assert refused.returncode != 0
    assert "free, pro" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_memories_survive_down_and_up(stack: Stack, converse: Conversation) -> None:
    memory = {"type": "general", "title": "Survivor", "content": "Kept over a night's sleep."}
    said = converse(stack.api_url, stack.key, [("store_memory", memory)])
    assert not said[1]["error"]
    processes = [pid for part in stack.parts() if part["pid"] for pid in family(part["pid"])]
    processes.append(stack.daemon()["pid"])

    stack.make("down")
    assert [pid for pid in processes if alive(pid)] == []

    url, key = stack.api_url, stack.key
    stack.make("up")
    assert (stack.api_url, stack.key) == (url, key)
    found = converse(stack.api_url, stack.key, [("search_memories", {"query": "survivor"})])
    assert "Survivor" in found[1]["text"]


def test_preview_after_up_shows_no_change(stack: Stack) -> None:
    said = stack.make("preview").stdout
    assert re.search(r"\d+ unchanged", said)
    assert not re.search(r"\d+ to (create|update|replace|delete)", said)


def test_a_function_with_more_memory_is_one_change_in_place(stack: Stack) -> None:
    declarations = stack.checkout / "functions" / "declarations.py"
    original = declarations.read_text()
    declarations.write_text(original.replace("sizing=Sizing(memory_mb=512", "sizing=Sizing(memory_mb=1024"))
    assert declarations.read_text() != original
    try:
        said = stack.make("preview").stdout
        assert re.search(r"1 to update", said)
        assert not re.search(r"\d+ to (create|replace|delete)", said)
        assert "availableMemory" in said
        stack.make("up")
        assert re.search(r"\d+ unchanged", stack.make("preview").stdout)
        assert stack.call("GET", "/memories", key=stack.key).status == 200
    finally:
        declarations.write_text(original)
    stack.make("up")


def test_a_killed_daemon_leaves_no_process_and_up_carries_on(stack: Stack) -> None:
    import os
    import signal

    processes = [pid for part in stack.parts() if part["pid"] for pid in family(part["pid"])]
    os.kill(stack.daemon()["pid"], signal.SIGKILL)
    wait_until(lambda: not [pid for pid in processes if alive(pid)], 10, "the parts end with the daemon")
    stack.make("up")
    assert stack.call("GET", "/memories", key=stack.key).status == 200


@pytest.fixture(scope="module")
def second(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Another copy, to be broken; what the first one installed is taken along."""
    copy = copy_repository(tmp_path_factory.mktemp("second"))
    shutil.copytree(stack.root / "parts", copy / ".local" / "parts", symlinks=True)
    return Stack(copy)


def test_a_missing_grant_stops_up_and_destroy_leaves_nothing(second: Stack) -> None:
    component = second.checkout / "infra" / "components" / "function.py"
    original = component.read_text()
    without = re.sub(r"\bgrant(s)?\b", r"grant\1", original)
    assert "SecretIamMember" in original
    # Grant the secret to another identity: the function's own has none then.
    component.write_text(without.replace("roles/secretmanager.secretAccessor", "roles/secretmanager.viewer"))
    refused = second.make("up", check=False)
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "Permission denied on secret" in said
    assert "memories" in said
    assert "@memorygraph-local.iam.gserviceaccount.com" in said
    assert "Traceback" not in said

    component.write_text(original)
    second.make("up")
    assert second.call("GET", "/memories", key=second.key).status == 200

    daemon = second.daemon()["pid"]
    pids = [pid for part in second.parts() if part["pid"] for pid in family(part["pid"])]
    second.make("destroy")
    wait_until(lambda: not [pid for pid in [daemon, *pids] if alive(pid)], 10, "no process is left")
    assert processes_of(second.root) == []
    left = [path for path in (second.root / "cloud").rglob("*") if path.is_file() and path.suffix != ".log"]
    assert left == [], "no data is left"

    second.make("clean")
    assert not second.root.exists()
    assert not (second.checkout / ".venv").exists()
    assert not list(Path("/var/tmp").glob("memorygraph-cloud-*/.of-" + second.root.name)), "nothing outside is left"
