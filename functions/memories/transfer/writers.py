"""An export as bytes, piece by piece, in both formats (formats.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

import orjson

from memories.graph.model import Relationship
from memories.model import Memory
from memories.render import iso, iso_or_none, memory_body
from memories.transfer.formats import LISTS, LOCAL_VERSION, VERSION, Format, Mark, encode_cursor
from memories.transfer.model import ExportPage, Kind, Place, Totals

BACKEND = "memorygraph-cloud"
SLICE = 100
"""Rows that are written at once, before other requests have their turn."""
TEXTS_OF_LOCAL_TOOL = ("session_id", "user_id", "tenant_id", "team_id", "created_by")
"""Keys of a context, beside those of context.py, that the local tool takes as text only."""
VISIBILITIES = frozenset({"private", "project", "team", "public"})

T = TypeVar("T")


class Writer(Protocol):
    """Used once: the head, then pages in order, then the end."""

    def head(self, totals: Totals, at: datetime) -> bytes: ...

    def page(self, page: ExportPage) -> Iterator[bytes]: ...

    def end(self, following: Place | None) -> bytes: ...


def writer(format_: Format) -> Writer:
    return LinesWriter() if format_ is Format.JSONL else DocumentWriter()


class LinesWriter:
    """`jsonl`."""

    def head(self, totals: Totals, at: datetime) -> bytes:
        counts = {"memories": totals.memories, "relationships": totals.relationships}
        return _line({"kind": Mark.HEADER, "format_version": VERSION, "exported_at": iso(at), **counts})

    def page(self, page: ExportPage) -> Iterator[bytes]:
        for memories in _slices(page.memories):
            yield b"".join(_line(memory_line(memory)) for memory in memories)
        for relationships in _slices(page.relationships):
            yield b"".join(_line(relationship_line(relationship)) for relationship in relationships)

    def end(self, following: Place | None) -> bytes:
        return _line({"kind": Mark.END, "next_cursor": encode_cursor(following)})


class DocumentWriter:
    """`json`. The counts come last, because they say what is in this document."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(Kind, 0)
        self._open: Kind | None = None

    def head(self, _totals: Totals, at: datetime) -> bytes:
        fields = {
            "format_version": LOCAL_VERSION,
            "export_version": "1.0",
            "export_date": iso(at),
            "backend_type": BACKEND,
        }
        return orjson.dumps(fields)[:-1]

    def page(self, page: ExportPage) -> Iterator[bytes]:
        for memories in _slices(page.memories):
            yield self._rows(Kind.MEMORY, [_memory_of_local_tool(memory) for memory in memories])
        for relationships in _slices(page.relationships):
            yield self._rows(Kind.RELATIONSHIP, [_relationship_of_local_tool(one) for one in relationships])

    def end(self, following: Place | None) -> bytes:
        counts = {f"{kind.value}_count": count for kind, count in self._counts.items()}
        tail = orjson.dumps({**counts, "next_cursor": encode_cursor(following)})
        return self._until(Kind.RELATIONSHIP) + b"]," + tail[1:]

    def _rows(self, kind: Kind, rows: Sequence[dict[str, Any]]) -> bytes:
        start = self._until(kind) + (b"," if self._counts[kind] else b"")
        self._counts[kind] += len(rows)
        return start + b",".join(map(orjson.dumps, rows))

    def _until(self, kind: Kind) -> bytes:
        """The lists that are opened and closed before a row of this kind."""
        text = b""
        for one in Kind:
            if self._open is None or list(Kind).index(one) > list(Kind).index(self._open):
                text += (b"]" if self._open else b"") + b',"' + LISTS[one].encode() + b'":['
                self._open = one
            if one is kind:
                break
        return text


def memory_line(memory: Memory) -> dict[str, Any]:
    return {"kind": Kind.MEMORY.value, **memory_body(memory)}


def relationship_line(relationship: Relationship) -> dict[str, Any]:
    return {
        "kind": Kind.RELATIONSHIP.value,
        "id": relationship.id,
        "from_memory_id": relationship.from_id,
        "to_memory_id": relationship.to_id,
        "type": relationship.type.value,
        "strength": relationship.strength,
        "confidence": relationship.confidence,
        "context": relationship.context,
        "created_at": iso(relationship.created_at),
        "updated_at": iso(relationship.updated_at),
        "valid_from": iso(relationship.valid_from),
        "valid_until": iso_or_none(relationship.valid_until),
        "recorded_at": iso(relationship.recorded_at),
        "invalidated_by": relationship.invalidated_by,
        "invalidation_reason": relationship.invalidation_reason,
        "evidence_count": relationship.evidence_count,
        "validation_count": relationship.validation_count,
        "counter_evidence_count": relationship.counter_evidence_count,
        "last_validated": iso_or_none(relationship.last_validated),
        "version": relationship.version,
    }


def _memory_of_local_tool(memory: Memory) -> dict[str, Any]:
    row = memory_line(memory)
    for ours in ("kind", "version"):
        del row[ours]
    if row["context"] is None:
        del row["context"]  # it takes an object or nothing
    else:
        row["context"] = _context_of_local_tool(row["context"])
    return row


def _context_of_local_tool(context: dict[str, Any]) -> dict[str, Any]:
    """`context` with what the local tool would refuse, and skip the memory for, under `additional_metadata`."""
    aside = {key for key in TEXTS_OF_LOCAL_TOOL if not isinstance(context.get(key, ""), str)}
    if "visibility" in context and context["visibility"] not in VISIBILITIES:
        aside.add("visibility")
    if "timestamp" in context and not _is_time(context["timestamp"]):
        aside.add("timestamp")
    if not aside:
        return context
    kept = {key: value for key, value in context.items() if key not in aside}
    more = {key: context[key] for key in context if key in aside}
    return {**kept, "additional_metadata": {**more, **context.get("additional_metadata", {})}}


def _relationship_of_local_tool(relationship: Relationship) -> dict[str, Any]:
    properties = ("strength", "confidence", "context", "evidence_count")
    return {
        "from_memory_id": relationship.from_id,
        "to_memory_id": relationship.to_id,
        "type": relationship.type.value,
        "properties": {name: getattr(relationship, name) for name in properties},
    }


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def _line(row: dict[str, Any]) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _slices(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[start : start + SLICE] for start in range(0, len(rows), SLICE))
