"""Cursors of what changed: where both of its lists were left, as text that callers hand back. Opaque to them, and good
for the same moment only. Those of searches are `memories.cursors`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from memories import opaque
from memories.graph.model import ChangesPosition, EdgeChangesSince, EdgePosition
from memories.model import is_id
from memories.stores.rows import from_micros, to_micros


def following(since: datetime, page: EdgeChangesSince) -> str | None:
    """The cursor of the page after this one; None when both lists are at their end."""
    recorded = [(one.recorded_at, one.id) for one in page.recorded[-1:] if page.more_recorded]
    invalidated = [
        (one.valid_until, one.id) for one in page.invalidated[-1:] if page.more_invalidated and one.valid_until
    ]
    if not recorded and not invalidated:
        return None
    places = [[[to_micros(at), edge_id] for at, edge_id in places] for places in (recorded, invalidated)]
    return opaque.write([to_micros(since), *places])


def decode(cursor: str, since: datetime) -> ChangesPosition:
    """Where the page begins.

    Raises:
        Invalid: this is no cursor, or one of another moment.
    """
    try:
        moment, recorded, invalidated = opaque.read(cursor)
        position = ChangesPosition(_position(recorded), _position(invalidated))
    except (ValueError, TypeError, OverflowError):
        raise opaque.not_ours() from None
    if moment != to_micros(since):
        raise opaque.of_another("moment", "send it with the same `since`")
    return position


def _position(places: list[list[Any]]) -> EdgePosition | None:
    """Of a list of one place, or of none.

    Raises:
        ValueError, TypeError, OverflowError: it is something else.
    """
    if places == []:
        return None
    [[at, edge_id]] = places
    if not isinstance(at, int) or not isinstance(edge_id, str) or not is_id(edge_id):
        raise ValueError
    return EdgePosition(from_micros(at), edge_id)
