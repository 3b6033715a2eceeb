"""The context of a memory: any object is kept as it is, but for what the MCP client could not read (contract 3.3)."""

from __future__ import annotations

from typing import Any

import orjson

LISTS = frozenset({"files_involved", "languages", "frameworks", "technologies"})
OBJECTS = frozenset({"additional_metadata"})
STRINGS = frozenset({"project_path", "git_commit", "git_branch", "working_directory"})


def coerce_context(context: dict[str, Any]) -> dict[str, Any]:
    """Without nulls; the nine keys that the MCP client knows have the types that it takes. Nothing else is lost.

    Raises:
        ValueError: a text holds a NUL character.
    """
    _refuse_nul(context)
    return {key: _coerce(key, value) for key, value in context.items() if value is not None}


def _coerce(key: str, value: Any) -> Any:
    if key in LISTS:
        items = value if isinstance(value, list) else [value]
        return [_text(item) for item in items if item is not None]
    if key in OBJECTS:
        return value if isinstance(value, dict) else {"value": value}
    return _text(value) if key in STRINGS else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _refuse_nul(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("must not contain NUL characters")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_nul(key)
            _refuse_nul(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_nul(item)
