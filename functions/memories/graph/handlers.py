"""Wire <-> domain, one coroutine for each handler about relationships that `declarations.MEMORIES` names.

Both clients' dialects meet here: one answer serves both (client contract, section 2.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from starlette.responses import Response

from core.http import Call
from core.lazy import lazy
from core.problems import NotFound
from memories import etags
from memories.graph import cursors, render
from memories.graph.model import ContextSearch, Relationship
from memories.model import Mismatch, is_id, new_id
from memories.relationship_types import RelationshipType
from memories.requests import agent, path_id, queried
from memories.services import Services
from memories.text import folded_names
from memories.validation import parse

if TYPE_CHECKING:
    from memories.graph import schemas
    from memories.schemas import Request
else:
    schemas = lazy("memories.graph.schemas")

R = TypeVar("R", bound="Request")


async def create_relationship(call: Call, services: Services) -> Response:
    body = parse(schemas.RelationshipCreate, await call.json())
    now = services.graph.now()
    relationship = Relationship(
        id=new_id("rel"),
        from_id=body.from_memory_id,
        to_id=body.to_memory_id,
        type=body.relationship_type,
        strength=body.strength,
        confidence=body.confidence,
        context=body.context,
        created_at=now,
        updated_at=now,
        valid_from=body.valid_from or now,
        valid_until=body.valid_until,
        recorded_at=now,
    )
    made = await services.graph.relate(call.caller, relationship, agent(call), await call.once(now))
    return _edge(call, made, 201)


async def read_relationship(call: Call, services: Services) -> Response:
    edge = await services.graph.read(call.caller, _edge_id(call))
    etags.check(etags.expected(call), edge.version, edge.updated_at)
    return _edge(call, edge)


async def update_relationship(call: Call, services: Services) -> Response:
    edge_id = _edge_id(call)
    changes = parse(schemas.RelationshipUpdate, await call.json()).changes()
    changed = await services.graph.update(call.caller, edge_id, changes, agent(call), etags.expected(call))
    if isinstance(changed, Mismatch):
        raise etags.stale(changed)
    return _edge(call, changed)


async def delete_relationship(call: Call, services: Services) -> Response:
    mismatch = await services.graph.delete(call.caller, _edge_id(call), etags.expected(call))
    if mismatch is not None:
        raise etags.stale(mismatch)
    return call.no_content()


async def reinforce_relationship(call: Call, services: Services) -> Response:
    edge_id = _edge_id(call)
    body = await _optional(call, schemas.Reinforce)
    now = services.graph.now()
    once = await call.once(now)
    edge = await services.graph.reinforce(call.caller, edge_id, agent(call), now, success=body.success, once=once)
    return _edge(call, edge)


async def invalidate_relationship(call: Call, services: Services) -> Response:
    edge_id = _edge_id(call)
    body = await _optional(call, schemas.Invalidate)
    edge = await services.graph.invalidate(
        call.caller, edge_id, agent(call), by=body.invalidated_by, reason=body.reason
    )
    return _edge(call, edge)


async def list_relationship_types(call: Call, _services: Services) -> Response:
    return call.reply(render.types_body())


async def list_related(call: Call, services: Services) -> Response:
    memory_id = path_id(call)
    asked = queried(call, schemas.RelatedRequest)
    types = _names(asked.relationship_types)
    found = await services.graph.related(call.caller, memory_id, types, asked.max_depth, asked.as_of)
    return call.reply(render.related_body(found))


async def find_path(call: Call, services: Services) -> Response:
    ends = path_id(call), path_id(call, "other")
    asked = queried(call, schemas.PathRequest)
    types = _names(asked.relationship_types)
    found = await services.graph.path(call.caller, *ends, types, asked.max_depth, asked.as_of)
    return call.reply(render.path_body(found))


async def read_history(call: Call, services: Services) -> Response:
    memory_id = path_id(call)
    asked = queried(call, schemas.HistoryRequest)
    types = _names(asked.relationship_types)
    found = await services.graph.history(call.caller, memory_id, types, limit=asked.limit, offset=asked.offset)
    return call.reply(render.history_body(memory_id, found, asked.limit, asked.offset))


async def list_changes(call: Call, services: Services) -> Response:
    asked = queried(call, schemas.ChangesRequest)
    after = cursors.decode(asked.cursor, asked.since) if asked.cursor else None
    found = await services.graph.changes(call.caller, asked.since, asked.limit, after)
    return call.reply(render.changes_body(asked.since, found, cursors.following(asked.since, found)))


async def search_relationships(call: Call, services: Services) -> Response:
    asked = parse(schemas.ContextSearchRequest, await call.json())
    search = ContextSearch(
        scope=asked.scope.value if asked.scope else None,
        components=folded_names(asked.components),
        conditions=folded_names(asked.conditions),
        evidence=folded_names(asked.evidence),
        exceptions=folded_names(asked.exceptions),
        temporal=next(iter(folded_names([asked.temporal or ""])), None),
        has_evidence=asked.has_evidence,
        types=_names(asked.relationship_types),
        limit=asked.limit,
    )
    found = await services.graph.search_context(call.caller, search)
    return call.reply(render.context_search_body(found, asked.limit))


def _edge(call: Call, edge: Relationship, status: int = 200) -> Response:
    return call.reply(render.whole_body(edge), status, etags.headers(edge.version, edge.updated_at))


def _edge_id(call: Call) -> str:
    """The id of a relationship in the path. One that none can have is simply unknown."""
    edge_id = call.path["id"]
    if not is_id(edge_id):
        raise NotFound("There is no relationship of that id in this workspace.")
    return edge_id


async def _optional(call: Call, model: type[R]) -> R:
    """A body that may be left out."""
    return parse(model, await call.json() if await call.body() else {})


def _names(types: list[RelationshipType]) -> tuple[str, ...]:
    return tuple(type_.value for type_ in types)
