"""Requests and answers about relationships. How they are checked, and what is lenient: see `memories.schemas`."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from pydantic import BeforeValidator, Field

from memories.fields import (
    Depth,
    Few,
    Id,
    Limit,
    Moment,
    Offset,
    QueryMoment,
    Rule,
    Schema,
    Text,
    TypeOfRelationship,
    Unit,
    Whole,
    at_most,
    member_of,
    null_is,
)
from memories.graph.context import ContextStructure, Scope
from memories.graph.model import CONTEXT_LIMIT, DEFAULT_CONFIDENCE, DEFAULT_STRENGTH, REASON_LIMIT
from memories.schemas import CURSOR_LIMIT, TERM_LIMIT, AuthorBody, MemoryBody, Request

FOUND_MOST = 100
"""Relationships that one search by context finds: what each says is found anew."""


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _one_or_several(schema: Schema) -> Schema:
    return {"anyOf": [schema, schema["items"]]}


EdgeContext = Annotated[Text, at_most(CONTEXT_LIMIT)]
Types = Annotated[list[TypeOfRelationship], Few, null_is([])]
Phrases = Annotated[
    list[Annotated[Text, at_most(TERM_LIMIT)]], Few, Rule(BeforeValidator(_several), _one_or_several), null_is([])
]


# Requests.


class RelationshipCreate(Request):
    """POST /relationships. It holds from now on unless `valid_from` says otherwise."""

    from_memory_id: Id
    to_memory_id: Id
    relationship_type: TypeOfRelationship
    strength: Annotated[Unit, null_is(DEFAULT_STRENGTH)] = DEFAULT_STRENGTH
    confidence: Annotated[Unit, null_is(DEFAULT_CONFIDENCE)] = DEFAULT_CONFIDENCE
    context: EdgeContext | None = None
    valid_from: Moment | None = None
    valid_until: Moment | None = None


class RelationshipUpdate(Request):
    """PUT and PATCH /relationships/{id}. What is absent stays; null clears the context, elsewhere it is absent."""

    strength: Unit | None = None
    confidence: Unit | None = None
    context: EdgeContext | None = None

    def changes(self) -> dict[str, Any]:
        """The fields to change, by name."""
        given = ((name, getattr(self, name)) for name in self.model_fields_set)
        return {name: value for name, value in given if value is not None or name == "context"}


class Reinforce(Request):
    """POST /relationships/{id}/reinforce; the body may be empty."""

    success: Annotated[bool, null_is(default=True)] = True


class Invalidate(Request):
    """POST /relationships/{id}/invalidate; the body may be empty.

    `invalidated_by`: the relationship that supersedes it, which need not be there.
    """

    invalidated_by: Id | None = None
    reason: Annotated[Text, at_most(REASON_LIMIT)] | None = None


class RelatedRequest(Request):
    """GET /memories/{id}/related and /search/memories/{id}/related."""

    max_depth: Depth = 1
    relationship_types: Types = Field(default_factory=list)
    as_of: QueryMoment | None = None


class PathRequest(RelatedRequest):
    """GET /memories/{id}/path/{other}."""

    max_depth: Depth = 5


class HistoryRequest(Request):
    """GET /memories/{id}/history."""

    relationship_types: Types = Field(default_factory=list)
    limit: Limit = 100
    offset: Offset = 0


class ChangesRequest(Request):
    """GET /relationships/changes."""

    since: QueryMoment
    limit: Limit = 100
    cursor: Annotated[Text, at_most(CURSOR_LIMIT)] | None = None


class ContextSearchRequest(Request):
    """POST /relationships/search. Texts are looked for anywhere, in any case; of several, one must occur."""

    scope: Annotated[Scope, member_of(Scope)] | None = None
    components: Phrases = Field(default_factory=list)
    conditions: Phrases = Field(default_factory=list)
    evidence: Phrases = Field(default_factory=list)
    exceptions: Phrases = Field(default_factory=list)
    temporal: Annotated[Text, at_most(TERM_LIMIT)] | None = None
    has_evidence: bool | None = None
    relationship_types: Types = Field(default_factory=list)
    limit: Annotated[Whole, Field(ge=1, le=FOUND_MOST), null_is(20)] = 20


# Answers.


class RelationshipBody(TypedDict):
    """`valid_until` is null while it holds. `success_rate`: of its reinforcements; null when there were none."""

    id: str
    from_memory_id: str
    to_memory_id: str
    relationship_type: str
    category: str
    strength: float
    confidence: float
    context: str | None
    created_at: str
    updated_at: str
    valid_from: str
    valid_until: str | None
    recorded_at: str
    invalidated_by: str | None
    invalidation_reason: str | None
    evidence_count: int
    validation_count: int
    counter_evidence_count: int
    success_rate: float | None
    last_validated: str | None
    version: int


class WholeRelationshipBody(RelationshipBody):
    """With what its context says, which is found anew for each answer: long lists leave it out."""

    context_structure: ContextStructure | None


class TypeBody(TypedDict):
    """`description` is about an edge from A to B. `inverse`: the type that says the same from B to A."""

    type: str
    category: str
    description: str
    symmetric: bool
    inverse: str | None


class TypesBody(TypedDict):
    types: list[TypeBody]
    categories: list[str]


class EdgeBody(TypedDict):
    """A relationship as the MCP client reads it beside a memory."""

    id: str
    type: str
    from_memory_id: str
    to_memory_id: str
    strength: float
    confidence: float
    context: str | None


class RelatedOfMcp(TypedDict):
    memory: MemoryBody
    relationship: EdgeBody
    depth: int


class RelatedOfSdk(TypedDict):
    memory: MemoryBody
    relationship_type: str
    from_memory_id: str
    to_memory_id: str
    strength: float
    depth: int


class RelatedBody(TypedDict):
    """Both dialects: `related_memories` for the MCP client, `related` for the SDK."""

    related_memories: list[RelatedOfMcp]
    related: list[RelatedOfSdk]


class VersionBody(TypedDict):
    """One state of a memory; `valid_until` is null for the one that it is in."""

    version: int
    title: str
    valid_from: str
    valid_until: str | None
    author: AuthorBody


class HistoryBody(TypedDict):
    """`total`, `limit`, `offset` and `has_more` are about the relationships."""

    memory_id: str
    versions: list[VersionBody]
    relationships: list[RelationshipBody]
    total: int
    limit: int
    offset: int
    has_more: bool


class ChangesBody(TypedDict):
    """`next_cursor` is null when both lists are at their end."""

    since: str
    new_relationships: list[RelationshipBody]
    invalidated_relationships: list[RelationshipBody]
    has_more: bool
    next_cursor: str | None


class PathBody(TypedDict):
    """`length` counts relationships; null, with empty lists, when there is no path."""

    found: bool
    length: int | None
    memories: list[MemoryBody]
    relationships: list[RelationshipBody]


class ContextSearchBody(TypedDict):
    relationships: list[WholeRelationshipBody]
    limit: int
