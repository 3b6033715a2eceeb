"""The real memorygraphMCP 0.12.4 over stdio, through the Worker, against what `make up` made."""

from __future__ import annotations

from typing import Any

from tests.cloud.conftest import Conversation
from tests.cloud.stack import Stack

PROBLEM = {
    "type": "problem",
    "title": "Redis timeouts under load",
    "content": "The payment flow times out when the cache is busy.",
    "tags": ["Redis", "payment"],
    "importance": 0.9,
    "context": {"project_path": "/projects/shop", "languages": ["python"]},
}
SOLUTION = {
    "type": "solution",
    "title": "Raised the pool size",
    "content": "Pool of 50 and a retry with backoff.",
    "tags": ["redis"],
    "importance": 0.8,
}


def texts(answers: list[dict[str, Any]]) -> list[str]:
    assert not [answer for answer in answers if answer["error"]], answers
    return [answer["text"] for answer in answers]


def test_nine_core_tools(stack: Stack, converse: Conversation) -> None:
    key = stack.make("key").stdout.strip()
    answers = converse(
        stack.api_url,
        key,
        [
            ("store_memory", PROBLEM),
            ("store_memory", SOLUTION),
            (
                "create_relationship",
                {"from_memory_id": "$2.id", "to_memory_id": "$1.id", "relationship_type": "SOLVES"},
            ),
            ("get_memory", {"memory_id": "$1.id"}),
            ("search_memories", {"query": "timeout"}),
            ("recall_memories", {"query": "what did we do about the payment flow"}),
            ("get_related_memories", {"memory_id": "$1.id"}),
            ("update_memory", {"memory_id": "$1.id", "title": "Redis timeouts under heavy load"}),
            ("get_memory", {"memory_id": "$1.id"}),
            ("get_recent_activity", {"days": 7, "project": "/projects/shop"}),
            ("get_memory_statistics", {}),
            ("delete_memory", {"memory_id": "$2.id"}),
            ("get_memory", {"memory_id": "$2.id"}),
            ("get_related_memories", {"memory_id": "$1.id"}),
        ],
    )
    tools, *answers = answers
    assert set(tools["text"].split()) >= CORE_TOOLS
    gone = answers.pop(12)
    assert gone["error"]
    assert "not found" in gone["text"].lower()
    said = texts(answers)
    assert "Memory stored successfully" in said[0]
    assert "Relationship created successfully" in said[2]
    assert "Redis timeouts under load" in said[3]
    assert "redis, payment" in said[3], "tags are folded to lower case"
    assert "/projects/shop" in said[3]
    assert "Redis timeouts under load" in said[4]
    assert "Redis timeouts under load" in said[5]
    assert "Raised the pool size" in said[6]
    assert "SOLVES" in said[6]
    assert "Redis timeouts under heavy load" in said[8]
    assert "Problem: 1" in said[9]
    assert "Total Memories: 2" in said[10]
    assert "Total Relationships: 1" in said[10]
    assert "Average Importance: 0.85" in said[10]
    assert "Raised the pool size" not in said[12], "deleting a memory takes its relationships with it"


CORE_TOOLS = {
    "store_memory",
    "get_memory",
    "delete_memory",
    "update_memory",
    "search_memories",
    "recall_memories",
    "create_relationship",
    "get_related_memories",
    "get_recent_activity",
}


def test_statistics_of_an_empty_account_do_not_crash_the_client(stack: Stack, converse: Conversation) -> None:
    key = stack.make("key").stdout.strip()
    said = texts(converse(stack.api_url, key, [("get_memory_statistics", {}), ("search_memories", {"query": "x"})]))
    assert "Total Memories: 0" in said[1]


def test_a_wrong_key_stops_the_client_with_a_clear_message(stack: Stack) -> None:
    answer = stack.call("GET", "/health", key="mg_wrong")
    assert answer.status == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "key" in answer.body["detail"].lower()
    assert stack.call("GET", "/health").body["status"] == "healthy"


def test_two_accounts_never_see_each_other(stack: Stack, converse: Conversation) -> None:
    mine, theirs = (stack.make("key").stdout.strip() for _ in range(2))
    stored = stack.call("POST", "/memories", PROBLEM, key=mine)
    assert stored.status in {200, 201}
    identifier = stored.body["id"]

    said = texts(converse(stack.api_url, theirs, [("search_memories", {"query": "redis"})]))
    assert "Redis timeouts" not in said[1]
    for method, path, body in [
        ("GET", f"/memories/{identifier}", None),
        ("PUT", f"/memories/{identifier}", {"title": "stolen"}),
        ("DELETE", f"/memories/{identifier}", None),
        ("GET", f"/memories/{identifier}/related", None),
        ("GET", f"/search/memories/{identifier}/related", None),
    ]:
        assert stack.call(method, path, body, key=theirs).status == 404, (method, path)
    other = stack.call("POST", "/memories", SOLUTION, key=theirs).body["id"]
    link = {"from_memory_id": other, "to_memory_id": identifier, "relationship_type": "SOLVES"}
    assert stack.call("POST", "/relationships", link, key=theirs).status == 404
    # The same id in two workspaces is two memories: an upsert must not reach over.
    assert stack.call("POST", "/memories", {**SOLUTION, "id": identifier}, key=theirs).status in {200, 201}
    assert stack.call("GET", f"/memories/{identifier}", key=mine).body["title"] == PROBLEM["title"]
