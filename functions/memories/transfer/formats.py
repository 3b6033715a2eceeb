"""The two formats of files, and where an export goes on.

- `jsonl`, ours: one JSON object a line, `kind` first: a header, memories, relationships with every field, an end.
  Nothing is lost, and a file without its end is cut off.
- `json`: format 2.0 of the local tool (client contract 7.10). It holds only relationships that hold now, without ids
  and times. The tool ignores keys that it does not know, and skips a memory whose context it cannot take.
"""

from __future__ import annotations

import base64
from enum import StrEnum

from memories import opaque
from memories.model import is_id
from memories.transfer.model import Kind, Place

VERSION = "memorygraph-cloud/1"
LOCAL_VERSION = "2.0"
LOCAL_VERSIONS = ("1.0", LOCAL_VERSION)
LISTS = {Kind.MEMORY: "memories", Kind.RELATIONSHIP: "relationships"}
"""The members of a document that hold its rows."""

_PREFIXES = {Kind.MEMORY: "m", Kind.RELATIONSHIP: "r"}


class Format(StrEnum):
    JSONL = "jsonl"
    JSON = "json"

    @property
    def media_type(self) -> str:
        return "application/x-ndjson" if self is Format.JSONL else "application/json"


class Mark(StrEnum):
    """Kinds of lines that are no rows."""

    HEADER = "header"
    END = "end"


def encode_cursor(place: Place | None) -> str | None:
    if place is None:
        return None
    return opaque.write_bytes(f"{_PREFIXES[place.kind]}:{place.id}".encode())


def decode_cursor(cursor: str) -> Place:
    """Raises: Invalid."""
    try:
        text = base64.b64decode(opaque.padded(cursor), altchars=b"-_", validate=True).decode("ascii")
        prefix, colon, thing_id = text.partition(":")
    except ValueError:
        prefix = colon = thing_id = ""
    for kind, known in _PREFIXES.items():
        if colon and prefix == known and (thing_id == "" or is_id(thing_id)):
            return Place(kind, thing_id)
    raise opaque.not_ours()
