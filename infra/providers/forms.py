"""Nested values as a form: `{"a": {"b": [True]}}` is `a[b][0]=true`. Stripe takes its requests so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode


def encode(values: Mapping[str, Any]) -> bytes:
    """Texts, booleans, whole numbers, lists and maps of these. None and an empty list are sent empty, which unsets."""
    return urlencode([pair for name, value in values.items() for pair in _pairs(name, value)]).encode()


def _pairs(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _pairs(f"{name}[{key}]", item)
    elif isinstance(value, list | tuple) and value:
        for place, item in enumerate(value):
            yield from _pairs(f"{name}[{place}]", item)
    else:
        yield name, _text(value)


def _text(value: Any) -> str:
    if value is None or isinstance(value, list | tuple):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():  # numbers come from the engine with a fraction
        return str(int(value))
    return str(value)
