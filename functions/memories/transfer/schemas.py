"""What batches and imports take, row by row, and what they answer. The rows of an export are made in formats.py.

A row is checked as the same thing is when it is sent alone, and may say more: its own times, version and counts. Sizes
are bounded as well, because a part of an import is larger than the body of any other request.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, TypedDict

import orjson
from pydantic import AfterValidator, Field

from declarations import BODY_LIMIT_BYTES
from memories.cursors import MICROS_MOST
from memories.fields import (
    Content,
    Context,
    Id,
    Moment,
    Text,
    TypeOfRelationship,
    Unit,
    Whole,
    at_most,
    member_of,
    null_is,
)
from memories.graph.model import DEFAULT_CONFIDENCE, DEFAULT_STRENGTH, REASON_LIMIT
from memories.graph.schemas import EdgeContext
from memories.schemas import MemoryCreate, Request
from memories.stores.rows import EPOCH
from memories.transfer.formats import Format
from memories.transfer.model import BATCH_MOST, PARTS_MOST

COUNT_MOST = 1_000_000_000
EXPORT_MOST = 1_000_000


def _sortable(moment: datetime) -> datetime:
    if not EPOCH <= moment < EPOCH + timedelta(microseconds=MICROS_MOST):
        raise ValueError("must be a time between the years 1970 and 4253")
    return moment


def _fits(text: str) -> str:
    # A character has at most four bytes.
    if len(text) > BODY_LIMIT_BYTES // 4 and len(text.encode()) > BODY_LIMIT_BYTES:
        raise ValueError(f"must be at most {BODY_LIMIT_BYTES >> 10} KiB")
    return text


def _context_fits(context: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(context)) > BODY_LIMIT_BYTES:
        raise ValueError(f"must be at most {BODY_LIMIT_BYTES >> 10} KiB")
    return context


def _batch(items: list[Any]) -> list[Any]:
    if not 1 <= len(items) <= BATCH_MOST:
        raise ValueError(f"must be a list of 1 to {BATCH_MOST} memories")
    return items


OurTime = Annotated[Moment, AfterValidator(_sortable)]
"""When something was written down: pages are sorted by it. When something holds may be long ago."""
Count = Annotated[Whole, Field(ge=0, le=COUNT_MOST)]
Version = Annotated[Whole, Field(ge=1, le=COUNT_MOST), null_is(1)]


class BatchRequest(Request):
    """POST /memories/batch. Each item is a `MemoryCreate`, and checked on its own."""

    memories: Annotated[list[Any], AfterValidator(_batch)]
    atomic: Annotated[bool, null_is(True)] = True  # noqa: FBT003  a value, not a flag of a call


class MemoryRow(MemoryCreate):
    """A memory in a file: format 2.0 of the local tool, or a line of ours. Without times it is of the file's time."""

    id: Id
    content: Annotated[Content, AfterValidator(_fits)]
    context: Annotated[Context, AfterValidator(_context_fits)] | None = None
    created_at: OurTime | None = None
    updated_at: OurTime | None = None
    version: Version = 1


class RelationshipRow(Request):
    """A relationship with an id: a line of ours."""

    id: Id
    from_memory_id: Id
    to_memory_id: Id
    type: TypeOfRelationship
    strength: Annotated[Unit, null_is(DEFAULT_STRENGTH)] = DEFAULT_STRENGTH
    confidence: Annotated[Unit, null_is(DEFAULT_CONFIDENCE)] = DEFAULT_CONFIDENCE
    context: EdgeContext | None = None
    created_at: OurTime | None = None
    updated_at: OurTime | None = None
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    recorded_at: OurTime | None = None
    invalidated_by: Id | None = None
    invalidation_reason: Annotated[Text, at_most(REASON_LIMIT)] | None = None
    evidence_count: Annotated[Count, null_is(1)] = 1
    validation_count: Annotated[Count, null_is(0)] = 0
    counter_evidence_count: Annotated[Count, null_is(0)] = 0
    last_validated: Moment | None = None
    version: Version = 1


class Properties(Request):
    strength: Annotated[Unit, null_is(DEFAULT_STRENGTH)] = DEFAULT_STRENGTH
    confidence: Annotated[Unit, null_is(DEFAULT_CONFIDENCE)] = DEFAULT_CONFIDENCE
    context: EdgeContext | None = None
    evidence_count: Annotated[Count, null_is(1)] = 1


class TimelessRow(Request):
    """A relationship without an id: format 2.0 (client contract 7.10)."""

    from_memory_id: Id
    to_memory_id: Id
    type: TypeOfRelationship
    properties: Annotated[Properties, null_is(Properties.model_construct())] = Properties.model_construct()


class HeaderRow(Request):
    """When a file was written."""

    at: OurTime | None = None


class ExportRequest(Request):
    """GET /export. Without a limit: everything."""

    format: Annotated[Format, member_of(Format), null_is(Format.JSONL)] = Format.JSONL
    cursor: str | None = None
    limit: Annotated[Whole, Field(ge=1, le=EXPORT_MOST)] | None = None


class ImportRequest(Request):
    """POST /import. Both or neither: without a number it is the only part, and not remembered."""

    import_id: Id | None = None
    part: Annotated[Whole, Field(ge=1, le=PARTS_MOST)] | None = None


# Responses.


class ResultBody(TypedDict, total=False):
    """What became of one memory of a batch. `errors` when its status is 400, `detail` when it is 403 (the plan has no
    room for it, or it is outside of the key's project) or 409 (its id is taken there), else the other fields."""

    index: int
    status: int
    id: str
    version: int
    created_at: str
    updated_at: str
    errors: list[dict[str, str]]
    detail: str


class BatchBody(TypedDict):
    results: list[ResultBody]
    created: int
    updated: int
    failed: int


class BadRowBody(TypedDict):
    """`row`: the line of a JSONL body, or the place in its list of a document; from 1. `kind` and `id` when known."""

    row: int
    kind: str | None
    id: str | None
    errors: list[dict[str, str]]


class OutcomesBody(TypedDict):
    created: int
    updated: int
    unchanged: int
    refused: int


class SummaryBody(TypedDict):
    """`unreadable`: rows that are neither. `bad_rows`: the first of those refused or unreadable, `bad` counts all.
    `quota`: which limit of the plan some rows had no room for, and the way up."""

    format: str
    rows: int
    memories: OutcomesBody
    relationships: OutcomesBody
    unreadable: int
    bad: int
    bad_rows: list[BadRowBody]
    quota: str | None
