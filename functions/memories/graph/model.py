"""Relationships between memories: directed edges that hold for a time, and what is asked about them (contract 7.2-7.8).

Two times: `valid_from` and `valid_until` say when a fact holds, `recorded_at` when the server learned of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from memories.model import Memory, Version
from memories.relationship_types import RelationshipType

CONTEXT_LIMIT = 50_000
"""The MCP client wraps up to 10,000 characters of text in JSON, with what it extracted from them (7.8)."""
REASON_LIMIT = 1_000
DEFAULT_STRENGTH = 0.5
DEFAULT_CONFIDENCE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    """A directed edge. It holds from `valid_from` until `valid_until` (None: still, which is called current).

    `evidence_count` counts how often it was made or reinforced; of those, `validation_count` with success and
    `counter_evidence_count` without. `version` is 1 when it is new and grows with every change.
    """

    id: str
    from_id: str
    to_id: str
    type: RelationshipType
    created_at: datetime
    updated_at: datetime
    valid_from: datetime
    recorded_at: datetime
    strength: float = DEFAULT_STRENGTH
    confidence: float = DEFAULT_CONFIDENCE
    context: str | None = None
    valid_until: datetime | None = None
    invalidated_by: str | None = None
    invalidation_reason: str | None = None
    evidence_count: int = 1
    validation_count: int = 0
    counter_evidence_count: int = 0
    last_validated: datetime | None = None
    version: int = 1

    @property
    def success_rate(self) -> float | None:
        """The share of reinforcements that were a success; None when there were none."""
        tries = self.validation_count + self.counter_evidence_count
        return self.validation_count / tries if tries else None


@dataclass(frozen=True, slots=True)
class EdgeChanges:
    """A partial update: what is in `values` is set. Keys: strength, confidence, context (None clears it)."""

    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reinforcement:
    """What one observation does to a relationship. Strength and confidence move by a step and stay within bounds."""

    success: bool
    strength_step: float
    confidence_step: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Related:
    """A memory reached from another one: over which edge (in its true direction), at which least depth."""

    memory: Memory
    relationship: Relationship
    depth: int


@dataclass(frozen=True, slots=True)
class Path:
    """The way from one memory to another: n + 1 memories joined by n edges, in order; either direction of an edge."""

    memories: list[Memory]
    relationships: list[Relationship]


@dataclass(frozen=True, slots=True)
class History:
    """What happened to one memory: the states it was in, newest first, and a page of all its relationships, current or
    not, by `valid_from`, then `created_at`, then id; `total` counts all of them."""

    versions: list[Version]
    relationships: list[Relationship]
    total: int


@dataclass(frozen=True, slots=True)
class EdgeChangesSince:
    """Relationships recorded, and relationships that ceased to hold, at a moment or later; each newest first, then by
    id. `more_*`: some were left out because there were more than the limit."""

    recorded: list[Relationship]
    invalidated: list[Relationship]
    more_recorded: bool
    more_invalidated: bool


@dataclass(frozen=True, slots=True)
class EdgePosition:
    """Where a list of relationships that is newest first, then by id, was left: after this one."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class ChangesPosition:
    """Where both lists of `EdgeChangesSince` were left; None: that list was at its end."""

    recorded: EdgePosition | None
    invalidated: EdgePosition | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSearch:
    """Which relationships to find by what their context says (contract 7.8). Texts are folded; in each field any of the
    values may occur in any of the edge's; fields combine with AND; an empty one does not filter."""

    scope: str | None = None
    components: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    temporal: str | None = None
    has_evidence: bool | None = None
    types: tuple[str, ...] = ()
    limit: int = 20
