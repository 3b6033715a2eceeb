"""What the product remembers: memories and the relationships between them, with the limits of the client contract.

Values only. What is checked at the door is in `schemas.py`, rules that need a store are in `service.py`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from memories.relationship_types import RelationshipType

TITLE_LIMIT = 200
SUMMARY_LIMIT = 500
"""Longer ones would make the memory unreadable for the MCP client (client contract 3.1, 3.2)."""
TAGS_LIMIT = 50
TAG_LIMIT = 100
FOLDED_LIMIT_BYTES = 3 << 20
"""Text as it is searched may be several times longer. A row of Turso and sqld holds under 5 MB in all."""
RELATIONSHIP_CONTEXT_LIMIT = 50_000
"""The MCP client wraps up to 10,000 characters of text in JSON, with what it extracted from them (7.8)."""
DEFAULT_IMPORTANCE = 0.5
DEFAULT_CONFIDENCE = 0.8
DEFAULT_STRENGTH = 0.5

ID_LIMIT = 200
ID_PATTERN = re.compile(r"[A-Za-z0-9_.-]+")
RESERVED_IDS = frozenset({"recall", "recent", "batch"})
"""Last segments of routes beside /memories/{id}: a memory of that id could not be read."""


def is_id(text: str) -> bool:
    """Whether clients can put `text` into a path unescaped and get the same text back (client contract 3.5)."""
    fits = len(text) <= ID_LIMIT and ID_PATTERN.fullmatch(text) is not None
    return fits and text.strip(".") != "" and text not in RESERVED_IDS


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(16)}"


class MemoryType(StrEnum):
    TASK = "task"
    CODE_PATTERN = "code_pattern"
    PROBLEM = "problem"
    SOLUTION = "solution"
    PROJECT = "project"
    TECHNOLOGY = "technology"
    ERROR = "error"
    FIX = "fix"
    COMMAND = "command"
    FILE_CONTEXT = "file_context"
    WORKFLOW = "workflow"
    GENERAL = "general"
    CONVERSATION = "conversation"


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote: the API key, its account, and what the client calls itself."""

    key: str
    account: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """`version` is 1 when it is new and grows with every write."""

    id: str
    type: str
    title: str
    content: str
    created_at: datetime
    updated_at: datetime
    summary: str | None = None
    tags: tuple[str, ...] = ()
    importance: float = DEFAULT_IMPORTANCE
    confidence: float = DEFAULT_CONFIDENCE
    context: Mapping[str, Any] | None = None
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    """A directed edge. It holds from `valid_from` until `valid_until` (None: still)."""

    id: str
    from_id: str
    to_id: str
    type: RelationshipType
    created_at: datetime
    valid_from: datetime
    recorded_at: datetime
    strength: float = DEFAULT_STRENGTH
    confidence: float = DEFAULT_CONFIDENCE
    context: str | None = None
    valid_until: datetime | None = None
    invalidated_by: str | None = None


@dataclass(frozen=True, slots=True)
class Related:
    """A memory reached from another one: over which edge (in its true direction), at which least depth."""

    memory: Memory
    relationship: Relationship
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What to look for. Filters combine with AND; an empty one does not filter.

    `needles` holds groups of folded texts: a memory matches when each group has a text that occurs in its title,
    summary or content. A memory whose whole title folds to `exact` comes first.
    """

    needles: tuple[tuple[str, ...], ...] = ()
    exact: str = ""
    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    every_tag: bool = False
    project: str | None = None
    min_importance: float | None = None
    min_confidence: float | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the `total` matches, in order."""

    memories: list[Memory]
    total: int


@dataclass(frozen=True, slots=True)
class Activity:
    """What happened in a window: how many memories of each type, the newest, and open problems by importance."""

    count_by_type: dict[str, int]
    newest: list[Memory]
    unresolved: list[Memory]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Averages are None when there are no memories."""

    count_by_type: dict[str, int]
    relationships: int
    importance: float | None
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Changes:
    """A partial update: what is in `values` is set, the rest stays. Keys are names of `Memory`'s fields."""

    values: Mapping[str, Any] = field(default_factory=dict)
