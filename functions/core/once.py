"""Writes that happen once, however often they are sent: the header `Idempotency-Key`.

Clients make up the key. The same key with the same request is answered as it was the first time; with another request
it is refused. Keys of one API key do not meet those of another, and are forgotten after a day. Where it is kept is the
store's affair, in the same transaction as the write. Source: draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.problems import Invalid

HEADER = "Idempotency-Key"
KEY_MOST = 255
FORGOTTEN_AFTER = timedelta(days=1)

_KEY = re.compile(rf"[\x21-\x7e]{{1,{KEY_MOST}}}")


@dataclass(frozen=True, slots=True)
class Once:
    """A write that must happen once.

    `key` names it within the workspace, `fingerprint` says what it asks for. What is older than `forget_before` is
    forgotten on the occasion.
    """

    key: str
    fingerprint: str
    at: datetime
    forget_before: datetime


def once(sent: str | None, owner: str, request: tuple[bytes, ...], now: datetime) -> Once | None:
    """What a request with the header `sent` asks for; None without one.

    Args:
        owner: whose keys they are.
        request: what must be the same when the key is the same.

    Raises:
        Invalid: the header is no key.
    """
    if sent is None:
        return None
    if not _KEY.fullmatch(sent):
        message = f"must be 1 to {KEY_MOST} visible ASCII characters"
        raise Invalid(f"The header {HEADER} {message}.", errors={HEADER: message})
    digest = hashlib.sha256()
    for part in request:
        digest.update(len(part).to_bytes(8, "big") + part)
    return Once(f"{owner}:{sent}", digest.hexdigest(), now, now - FORGOTTEN_AFTER)
