"""The nightly backup as its schedule fires it, its trial, and a workspace put back by `make restore`."""

from __future__ import annotations

from tests.cloud import inside
from tests.cloud.stack import Stack, wait_until

SECONDS = 60


def test_a_workspace_is_backed_up_and_put_back(stack: Stack) -> None:
    keys = {plan: stack.make("key", f"PLAN={plan}").stdout.strip() for plan in ("free", "pro")}
    for key in keys.values():
        made = stack.call("POST", "/memories", {"type": "general", "title": "kept", "content": "Pool of 50."}, key=key)
        assert made.status == 201, made
    assert stack.make("restore").stdout.strip() == "There is no backup."

    inside.run_schedule(stack, "back")
    finished = "SELECT manifest, failed FROM app.backup_runs WHERE finished_at IS NOT NULL"
    wait_until(lambda: inside.sql(stack, finished) != [], SECONDS, "the backup ends")
    [(manifest, failed)] = inside.sql(stack, finished)
    assert failed == 0
    assert stack.make("restore").stdout.strip() == manifest
    files = [path.name for path in (stack.root / "cloud").rglob("o-*.gz")]
    assert len(files) > len(keys)

    inside.run_schedule(stack, "check")
    checked = "SELECT check_error FROM app.backup_runs WHERE checked_at IS NOT NULL"
    wait_until(lambda: inside.sql(stack, checked) != [], SECONDS, "the trial ends")
    assert inside.sql(stack, checked) == [(None,)]

    for key in keys.values():
        [found] = stack.call("GET", "/memories/recent", key=key).body["recent_memories"]
        assert stack.call("DELETE", f"/memories/{found['id']}", key=key).status in (200, 204)
        workspace = stack.call("GET", "/auth/verify", key=key).body["workspace"]["id"]
        said = stack.make("restore", f"WORKSPACE={workspace}").stdout
        assert "1 of memory" in said
    inside.sweep(stack)
    done = "SELECT count(*) FROM app.jobs WHERE kind = 'restore_store' AND state = 'done'"
    wait_until(lambda: inside.sql(stack, done) == [(len(keys),)], SECONDS, "the restores end")
    for key in keys.values():
        [again] = stack.call("GET", "/memories/recent", key=key).body["recent_memories"]
        assert again["title"] == "kept"


def test_a_restore_that_is_not_possible_says_so(stack: Stack) -> None:
    refused = stack.make("restore", "WORKSPACE=mine", check=False)
    assert refused.returncode != 0
    assert "This is no id of a workspace" in refused.stderr + refused.stdout
