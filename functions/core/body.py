"""Reading a request's body, within limits."""

from __future__ import annotations

import json
import re
from contextlib import aclosing
from typing import Any

import orjson
from starlette.requests import Request

from core.problems import Invalid, TooLarge

_LONG = re.compile(rb"[0-9]{19}")
DEPTH_LIMIT = 64
"""Deepest nesting of arrays and objects: far beyond any client's, far below what could exhaust a stack."""


async def read_body(request: Request, most: int) -> bytes:
    """The whole body, read as it streams in.

    Raises:
        TooLarge: as soon as more than `most` bytes have arrived.
    """
    parts = bytearray()
    async with aclosing(request.stream()) as stream:
        async for part in stream:
            parts += part
            if len(parts) > most:
                raise TooLarge(f"The body is larger than {most >> 10} KiB. Send less at once.")
    return bytes(parts)


def parse_json(body: bytes) -> Any:
    """The JSON value in `body`.

    Raises:
        Invalid: it is empty, not JSON in UTF-8 (NaN and lone surrogates are not), nests deeper than `DEPTH_LIMIT`, or
            holds a whole number of more than 64 bits.
    """
    if not body:
        raise _invalid("is empty: send a JSON object")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _invalid(_why(body, error)) from None
    if body.count(b"[") + body.count(b"{") > DEPTH_LIMIT and _depth(value) > DEPTH_LIMIT:
        raise _invalid(f"is nested too deep: more than {DEPTH_LIMIT} levels")
    if _LONG.search(body):
        _check_numbers(body)
    return value


def _check_numbers(body: bytes) -> None:
    """orjson makes a float of a whole number that is too large, and what comes back is another number."""

    def check(digits: str) -> int:
        if not -(1 << 63) <= (number := int(digits)) < 1 << 64:
            raise _invalid("holds a whole number of more than 64 bits, which would be rounded: send it as text")
        return number

    json.loads(body, parse_int=check)


def _why(body: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as fault:
        return f"is not text in UTF-8, at byte {fault.start}"
    return f"is not valid JSON: {error}"  # the parser's own words quote nothing of the body; they end in the position


def _invalid(message: str) -> Invalid:
    return Invalid(f"The body {message}.", errors={"body": message})


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth
