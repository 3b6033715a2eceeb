"""A part of an import as rows, in both formats (formats.py), recognised by what it holds.

One bad row never costs a good one: what is wrong with it is told in its place. Memories come before relationships,
whatever the order in the file, because relationships need their ends. Rows are read as they are asked for: a part in
pieces all at once would take ten times its room.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from core.body import DEPTH_LIMIT, parse_json
from core.lazy import lazy
from core.problems import Invalid
from declarations import BODY_LIMIT_BYTES
from memories.graph.model import Relationship
from memories.model import ID_LIMIT, Memory
from memories.requests import new_memory
from memories.transfer.formats import LISTS, LOCAL_VERSIONS, VERSION, Format, Mark
from memories.transfer.model import Kind
from memories.transfer.service import BadRow, Row
from memories.validation import parse

if TYPE_CHECKING:
    from memories.transfer import schemas
else:
    schemas = lazy("memories.transfer.schemas")

ROW_LIMIT_BYTES = 3 * BODY_LIMIT_BYTES
"""A content and a context, each sent as large as a body may be, and the rest."""
ROWS_MOST = 50_000
"""Rows of one part: what can be stored in the time of one request."""
PAUSE_LINES = 500
"""Lines that are looked at before other requests have their turn."""

_INK = re.compile(rb"\S")
_BOM = b"\xef\xbb\xbf"
_LINES_HINTS = ("ndjson", "jsonl", "jsonlines", "json-lines")
_DEEP = f"nests deeper than {DEPTH_LIMIT} levels"
_UNREADABLE = f"is not a JSON object in UTF-8, {_DEEP}, or holds a whole number of more than 64 bits"
_UNSTORABLE = "\ud800"
"""Stands for NaN and its like, which are not JSON: its row is unreadable, as with a lone surrogate."""


@dataclass(frozen=True, slots=True)
class Upload:
    """`rows` may be gone through once; a None among them is a pause."""

    format: Format
    rows: Iterator[Row | BadRow | None]


@dataclass(frozen=True, slots=True)
class _Line:
    """One row as it came. `raw` is None when it cannot be written as JSON in UTF-8."""

    number: int
    raw: bytes | None
    kind: Kind | None = None


def read(body: bytes, media_type: str, now: datetime) -> Upload:
    """Recognise the format.

    Args:
        media_type: the sender's, a hint where the content says nothing.
        now: when a row without times was written, if its file does not say either.

    Raises:
        Invalid: this is neither format, or a version that is not known.
    """
    start = len(_BOM) if body.startswith(_BOM) else 0
    first = next(_lines(body, start), None)
    if first is None:
        raise _neither("is missing: there is nothing in the body")
    header = _object(first.raw)
    if header is None or not _is_line(header):
        document = _document(body[start:])
        if document is not None:
            return _read_document(document, now)
        _check_number(body.count(b"\n"))
        hinted = any(hint in media_type.lower() for hint in _LINES_HINTS)
        if not hinted and not any(_is_line(_object(line.raw)) for line in _lines(body, start)):
            raise _neither(_UNREADABLE)
    else:
        _check_number(body.count(b"\n"))
    if header is not None and header.get("kind") == Mark.HEADER:
        if header.get("format_version") != VERSION:
            raise _unknown_version(VERSION)
        now = _made_at(header.get("exported_at"), now)
    return Upload(Format.JSONL, _rows(_lines(body, start), now))


def _read_document(document: dict[str, Any], now: datetime) -> Upload:
    if (document.get("format_version") or document.get("export_version")) not in LOCAL_VERSIONS:
        raise _unknown_version(" or ".join(LOCAL_VERSIONS))
    for name in LISTS.values():
        if not isinstance(document.setdefault(name, []), list):
            raise Invalid.naming({name: "must be a list"}, "document")
    _check_number(sum(len(document[name]) for name in LISTS.values()))
    lines = (
        _Line(number, _dumped(row), kind)
        for kind, name in LISTS.items()
        for number, row in enumerate(document[name], start=1)
    )
    return Upload(Format.JSON, _rows(lines, _made_at(document.get("export_date"), now)))


def _rows(lines: Iterator[_Line], at: datetime) -> Iterator[Row | BadRow | None]:
    later: list[_Line] = []
    for count, line in enumerate(lines, start=1):
        if count % PAUSE_LINES == 0:
            yield None
        value = _object(line.raw)
        if value is None:
            yield BadRow(line.number, line.kind, None, {"row": _fault(line.raw)})
            continue
        kind = line.kind or value.get("kind")
        if kind == Kind.RELATIONSHIP:
            later.append(line)  # as bytes
        elif kind == Kind.MEMORY:
            yield _row(line.number, Kind.MEMORY, value, len(line.raw or b""), at)
        elif kind not in tuple(Mark):
            message = f"must be one of {', '.join((*Kind, *Mark))}"
            yield BadRow(line.number, None, _id(value), {"kind": message})
    for line in later:
        yield _row(line.number, Kind.RELATIONSHIP, _object(line.raw) or {}, len(line.raw or b""), at)


def _row(number: int, kind: Kind, value: dict[str, Any], size: int, at: datetime) -> Row | BadRow:
    try:
        if kind is Kind.MEMORY:
            return Row(number, _memory(parse(schemas.MemoryRow, value), at), size)
        if value.get("id") is None or "properties" in value:
            return Row(number, _timeless(parse(schemas.TimelessRow, value), at), size, timeless=True)
        return Row(number, _relationship(parse(schemas.RelationshipRow, value), at), size)
    except Invalid as invalid:
        return BadRow(number, kind, _id(value), invalid.errors)


def _memory(row: schemas.MemoryRow, at: datetime) -> Memory:
    created_at = row.created_at or row.updated_at or at
    return replace(new_memory(row, created_at), updated_at=row.updated_at or created_at, version=row.version)


def _relationship(row: schemas.RelationshipRow, at: datetime) -> Relationship:
    created_at = row.created_at or at
    valid_from = row.valid_from or created_at
    if row.valid_until is not None and row.valid_until < valid_from:  # the same: it was ended before it began
        raise Invalid.naming({"valid_until": "must not be before valid_from"}, "row")
    return Relationship(
        id=row.id,
        from_id=row.from_memory_id,
        to_id=row.to_memory_id,
        type=row.type,
        strength=row.strength,
        confidence=row.confidence,
        context=row.context,
        created_at=created_at,
        updated_at=row.updated_at or created_at,
        valid_from=valid_from,
        valid_until=row.valid_until,
        recorded_at=row.recorded_at or created_at,
        invalidated_by=row.invalidated_by,
        invalidation_reason=row.invalidation_reason,
        evidence_count=row.evidence_count,
        validation_count=row.validation_count,
        counter_evidence_count=row.counter_evidence_count,
        last_validated=row.last_validated,
        version=row.version,
    )


def _timeless(row: schemas.TimelessRow, at: datetime) -> Relationship:
    """A relationship that held when its file was written. The same one has the same id in every file."""
    told = row.properties
    same = [row.from_memory_id, row.to_memory_id, row.type, float(told.strength), float(told.confidence), told.context]
    return Relationship(
        id=f"rel_of_{hashlib.sha256(orjson.dumps(same)).hexdigest()[:32]}",
        from_id=row.from_memory_id,
        to_id=row.to_memory_id,
        type=row.type,
        strength=told.strength,
        confidence=told.confidence,
        context=told.context,
        evidence_count=told.evidence_count,
        created_at=at,
        updated_at=at,
        valid_from=at,
        recorded_at=at,
    )


# Bytes.


def _lines(body: bytes, start: int) -> Iterator[_Line]:
    """Lines that are not blank, by their number."""
    number = 0
    while ink := _INK.search(body, start):  # a part of nothing but line breaks is passed over in one step
        number += body.count(b"\n", start, ink.start()) + 1
        end = body.find(b"\n", ink.start())
        end = len(body) if end < 0 else end
        yield _Line(number, body[ink.start() : end].strip())
        start = end + 1


def _object(raw: bytes | None) -> dict[str, Any] | None:
    """The JSON object of one row; None when it is none, or too large or too deep."""
    if raw is None or len(raw) > ROW_LIMIT_BYTES:
        return None
    try:
        value = parse_json(raw)
    except Invalid:
        return None
    return value if isinstance(value, dict) else None


def _fault(raw: bytes | None) -> str:
    too_long = raw is not None and len(raw) > ROW_LIMIT_BYTES
    return f"is longer than {ROW_LIMIT_BYTES >> 10} KiB" if too_long else _UNREADABLE


def _is_line(value: dict[str, Any] | None) -> bool:
    return value is not None and value.get("kind") in (*Kind, *Mark)


def _document(body: bytes) -> dict[str, Any] | None:
    """The document in `body`, also when some of its rows are not quite JSON: the local tool writes lone surrogates."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            text = body.decode("utf-8", "surrogateescape")
            value = json.loads(text, strict=False, parse_constant=lambda _name: _UNSTORABLE)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) and any(name in value for name in LISTS.values()) else None


def _dumped(row: object) -> bytes | None:
    try:
        return orjson.dumps(row)
    except TypeError:  # a lone surrogate, or nested beyond what it writes
        return None


def _id(value: dict[str, Any]) -> str | None:
    """What the row calls itself, to find it by."""
    given = value.get("id")
    return given[:ID_LIMIT] if isinstance(given, str) else None


def _made_at(text: object, now: datetime) -> datetime:
    """When a file was written, which is not in the future."""
    try:
        told = parse(schemas.HeaderRow, {"at": text}).at
    except Invalid:
        return now
    return now if told is None else min(told, now)


def _neither(reason: str) -> Invalid:
    detail = f"The body is neither JSON lines nor a document of format 2.0: row 1 {reason}."
    return Invalid(detail, errors={"row 1": reason})


def _check_number(rows: int) -> None:
    if rows > ROWS_MOST:
        message = f"must be at most {ROWS_MOST}"
        raise Invalid(f"The rows of one part {message}; there are {rows}.", errors={"rows": message})


def _unknown_version(known: str) -> Invalid:
    message = f"must be {known}"
    return Invalid(f"This format is not known: format_version {message}.", errors={"format_version": message})
