"""Uses the real SDK and its integrations, as an application does.

Runs in the SDK's own environment (`requirements.txt` here, and the SDK from a checkout), never in ours.
`session.py NAME` runs one of the functions in SESSIONS and prints what the application got, as JSON; the tests judge
it. Address (without /api/v1) and key come from the environment.
"""

# mypy: disable-error-code="import-not-found"
# (All that is imported below is installed in the SDK's environment only.)

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from memorygraphsdk import AsyncMemoryGraphClient, MemoryGraphClient
from memorygraphsdk.exceptions import MemoryGraphError
from memorygraphsdk.integrations.autogen import MemoryGraphAutoGenHistory
from memorygraphsdk.integrations.crewai import MemoryGraphCrewMemory

URL = os.environ["SDK_API_URL"]
KEY = os.environ["MEMORYGRAPH_API_KEY"]

ABSENT = "mem_absent"


async def _done(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _refused(call: Callable[[], Any]) -> dict[str, Any]:
    """How the SDK tells the application that a call was refused."""
    try:
        return {"answer": repr(await _done(call()))}
    except MemoryGraphError as error:
        return {"error": type(error).__name__, "status": error.status_code, "text": error.message}


async def _every_method(client: Any, other: Any) -> dict[str, Any]:
    """Each method of a client, sync or async; `other` has a key that is not valid."""
    problem = await _done(
        client.create_memory(
            "problem",
            "Redis times out",
            "Under load the cache does not answer.",
            tags=["Redis", "Cache"],
            importance=0.9,
            context={"session_id": "s1", "languages": "python", "nothing": None},
            summary="Timeouts",
        )
    )
    fix, step = [
        await _done(client.create_memory("solution", title, "As it says.", tags=["redis"]))
        for title in ("A larger pool", "Measure the pool")
    ]
    edge = await _done(client.create_relationship(fix.id, problem.id, "SOLVES", strength=0.7, context="since v2"))
    await _done(client.create_relationship(step.id, fix.id, "LEADS_TO", confidence=0.6))
    read = await _done(client.get_memory(problem.id))
    updated = await _done(
        client.update_memory(problem.id, title="Redis times out at night", tags=["redis", "night"], importance=0.4)
    )
    found = {
        "everything": await _done(client.search_memories()),
        "page": await _done(client.search_memories(limit=1, offset=1)),
        "query": await _done(client.search_memories(query="pool")),
        "every tag": await _done(client.search_memories(tags=["redis", "night"])),
        "types": await _done(client.search_memories(memory_types=["problem", "error"])),
        "importance": await _done(client.search_memories(min_importance=0.45)),
        "recall": await _done(client.recall_memories("what about pools", memory_types=["solution"], limit=5)),
        "recall elsewhere": await _done(client.recall_memories("pool", project_path="/elsewhere")),
    }
    related = {
        "near": await _done(client.get_related_memories(problem.id)),
        "far": await _done(client.get_related_memories(problem.id, max_depth=2)),
        "typed": await _done(
            client.get_related_memories(problem.id, relationship_types=["CAUSES", "SOLVES"], max_depth=2)
        ),
    }
    refused = {
        "get": await _refused(lambda: client.get_memory(ABSENT)),
        "update": await _refused(lambda: client.update_memory(ABSENT, title="x")),
        "delete": await _refused(lambda: client.delete_memory(ABSENT)),
        "related": await _refused(lambda: client.get_related_memories(ABSENT)),
        "end": await _refused(lambda: client.create_relationship(fix.id, ABSENT, "SOLVES")),
        "cycle": await _refused(lambda: client.create_relationship(problem.id, fix.id, "SOLVES")),
        "blank": await _refused(lambda: client.create_memory("problem", " ", "x")),
        "key": await _refused(lambda: other.search_memories()),
    }
    deleted = await _done(client.delete_memory(step.id))
    gone = await _refused(lambda: client.get_memory(step.id))
    left = await _done(client.get_related_memories(problem.id, max_depth=2))
    for one in (client, other):
        await _done(one.close())
    return {
        "problem": problem.model_dump(mode="json"),
        "read": read.model_dump(mode="json"),
        "updated": updated.model_dump(mode="json"),
        "edge": edge.model_dump(mode="json"),
        "ends": [fix.id, problem.id],
        "found": {how: [memory.title for memory in memories] for how, memories in found.items()},
        "related": {
            how: [[row.memory.title, row.relationship_type, row.strength, row.depth] for row in rows]
            for how, rows in related.items()
        },
        "refused": refused,
        "deleted": deleted,
        "gone": gone,
        "left": [row.memory.title for row in left],
    }


def sync() -> dict[str, Any]:
    return asyncio.run(_every_method(MemoryGraphClient(KEY, URL), MemoryGraphClient("mg_wrong", URL)))


def async_() -> dict[str, Any]:
    return asyncio.run(_every_method(AsyncMemoryGraphClient(KEY, URL), AsyncMemoryGraphClient("mg_wrong", URL)))


def langchain() -> dict[str, Any]:
    """A conversation chain with a model that says what it is told to, and the same session opened anew."""
    from langchain.chains import ConversationChain
    from langchain_core.language_models.fake import FakeListLLM
    from memorygraphsdk.integrations.langchain import MemoryGraphMemory

    said = [f"Answer {number}." for number in range(26)]
    # This chain calls its output "response"; the integration's default would keep the questions alone.
    memory = MemoryGraphMemory(KEY, URL, session_id="One", output_key="response")
    chain = ConversationChain(llm=FakeListLLM(responses=said), memory=memory)
    # One turn more than the history's limit of 50 messages: the newest must win.
    for number in range(26):
        chain.predict(input=f"Question {number}?")
    text = MemoryGraphMemory(KEY, URL, session_id="One").load_memory_variables({})["history"]
    messages = MemoryGraphMemory(KEY, URL, session_id="One", return_messages=True).load_memory_variables({})["history"]
    elsewhere = MemoryGraphMemory(KEY, URL, session_id="Two").load_memory_variables({})["history"]
    return {
        "text": text.splitlines(),
        "messages": [[message.type, message.content] for message in messages],
        "elsewhere": elsewhere,
    }


def llamaindex() -> dict[str, Any]:
    """A chat engine over the memory, and the retriever over what was learned."""
    from llama_index.core.chat_engine import SimpleChatEngine
    from llama_index.core.llms import MockLLM
    from memorygraphsdk.integrations.llamaindex import MemoryGraphChatMemory, MemoryGraphRetriever

    engine = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=MemoryGraphChatMemory(KEY, "s1", URL))
    for line in ("The cache is slow", "Is the cache still slow"):
        engine.chat(line)
    again = MemoryGraphChatMemory.from_defaults(KEY, "s1", URL)
    elsewhere = MemoryGraphChatMemory(KEY, "s2", URL)
    client = MemoryGraphClient(KEY, URL)
    fix = client.create_memory("solution", "Pool", "A larger pool for Redis.", importance=0.9, summary="Pool size")
    client.create_memory("code_pattern", "Backoff", "Retry Redis later.", importance=0.6)
    problem = client.create_memory("problem", "Redis", "It times out.", importance=1.0)
    client.create_relationship(fix.id, problem.id, "SOLVES", strength=0.75)
    retriever = MemoryGraphRetriever(KEY, api_url=URL)
    with_edges = retriever.retrieve_with_relationships("redis")
    chosen = MemoryGraphRetriever(KEY, api_url=URL, min_importance=0.7).retrieve("redis timeouts", limit=5)
    return {
        "all": [[message.role.value, message.content] for message in again.get_all()],
        "about": [message.content for message in again.get(input="Is the cache still slow")],
        "elsewhere": len(elsewhere.get_all()),
        "nodes": [[node["text"], node["score"]] for node in with_edges],
        "related": [
            [(edge["title"], edge["relationship_type"], edge["strength"]) for edge in node["metadata"]["related"]]
            for node in with_edges
        ],
        "important": [node["metadata"]["summary"] for node in chosen],
    }


def crewai() -> dict[str, Any]:
    """`get` asks for one hit and demands an exact title, so that one must come before more important ones."""
    with MemoryGraphCrewMemory(KEY, URL, crew_id="C1") as memory:
        memory.save("findings", "What we found", {"tags": ["python"], "importance": 0.2, "source": "web"})
        memory.save("findings of last year", "Older findings", {"importance": 1.0})
        found = memory.search("findings", limit=5)
        got = [memory.get("findings"), memory.get("finding"), memory.get("Findings")]
    with MemoryGraphCrewMemory(KEY, URL, crew_id="C2") as other:
        elsewhere = [other.get("findings"), other.search("findings")]
    return {"found": found, "got": got, "elsewhere": elsewhere}


def autogen() -> dict[str, Any]:
    with MemoryGraphAutoGenHistory(KEY, "talk", URL) as history:
        for number in range(6):
            role = ("user", "assistant")[number % 2]
            history.add_message(role, f"Line {number} of a long message: {'x' * 60}", {"turn": number})
        everything, newest = history.get_messages(), history.get_messages(limit=2)
    with MemoryGraphAutoGenHistory(KEY, "other", URL) as other:
        elsewhere = other.get_messages()
    return {"all": everything, "newest": newest, "elsewhere": elsewhere}


SESSIONS = {one.__name__: one for one in (sync, async_, langchain, llamaindex, crewai, autogen)}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(SESSIONS[sys.argv[1]]()))
