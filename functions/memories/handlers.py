"""Wire <-> domain, one coroutine for each handler that `declarations.MEMORIES` names; here: memories and search.

Both clients' dialects meet here: one answer serves both (client contract, section 2).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.responses import Response

from core.bootstrap import Tools
from core.http import Call
from core.lazy import lazy
from declarations import VERSION
from memories import cursors, etags
from memories.documents.handlers import read_docs, read_openapi
from memories.graph.handlers import (
    create_relationship,
    delete_relationship,
    find_path,
    invalidate_relationship,
    list_changes,
    list_related,
    list_relationship_types,
    read_history,
    read_relationship,
    reinforce_relationship,
    search_relationships,
    update_relationship,
)
from memories.graph.service import GraphService
from memories.model import Memory, Mismatch, Near, Search
from memories.render import detail_body, memory_body, page_body, recent_body, statistics_body
from memories.requests import agent, new_memory, path_id, queried
from memories.service import MemoryService, position, wanted
from memories.services import Services
from memories.stores.by_kind import StoresByKind
from memories.stores.postgres import PostgresStores
from memories.stores.sqlite import SqliteStores
from memories.text import folded_names, normal_tags
from memories.transfer.handlers import create_memories, export_memories, import_part, read_import
from memories.transfer.service import TransferService
from memories.validation import parse

if TYPE_CHECKING:
    from memories import schemas
else:
    schemas = lazy("memories.schemas")

__all__ = [
    "build",
    "create_memories",
    "create_memory",
    "create_relationship",
    "delete_memory",
    "delete_relationship",
    "export_memories",
    "find_path",
    "import_part",
    "invalidate_relationship",
    "list_changes",
    "list_memories",
    "list_related",
    "list_relationship_types",
    "read_docs",
    "read_health",
    "read_history",
    "read_import",
    "read_memory",
    "read_openapi",
    "read_recent",
    "read_relationship",
    "read_statistics",
    "recall_memories",
    "reinforce_relationship",
    "search_memories",
    "search_neighbourhood",
    "search_relationships",
    "update_memory",
    "update_relationship",
]


def build(tools: Tools) -> Services:
    stores = StoresByKind(sqlite=SqliteStores(tools.databases), postgres=PostgresStores(tools.postgres))
    return Services(
        memories=MemoryService(stores, tools.clock),
        graph=GraphService(stores, tools.clock),
        transfer=TransferService(stores, tools.clock),
    )


async def read_health(call: Call, _services: Services) -> Response:
    return call.reply({"status": "healthy", "version": VERSION})


async def create_memory(call: Call, services: Services) -> Response:
    body = parse(schemas.MemoryCreate, await call.json())
    now = services.memories.now()
    stored = await services.memories.store(call.caller, new_memory(body, now), agent(call), await call.once(now))
    # Not its version: a write that had to be sent twice may have counted twice.
    return _memory(call, stored, 201 if stored.created_at == stored.updated_at else 200)


async def read_memory(call: Call, services: Services) -> Response:
    memory_id = path_id(call)
    as_of = None
    if "as_of" in call.request.query_params:
        as_of = queried(call, schemas.ReadRequest).as_of
    memory = await services.memories.read(call.caller, memory_id, as_of)
    etags.check(etags.expected(call), memory.version, memory.updated_at)
    return call.reply(detail_body(memory), 200, etags.headers(memory.version, memory.updated_at))


async def update_memory(call: Call, services: Services) -> Response:
    memory_id = path_id(call)
    changes = parse(schemas.MemoryUpdate, await call.json()).changes()
    updated = await services.memories.update(call.caller, memory_id, changes, agent(call), etags.expected(call))
    if isinstance(updated, Mismatch):
        raise etags.stale(updated)
    return _memory(call, updated)


async def delete_memory(call: Call, services: Services) -> Response:
    mismatch = await services.memories.delete(call.caller, path_id(call), etags.expected(call))
    if mismatch is not None:
        raise etags.stale(mismatch)
    return call.no_content()


async def list_memories(call: Call, services: Services) -> Response:
    return await _search(call, services, queried(call, schemas.ListRequest), every_tag=True)


async def search_memories(call: Call, services: Services) -> Response:
    return await _search(call, services, parse(schemas.SearchRequest, await call.json()))


async def recall_memories(call: Call, services: Services) -> Response:
    if call.request.method in ("GET", "HEAD"):
        asked = queried(call, schemas.RecallRequest)
    else:
        asked = parse(schemas.RecallRequest, await call.json())
    return await _search(call, services, asked)


async def search_neighbourhood(call: Call, services: Services) -> Response:
    asked = parse(schemas.NeighbourhoodRequest, await call.json())
    near = Near(asked.memory_id, asked.max_depth, tuple(one.value for one in asked.relationship_types))
    return await _search(call, services, asked, near=near)


async def read_recent(call: Call, services: Services) -> Response:
    asked = queried(call, schemas.RecentRequest)
    project = asked.project or None
    activity = await services.memories.recent(call.caller, asked.days, project)
    return call.reply(recent_body(activity, asked.days, project))


async def read_statistics(call: Call, services: Services) -> Response:
    return call.reply(statistics_body(await services.memories.statistics(call.caller)))


def _memory(call: Call, memory: Memory, status: int = 200) -> Response:
    return call.reply(memory_body(memory), status, etags.headers(memory.version, memory.updated_at))


async def _search(
    call: Call,
    services: Services,
    asked: schemas.SearchRequest,
    *,
    every_tag: bool = False,
    near: Near | None = None,
) -> Response:
    search = wanted(
        Search(
            types=tuple(asked.memory_types),
            tags=normal_tags(asked.tags),
            every_tag=every_tag,
            project=asked.project_path or None,
            languages=folded_names(asked.languages),
            frameworks=folded_names(asked.frameworks),
            relationship_types=tuple(one.value for one in asked.relationship_filter),
            near=near,
            min_importance=asked.min_importance,
            min_confidence=asked.min_confidence,
            created_after=asked.created_after,
            created_before=asked.created_before,
            limit=asked.limit,
            offset=asked.offset,
        ),
        query=asked.query,
        terms=asked.terms,
        every_term=asked.match_mode is schemas.Match.ALL,
        strict=asked.search_tolerance is schemas.Tolerance.STRICT,
    )
    if asked.cursor:
        search = replace(search, after=cursors.decode(asked.cursor, search), offset=0)
    page = await services.memories.search(call.caller, search)
    query = asked.terms[0] if asked.terms else asked.query or ""
    following = cursors.encode(search, position(search, page.hits[-1].memory)) if page.more and page.hits else None
    return call.reply(page_body(page, search, query, following))
