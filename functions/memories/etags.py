"""Entity tags: which state of a memory or a relationship an answer shows, and which a request expects."""

from __future__ import annotations

import re
from datetime import datetime

from core.http import Call
from core.problems import PreconditionFailed
from memories.model import Mismatch, Revision
from memories.stores.rows import from_micros, to_micros

_OURS = re.compile(r"(\d{1,18})-([0-9a-f]{1,14})")


def etag(version: int, updated_at: datetime) -> str:
    """The tag of one state. The version alone would come again when a thing is deleted and made anew."""
    return f'"{version}-{to_micros(updated_at):x}"'


def headers(version: int, updated_at: datetime) -> dict[str, str]:
    return {"ETag": etag(version, updated_at)}


def expected(call: Call) -> tuple[Revision, ...] | None:
    """The states of which the thing must be in one (`If-Match`); None: any will do. A tag of others names none.

    Raises:
        Invalid: the header is malformed.
    """
    tags = call.if_match()
    if tags is None:
        return None
    found = (_OURS.fullmatch(tag) for tag in tags)
    return tuple(Revision(int(one[1]), from_micros(int(one[2], 16))) for one in found if one)


def check(expected: tuple[Revision, ...] | None, version: int, updated_at: datetime) -> None:
    """Raises: PreconditionFailed: what was read is in none of the expected states."""
    current = Revision(version, updated_at)
    if expected is not None and current not in expected:
        raise stale(Mismatch(current))


def stale(mismatch: Mismatch) -> PreconditionFailed:
    """What a caller is told whose `If-Match` names another state."""
    current = mismatch.current
    return PreconditionFailed(
        f"It was changed meanwhile: it is at version {current.version} now. Read it again, then change that.",
        etag=etag(current.version, current.updated_at),
        version=current.version,
    )
