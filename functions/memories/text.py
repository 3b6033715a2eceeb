"""How text is compared: folding, the patterns of a search, normal tags.

Stored and searched text is folded by the same function, so every store compares plain substrings: `%` and `_` mean
themselves, and case means nothing in any script. A search finds a superset of the reference's (client contract 7.3):
the phrase, OR any word, OR any stem.
"""

from __future__ import annotations

from collections.abc import Iterable
from unicodedata import normalize


def fold(text: str) -> str:
    """NFKC and casefold, to a fixed point (Unicode's compatibility caseless match, D146, then composed)."""
    if text.isascii():
        return text.lower()
    return normalize("NFKC", normalize("NFKD", normalize("NFD", text).casefold()).casefold())


def normal_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Stripped and lower-cased, empty ones dropped, each once, in the order given (client contract 7.1)."""
    return tuple(dict.fromkeys(tag for raw in tags if (tag := raw.strip().lower().strip())))


def stem(word: str) -> str:
    """The reference's stem of a lower-case word."""
    if len(word) <= 3:
        return word
    if word.endswith(("ied", "ies")) and len(word) > 4:
        return word[:-3] + "y"
    for suffix in ("es", "ing", "ed", "s"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word


def patterns(query: str, *, strict: bool = False) -> tuple[str, ...]:
    """The folded texts of which one must occur; empty when the query is blank, which filters nothing.

    Args:
        strict: the phrase only (search_tolerance `strict`).
    """
    phrase = fold(query).strip()
    if not phrase:
        return ()
    if strict:
        return (phrase,)
    found = {phrase}
    words = {word for raw in phrase.split() for word in (raw, _bare(raw)) if word}
    for word in {word for word in words if _telling(word)} or {word for word in words if len(word) == 2}:
        found.update((word, stem(word)))
        if word.endswith("y") and len(word) > 3:  # retry: retries, retried
            found.update((word[:-1] + "ies", word[:-1] + "ied"))
    return _needed(found)


def _telling(word: str) -> bool:
    """Words of one or two ASCII letters occur everywhere; in other scripts they may say a lot."""
    return len(word) > 2 or not word.isascii()


def _bare(word: str) -> str:
    """The word without the punctuation around it."""
    start, end = 0, len(word)
    while start < end and not word[start].isalnum():
        start += 1
    while end > start and not word[end - 1].isalnum():
        end -= 1
    return word[start:end]


def _needed(found: set[str]) -> tuple[str, ...]:
    """Without those that contain another one: wherever they occur, it does."""
    kept: list[str] = []
    for pattern in sorted(found, key=lambda text: (len(text), text)):
        if not any(shorter in pattern for shorter in kept):
            kept.append(pattern)
    return tuple(kept)
