"""How text is compared: folding, the patterns of a search, normal tags.

Stored and searched text is folded by the same function, so every store compares plain substrings: `%` and `_` mean
themselves, and case means nothing in any script. A search finds a superset of the reference's (client contract 7.3):
the phrase, OR any word, OR any stem.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from unicodedata import combining, normalize

NEEDLES_MOST = 50
"""Texts that one query looks for. Each is looked for in every memory: a query of 150 words, none of which occurs, took
seconds among a hundred memories of 50,000 characters. What is left out are the shortest, which say the least."""
MARKS_IN_A_ROW = 100
_SHORT = 1000  # characters: too few for their marks to cost anything
_MANY_MARKS = re.compile(rb"[^\0]{%d}" % MARKS_IN_A_ROW)
_JOINER = "\u034f"  # COMBINING GRAPHEME JOINER: it shows nothing, and no mark moves past it
# What becomes a mark only when it is decomposed.
_HIDDEN_MARKS = {code: normalize("NFKD", chr(code)) for code in (0x0F73, 0x0F75, 0x0F81, 0xFF9E, 0xFF9F)}


def fold(text: str) -> str:
    """NFKC and casefold, to a fixed point (Unicode's compatibility caseless match, D146, then composed)."""
    if text.isascii():
        return text.lower()
    if len(text) > _SHORT:
        text = _stream_safe(text)
    once = normalize("NFD", text).casefold()
    plain = normalize("NFKD", once)
    # Most text is plain by now, and what is folded stays as it is.
    return normalize("NFKC", plain if plain == once else plain.casefold())


def _stream_safe(text: str) -> str:
    """`text` with its longest rows of combining marks interrupted (as UAX 15, section 13, does).

    Normalizing sorts each row in quadratic time: a megabyte of marks would hold the process for minutes.
    """
    text = text.translate(_HIDDEN_MARKS)
    classes = bytes(map(combining, text))
    cuts = [0, *(row.end() for row in _MANY_MARKS.finditer(classes)), len(text)]
    return _JOINER.join(text[start:end] for start, end in pairwise(cuts))


def normal_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Stripped and lower-cased, empty ones dropped, each once, in the order given (client contract 7.1)."""
    return tuple(dict.fromkeys(tag for raw in tags if (tag := raw.strip().lower().strip())))


def folded_names(names: Iterable[str]) -> tuple[str, ...]:
    """As stores compare them, each once; blank ones say nothing."""
    return tuple(dict.fromkeys(folded for name in names if (folded := fold(name).strip())))


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
    return _telling_most(phrase, _needed(found))


def _telling_most(phrase: str, needles: tuple[str, ...]) -> tuple[str, ...]:
    """The phrase, if it is needed, and the longest others; in the order given."""
    if len(needles) <= NEEDLES_MOST:
        return needles
    kept = set(sorted(needles, key=lambda text: (text != phrase, -len(text), text))[:NEEDLES_MOST])
    return tuple(text for text in needles if text in kept)


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
    """Without those that contain another one: wherever they occur, it does.

    Looks up the parts of a pattern among those kept: comparing each with each takes minutes for a long query.
    """
    kept: dict[str, None] = {}
    lengths: list[int] = []
    for pattern in sorted(found, key=lambda text: (len(text), text)):
        if not any(pattern[at : at + size] in kept for size in lengths for at in range(len(pattern) - size + 1)):
            kept[pattern] = None
            if len(pattern) not in lengths[-1:]:
                lengths.append(len(pattern))
    return tuple(kept)
