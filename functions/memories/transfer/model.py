"""Many memories at once: what a batch answers, pages of an export, what became of the rows of an import."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from memories.graph.model import Relationship
from memories.model import Memory
from memories.quotas import Resource

BATCH_MOST = 1_000
"""Memories in one batch."""
PARTS_MOST = 100_000
"""Parts of one import: far more than anybody has, few enough for a whole number of five digits."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a batch did to one memory; `version` is 1 when it is new."""

    id: str
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NoRoom:
    """A memory of a batch that was left out, because the plan has no room for it."""

    id: str
    resource: Resource


@dataclass(frozen=True, slots=True)
class Taken:
    """A memory of a batch that was left out, because its id is that of one that its sender does not see."""

    id: str


TAKEN = "taken"


def left_out(memory_id: str, why: str) -> NoRoom | Taken:
    """What a store says of a memory that it left out: a `Resource`, or `TAKEN`."""
    return Taken(memory_id) if why == TAKEN else NoRoom(memory_id, Resource(why))


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there is to export. `current`: the relationships that hold now."""

    memories: int
    relationships: int
    current: int


class Kind(StrEnum):
    """What an export holds, in this order."""

    MEMORY = "memory"
    RELATIONSHIP = "relationship"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an export goes on: after this thing, in order of ids. An empty id: before the first of its kind."""

    kind: Kind
    id: str = ""


@dataclass(frozen=True, slots=True)
class ExportPage:
    """A piece of an export: memories, then relationships. `next` is None when nothing follows."""

    memories: list[Memory]
    relationships: list[Relationship]
    next: Place | None


class Outcome(StrEnum):
    """What became of one row of an import."""

    CREATED = "created"
    UPDATED = "updated"  # it was newer than what was there
    UNCHANGED = "unchanged"  # the same, or a newer one, was there
    UNKNOWN_END = "unknown_end"  # a relationship whose ends are not both known
    CYCLE = "cycle"  # a relationship that would close a cycle of its type
    OVER_MEMORIES = "over_memories"  # a new memory that the plan has no room for
    OVER_BYTES = "over_bytes"  # a new or larger one that the plan has no room for
    TAKEN = "taken"  # its id is that of a thing that its sender does not see


OVER = {Resource.MEMORIES: Outcome.OVER_MEMORIES, Resource.BYTES: Outcome.OVER_BYTES}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an import that was done: `answer` is what its sender was told, `fingerprint` what it had sent."""

    number: int
    fingerprint: str
    answer: str
    at: datetime
