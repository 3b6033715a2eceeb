"""Folding, search patterns and tags, on generated text."""

from __future__ import annotations

import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memories.text import _HIDDEN_MARKS, NEEDLES_MOST, fold, normal_tags, patterns, stem

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
WORDS = st.text("abcdeginrsty", min_size=1, max_size=10)
QUERIES = st.lists(WORDS | TEXT, max_size=6).map(" ".join)


def test_folding_is_a_fixed_point_for_every_character() -> None:
    for code in range(sys.maxunicode + 1):
        if not 0xD800 <= code <= 0xDFFF:
            once = fold(chr(code))
            assert fold(once) == once, hex(code)


@given(TEXT)
def test_folding_is_a_fixed_point(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(TEXT)
def test_folding_forgets_case_and_form(text: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert fold(unicodedata.normalize(form, text)) == fold(text)
    assert fold(text.casefold()) == fold(text)


@pytest.mark.parametrize("marks", ["\u0301\u0323", "\u0301\uff9e", "\u0f81\u0f71"])
def test_folding_a_megabyte_of_marks_is_quick(marks: str) -> None:
    """Sorting marks takes quadratic time: so many would hold the process for minutes."""
    text = "a" + marks * 200_000
    started = time.process_time()
    fold(text)
    assert time.process_time() - started < 5


def test_only_a_known_few_characters_hide_marks() -> None:
    for code in range(sys.maxunicode + 1):
        if not unicodedata.combining(chr(code)) and not 0xD800 <= code <= 0xDFFF:
            hides = unicodedata.combining(unicodedata.normalize("NFKD", chr(code))[0]) > 0
            assert hides == (code in _HIDDEN_MARKS), hex(code)


def test_long_text_is_folded_as_short_text_is() -> None:
    text = "Straße E\u0323\u0301 ﾊﾟ Ω " * 100
    assert fold(text) == fold("Straße E\u0323\u0301 ﾊﾟ Ω ") * 100


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *(
            ("boxes", "box"),
            ("caching", "cach"),
            ("timed", "tim"),
            ("errors", "error"),
            ("cat", "cat"),
            ("uses", "use"),
        ),
        *(
            ("retries", "retry"),
            ("retried", "retry"),
            ("died", "died"),
            ("ties", "tie"),
            ("sing", "sing"),
            ("bus", "bus"),
        ),
    ],
)
def test_stems(word: str, expected: str) -> None:
    assert stem(word) == expected


def reference_patterns(query: str) -> list[str]:
    """What the reference looks for, written from the contract (7.3)."""
    query = query.lower().strip()
    found = [query]
    for word in query.split():
        if len(word) > 2 and stem(word) != word:
            found.append(stem(word))
        if len(word) >= 4:
            if word.endswith("y"):
                forms = [word[:-1] + "ies", word + "ing", word[:-1] + "ied"]
            else:
                forms = [word + suffix for suffix in ("s", "es", "ing", "ed")]
            found += [form for form in forms if stem(form) == stem(word)]
    return found


@given(st.lists(WORDS, min_size=1, max_size=5).map(" ".join))
def test_a_search_finds_all_that_the_reference_finds(query: str) -> None:
    ours = patterns(query)
    for theirs in reference_patterns(query):
        assert any(pattern in theirs for pattern in ours), theirs


@given(QUERIES)
def test_patterns_are_folded_and_none_is_needless(query: str) -> None:
    ours = patterns(query)
    assert bool(ours) == bool(fold(query).strip())
    for pattern in ours:
        assert pattern
        assert fold(pattern) == pattern
        assert not any(other in pattern for other in ours if other != pattern)


@given(QUERIES)
def test_every_telling_word_is_found_by_itself(query: str) -> None:
    ours = patterns(query)
    for word in fold(query).split():
        if len(word) > 2:
            assert any(pattern in word for pattern in ours)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("how does cache work?", {"how", "doe", "cache", "work"}),
        ("C# go", {"c#", "go"}),  # short words count only when there are no others
        ("a b", {"a b"}),
        ("is it up to redis", {"redi"}),
        ("バグ 修正方法", {"バグ", "修正方法"}),
        ("  ", set()),
        ("%", {"%"}),
    ],
)
def test_patterns(query: str, expected: set[str]) -> None:
    assert set(patterns(query)) == expected


def test_the_patterns_of_a_hundred_thousand_words_are_quick() -> None:
    started = time.process_time()
    assert len(patterns(" ".join(f"{number:06}" for number in range(100_000)))) == NEEDLES_MOST
    assert time.process_time() - started < 5


def test_of_many_words_the_longest_are_looked_for() -> None:
    """They say the most, and what holds the whole query holds them."""
    words = [f"w{'x' * (number % 90)}{number:02}" for number in range(90)]
    wanted = patterns(" ".join(words))
    assert len(wanted) == NEEDLES_MOST
    longest = sorted(words, key=len, reverse=True)[:NEEDLES_MOST]
    assert sorted(wanted) == sorted(longest)
    assert patterns(" ".join(words[:40])) == tuple(sorted(words[:40], key=lambda word: (len(word), word)))


def test_strict_is_the_phrase_alone() -> None:
    assert patterns(" Two Words ", strict=True) == ("two words",)


@given(st.lists(TEXT, max_size=8))
def test_tags_are_normal(tags: list[str]) -> None:
    normal = normal_tags(tags)
    assert normal_tags(normal) == normal
    assert len(set(normal)) == len(normal)
    for tag in normal:
        assert tag == tag.strip() == tag.lower() != ""
    assert {tag.strip().lower().strip() for tag in tags} - {""} == set(normal)


def test_tags_keep_their_order() -> None:
    assert normal_tags([" Redis", "", "\t", "B", "redis", "a"]) == ("redis", "b", "a")
