"""What the context of a relationship says, as a structure (client contract 7.8).

The MCP client sends the structure that it found, as JSON; the SDK sends whatever text the user gave. So a JSON object
with one of the structure's keys is taken as it is, and anything else is read by the patterns below. They find at least
what the client's own patterns find, and read on where those stop inside a version or a file name ("requires Python
3.11", "node.js"). Every pattern takes time linear in the text: a repetition that could be tried from many starts begins
at the start of a word only and gives nothing back.

Left out: storing the context, which is kept as it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, TypedDict

import orjson

from memories.text import fold

READ_MOST = 10_000
"""Characters of free text that are read: as many as the MCP tool takes (client contract 7.1)."""
FIELD_MOST = 10_000
"""Characters that one field takes from free text; what is beyond is left out. A text of nothing but cues would
otherwise be stored many times over."""


class Scope(StrEnum):
    PARTIAL = "partial"
    FULL = "full"
    CONDITIONAL = "conditional"


class ContextStructure(TypedDict):
    """`scope` is one of `Scope`, or what a client calls it; `text` is the context in plain words."""

    text: str | None
    scope: str | None
    components: list[str]
    conditions: list[str]
    evidence: list[str]
    temporal: str | None
    exceptions: list[str]


# Expressions are compiled when they are first used, and kept, by `re`: doing it here would cost each cold start 6 ms.
# In each: what a match says is its group `it`, and the group `kind` when there is one.

_WORD = r"(?<![\w-])(?P<it>[\w-]++)"
_PHRASE = r"\s+(?P<it>(?:[^,.;]++|\.(?=\w))++)"
_CLAUSE = r"\s+(?P<it>[^,;]++)"
_KINDS = "module|service|layer|system|component|database|API|threads?|process(?:es)?|flow|leak"
_COMMON = r"(?!(?:The|This|That|Testing)\b)"  # capitalized, but no name
_VAGUE = r"(?!(?:partially|fully|feature|all)(?!\s*+[\w-]))"  # alone after a verb it is no thing


def _any_case(*sources: str) -> tuple[str, ...]:
    return tuple(f"(?i){source}" for source in sources)


SCOPES = tuple(
    # The first that occurs, in this order.
    (scope, rf"(?i)\b(?:{words})\b")
    for scope, words in (
        (Scope.PARTIAL, "partial(?:ly)?|limited|incomplete"),
        (Scope.FULL, "full(?:y)?|complete(?:ly)?|entirely"),
        (Scope.CONDITIONAL, "conditional(?:ly)?|only"),
        (Scope.PARTIAL, "partly"),
        (Scope.FULL, "wholly"),
        (Scope.CONDITIONAL, r"unless|provided\s+that|depending\s+on"),
    )
)

TEMPORAL = _any_case(
    # The first that says something, in this order.
    rf"\bsince{_CLAUSE}",
    rf"\bafter{_CLAUSE}",
    rf"\bas\s+of{_CLAUSE}",
    r"\b(?P<it>v?\d++\.\d++(?:\.\d++)?)",
    rf"\b(?:until|before){_CLAUSE}",
)

LISTS = {
    # Everything that they find, in this order.
    "components": (
        *_any_case(rf"{_WORD}(?=\s++(?P<kind>{_KINDS}))"),
        *_any_case(rf"\b(?:implements?|fix(?:es?)?|supports?|handles?)\s++{_VAGUE}(?=(?P<it>[\w-]++(?:\s++[\w-]++)?))"),
        rf"\b{_COMMON}(?P<it>[A-Z][A-Za-z0-9]{{2,}}+)\b",
        r"\b(?P<it>\w++(?:-\w++)++)",
    ),
    "conditions": _any_case(
        rf"\bwhen{_PHRASE}",
        rf"\bif{_PHRASE}",
        r"\bin\s+(?P<it>[\w-]++)\s+environment",
        rf"\brequires{_PHRASE}",
        rf"\bonly\s++(?:works\s+)?in{_PHRASE}",
        rf"\b(?:provided\s+that|depending\s+on|as\s+long\s+as){_PHRASE}",
    ),
    "evidence": _any_case(
        rf"\bverified\s+by{_PHRASE}",
        rf"\btested\s+by{_PHRASE}",
        rf"\bproven\s+by{_PHRASE}",
        rf"\bobserved\s+in{_PHRASE}",
        rf"\b(?:confirmed|measured|shown|reproduced)\s+(?:by|in){_PHRASE}",
        rf"\b(?:verified|tested|proven)\s+(?:in|on|with){_PHRASE}",
    ),
    "exceptions": _any_case(
        rf"\bexcept{_PHRASE}",
        rf"\bexcluding{_PHRASE}",
        rf"\bbut\s+not{_PHRASE}",
        rf"\bwithout{_PHRASE}",
        rf"\b(?:unless|apart\s+from|other\s+than){_PHRASE}",
    ),
}


def structure(context: str | None) -> ContextStructure:
    """What a context says. Of free text, the first `READ_MOST` characters are read."""
    sent = _client_form(context) if context else None
    if sent is not None:
        return {
            "text": _text(sent.get("text")) or context,
            "scope": _text(sent.get("scope")),
            "components": _texts(sent.get("components")),
            "conditions": _texts(sent.get("conditions")),
            "evidence": _texts(sent.get("evidence")),
            "temporal": _text(sent.get("temporal")),
            "exceptions": _texts(sent.get("exceptions")),
        }
    text = (context or "")[:READ_MOST]
    return {
        "text": context,
        "scope": next((scope.value for scope, pattern in SCOPES if re.search(pattern, text)), None),
        "components": _within(_found(LISTS["components"], text)),
        "conditions": _within(_found(LISTS["conditions"], text)),
        "evidence": _within(_found(LISTS["evidence"], text)),
        "temporal": next(_found(TEMPORAL, text), None),
        "exceptions": _within(_found(LISTS["exceptions"], text)),
    }


def folded_structure(context: str | None) -> dict[str, Any]:
    """The structure of a context with its texts folded, as stores search it.

    Keys: `scope` and `temporal` (text or None), `components`, `conditions`, `evidence`, `exceptions` (lists of text).
    """
    found: dict[str, Any] = {**structure(context)}
    del found["text"]
    return {key: _folded(value) for key, value in found.items()}


def _client_form(context: str) -> dict[str, Any] | None:
    """The object that a context is, when it is one with a key of the structure."""
    if not context.lstrip().startswith("{"):
        return None
    try:
        value = orjson.loads(context)
    except orjson.JSONDecodeError:
        return None
    known = isinstance(value, dict) and not ContextStructure.__annotations__.keys().isdisjoint(value)
    return value if known else None


def _found(patterns: Iterable[str], text: str) -> Iterator[str]:
    for pattern in patterns:
        for match in re.finditer(pattern, text):
            said = " ".join(part.strip() for part in match.groups() if part)
            if said:
                yield said


def _within(items: Iterable[str]) -> list[str]:
    """Each once, as many as fit."""
    kept, left = [], FIELD_MOST
    for item in dict.fromkeys(items):
        if left > 0:
            kept.append(item[:left])
            left -= len(item)
    return kept


def _text(value: Any) -> str | None:
    """A value of a client's structure as text; nothing, when it is blank."""
    if value is None:
        return None
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text.replace("\0", "").strip() or None  # JSON can write a NUL, which no store takes


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(text for item in items if (text := _text(item))))


def _folded(value: Any) -> Any:
    if isinstance(value, list):
        return list(dict.fromkeys(fold(item) for item in value))
    return None if value is None else fold(value)
