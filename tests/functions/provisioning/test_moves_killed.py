"""Moves whose runner is a real process, killed with -9 or frozen while writers are at work: nothing that was
acknowledged is lost or doubled, and nobody is kept out for longer than a pause."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from itertools import cycle
from typing import Any

import pytest

from tests.functions.conftest import ControlPlaneUrls
from tests.functions.core.answering import answering
from tests.functions.provisioning.movers import Movers, Writers
from tests.functions.provisioning.test_killed import Vendors
from tests.functions.provisioning.world import World

PLANS = {"sqlite": "free", "postgres": "pro"}
PLACES = [("free", "postgres"), ("pro", "sqlite")]
EXHAUSTIVE = pytest.mark.skipif(
    os.environ.get("EXHAUSTIVE") != "1",
    reason="10,000 memories, killed at every step, take minutes: set EXHAUSTIVE=1",
)


@pytest.fixture
async def movers(served: World, control_plane: ControlPlaneUrls) -> AsyncIterator[Movers]:
    async with answering() as http:
        made = await Movers.start(Vendors(served, http, control_plane).environment())
        yield made
        await made.close()


@pytest.fixture
async def writers() -> AsyncIterator[list[Writers]]:
    """Those that `begin` made; closed at the end."""
    made: list[Writers] = []
    yield made
    for one in made:
        await one.close()


async def begin(world: World, urls: ControlPlaneUrls, made: list[Writers], plan: str, count: int) -> Writers:
    _, workspace = await world.open(plan)
    made.append(Writers(world, urls, workspace))
    await made[-1].fill(count)
    return made[-1]


async def order(world: World, workspace: str, to: str) -> None:
    """Its plan was changed to one that is there."""
    world.owner.run("UPDATE app.workspaces SET plan = %s WHERE id = %s", PLANS[to], workspace)
    await world.outbox.enqueue("move_store", workspace, {"to": to}, dedupe=workspace)


STEPS = [
    ("begin_move",),
    ("take_over",),
    ("erase",),
    ("begin_journal",),
    ("put_raw",),
    ("read_journal",),
    ("pause",),
    ("digest",),
    ("flip_store",),
    ("flip_store", "read_store"),
    ("flip_store", "take_over"),
    ("flip_store", "take_over", "take_over"),
    ("flip_store", "take_over", "take_over", "read_journal"),
    ("flip_store", "enqueue"),
    ("flip_store", "end_journal"),
    ("flip_store", "hand_over"),
    ("end_move",),
]
"""Before what is done in each step of a move (provisioning/moves.py), and after it, which is before the next."""


async def follow(world: World, movers: Movers) -> None:
    """Another one finishes it, were it at its third try: the machine may be busy, and a call that holds the lease may
    still be on its way."""
    for _ in range(3):
        world.owner.end_leases()
        assert (await movers.run()).state == "ended"
        if not world.owner.run("SELECT 1 FROM app.jobs WHERE kind = 'move_store' AND state <> 'done'"):
            return
        world.owner.run("UPDATE app.jobs SET run_at = now() WHERE kind = 'move_store' AND state = 'waiting'")
    raise AssertionError(world.owner.run("SELECT state, last_error FROM app.jobs WHERE kind = 'move_store'"))


async def kill_and_follow(world: World, movers: Movers, writers: Writers, to: str, **asked: Any) -> bool:
    """Move there while writers are at work, and be killed; another one finishes. False: it was not killed."""
    left = await writers.placement()
    await order(world, writers.workspace, to)
    writers.start()
    first = await movers.run(**asked)
    if first.state == "killed":
        await follow(world, movers)
    await writers.stop()
    await writers.check(to, left)
    world.owner.run("DELETE FROM app.jobs")
    return first.state == "killed"


async def test_killed_at_every_step(
    served: World, control_plane: ControlPlaneUrls, movers: Movers, writers: list[Writers]
) -> None:
    """Each in one direction, in turn; with 10,000 memories in both (below)."""
    one = await begin(served, control_plane, writers, "free", 200)
    for step, to in zip(STEPS, cycle(("postgres", "sqlite")), strict=False):
        assert await kill_and_follow(served, movers, one, to, on=step), step
    assert one.count > 250


@EXHAUSTIVE
@pytest.mark.parametrize("step", STEPS, ids="-".join)
async def test_ten_thousand_memories_killed_at_every_step(
    served: World, control_plane: ControlPlaneUrls, movers: Movers, writers: list[Writers], step: tuple[str, ...]
) -> None:
    one = await begin(served, control_plane, writers, "free", 10_000)
    for to in ("postgres", "sqlite"):
        assert await kill_and_follow(served, movers, one, to, on=step)


async def test_ten_thousand_memories(
    served: World, control_plane: ControlPlaneUrls, movers: Movers, writers: list[Writers]
) -> None:
    """Whoever takes up the move is killed, too, until one is left."""
    one = await begin(served, control_plane, writers, "free", 10_000)
    left = await one.placement()
    await order(served, one.workspace, "postgres")
    one.start()
    for step in (["put_raw"] * 9, ["pause"], ["flip_store"], ["flip_store", "take_over"], ["hand_over"]):
        assert (await movers.run(on=step)).state == "killed", step
        served.owner.end_leases()
    await follow(served, movers)
    await one.stop()
    await one.check("postgres", left)


@pytest.mark.parametrize(("plan", "to"), PLACES)
async def test_a_mover_that_died_keeps_nobody_out(
    served: World, control_plane: ControlPlaneUrls, movers: Movers, writers: list[Writers], plan: str, to: str
) -> None:
    """It is killed while writes wait. They go on, as long as nobody follows it."""
    one = await begin(served, control_plane, writers, plan, 20)
    left = await one.placement()
    await order(served, one.workspace, to)
    one.start()
    killed = await movers.run(on=["pause", "read_journal"], pauses=[1.0])
    assert killed.state == "killed"
    await one.some_more()
    assert one.refused > 0
    assert (await one.placement()).epoch == left.epoch
    await follow(served, movers)
    await one.stop()
    await one.check(to, left)


@pytest.mark.parametrize(("plan", "to"), PLACES)
async def test_a_mover_that_was_frozen_before_the_flip_is_too_late(
    served: World, control_plane: ControlPlaneUrls, movers: Movers, writers: list[Writers], plan: str, to: str
) -> None:
    """It wakes up when writes have gone on, is refused, and carries what they wrote."""
    one = await begin(served, control_plane, writers, plan, 20)
    left = await one.placement()
    await order(served, one.workspace, to)
    one.start()
    frozen = await movers.begin(on=["prolong_pause", "flip_store"], send=signal.SIGSTOP)
    await frozen.reaches("stopped")
    await one.some_more()
    frozen.thaw()
    await frozen.reaches("ended")
    await one.stop()
    assert frozen.flips == [None, True]
    await one.check(to, left)


FROZEN = [
    ("take_over",),
    ("put_raw",),
    ("flip_store",),
    ("flip_store", "take_over"),
    ("flip_store", "take_over", "take_over"),
    ("flip_store", "take_over", "take_over", "read_journal"),
    ("flip_store", "end_journal"),
    ("flip_store", "hand_over"),
]


async def test_a_mover_that_was_frozen_spoils_nothing_that_is_newer(
    served: World, control_plane: ControlPlaneUrls, movers: Movers, writers: list[Writers]
) -> None:
    """It goes on where it was when another one has moved all of it, and that has been written to."""
    one = await begin(served, control_plane, writers, "free", 20)
    for step, to in zip(FROZEN, cycle(("postgres", "sqlite")), strict=False):
        left = await one.placement()
        await order(served, one.workspace, to)
        one.start()
        frozen = await movers.begin(on=step, send=signal.SIGSTOP)
        await frozen.reaches("stopped")
        await follow(served, movers)
        await one.some_more()
        frozen.thaw()
        await frozen.reaches("ended")
        await one.stop()
        await one.check(to, left)
        served.owner.run("DELETE FROM app.jobs")
