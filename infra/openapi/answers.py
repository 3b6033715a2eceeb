"""Bodies of answers that the handlers write without a type of their own, as `memories.schemas` has for the others."""

from __future__ import annotations

from typing import Literal, TypedDict

from memories.transfer.schemas import SummaryBody


class HealthBody(TypedDict):
    status: Literal["healthy"]
    version: str


class CountBody(TypedDict):
    count: int


class AverageImportanceBody(TypedDict):
    avg_importance: float


class AverageConfidenceBody(TypedDict):
    avg_confidence: float


class _StatisticsAlways(TypedDict):
    total_memories: CountBody
    memories_by_type: dict[str, int]
    total_relationships: CountBody


class StatisticsBody(_StatisticsAlways, total=False):
    """The averages are left out while there is no memory."""

    avg_importance: AverageImportanceBody
    avg_confidence: AverageConfidenceBody


class _ImportPart(TypedDict, total=False):
    import_id: str
    part: int
    repeated: bool


class ImportBody(SummaryBody, _ImportPart):
    """What became of the rows. `import_id`, `part` and `repeated` when the request named a part: `repeated` is true if
    the same part had arrived before; nothing was done then."""


class ImportedPartBody(SummaryBody):
    """One part. `sha256` is the hash of its body, in hexadecimal."""

    part: int
    at: str
    sha256: str


class ImportsBody(TypedDict):
    """The parts that arrived, by number."""

    import_id: str
    parts: list[ImportedPartBody]


class LocalPropertiesBody(TypedDict):
    strength: float
    confidence: float
    context: str | None
    evidence_count: int


class LocalRelationshipBody(TypedDict):
    """A relationship without id and times."""

    from_memory_id: str
    to_memory_id: str
    type: str
    properties: LocalPropertiesBody


class _LocalMemoryAlways(TypedDict):
    id: str
    type: str
    title: str
    content: str
    summary: str | None
    tags: list[str]
    importance: float
    confidence: float
    created_at: str
    updated_at: str


class LocalMemoryBody(_LocalMemoryAlways, total=False):
    """A memory; `context` is left out when there is none."""

    context: dict[str, object]


class LocalDocumentBody(TypedDict):
    """An export in format 2.0 of the local tool."""

    format_version: str
    export_version: str
    export_date: str
    backend_type: str
    memories: list[LocalMemoryBody]
    relationships: list[LocalRelationshipBody]
    memory_count: int
    relationship_count: int
    next_cursor: str | None


class FaultBody(TypedDict):
    """`field`: its name, such as `title` or `tags.0`."""

    field: str
    message: str


class CurrentBody(TypedDict):
    """The state that the thing is in."""

    version: int
    etag: str


class ProblemBody(TypedDict):
    """An error (RFC 9457). `detail` says in one or two sentences what happened and what to do."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class InvalidProblemBody(ProblemBody):
    """An error that names each field that is wrong."""

    errors: list[FaultBody]


class StaleProblemBody(ProblemBody):
    """An error that says at which version the thing is."""

    current: CurrentBody
