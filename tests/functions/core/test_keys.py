"""API keys: their form, their tag, and what is stored of them."""

from __future__ import annotations

import hashlib
import re

import pytest

from core import keys

SECRET = "tag-secret"
TAG_OF_AS = "YqRgJLje"


def test_form() -> None:
    key = keys.issue([SECRET])
    assert re.fullmatch(r"mg_[0-9A-Za-z]{52}", key.text)
    assert key.prefix == key.text[:15]
    assert key.hash == hashlib.sha256(key.text.encode()).hexdigest()
    assert key.text not in repr(key)


def test_two_keys_differ() -> None:
    assert keys.issue([SECRET]).text != keys.issue([SECRET]).text


def test_tag_is_fixed() -> None:
    """Keys live for years: the tag of a known key must never change."""
    assert keys.is_genuine("mg_" + "A" * 44 + TAG_OF_AS, [SECRET])


@pytest.mark.parametrize("place", [3, 14, 15, 46, 47, 54])
def test_one_changed_character_is_refused(place: int) -> None:
    key = keys.issue([SECRET]).text
    other = "0" if key[place] != "0" else "1"
    assert keys.is_genuine(key, [SECRET])
    assert not keys.is_genuine(key[:place] + other + key[place + 1 :], [SECRET])


@pytest.mark.parametrize(
    "text", ["", "mg_", "mg_short", "MG_" + "A" * 52, "mg_" + "ü" * 52, "mg_" + "A" * 53, "x" * 9999]
)
def test_other_forms_are_refused(text: str) -> None:
    assert not keys.is_genuine(text, [SECRET])


def test_previous_secret_holds_while_rotating() -> None:
    old = keys.issue(["old"]).text
    assert keys.is_genuine(old, ["new", "old"])
    assert not keys.is_genuine(old, ["new"])
    assert keys.is_genuine(keys.issue(["new", "old"]).text, ["new"])
