"""A stand-in of Cloud Scheduler: fires the declared jobs by their schedules while the local cloud runs, and on demand.

A job that is still running when it is due again is left out once, as at Google. Runs that were missed while the local
cloud was down are not made up for. Left out: Pub/Sub and App Engine targets, OAuth tokens, the API besides `run`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import time
from datetime import UTC, datetime

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.errors import NotFound
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record
from infra.local.cloud.vendors.google import cron
from infra.local.cloud.vendors.google.delivery import Attempt, Backoff, Delivery, Outcome, seconds

JOB = "gcp:cloudscheduler/job:Job"
DEADLINE_SECONDS = 180.0
LOOK_SECONDS = 1.0
log = logging.getLogger(__name__)


class Scheduler:
    """The jobs of the program. What ran and how is remembered until the daemon ends."""

    def __init__(self, cloud: Cloud, delivery: Delivery) -> None:
        self._cloud = cloud
        self._delivery = delivery
        self._next: dict[str, tuple[str, datetime | None]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._last: dict[str, Json] = {}
        self._clock: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Fire by schedule from now on."""
        self._clock = asyncio.create_task(self._fire_due(), name="scheduler")

    async def stop(self) -> None:
        tasks = [task for task in (self._clock, *self._running.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def run(self, name: str) -> Json:
        """Fire a job now (jobs.run) and give it as Google shows it; it goes on in the background.

        Raises:
            NotFound: there is no such job.
        """
        record = self._cloud.store.get(JOB, name)
        if record is None:
            raise NotFound(f"Job not found: {name}. Declare it, and run `make up`.")
        self._fire(record)
        return self.shown(record)

    def shown(self, record: Record) -> Json:
        """A job as its API shows it."""
        target = record.args.get("httpTarget") or {}
        following = self._next.get(record.id, ("", None))[1]
        return {
            "name": record.id,
            "schedule": record.args.get("schedule"),
            "timeZone": record.args.get("timeZone") or "Etc/UTC",
            "state": "PAUSED" if record.args.get("paused") else "ENABLED",
            "httpTarget": {"uri": target.get("uri"), "httpMethod": target.get("httpMethod") or "POST"},
            **({"scheduleTime": following.isoformat()} if following else {}),
            **self._last.get(record.id, {}),
        }

    async def _fire_due(self) -> None:
        while True:
            try:
                wait = self._look()
            except Exception:  # a fault of ours must not end the scheduler
                log.exception("looking at the schedules failed")
                wait = LOOK_SECONDS
            await asyncio.sleep(wait)

    def _look(self) -> float:
        """Fire what is due; seconds until the next look."""
        now = datetime.now(UTC)
        wait = LOOK_SECONDS
        jobs = self._cloud.store.of(JOB)
        for gone in self._next.keys() - {job.id for job in jobs}:
            del self._next[gone]
        for job in jobs:
            key = f"{job.args.get('schedule')}\n{job.args.get('timeZone')}\n{bool(job.args.get('paused'))}"
            known, due = self._next.get(job.id, ("", None))
            if known == key and due is not None and now >= due:
                self._fire(job)
                known = ""
            if known != key:
                due = following(job, now)
                self._next[job.id] = (key, due)
            if due is not None:
                wait = min(wait, max((due - now).total_seconds(), 0.0))
        return wait

    def _fire(self, job: Record) -> None:
        running = self._running.get(job.id)
        if running is not None and not running.done():
            log.warning("job %s is still running: left out once", job.id)
            return
        self._running[job.id] = asyncio.create_task(self._attempt(job), name=f"job {job.id}")

    async def _attempt(self, job: Record) -> None:
        attempt, backoff = attempt_of(job), backoff_of(job)
        first, made = time.monotonic(), 0
        while True:
            outcome = await self._delivery.send(attempt)
            made += 1
            self._last[job.id] = _told(outcome)
            if outcome.good:
                return
            over = backoff.is_over(made, time.monotonic() - first)
            log.warning("job %s: %s%s", job.id, outcome, "; given up until it is due again" if over else "")
            if over:
                return
            await asyncio.sleep(backoff.pause(made))


def following(job: Record, now: datetime) -> datetime | None:
    """When a job is due next; None when it is paused, or never."""
    if job.args.get("paused"):
        return None
    with contextlib.suppress(ValueError):  # refused by the provider's checks, unless those were unknown
        zone = cron.zone_of(str(job.args.get("timeZone") or ""))
        return cron.parse(str(job.args.get("schedule") or "")).after(now, zone)
    return None


def backoff_of(job: Record) -> Backoff:
    """The retry configuration of a job, with Google's defaults: no retry at all."""
    config = job.args.get("retryConfig") or {}
    return Backoff(
        least=seconds(config.get("minBackoffDuration"), 5.0),
        most=seconds(config.get("maxBackoffDuration"), 3600.0),
        doublings=int(config.get("maxDoublings", 5)),
        attempts=int(config.get("retryCount", 0)) + 1,
        seconds=seconds(config.get("maxRetryDuration"), 0.0),
    )


def attempt_of(job: Record) -> Attempt:
    """The request of a job."""
    target: Json = job.args.get("httpTarget") or {}
    token = target.get("oidcToken") or {}
    headers = {
        **({"Content-Type": "application/octet-stream"} if target.get("body") else {}),
        **(target.get("headers") or {}),
        "User-Agent": "Google-Cloud-Scheduler",
        "X-CloudScheduler": "true",
        "X-CloudScheduler-JobName": job.id.rpartition("/")[2],
        "X-CloudScheduler-ScheduleTime": datetime.now(UTC).isoformat(),
    }
    return Attempt(
        method=str(target.get("httpMethod") or "POST"),
        url=str(target.get("uri")),
        headers=headers,
        body=base64.b64decode(target.get("body") or ""),
        email=str(token.get("serviceAccountEmail") or ""),
        audience=str(token.get("audience") or ""),
        deadline_seconds=seconds(job.args.get("attemptDeadline"), DEADLINE_SECONDS),
    )


def _told(outcome: Outcome) -> Json:
    told: Json = {"lastAttemptTime": datetime.now(UTC).isoformat()}
    return told if outcome.good else {**told, "status": {"message": str(outcome)}}
