"""The operator's commands on one environment: make up, preview, change, down, destroy, with the real engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.conftest import Conversation
from tests.cloud.stack import Stack, copy_repository, processes_of, wait_until
from tests.processes import alive, family


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
    declarations.write_text(original.replace("sizing=Sizing(memory_mb=512", "sizing=Sizing(memory_mb=1024", 1))
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
    processes = [pid for part in stack.parts() if part["pid"] for pid in family(part["pid"])]
    os.kill(stack.daemon()["pid"], signal.SIGKILL)
    wait_until(lambda: not [pid for pid in processes if alive(pid)], 10, "the parts end with the daemon")
    stack.make("up")
    assert stack.call("GET", "/memories", key=stack.key).status == 200


def test_an_operator_runs_plain_pulumi(stack: Stack) -> None:
    pulumi = stack.pulumi
    assert pulumi("preview", "--expect-no-changes").returncode == 0
    assert pulumi("refresh", "--yes", "--expect-no-changes").returncode == 0
    listed = pulumi("stack", "output", "--json").stdout
    outputs = json.loads(listed)
    assert outputs["operator"] == "[secret]"
    assert outputs["api_url"].endswith("/api/v1")


def test_no_secret_is_readable_in_the_state(stack: Stack) -> None:
    shown = json.loads(stack.pulumi("stack", "output", "--json", "--show-secrets").stdout)
    operator = shown["operator"]
    secrets = {
        name: operator[name] for name in operator if name.endswith(("_SECRET", "_KEY", "_TOKEN", "DATABASE_URL"))
    }
    assert len(secrets) >= 5
    # The local Turso and Cloudflare accept one fixed word as their token: nothing to hide.
    for name, value in secrets.items():
        if value != "local":
            for file in (stack.root / "pulumi" / "state").rglob("*.json"):
                assert value not in file.read_text(), f"{name} is readable in {file.name}"


@pytest.fixture(scope="module")
def second(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Another copy, to be broken; what the first one installed is taken along."""
    copy = copy_repository(tmp_path_factory.mktemp("second"))
    shutil.copytree(stack.root / "parts", copy / ".local" / "parts", symlinks=True)
    second = Stack(copy)
    yield second
    second.make("clean", check=False)


def test_a_missing_grant_stops_up_and_destroy_leaves_nothing(second: Stack) -> None:
    secrets = second.checkout / "infra" / "components" / "secrets.py"
    original = secrets.read_text()
    grant = "grant = gcp.secretmanager.SecretIamMember("
    assert grant in original
    without_grant = original.replace(grant, f'grant = version if variable == "REDIS_TOKEN" else {grant[8:]}')

    def assert_refused(reason: str) -> None:
        refused = second.make("up", check=False)
        said = refused.stdout + refused.stderr
        assert refused.returncode != 0
        assert reason in said
        for named in ("memories", "memories-redis-token", "memories-run@memorygraph-local.iam.gserviceaccount.com"):
            assert named in said
        assert "Traceback" not in said

    secrets.write_text(without_grant)
    assert_refused("Permission denied on secret")  # on the first deployment

    secrets.write_text(original)
    second.make("up")
    assert second.call("GET", "/memories", key=second.key).status == 200

    secrets.write_text(without_grant)
    assert_refused("is still needed")  # and on one that runs
    secrets.write_text(original)
    second.make("up")
    assert second.call("GET", "/memories", key=second.key).status == 200

    daemon = second.daemon()["pid"]
    pids = [pid for part in second.parts() if part["pid"] for pid in family(part["pid"])]
    outside = postgres_folder(pids)
    assert outside is not None
    second.make("destroy")
    wait_until(lambda: not [pid for pid in [daemon, *pids] if alive(pid)], 10, "no process is left")
    assert processes_of(second.root) == []
    left = [path for path in (second.root / "cloud").rglob("*") if path.is_file() and path.suffix != ".log"]
    assert left == [], "no data is left"
    assert not outside.exists(), "PostgreSQL's folder is gone, wherever it had to be"

    second.make("clean")
    assert not second.root.exists()
    assert not (second.checkout / ".venv").exists()


def postgres_folder(pids: list[int]) -> Path | None:
    """The data folder that PostgreSQL runs on, by its command line."""
    for pid in pids:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        if words[0].endswith("/postgres") and "-D" in words:
            return Path(words[words.index("-D") + 1])
    return None
