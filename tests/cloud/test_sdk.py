"""The real SDK with its integrations (client contract, sections 1.2 and 8), through the Worker.

Skipped unless MEMORYGRAPH_SDK names a checkout: see `sdk.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarations import PREFIX
from infra.local.places import DEFAULT_ROOT, Places
from tests.cloud import sdk
from tests.cloud.stack import Stack

Session = Callable[..., dict[str, Any]]

if not os.environ.get(sdk.VARIABLE):
    pytest.skip(sdk.HOW, allow_module_level=True)

PLANS = pytest.mark.parametrize("plan", ["free", "pro"])
"""Each plan has another kind of store."""


@pytest.fixture(scope="module")
def sdk_python() -> Path:
    return sdk.install(sdk.source(), Places.of(os.environ.get("LOCAL_ROOT", DEFAULT_ROOT)))


@pytest.fixture
def use(stack: Stack, sdk_python: Path) -> Session:
    """Run one of the sessions of `tests/client/sdk/session.py` with a fresh account."""

    def run(name: str, plan: str = "free") -> dict[str, Any]:
        done = subprocess.run(
            [str(sdk_python), str(sdk.SCRIPT), name],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.environ["HOME"],
                "SDK_API_URL": stack.api_url.removesuffix(PREFIX),
                "MEMORYGRAPH_API_KEY": stack.make("key", f"PLAN={plan}").stdout.strip(),
            },
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


@PLANS
@pytest.mark.parametrize("client", ["sync", "async_"])
def test_every_method_of_the_client(use: Session, client: str, plan: str) -> None:
    seen = use(client, plan)
    problem, fix = seen["problem"], seen["ends"][0]
    assert problem == {
        "id": seen["ends"][1],
        "type": "problem",
        "title": "Redis times out",
        "content": "Under load the cache does not answer.",
        "tags": ["redis", "cache"],
        "importance": 0.9,
        "context": {"session_id": "s1", "languages": ["python"]},  # coerced, and without nulls (3.3)
        "summary": "Timeouts",
        "created_at": problem["created_at"],
        "updated_at": problem["created_at"],
    }
    assert problem["id"].startswith("mem_")
    assert seen["read"] == problem
    changed = {"title": "Redis times out at night", "tags": ["redis", "night"], "importance": 0.4}
    assert seen["updated"] == {**problem, **changed, "updated_at": seen["updated"]["updated_at"]}
    assert seen["updated"]["updated_at"] > problem["updated_at"]

    edge = seen["edge"]
    assert edge["id"].startswith("rel_")
    assert (edge["from_memory_id"], edge["to_memory_id"]) == (fix, problem["id"])
    assert (edge["relationship_type"], edge["strength"], edge["confidence"]) == ("SOLVES", 0.7, 0.8)
    assert (edge["context"], edge["valid_until"], edge["invalidated_by"]) == ("since v2", None, None)
    assert edge["created_at"] == edge["recorded_at"] == edge["valid_from"]


@PLANS
def test_finding_and_walking(use: Session, plan: str) -> None:
    seen = use("sync", plan)
    # By importance (0.5, 0.5 and 0.4), then the newest.
    assert seen["found"] == {
        "everything": ["Measure the pool", "A larger pool", "Redis times out at night"],
        "page": ["A larger pool"],
        "query": ["Measure the pool", "A larger pool"],
        "every tag": ["Redis times out at night"],
        "types": ["Redis times out at night"],
        "importance": ["Measure the pool", "A larger pool"],
        "recall": ["Measure the pool", "A larger pool"],
        "recall elsewhere": [],
    }
    near = ["A larger pool", "SOLVES", 0.7, 1]
    assert seen["related"] == {
        "near": [near],
        "far": [near, ["Measure the pool", "LEADS_TO", 0.5, 2]],
        "typed": [near],
    }
    assert seen["deleted"] is True
    assert seen["left"] == ["A larger pool"], "deleting a memory takes its relationships with it"


def test_refusals_reach_the_application_as_the_sdk_names_them(use: Session) -> None:
    seen = use("async_")
    refused = {what: (how.get("error"), how.get("status")) for what, how in seen["refused"].items()}
    absent, invalid = ("NotFoundError", 404), ("ValidationError", 400)
    assert refused == {
        **dict.fromkeys(("get", "update", "delete", "related", "end"), absent),
        **dict.fromkeys(("cycle", "blank"), invalid),
        "key": ("AuthenticationError", 401),
    }
    assert "title" in seen["refused"]["blank"]["text"]
    assert "cycle" in seen["refused"]["cycle"]["text"].lower()
    assert seen["gone"]["error"] == "NotFoundError"


@PLANS
def test_langchain_keeps_the_newest_fifty_messages_of_a_session(use: Session, plan: str) -> None:
    seen = use("langchain", plan)
    turns = [(f"Question {number}?", f"Answer {number}.") for number in range(1, 26)]
    assert seen["text"] == [line for question, answer in turns for line in (f"Human: {question}", f"AI: {answer}")]
    assert seen["messages"] == [pair for question, answer in turns for pair in (["human", question], ["ai", answer])]
    assert seen["elsewhere"] == ""


@PLANS
def test_llamaindex_chat_memory_and_retriever(use: Session, plan: str) -> None:
    seen = use("llamaindex", plan)
    assert [role for role, _ in seen["all"]] == ["user", "assistant"] * 2
    assert [text for role, text in seen["all"] if role == "user"] == ["The cache is slow", "Is the cache still slow"]
    # Every message has a word of the question, and a history is in the order of time.
    assert seen["about"] == [text for _, text in seen["all"]]
    assert seen["elsewhere"] == 0
    assert seen["nodes"] == [["# Pool\n\nA larger pool for Redis.", 0.9], ["# Backoff\n\nRetry Redis later.", 0.6]]
    assert seen["related"] == [[["Redis", "SOLVES", 0.75]], []]
    assert seen["important"] == ["Pool size"]


@PLANS
def test_crewai_gets_its_own_entry_before_more_important_ones(use: Session, plan: str) -> None:
    seen = use("crewai", plan)
    assert seen["got"] == ["What we found", None, None], "by its exact title only"
    assert [one["key"] for one in seen["found"]] == ["findings", "findings of last year"]
    assert seen["found"][0]["metadata"]["source"] == "web"
    assert seen["found"][0]["metadata"]["tags"] == ["python", "crew:c1"]
    assert seen["elsewhere"] == [None, []]


@PLANS
def test_autogen_reads_a_conversation_in_order(use: Session, plan: str) -> None:
    seen = use("autogen", plan)
    assert [message["content"].split(" of")[0] for message in seen["all"]] == [f"Line {number}" for number in range(6)]
    assert [message["role"] for message in seen["all"]] == ["user", "assistant"] * 3
    assert seen["newest"] == seen["all"][-2:]
    assert seen["elsewhere"] == []
