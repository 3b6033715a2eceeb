"""What clients send and get: Pydantic models of requests, typed dictionaries of responses.

Strict, except where clients differ: unknown fields are ignored, an optional field may be null, names of types may come
in any case. Every fault is named by its field, all at once, as 400 (client contract 4.2). Responses are plain
dictionaries: validating our own answers on the hot path would cost more than making them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, TypedDict

from pydantic import BaseModel, ConfigDict, Field

from memories.fields import (
    Content,
    Context,
    Depth,
    Few,
    Id,
    Limit,
    Moment,
    Offset,
    QueryMoment,
    Summary,
    Tags,
    Text,
    Title,
    TypeOfMemory,
    TypeOfRelationship,
    Unit,
    Whole,
    at_most,
    member_of,
    null_is,
)
from memories.model import DEFAULT_CONFIDENCE, DEFAULT_IMPORTANCE

DAYS_MOST = 36_500
QUERY_LIMIT = 10_000
"""Ten times what the MCP tool takes: LlamaIndex asks with the whole message of a user (client contract, section 8)."""
TERMS_MOST = 50
TERM_LIMIT = 200
CURSOR_LIMIT = 1_000


class Request(BaseModel):
    """A request's body or parameters. Its validator is built at its first use: a cold start asks for one or none."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, defer_build=True)


# Requests.


class MemoryCreate(Request):
    """POST /memories."""

    type: TypeOfMemory
    title: Title
    content: Content
    id: Id | None = None
    summary: Summary | None = None
    tags: Annotated[Tags, null_is([])] = []
    importance: Annotated[Unit, null_is(DEFAULT_IMPORTANCE)] = DEFAULT_IMPORTANCE
    confidence: Annotated[Unit, null_is(DEFAULT_CONFIDENCE)] = DEFAULT_CONFIDENCE
    context: Context | None = None


class MemoryUpdate(Request):
    """PUT and PATCH /memories/{id}. What is absent stays; null clears summary and context, elsewhere it is absent."""

    type: TypeOfMemory | None = None
    title: Title | None = None
    content: Content | None = None
    summary: Summary | None = None
    tags: Tags | None = None
    importance: Unit | None = None
    confidence: Unit | None = None
    context: Context | None = None

    def changes(self) -> dict[str, Any]:
        """The fields to change, by name."""
        given = ((name, getattr(self, name)) for name in self.model_fields_set)
        return {name: value for name, value in given if value is not None or name in ("summary", "context")}


class Tolerance(StrEnum):
    STRICT = "strict"
    NORMAL = "normal"
    FUZZY = "fuzzy"


class Match(StrEnum):
    ANY = "any"
    ALL = "all"


class SearchRequest(Request):
    """POST /search/advanced; GET /memories and both ways of recall send a part of it."""

    query: Annotated[Text, at_most(QUERY_LIMIT)] | None = None
    terms: Annotated[list[Annotated[Text, at_most(TERM_LIMIT)]], Field(max_length=TERMS_MOST)] | None = None
    match_mode: Annotated[Match, member_of(Match), null_is(Match.ANY)] = Match.ANY
    search_tolerance: Annotated[Tolerance, member_of(Tolerance), null_is(Tolerance.NORMAL)] = Tolerance.NORMAL
    memory_types: Annotated[list[TypeOfMemory], Few, null_is([])] = []
    tags: Annotated[list[Text], Few, null_is([])] = []
    project_path: Text | None = None
    min_importance: Unit | None = None
    min_confidence: Unit | None = None
    languages: Annotated[list[Text], Few, null_is([])] = []
    frameworks: Annotated[list[Text], Few, null_is([])] = []
    relationship_filter: Annotated[list[TypeOfRelationship], Few, null_is([])] = []
    created_after: Moment | None = None
    created_before: Moment | None = None
    limit: Annotated[Limit, null_is(50)] = 50
    offset: Annotated[Offset, null_is(0)] = 0
    cursor: Annotated[Text, at_most(CURSOR_LIMIT)] | None = None


class ListRequest(SearchRequest):
    """GET /memories."""

    created_after: QueryMoment | None = None
    created_before: QueryMoment | None = None
    limit: Annotated[Limit, null_is(20)] = 20


class RecallRequest(ListRequest):
    """POST /search/recall, GET /memories/recall."""


class NeighbourhoodRequest(SearchRequest):
    """POST /search/contextual: a search among the memories around one memory."""

    memory_id: Id
    max_depth: Annotated[Depth, null_is(2)] = 2
    relationship_types: Annotated[list[TypeOfRelationship], Few, null_is([])] = []


class ReadRequest(Request):
    """GET /memories/{id}."""

    as_of: QueryMoment | None = None


class RecentRequest(Request):
    """GET /memories/recent."""

    days: Annotated[Whole, Field(ge=1, le=DAYS_MOST)] = 7
    project: Text | None = None


# Responses.


class MemoryBody(TypedDict):
    """A full Memory (client contract 2.1): no null but in `summary` and `context`."""

    id: str
    type: str
    title: str
    content: str
    summary: str | None
    tags: list[str]
    importance: float
    confidence: float
    context: Mapping[str, Any] | None
    created_at: str
    updated_at: str
    version: int


class AuthorBody(TypedDict):
    """Who wrote: the id of the API key (empty for a person who was signed in), the account, and what the client called
    itself."""

    key: str
    account: str
    agent: str


class DetailBody(MemoryBody):
    """GET /memories/{id}: who wrote the state that it shows."""

    author: AuthorBody


class MatchBody(TypedDict):
    """Why a memory was found: on the whole query, or the first of the terms (client contract 7.3)."""

    matched_fields: list[str]
    matched_terms: list[str]
    match_quality: str


class HitBody(MemoryBody):
    """A memory that was found. `relationships`: titles of neighbours by lower-case type of relationship."""

    match_info: MatchBody
    relationships: dict[str, list[str]]
    context_summary: str


class PageBody(TypedDict):
    """`total` is exact unless `total_is_exact` is false: then there may be more. `next_cursor` is null at the end."""

    memories: list[HitBody]
    total: int
    total_is_exact: bool
    limit: int
    offset: int
    has_more: bool
    next_cursor: str | None


class RecentBody(TypedDict):
    total_count: int
    memories_by_type: dict[str, int]
    recent_memories: list[MemoryBody]
    unresolved_problems: list[MemoryBody]
    days: int
    project: str | None
