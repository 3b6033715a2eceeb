"""`If-Match`: what it may hold (RFC 9110, sections 8.8.3 and 13.1.1)."""

from __future__ import annotations

import pytest

from core.conditions import if_match
from core.problems import Invalid


@pytest.mark.parametrize(
    ("sent", "tags"),
    [
        (None, None),
        ("*", None),
        (" * ", None),
        ('"1-a"', ("1-a",)),
        ('"1-a", "2-b"', ("1-a", "2-b")),
        ('"1-a","2-b"', ("1-a", "2-b")),
        ('  "1-a"  ', ("1-a",)),
        ('W/"1-a"', ()),  # a weak tag never matches
        ('W/"1-a", "2-b"', ("2-b",)),
        ('""', ("",)),
        ('"a,b"', ("a,b",)),
    ],
)
def test_tags(sent: str | None, tags: tuple[str, ...] | None) -> None:
    assert if_match(sent) == tags


@pytest.mark.parametrize("sent", ["", "1-a", '"1-a', '"1-a" "2-b"', '"1-a",', '*, "1-a"', 'w/"1-a"', '"a b"', '"\t"'])
def test_what_is_no_list_of_tags_is_refused(sent: str) -> None:
    with pytest.raises(Invalid) as refused:
        if_match(sent)
    assert list(refused.value.errors) == ["If-Match"]
