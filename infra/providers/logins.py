"""Names of login roles: a reader and its twin take turns, so that two passwords can overlap while one is rotated."""

from __future__ import annotations

TWIN = "_twin"


def login(reader: str, generation: int) -> str:
    """Who a reader logs in as with the password of this generation (1, 2, ...)."""
    return reader if generation % 2 else reader + TWIN
