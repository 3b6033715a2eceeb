"""After how long a change holds is what is certain at that moment, never what usually is."""

from __future__ import annotations

import pytest

from core.outdated import AT_ONCE, Outdated
from core.ports import Voids
from core.principals import LEASE_SECONDS, SHARED_SECONDS
from tests.functions.twins import FakeClock, MemoryCache


class Waking:
    def __init__(self) -> None:
        self.woken = 0

    async def wake(self) -> bool:
        self.woken += 1
        return True


MANY: Voids = [(f"key {number}", 2) for number in range(AT_ONCE + 1)]


@pytest.mark.parametrize(
    ("voids", "down", "seconds"),
    [
        (MANY[:1], False, LEASE_SECONDS),
        (MANY[:AT_ONCE], False, LEASE_SECONDS),
        (MANY, False, SHARED_SECONDS),  # the job voids the last one
        (MANY[:1], True, SHARED_SECONDS),
        ([], False, SHARED_SECONDS),  # it was done before: whoever did it may have died before it voided any
    ],
    ids=["one", "most", "too many", "redis down", "done before"],
)
async def test_after_how_long_it_holds(voids: Voids, *, down: bool, seconds: float) -> None:
    cache, waking = MemoryCache(FakeClock()), Waking()
    cache.down = down
    assert await Outdated(cache, waking).void(voids) == seconds
    assert waking.woken == 1
    assert len(cache.entries) == (0 if down else min(len(voids), AT_ONCE))
