"""What callers hand back as they got it: base64url without padding, which says nothing of what is in it."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from core.problems import Invalid


def write(value: object) -> str:
    """JSON as such a text."""
    return write_bytes(orjson.dumps(value))


def read(text: str) -> Any:
    """The JSON in it.

    Raises:
        ValueError: there is none.
    """
    return orjson.loads(base64.urlsafe_b64decode(padded(text)))


def write_bytes(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def padded(text: str) -> bytes:
    """As base64 is read.

    Raises:
        ValueError: it is not ASCII.
    """
    return text.encode("ascii") + b"=" * (-len(text) % 4)


def not_ours() -> Invalid:
    return Invalid.naming({"cursor": "is not a cursor of this API: send `next_cursor` as it was given"})


def of_another(question: str, advice: str) -> Invalid:
    """A cursor that was given for another `question`."""
    return Invalid.naming({"cursor": f"belongs to another {question}: {advice}"})
