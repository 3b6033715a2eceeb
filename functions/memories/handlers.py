"""Wire <-> domain, one coroutine for each handler that `declarations.MEMORIES` names.

Both clients' dialects meet here: one answer serves both (client contract, section 2).
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from core.bootstrap import Tools
from core.http import Call
from core.problems import NotFound
from declarations import VERSION
from memories import schemas
from memories.model import Memory, Relationship, Search, is_id, new_id
from memories.render import (
    memory_body,
    page_body,
    recent_body,
    related_body,
    relationship_body,
    statistics_body,
)
from memories.service import MemoryService
from memories.stores.by_kind import MemoryStoresByKind
from memories.stores.postgres import PostgresMemoryStores
from memories.stores.sqlite import SqliteMemoryStores
from memories.text import normal_tags

AGENT_LIMIT = 200


def build(tools: Tools) -> MemoryService:
    stores = MemoryStoresByKind(
        sqlite=SqliteMemoryStores(tools.databases), postgres=PostgresMemoryStores(tools.postgres)
    )
    return MemoryService(stores, tools.clock)


async def read_health(call: Call, _service: MemoryService) -> Response:
    return call.reply({"status": "healthy", "version": VERSION})


async def create_memory(call: Call, service: MemoryService) -> Response:
    body = schemas.parse(schemas.MemoryCreate, await call.json())
    now = service.now()
    memory = Memory(
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
    stored = await service.store(call.caller, memory, _agent(call.request))
    return call.reply(memory_body(stored), 201 if stored.created_at == now else 200)


async def read_memory(call: Call, service: MemoryService) -> Response:
    return call.reply(memory_body(await service.read(call.caller, _path_id(call))))


async def update_memory(call: Call, service: MemoryService) -> Response:
    memory_id = _path_id(call)
    changes = schemas.parse(schemas.MemoryUpdate, await call.json()).changes()
    return call.reply(memory_body(await service.update(call.caller, memory_id, changes, _agent(call.request))))


async def delete_memory(call: Call, service: MemoryService) -> Response:
    await service.delete(call.caller, _path_id(call))
    return call.no_content()


async def list_memories(call: Call, service: MemoryService) -> Response:
    return await _search(call, service, schemas.parse(schemas.ListRequest, _search_parameters(call)), every_tag=True)


async def search_memories(call: Call, service: MemoryService) -> Response:
    return await _search(call, service, schemas.parse(schemas.SearchRequest, await call.json()))


async def recall_memories(call: Call, service: MemoryService) -> Response:
    sent = _search_parameters(call) if call.request.method in ("GET", "HEAD") else await call.json()
    return await _search(call, service, schemas.parse(schemas.RecallRequest, sent))


async def create_relationship(call: Call, service: MemoryService) -> Response:
    body = schemas.parse(schemas.RelationshipCreate, await call.json())
    now = service.now()
    relationship = Relationship(
        id=new_id("rel"),
        from_id=body.from_memory_id,
        to_id=body.to_memory_id,
        type=body.relationship_type,
        strength=body.strength,
        confidence=body.confidence,
        context=body.context,
        created_at=now,
        valid_from=now,
        recorded_at=now,
    )
    made = await service.relate(call.caller, relationship, _agent(call.request))
    return call.reply(relationship_body(made), 201)


async def list_related(call: Call, service: MemoryService) -> Response:
    asked = schemas.parse(
        schemas.RelatedRequest,
        {**_numbers(call.request, "max_depth"), "relationship_types": _names(call.request, "relationship_types")},
    )
    types = [type_.value for type_ in asked.relationship_types]
    found = await service.related(call.caller, _path_id(call), types, asked.max_depth)
    return call.reply(related_body(found))


async def read_recent(call: Call, service: MemoryService) -> Response:
    project = call.request.query_params.get("project") or None
    asked = schemas.parse(schemas.RecentRequest, {**_numbers(call.request, "days"), "project": project})
    activity = await service.recent(call.caller, asked.days, asked.project)
    return call.reply(recent_body(activity, asked.days, asked.project))


async def read_statistics(call: Call, service: MemoryService) -> Response:
    return call.reply(statistics_body(await service.statistics(call.caller)))


async def _search(
    call: Call, service: MemoryService, asked: schemas.SearchRequest, *, every_tag: bool = False
) -> Response:
    search = Search(
        types=tuple(asked.memory_types),
        tags=normal_tags(asked.tags),
        every_tag=every_tag,
        project=asked.project_path or None,
        min_importance=asked.min_importance,
        min_confidence=asked.min_confidence,
        created_after=asked.created_after,
        created_before=asked.created_before,
        limit=asked.limit,
        offset=asked.offset,
    )
    page = await service.search(
        call.caller,
        search,
        query=asked.query,
        terms=asked.terms,
        every_term=asked.match_mode is schemas.Match.ALL,
        strict=asked.search_tolerance is schemas.Tolerance.STRICT,
    )
    return call.reply(page_body(page, asked.limit, asked.offset))


def _path_id(call: Call) -> str:
    """The id in the path. One that no memory can have is simply unknown."""
    memory_id = call.path["id"]
    if not is_id(memory_id):
        raise NotFound("There is no memory of that id in this workspace.")
    return memory_id


def _agent(request: Request) -> str:
    """What the client calls itself."""
    name = request.headers.get("x-agent") or request.headers.get("user-agent") or ""
    return name.replace("\0", "")[:AGENT_LIMIT]


def _search_parameters(call: Call) -> dict[str, Any]:
    query = call.request.query_params
    given: dict[str, Any] = {name: query[name] for name in ("query", "project_path") if name in query}
    given.update(_numbers(call.request, "min_importance", "limit", "offset"))
    given["memory_types"] = _names(call.request, "memory_types")
    given["tags"] = query.getlist("tags")  # repeated only: a tag may hold a comma
    return given


def _names(request: Request, name: str) -> list[str]:
    """A list of names, repeated or comma-separated."""
    return [part for value in request.query_params.getlist(name) for part in value.split(",") if part.strip()]


def _numbers(request: Request, *names: str) -> dict[str, Any]:
    return {name: schemas.number(text) for name in names if (text := request.query_params.get(name)) is not None}
