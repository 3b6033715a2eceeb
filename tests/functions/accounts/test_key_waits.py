"""Waiting for a store that is being made: few of a workspace at a time, the others are told at once to come again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from accounts.asker import Asker
from accounts.keys.service import WAITS_MOST, KeyService
from accounts.ports import NewKey
from accounts.refusals import NO_STORE, refusal
from core.outdated import Outdated
from core.problems import Unavailable
from tests.functions.twins import TAG_SECRET, FakeClock, MemoryCache


class Directory:
    """Stands for `ports.Keys`. There is no store until `ready`."""

    def __init__(self) -> None:
        self.ready = False

    async def create(self, _asker: Asker, key: NewKey, _secret: Any) -> dict[str, Any]:
        problem = refusal(NO_STORE)
        assert problem is not None
        if not self.ready:
            raise problem
        return {"id": key.id}


class Bed:
    """A service whose waiting ends when it is told to."""

    def __init__(self) -> None:
        self.directory, self.clock = Directory(), FakeClock()
        self.waiting, self.go_on = 0, asyncio.Event()
        any_directory: Any = self.directory
        self.service = KeyService(
            any_directory,
            Outdated(MemoryCache(self.clock), None),
            self.clock,
            [TAG_SECRET],
            sleep=self.sleep,
            monotonic=self.clock.monotonic,
        )

    async def sleep(self, seconds: float) -> None:
        self.waiting += 1
        await self.go_on.wait()
        self.waiting -= 1
        self.clock.advance(seconds)

    async def begin(self, workspace: str) -> asyncio.Task[Any]:
        """A key is asked for; it waits, or has its answer."""
        key = NewKey(id="k", name="a key", scopes=["memories:read"])
        task = asyncio.create_task(self.service.create(Asker("account", None, workspace), key))
        for _ in range(10):
            await asyncio.sleep(0)
        return task


async def test_so_many_wait_and_the_others_come_again() -> None:
    bed = Bed()
    waiting = [await bed.begin("w") for _ in range(WAITS_MOST)]
    assert bed.waiting == WAITS_MOST
    with pytest.raises(Unavailable) as told:
        await (await bed.begin("w"))
    assert int(told.value.headers["Retry-After"]) > 0
    other = await bed.begin("another")
    assert bed.waiting == WAITS_MOST + 1
    bed.directory.ready = True
    bed.go_on.set()
    assert [body for _, body in await asyncio.gather(*waiting, other)] == [{"id": "k"}] * (WAITS_MOST + 1)


async def test_who_waited_in_vain_or_went_away_makes_room() -> None:
    bed = Bed()
    waiting = [await bed.begin("w") for _ in range(WAITS_MOST)]
    waiting.pop().cancel()
    assert not (await bed.begin("w")).done()
    assert (await bed.begin("w")).done()
    bed.go_on.set()  # until the time is over
    for one in waiting:
        with pytest.raises(Unavailable):
            await one
    bed.go_on.clear()
    assert not (await bed.begin("w")).done()


async def test_with_a_store_nobody_needs_a_turn() -> None:
    bed = Bed()
    for _ in range(WAITS_MOST):
        await bed.begin("w")
    bed.directory.ready = True
    assert (await (await bed.begin("w")))[1] == {"id": "k"}
