"""Conditional requests: the header `If-Match` (RFC 9110, section 13.1.1)."""

from __future__ import annotations

import re

from core.problems import Invalid

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_LIST = re.compile(rf"\s*{_TAG.pattern}\s*(,\s*{_TAG.pattern}\s*)*")


def if_match(sent: str | None) -> tuple[str, ...] | None:
    """The entity tags (without quotes) of which the current one must be one; None when any will do (no header, or `*`).

    Weak tags are left out: they never match (section 8.8.3.2).

    Raises:
        Invalid: the header is neither `*` nor a list of entity tags.
    """
    if sent is None or sent.strip() == "*":
        return None
    if not _LIST.fullmatch(sent):
        message = 'must be * or entity tags as they were sent in ETag, such as "3-6a1b"'
        raise Invalid(f"The header If-Match {message}.", errors={"If-Match": message})
    return tuple(tag for weak, tag in _TAG.findall(sent) if not weak)
