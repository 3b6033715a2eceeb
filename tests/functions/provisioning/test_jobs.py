"""The runner over a real PostgreSQL: what becomes of jobs whose work ends, fails, hangs, is overtaken or killed."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import pytest

from core.adapters.postgres import Postgres
from core.problems import Unavailable
from core.settings import Secret
from provisioning.jobs import GaveUp, Runner, Work
from provisioning.outbox import Job, Outbox
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.provisioning.rows import Owner


@pytest.fixture
async def outbox(control_plane: ControlPlaneUrls) -> AsyncIterator[Outbox]:
    postgres = Postgres(Secret(control_plane.provisioning))
    yield Outbox(postgres)
    await postgres.close()


@pytest.fixture
def owner(control_plane: ControlPlaneUrls) -> Owner:
    return Owner(control_plane.owner)


def runner(outbox: Outbox, work: Work, *, lease: float = 60.0, most: float = 60.0) -> Runner:
    return Runner(outbox, {"k": work}, lease_seconds=lease, job_seconds=most, linger_seconds=0.0)


async def nothing(_job: Job) -> None:
    return None


async def test_runs_what_is_due_until_none_is(outbox: Outbox, owner: Owner) -> None:
    seen: list[str] = []

    async def work(job: Job) -> None:
        seen.append(job.payload["n"])
        if job.payload["n"] == "1":
            await outbox.enqueue("k", None, {"n": "made by 1"}, dedupe="x")

    for number in ("0", "1", "2"):
        await outbox.enqueue("k", None, {"n": number}, dedupe=number)
    await outbox.enqueue("k", None, {"n": "later"}, dedupe="later", delay_seconds=60)
    tally = await runner(outbox, work).run()
    assert seen == ["0", "1", "2", "made by 1"]
    assert asdict(tally) == {"done": 4, "again": 0, "dead": 0, "lost": 0}
    assert owner.run("SELECT count(*) FROM app.jobs WHERE state = 'done'") == [(4,)]


async def test_begins_nothing_after_its_time(outbox: Outbox, owner: Owner) -> None:
    await outbox.enqueue("k", None, dedupe="1")
    assert (await runner(outbox, nothing).run(0.0)).done == 0
    assert owner.run("SELECT state FROM app.jobs") == [("waiting",)]


async def test_two_runners_never_do_one_job_at_the_same_time(control_plane: ControlPlaneUrls) -> None:
    at_work: set[str] = set()
    together: list[int] = []
    done: list[str] = []

    async def work(job: Job) -> None:
        assert job.id not in at_work
        at_work.add(job.id)
        together.append(len(at_work))
        await asyncio.sleep(0)
        at_work.remove(job.id)
        done.append(job.id)

    pools = [Postgres(Secret(control_plane.provisioning)) for _ in range(3)]
    boxes = [Outbox(pool) for pool in pools]
    for number in range(40):
        await boxes[0].enqueue("k", None, dedupe=str(number))
    tallies = await asyncio.gather(*(runner(box, work).run() for box in boxes))
    assert sorted(done) == sorted(set(done))
    assert sum(tally.done for tally in tallies) == len(done) == 40
    assert sum(tally.lost for tally in tallies) == 0
    for pool in pools:
        await pool.close()


@pytest.mark.parametrize(
    ("error", "state", "told"),
    [
        (Unavailable("Turso does not answer.", part="turso"), "waiting", "Turso does not answer."),
        (GaveUp("It names no keys."), "dead", "It names no keys."),
        (ValueError("a secret value"), "waiting", "builtins.ValueError; the log of that time has the stack."),
        (TimeoutError(), "waiting", "It took more than 60 s."),
    ],
    ids=repr,
)
async def test_failures(
    outbox: Outbox, owner: Owner, caplog: pytest.LogCaptureFixture, error: Exception, state: str, told: str
) -> None:
    async def work(_job: Job) -> None:
        raise error

    await outbox.enqueue("k", None, {"to": "someone@example.test"}, dedupe="1")
    with caplog.at_level(logging.INFO):
        await runner(outbox, work).run()
    assert owner.run("SELECT state, last_error FROM app.jobs") == [(state, told)]
    said = caplog.text + "".join(str(vars(record).get("fields")) for record in caplog.records)
    assert "someone@example.test" not in said
    assert f"'became': '{state}'" in said


async def test_one_that_fails_stops_no_other(outbox: Outbox, owner: Owner) -> None:
    async def work(job: Job) -> None:
        if job.payload["n"] == 0:
            raise ValueError

    for number in range(3):
        await outbox.enqueue("k", None, {"n": number}, dedupe=str(number))
    assert asdict(await runner(outbox, work).run()) == {"done": 2, "again": 1, "dead": 0, "lost": 0}
    assert owner.run("SELECT state FROM app.jobs ORDER BY number") == [("waiting",), ("done",), ("done",)]


async def test_a_kind_that_this_version_does_not_know_waits_for_one_that_does(outbox: Outbox, owner: Owner) -> None:
    await outbox.enqueue("unheard_of", None, dedupe="1")
    await runner(outbox, nothing).run()
    ((state, told),) = owner.run("SELECT state, last_error FROM app.jobs")
    assert state == "waiting"
    assert "unheard_of" in told


async def test_what_hangs_is_ended(outbox: Outbox) -> None:
    ended = asyncio.Event()

    async def work(_job: Job) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await outbox.enqueue("k", None, dedupe="1")
    tally = await runner(outbox, work, most=0.05).run()
    assert tally.again == 1
    assert ended.is_set()


async def test_a_long_job_keeps_its_lease(outbox: Outbox, owner: Owner) -> None:
    """It is held several times while the job runs: when the first lease would have ended, nobody else gets the job."""

    async def work(job: Job) -> None:
        first = owner.run("SELECT locked_until FROM app.jobs")
        while owner.run("SELECT locked_until FROM app.jobs") == first:  # noqa: ASYNC110 - what is waited for is a row
            await asyncio.sleep(0.01)
        assert await outbox.claim(str(job.id), 60.0) is None

    await outbox.enqueue("k", None, dedupe="1")
    assert (await runner(outbox, work, lease=2.0).run()).done == 1


async def test_who_lost_the_lease_stops_and_says_nothing(outbox: Outbox, owner: Owner) -> None:
    stopped = asyncio.Event()

    async def work(_job: Job) -> None:
        owner.run("UPDATE app.jobs SET claim = gen_random_uuid()")  # another runner took it over
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    await outbox.enqueue("k", None, dedupe="1")
    tally = await runner(outbox, work, lease=0.2).run()
    assert asdict(tally) == {"done": 0, "again": 0, "dead": 0, "lost": 1}
    assert stopped.is_set()
    assert owner.run("SELECT state, last_error FROM app.jobs") == [("running", None)]


async def test_a_lease_that_cannot_be_held_ends_the_work(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control plane is gone: when the lease has ended, another may be at it."""
    stopped = asyncio.Event()

    async def down(_job: Job, _seconds: float) -> bool:
        raise Unavailable("down", part="control plane")

    async def work(_job: Job) -> None:
        monkeypatch.setattr(outbox, "hold", down)
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    await outbox.enqueue("k", None, dedupe="1")
    assert (await runner(outbox, work, lease=0.2).run(0.0001)).lost == 1
    assert stopped.is_set()


async def test_lingers_for_a_job_that_will_be_due(outbox: Outbox) -> None:
    await outbox.enqueue("k", None, dedupe="1", delay_seconds=0.1)
    tally = await Runner(outbox, {"k": nothing}, linger_seconds=30.0).run()
    assert tally.done == 1


PROGRAM = """
import asyncio, os, sys
from core.adapters.postgres import Postgres
from core.settings import Secret
from provisioning.jobs import Runner
from provisioning.outbox import Outbox

async def main():
    async def work(job):
        print("at work", flush=True)
        await asyncio.Event().wait()
    await Runner(Outbox(Postgres(Secret(sys.stdin.readline().strip()))), {"k": work}).run()

asyncio.run(main())
"""


async def test_a_killed_process_leaves_its_job_to_the_next(
    outbox: Outbox, owner: Owner, control_plane: ControlPlaneUrls
) -> None:
    await outbox.enqueue("k", None, dedupe="1")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "functions")},
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(control_plane.provisioning.encode() + b"\n")
    assert await process.stdout.readline() == b"at work\n"
    process.kill()
    await process.communicate()
    assert (await runner(outbox, nothing).run()).done == 0  # its lease holds on
    owner.end_leases()
    assert (await runner(outbox, nothing).run()).done == 1
    assert owner.run("SELECT state, attempts FROM app.jobs") == [("done", 2)]
