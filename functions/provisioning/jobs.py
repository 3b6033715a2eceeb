"""The runner: jobs that are due, one at a time, until none is or its time is over.

While it works at a job it holds the lease; when the lease is lost, because the process was frozen or the control plane
could not be reached, it stops, for another may be at it. What became of a job:

    it ended                              -> done
    it gave up                            -> dead: no other attempt would help
    a part did not answer, or a fault     -> again later, dead after 15 attempts (0008_jobs.sql)
    the process was killed                -> again, when the lease has ended
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from core import logs
from core.problems import Problem, Unavailable
from core.reporting import Reporter
from provisioning.outbox import Job, Outbox

Work = Callable[[Job], Awaitable[None]]

LEASE_SECONDS = 120.0
LEASES = {"move_store": 15.0}
"""Kinds whose lease is shorter: nobody reaches a workspace whose move was killed near its end. The queue sends the task
of a process that died again after five seconds, and its run lingers for what comes within `LINGER_SECONDS`."""
JOB_SECONDS = 240.0
"""Longest time for one attempt at a job: a run may begin its last one when its own time is over."""
LONG = frozenset({"move_store", "restore_store"})
"""Kinds that may take as long as their run, whose last job begins `JOB_SECONDS` before the platform ends it."""
RUN_SECONDS = 1500.0
LINGER_SECONDS = 10.0
"""How long a run waits for a job that will be due, instead of leaving it to the next sweep."""


class GaveUp(Exception):
    """No other attempt would help. The message is for the operator: why, and what to do."""


def subject(job: Job) -> str:
    """The workspace or account that a job is about.

    Raises:
        GaveUp: it says none.
    """
    if job.subject is None:
        raise GaveUp("It does not say what it is about: it has no subject.")
    return job.subject


class _LeaseLost(Exception):
    pass


@dataclass(slots=True)
class Tally:
    """What one run did. `lost`: another runner has the job now."""

    done: int = 0
    again: int = 0
    dead: int = 0
    lost: int = 0


class Runner:
    """Runs jobs of the kinds in `works`. Several may run at once, here and elsewhere. `reporter` is told of faults."""

    def __init__(
        self,
        outbox: Outbox,
        works: Mapping[str, Work],
        *,
        lease_seconds: float = LEASE_SECONDS,
        job_seconds: float = JOB_SECONDS,
        linger_seconds: float = LINGER_SECONDS,
        reporter: Reporter | None = None,
    ) -> None:
        self._reporter = reporter
        self._outbox = outbox
        self._works = works
        self._lease_seconds = lease_seconds
        self._job_seconds = job_seconds
        self._linger_seconds = linger_seconds

    async def run(self, seconds: float = RUN_SECONDS) -> Tally:
        """Run what is due, and begin nothing more after `seconds`.

        Raises:
            Unavailable: the control plane does not answer; what was begun is taken up when its lease ends.
        """
        ends = time.monotonic() + seconds
        tally = Tally()
        while time.monotonic() < ends:
            job = await self._outbox.claim(str(uuid.uuid4()), self._lease_seconds)
            if job is not None:
                await self._attempt(job, tally, ends)
                continue
            pause = await self._outbox.next_in()
            if pause is None or not 0 < pause <= self._linger_seconds:
                break  # none, or what is due waits for another job of its store, whose runner sees to it
            await asyncio.sleep(pause)
        return tally

    async def tell(self, failure: Exception, kind: str) -> None:
        """Report `failure` of work of this kind, if somebody has to look at our code for it. Never raises."""
        if self._reporter is not None and _is_fault(failure):
            await self._reporter.tell(failure, {"kind": kind})

    async def _attempt(self, job: Job, tally: Tally, ends: float) -> None:
        started = time.monotonic()
        most = self._job_seconds + (max(ends - started, 0.0) if job.kind in LONG else 0.0)
        failure: Exception | None = None
        try:
            async with asyncio.timeout(most):
                await self._under_lease(job)
            became = "done" if await self._outbox.finish(job) else None
        except _LeaseLost:
            became = None
        except Exception as error:
            failure = error
            became = await self._outbox.fail(job, _told(error, most), final=isinstance(error, GaveUp))
        if became == "done":
            tally.done += 1
        elif became == "waiting":
            tally.again += 1
        elif became == "dead":
            tally.dead += 1
        else:
            tally.lost += 1
        _log(job, became, time.monotonic() - started, failure)
        if failure is not None:
            await self.tell(failure, job.kind)

    async def _under_lease(self, job: Job) -> None:
        work = asyncio.ensure_future(self._work(job))
        keeper = asyncio.ensure_future(self._keep_lease(job))
        try:
            await asyncio.wait((work, keeper), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                keeper.result()
                raise _LeaseLost
            await work
        finally:
            for task in (work, keeper):
                task.cancel()
            await asyncio.gather(work, keeper, return_exceptions=True)

    async def _work(self, job: Job) -> None:
        work = self._works.get(job.kind)
        if work is None:  # a newer version made it, and is about to be deployed, or was taken back
            raise LookupError(job.kind)
        await work(job)

    async def _keep_lease(self, job: Job) -> None:
        """Returns when the lease is lost, or may be."""
        seconds = min(self._lease_seconds, LEASES.get(job.kind, self._lease_seconds))
        ends = time.monotonic() + self._lease_seconds
        pause = seconds / 4 if seconds == self._lease_seconds else 0.0
        while True:
            await asyncio.sleep(pause)
            pause = seconds / 4
            asked = time.monotonic()
            if asked >= ends:
                return
            try:
                async with asyncio.timeout(ends - asked):
                    if not await self._outbox.hold(job, seconds):
                        return
            except (Unavailable, TimeoutError):
                continue
            ends = asked + seconds


def _told(error: Exception, job_seconds: float) -> str:
    """Why, for the operator. Only our own texts: others may quote a value."""
    if isinstance(error, Problem):
        return error.detail
    if isinstance(error, GaveUp):
        return str(error)
    if isinstance(error, LookupError) and error.args and type(error) is LookupError:
        return f"This version knows no job of the kind {error.args[0]}. Deploy the one that does."
    if isinstance(error, TimeoutError):
        return f"It took more than {job_seconds:g} s."
    return f"{type(error).__module__}.{type(error).__qualname__}; the log of that time has the stack."


def _is_fault(failure: Exception) -> bool:
    """Neither a part that does not answer nor what was foreseen."""
    return failure.status == 500 if isinstance(failure, Problem) else not isinstance(failure, GaveUp)


def _log(job: Job, became: str | None, seconds: float, failure: Exception | None) -> None:
    fields = {
        "job": job.id,
        "kind": job.kind,
        "subject": job.subject,
        "attempt": job.attempts,
        "became": became or "lost",
        "latency_ms": round(seconds * 1000, 1),
    }
    if failure is None:
        logs.LOGGER.info("Job %s: %s.", job.kind, became or "lost to another runner", extra={"fields": fields})
        return
    expected = isinstance(failure, Problem | GaveUp)
    logs.LOGGER.log(
        logging.ERROR if became == "dead" or not expected else logging.WARNING,
        "Job %s failed and is %s.",
        job.kind,
        became or "lost to another runner",
        extra={"fields": fields},
        exc_info=None if expected else failure,
    )
