"""Why a memory was found, and what it is about in a phrase (client contract 7.3): the extras of a search result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memories.model import Memory, Neighbour
from memories.relationship_types import RelationshipType
from memories.text import fold

if TYPE_CHECKING:
    from memories import schemas

NAMED = 2
"""Titles of one sort in a summary."""
TERMS_MOST = 50
"""Words of a query that are looked up in each hit: the first ones."""
TEXT_MOST = 20_000
"""Characters of a content in which they are looked up: a page may hold megabytes, and all callers wait meanwhile."""


class Matching:
    """What a query matches in memories. Texts are compared as the search compares them: folded."""

    def __init__(self, query: str) -> None:
        self._query = fold(query).strip()
        self._terms = tuple(dict.fromkeys(self._query.split()))[:TERMS_MOST]

    def info(self, memory: Memory) -> schemas.MatchBody:
        """Where the whole query occurs, and which of its words do. Without a query: nothing, of low quality."""
        if not self._query:
            return {"matched_fields": [], "matched_terms": [], "match_quality": "low"}
        # Written out: a page has up to a thousand hits, and generators took twice the time of the rest.
        title, content, abstract = fold(memory.title), fold(memory.content[:TEXT_MOST]), fold(memory.summary or "")
        fields = []
        if self._query in title:
            fields.append("title")
        if self._query in content:
            fields.append("content")
        if self._query in abstract:
            fields.append("summary")
        quality = "low"
        if fields:
            quality = "high" if fields[0] == "title" else "medium"
        tags = "\n".join(map(fold, memory.tags))  # no term has a line break
        if any(term in tags for term in self._terms):
            fields.append("tags")
        terms = [term for term in self._terms if term in title or term in content or term in abstract]
        return {"matched_fields": fields, "matched_terms": terms, "match_quality": quality}


def summary(memory: Memory, neighbours: Sequence[Neighbour]) -> str:
    """A phrase of the form "Solution solves A, B, in P", or "Problem solved by A"."""
    kind = memory.type.replace("_", " ").capitalize()
    if not neighbours:
        return kind
    titles: dict[tuple[RelationshipType, bool], list[str]] = {}
    for neighbour in neighbours:
        titles.setdefault((neighbour.type, neighbour.outgoing), []).append(neighbour.title)
    parts = []
    if problems := titles.get((RelationshipType.SOLVES, True)):
        parts.append(f"solves {', '.join(problems[:NAMED])}")
    elif solutions := titles.get((RelationshipType.SOLVES, False)):
        parts.append(f"solved by {', '.join(solutions[:NAMED])}")
    if places := titles.get((RelationshipType.USED_IN, True)):
        parts.append(f"in {places[0]}")
    return f"{kind} {', '.join(parts)}" if parts else kind
