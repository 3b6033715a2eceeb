"""What several handlers take from a request in the same way."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from core.http import Call
from core.problems import Invalid, NotFound
from memories.model import Memory, is_id, new_id
from memories.parameters import parameters
from memories.validation import R, parse

if TYPE_CHECKING:
    from memories.schemas import MemoryCreate

AGENT_LIMIT = 200


def queried(call: Call, model: type[R]) -> R:
    """The parameters of a GET.

    Raises:
        Invalid: naming every one that is wrong.
    """
    sent: bytes = call.request.scope["query_string"]
    if b"%" in sent or not sent.isascii():
        _check_text(sent)
    return parse(model, parameters(model, call.request.query_params))


def _check_text(sent: bytes) -> None:
    """What is no text would be read as another one."""
    faults = {}
    for pair in sent.split(b"&"):
        try:
            unquote_to_bytes(pair).decode()
        except UnicodeDecodeError:
            name = unquote_to_bytes(pair.partition(b"=")[0]).decode(errors="replace")
            faults[name or "query"] = "must be text in UTF-8, each byte of it escaped by %"
    if faults:
        raise Invalid.naming(faults)


def new_memory(body: MemoryCreate, now: datetime) -> Memory:
    """The memory that a body asks for, as if there was none of its id."""
    return Memory(
        id=body.id or new_id("mem"),
        type=body.type,
        title=body.title,
        content=body.content,
        summary=body.summary,
        tags=tuple(body.tags),
        importance=body.importance,
        confidence=body.confidence,
        context=body.context,
        created_at=now,
        updated_at=now,
    )


def path_id(call: Call, name: str = "id") -> str:
    """The id of a memory in the path. One that no memory can have is simply unknown."""
    memory_id = call.path[name]
    if not is_id(memory_id):
        raise NotFound("There is no memory of that id in this workspace.")
    return memory_id


def agent(call: Call) -> str:
    """What the client calls itself."""
    name = call.headers.get("x-agent") or call.headers.get("user-agent") or ""
    return name.replace("\0", "")[:AGENT_LIMIT]
