"""The function's half of the signed hop: time and secrets. Fixed vectors are in tests/contract."""

from __future__ import annotations

import pytest

from core import edge
from core.problems import Unauthorized

HOP = edge.Hop(
    timestamp="1795000000", request_id="0" * 32, method="GET", host="api.example", target="/api/v1/health", client=""
)
NOW = 1795000000.0


def check(secrets: list[str], *, now: float = NOW, changed: dict[str, str] | None = None) -> edge.Hop:
    headers = edge.signed_headers("now", HOP) | (changed or {})
    return edge.check(secrets, HOP.method, HOP.target, headers, now)


@pytest.mark.parametrize("seconds", [-30, 0, 30])
def test_accepted_inside_the_window(seconds: int) -> None:
    assert check(["now"], now=NOW + seconds) == HOP


@pytest.mark.parametrize("seconds", [-31, 31, 86400])
def test_refused_outside_the_window(seconds: int) -> None:
    with pytest.raises(Unauthorized):
        check(["now"], now=NOW + seconds)


def test_previous_secret_is_accepted() -> None:
    assert check(["next", "now"]) == HOP


@pytest.mark.parametrize("secrets", [[], ["other"], ["other", "another"]])
def test_other_secrets_are_refused(secrets: list[str]) -> None:
    with pytest.raises(Unauthorized):
        check(secrets)


@pytest.mark.parametrize("timestamp", ["", "-1", "1e9", "1795000000.0", "²", "9" * 5000])
def test_an_odd_timestamp_is_refused(timestamp: str) -> None:
    with pytest.raises(Unauthorized):
        check(["now"], changed={edge.TIMESTAMP: timestamp})


def test_an_unsigned_request_is_refused_in_words() -> None:
    with pytest.raises(Unauthorized, match="only through the edge"):
        edge.check(["now"], "GET", "/", {}, NOW)


def test_a_signed_hop_without_a_request_id_is_refused() -> None:
    hop = edge.Hop(timestamp=HOP.timestamp, request_id="", method="GET", host="", target="/", client="")
    with pytest.raises(Unauthorized):
        edge.check(["now"], "GET", "/", edge.signed_headers("now", hop), NOW)
