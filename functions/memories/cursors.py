"""Cursors: where a page ended, as text that callers hand back. Opaque to them, and good for the same search only."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

from memories import opaque
from memories.model import Position, Search, is_id
from memories.stores.rows import from_micros, to_micros

MICROS_MOST = 1 << 56
"""The year 4253: what comes later is no time that we wrote."""


def encode(search: Search, position: Position) -> str:
    """The cursor of the page that follows `position` in `search`."""
    at = [position.exact, position.importance, to_micros(position.created_at), position.id]
    return opaque.write([_digest(search), *at])


def decode(cursor: str, search: Search) -> Position:
    """Where the page begins.

    Raises:
        Invalid: this is no cursor, or one of another search.
    """
    try:
        digest, exact, importance, created, memory_id = opaque.read(cursor)
    except (ValueError, TypeError):
        raise opaque.not_ours() from None
    well = (
        isinstance(exact, bool)
        and isinstance(importance, float | int)
        and math.isfinite(importance)
        and isinstance(created, int)
        and 0 <= created < MICROS_MOST
        and isinstance(memory_id, str)
        and is_id(memory_id)
    )
    if not well or digest != _digest(search):
        raise opaque.of_another("search", "send it with the same query and filters")
    return Position(exact, float(importance), from_micros(created), memory_id)


def _digest(search: Search) -> str:
    """The same for all pages of one search, whatever their size."""
    question = replace(search, limit=0, offset=0, after=None)
    return hashlib.sha256(repr(question).encode()).hexdigest()[:16]
