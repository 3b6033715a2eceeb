"""`Idempotency-Key`: which keys are taken, and what makes two requests the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.once import KEY_MOST, once
from core.problems import Invalid

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUEST = (b"POST", b"/memories", b"{}")


def test_no_key_asks_for_nothing() -> None:
    assert once(None, "key", REQUEST, NOW) is None


def test_a_key_belongs_to_its_owner_and_ends_after_a_day() -> None:
    mine, yours = once("a", "me", REQUEST, NOW), once("a", "you", REQUEST, NOW)
    assert mine is not None
    assert yours is not None
    assert mine.key != yours.key
    assert (mine.at, mine.forget_before) == (NOW, NOW - timedelta(days=1))


@pytest.mark.parametrize(
    "other",
    [
        (b"POST", b"/memories", b"{ }"),
        (b"POST", b"/relationships", b"{}"),
        (b"PUT", b"/memories", b"{}"),
        (b"POST", b"/memories{", b"}"),  # the same bytes, cut elsewhere
    ],
)
def test_another_request_has_another_fingerprint(other: tuple[bytes, ...]) -> None:
    first, second, same = (once("a", "me", request, NOW) for request in (REQUEST, other, REQUEST))
    assert first is not None
    assert second is not None
    assert first.fingerprint != second.fingerprint
    assert same == first


@pytest.mark.parametrize("sent", ["", " ", "a b", "a\tb", "é", "\x7f", "x" * (KEY_MOST + 1)])
def test_what_is_no_key_is_refused(sent: str) -> None:
    with pytest.raises(Invalid) as refused:
        once(sent, "me", REQUEST, NOW)
    assert list(refused.value.errors) == ["Idempotency-Key"]


def test_the_longest_key() -> None:
    assert once("~" * KEY_MOST, "me", REQUEST, NOW) is not None
