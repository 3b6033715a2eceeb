"""Turns: as many as may be, for each name, and none is kept for ever."""

from __future__ import annotations

from core.turns import Turns
from tests.functions.twins import FakeClock


def test_as_many_as_may_be_for_each_name() -> None:
    turns = Turns(2, 60.0, monotonic=FakeClock().monotonic)
    first, second = turns.begin("a"), turns.begin("a")
    assert first
    assert second
    assert turns.begin("a") is None
    assert turns.begin("b")
    turns.end("a", first)
    turns.end("a", first)  # twice is once
    assert turns.begin("a")
    assert turns.begin("a") is None


def test_what_was_never_given_back_ends_by_itself() -> None:
    clock = FakeClock()
    turns = Turns(1, 60.0, monotonic=clock.monotonic)
    lost = turns.begin("a")
    assert lost
    clock.advance(59.0)
    assert turns.begin("a") is None
    clock.advance(1.0)
    held = turns.begin("a")
    assert held
    turns.end("a", lost)  # late: it takes nobody's turn
    assert turns.begin("a") is None


def test_names_are_not_kept() -> None:
    turns = Turns(1, 60.0)
    for number in range(100):
        turn = turns.begin(str(number))
        assert turn
        turns.end(str(number), turn)
    assert not turns._held
