"""The real memorygraphMCP 0.12.4 over stdio, through the Worker, against what `make up` made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.conftest import Conversation
from tests.cloud.stack import Stack

PROBLEM: dict[str, Any] = {
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


EXTENDED_TOOLS = CORE_TOOLS | {"get_memory_statistics", "contextual_search", "search_relationships_by_context"}

MEASURE = {"type": "task", "title": "Measure the pool", "content": "How many connections wait.", "tags": ["Redis"]}
APART = {"type": "general", "title": "A swimming pool", "content": "Has nothing to do with it.", "importance": 0.3}
WHY = "partially implements auth module, only works in production"


@pytest.mark.parametrize("plan", ["free", "pro"])
def test_every_other_tool_and_option(stack: Stack, converse: Conversation, tmp_path: Path, plan: str) -> None:
    """The tools of the profile `extended`, and those that no profile lists but that run when called by name."""
    key = stack.make("key", f"PLAN={plan}").stdout.strip()
    here = {**PROBLEM, "context": {**PROBLEM["context"], "project_path": str(tmp_path)}, "summary": "Timeouts"}
    ends = {"from_memory_id": "$2.id", "to_memory_id": "$1.id"}
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "1": ("store_memory", here),
        "2": ("store_memory", SOLUTION),
        "3": ("store_memory", MEASURE),
        "4": ("store_memory", APART),
        "solves": (
            "create_relationship",
            {**ends, "relationship_type": "SOLVES", "strength": 0.9, "confidence": 0.7, "context": WHY},
        ),
        "leads": (
            "create_relationship",
            {"from_memory_id": "$3.id", "to_memory_id": "$2.id", "relationship_type": "LEADS_TO"},
        ),
        "cycle": (
            "create_relationship",
            {"from_memory_id": "$1.id", "to_memory_id": "$2.id", "relationship_type": "SOLVES"},
        ),
        "statistics": ("get_memory_statistics", {}),
        "contextual": ("contextual_search", {"memory_id": "$1.id", "query": "pool"}),
        "contextual near": ("contextual_search", {"memory_id": "$1.id", "query": "pool", "max_depth": 1}),
        "contextual none": ("contextual_search", {"memory_id": "$1.id", "query": "swimming"}),
        "by context": ("search_relationships_by_context", {"scope": "partial"}),
        "related": ("get_related_memories", {"memory_id": "$1.id"}),
        "related by type": ("get_related_memories", {"memory_id": "$1.id", "relationship_types": ["CAUSES", "SOLVES"]}),
        "related near": ("get_related_memories", {"memory_id": "$1.id", "max_depth": 1}),
        "related apart": ("get_related_memories", {"memory_id": "$4.id"}),
        "filters": (
            "search_memories",
            {"tags": ["REDIS"], "memory_types": ["problem", "solution"], "min_importance": 0.85},
        ),
        "project": ("search_memories", {"project_path": str(tmp_path)}),
        "page": ("search_memories", {"query": "pool", "limit": 1, "offset": 1}),
        "recall": ("recall_memories", {"query": "the pools", "memory_types": ["task"]}),
        "recall in project": ("recall_memories", {"project_path": str(tmp_path)}),
        "activity": ("get_recent_activity", {}),
        "activity elsewhere": ("get_recent_activity", {"days": 1, "project": "/elsewhere"}),
        "path": ("find_memory_path", {"from_memory_id": "$3.id", "to_memory_id": "$1.id"}),
        "path by type": (
            "find_memory_path",
            {"from_memory_id": "$3.id", "to_memory_id": "$1.id", "relationship_types": ["LEADS_TO"]},
        ),
        "no path": ("find_memory_path", {"from_memory_id": "$4.id", "to_memory_id": "$1.id"}),
        "suggest": ("suggest_relationship_type", ends),
        "clusters": ("analyze_memory_clusters", {}),
        "bridges": ("find_bridge_memories", {}),
        "metrics": ("analyze_graph_metrics", {}),
        "types": ("get_relationship_types_by_category", {"category": "causal"}),
        "reinforce": ("reinforce_relationship", ends),
        "update": (
            "update_memory",
            {
                "memory_id": "$1.id",
                "content": "Changed.",
                "summary": "Shorter",
                "tags": ["Night", " Redis "],
                "importance": 0.25,
            },
        ),
        "updated": ("get_memory", {"memory_id": "$1.id"}),
        "too long": ("update_memory", {"memory_id": "$1.id", "title": "x" * 201}),
        "not too long": ("get_memory", {"memory_id": "$1.id"}),
        "delete": ("delete_memory", {"memory_id": "$1.id"}),
        "delete again": ("delete_memory", {"memory_id": "$1.id"}),
    }
    tools, *answers = converse(stack.api_url, key, list(calls.values()), "extended")
    assert set(tools["text"].split()) == EXTENDED_TOOLS
    said = dict(zip(calls, (answer["text"] for answer in answers), strict=True))
    failed = {name for name, answer in zip(calls, answers, strict=True) if answer["error"]}

    # What the client itself cannot do with its cloud backend, whatever the server (contract, section 5).
    assert "not supported by this backend" in said["by context"]
    # `reinforce_relationship` reads the relationship and then finds that its backend cannot write it.
    assert failed == {"cycle", "by context", "reinforce", "too long", "delete again"}
    assert "400" in said["cycle"], "the client shows the status of a 400 and nothing of its text"
    assert "400" in said["too long"], "the client does not check what it updates (contract, section 3.2)"
    assert "not found" in said["delete again"].lower()

    stats = said["statistics"]
    for line in (
        "Total Memories: 4",
        "- problem: 1",
        "- task: 1",
        "Total Relationships: 2",
        "Average Confidence: 0.80",
    ):
        assert line in stats, stats
    assert "Average Importance: 0.62" in stats or "Average Importance: 0.63" in stats, "of 0.9, 0.8, 0.5 and 0.3"

    assert "Searched within 2 related memories\nFound 2 matches" in said["contextual"]
    assert titles(said["contextual"]) == ["Raised the pool size", "Measure the pool"]
    assert titles(said["contextual near"]) == ["Raised the pool size"]
    assert "No matches found for 'swimming'" in said["contextual none"]

    assert titles(said["related"]) == ["Raised the pool size", "Measure the pool"]
    assert "Relationship: SOLVES (strength: 0.9)" in said["related"]
    assert "Relationship: LEADS_TO (strength: 0.5)" in said["related"]
    assert titles(said["related by type"]) == titles(said["related near"]) == ["Raised the pool size"]
    assert "No related memories found" in said["related apart"]

    assert titles(said["filters"]) == titles(said["project"]) == ["Redis timeouts under load"]
    assert "Summary: Timeouts" in said["filters"]
    assert titles(said["page"]) == ["Measure the pool"], "the second of three by importance"
    assert titles(said["recall"]) == ["Measure the pool"], "`pools` is found by its stem"
    assert titles(said["recall in project"]) == ["Redis timeouts under load"]

    assert f"**Project**: {tmp_path}" in said["activity"], "the client sends the folder that it runs in"
    assert "**Total Memories**: 1" in said["activity"]
    assert "Unresolved" not in said["activity"], "something solves the only problem"
    assert "**Total Memories**: 0" in said["activity elsewhere"]

    assert json.loads(said["path"])["found"] is True
    assert json.loads(said["path by type"])["found"] is False
    assert "No path found" in said["no path"]
    suggested = json.loads(said["suggest"])
    assert suggested["from_memory"]["title"] == SOLUTION["title"]
    assert "SOLVES" in [one["type"] for one in suggested["suggestions"]]
    for analysis in ("clusters", "bridges"):
        assert json.loads(said[analysis])["total_memories"] == {"count": 4}
    metrics = json.loads(said["metrics"])["database_statistics"]
    assert (metrics["total_relationships"], metrics["memories_by_type"]["task"]) == ({"count": 2}, 1)
    assert len(json.loads(said["types"])["relationship_types"]) == 5

    for text in ("Changed.", "**Summary:** Shorter", "Tags: night, redis", "Importance: 0.25", str(tmp_path)):
        assert text in said["updated"], said["updated"]
    assert said["not too long"] == said["updated"]


def titles(text: str) -> list[str]:
    """Of a list of memories as the client shows it: `**1. Title** (ID: ...` or `1. **Title** (ID: ...`."""
    return re.findall(r"^(?:\*\*\d+\. |\d+\. \*\*)(.*?)\*\* \(ID: ", text, re.MULTILINE)


def test_a_relationships_context_arrives_as_the_structure_that_the_client_extracts(
    stack: Stack, converse: Conversation
) -> None:
    key = stack.make("key").stdout.strip()
    edge = {"from_memory_id": "$2.id", "to_memory_id": "$1.id", "relationship_type": "SOLVES", "context": WHY}
    calls = [("store_memory", PROBLEM), ("store_memory", SOLUTION), ("create_relationship", edge)]
    said = texts(converse(stack.api_url, key, calls))
    problem, solution = (text.rpartition(" ")[2] for text in said[1:3])
    [row] = stack.call("GET", f"/search/memories/{problem}/related", key=key).body["related_memories"]
    assert row["memory"]["id"] == solution
    structure = json.loads(row["relationship"]["context"])
    assert structure["text"] == WHY
    assert structure["scope"] == "partial"
    assert structure["components"] == ["auth module"]


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
