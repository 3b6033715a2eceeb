"""Why a memory was found, and what it is about in a phrase (client contract 7.3): the extras of a search result."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from memories.model import Memory, Neighbour
from memories.relationship_types import RelationshipType
from memories.text import fold

if TYPE_CHECKING:
    from memories import schemas

NAMED = 2
"""Titles of one sort in a summary."""


class Matching:
    """What a query matches in memories. Texts are compared as the search compares them: folded."""

    def __init__(self, query: str) -> None:
        self._query = fold(query).strip()
        self._terms = tuple(dict.fromkeys(self._query.split()))

    def info(self, memory: Memory) -> schemas.MatchBody:
        """Where the whole query occurs, and which of its words do. Without a query: nothing, of low quality."""
        if not self._query:
            return {"matched_fields": [], "matched_terms": [], "match_quality": "low"}
        texts = {
            "title": fold(memory.title),
            "content": fold(memory.content),
            "summary": fold(memory.summary) if memory.summary else "",
        }
        fields = [name for name, text in texts.items() if self._query in text]
        quality = "low"
        if fields:
            quality = "high" if fields[0] == "title" else "medium"
        if any(term in tag for tag in map(fold, memory.tags) for term in self._terms):
            fields.append("tags")
        terms = [term for term in self._terms if any(term in text for text in texts.values())]
        return {"matched_fields": fields, "matched_terms": terms, "match_quality": quality}


def summary(memory: Memory, neighbours: Iterable[Neighbour]) -> str:
    """A phrase of the form "Solution solves A, B, in P", or "Problem solved by A"."""
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
    kind = memory.type.replace("_", " ").capitalize()
    return f"{kind} {', '.join(parts)}" if parts else kind
