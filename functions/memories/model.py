"""What the product remembers: memories and how they are looked for, with the limits of the client contract.

Values only. Relationships are in `graph/model.py`. What is checked at the door is in `schemas.py`, rules that need a
store are in `service.py`.
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
TOTAL_MOST = 101
"""How far the matches of a search are counted: one more than a Free workspace may hold, two pages elsewhere.

Among 10,000 memories in PostgreSQL a word that every tenth holds took 2.4 ms when it was counted as far as 100, 4.6 as
far as 200, and about 10 to 1,000 (CPU of the server, ten results): to count takes longer than to find the best ones.
"""
NEIGHBOURS_MOST = 20
"""Neighbours that are mentioned beside each hit, as many as the reference shows related memories."""
DEFAULT_IMPORTANCE = 0.5
DEFAULT_CONFIDENCE = 0.8

ID_LIMIT = 200
ID_PATTERN = re.compile(r"[A-Za-z0-9_.-]+")
RESERVED_IDS = frozenset({"recall", "recent", "batch", "changes", "search", "types"})
"""Last segments of routes beside /memories/{id} and /relationships/{id}: what has such an id could not be read."""


def is_id(text: str) -> bool:
    """Whether clients can put `text` into a path unescaped and get the same text back (client contract 3.5)."""
    fits = len(text) <= ID_LIMIT and ID_PATTERN.fullmatch(text) is not None
    return fits and text.strip(".") != "" and text not in RESERVED_IDS


def project_of(context: Mapping[str, Any] | None) -> str | None:
    """Which project a memory with this context is of."""
    return None if context is None else context.get("project_path")


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
    """`version` is 1 when it is new and grows with every write.

    `author`: who wrote this state, when it was read alone. It is no part of what a memory says.
    """

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
    author: Author | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of one thing, as its ETag names it: two different states never have the same."""

    version: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A change was not made: the thing is not at any revision that the caller expects, but at this one."""

    current: Revision


@dataclass(frozen=True, slots=True)
class Version:
    """One state that a memory was in, from `valid_from` until `valid_until` (None: it still is), and who wrote it."""

    version: int
    title: str
    valid_from: datetime
    valid_until: datetime | None
    author: Author


@dataclass(frozen=True, slots=True)
class Near:
    """The memories that `depth` current relationships of the given types (empty: all) lead to from one memory."""

    memory_id: str
    depth: int
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page of a search ended: what the last memory on it was sorted by."""

    exact: bool
    importance: float
    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What to look for. Filters combine with AND; an empty one does not filter.

    `needles` holds groups of folded texts: a memory matches when each group has a text that occurs in its title,
    summary or content. A memory whose whole title folds to `exact` comes first. `languages` and `frameworks` are
    folded; a memory matches when it has one of them, as it does when a current relationship of one of
    `relationship_types` has it at either end. `near` leaves out the memory that it starts from. The page begins after
    `after` when it is given, else after `offset` memories.
    """

    needles: tuple[tuple[str, ...], ...] = ()
    exact: str = ""
    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    every_tag: bool = False
    project: str | None = None
    languages: tuple[str, ...] = ()
    frameworks: tuple[str, ...] = ()
    relationship_types: tuple[str, ...] = ()
    near: Near | None = None
    min_importance: float | None = None
    min_confidence: float | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    limit: int = 50
    offset: int = 0
    after: Position | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A memory at the other end of a current relationship, as a search result mentions it. `outgoing`: the relationship
    starts at the memory that was found."""

    type: RelationshipType
    title: str
    outgoing: bool


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that was found, with up to `NEIGHBOURS_MOST` neighbours: by the strength of the relationship, then the
    newest, then by its id."""

    memory: Memory
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Some matches, in order.

    `total` counts all matches wherever the page begins, but no further than `TOTAL_MOST`: then there may be more.
    `more`: further matches follow this page.
    """

    hits: list[Hit]
    total: int
    more: bool


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
