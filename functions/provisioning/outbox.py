"""The jobs in PostgreSQL (functions/migrations/postgres/0008_jobs.sql): taken one at a time, under a lease."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from core.adapters.postgres import Postgres


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job that was claimed.

    `claim` names the lease: who lost it can change nothing. `attempts` counts this one, from 1.
    """

    id: str
    claim: str
    kind: str
    subject: str | None
    payload: dict[str, Any]
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What the operator sees of a job."""

    id: str
    kind: str
    subject: str | None
    attempts: int
    error: str | None
    made: datetime

    def __str__(self) -> str:
        return (
            f"{self.made:%Y-%m-%d %H:%M} {self.id} {self.kind} of {self.subject or 'nobody'}, "
            f"after {self.attempts} attempts: {self.error or 'no error'}"
        )


class Outbox:
    """Every method is one round trip, may be sent twice, and raises `problems.Unavailable`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def enqueue(
        self,
        kind: str,
        subject: str | None,
        payload: dict[str, Any] | None = None,
        *,
        dedupe: str,
        delay_seconds: float = 0.0,
    ) -> str:
        """A job to do, and its id; while an open one of this kind has the same `dedupe`, that one's."""
        rows = await self._postgres.fetch(
            "SELECT app.enqueue(%s, %s::uuid, %s::jsonb, %s, make_interval(secs => %s::float8))::text",
            [kind, subject, orjson.dumps(payload or {}).decode(), dedupe, delay_seconds],
        )
        job: str = rows[0][0]
        return job

    async def claim(self, claim: str, lease_seconds: float) -> Job | None:
        """The next job that is due; None: none is."""
        rows = await self._postgres.fetch(
            "SELECT id::text, kind, subject::text, payload, attempts"
            " FROM app.claim_job(%s::uuid, make_interval(secs => %s::float8))",
            [claim, lease_seconds],
        )
        if not rows:
            return None
        job, kind, subject, payload, attempts = rows[0]
        return Job(id=job, claim=claim, kind=kind, subject=subject, payload=payload, attempts=attempts)

    async def hold(self, job: Job, lease_seconds: float) -> bool:
        """Hold the lease for so long from now. False: it is lost."""
        rows = await self._postgres.fetch(
            "SELECT app.hold_job(%s::uuid, %s::uuid, make_interval(secs => %s::float8))",
            [job.id, job.claim, lease_seconds],
        )
        held: bool = rows[0][0]
        return held

    async def finish(self, job: Job) -> bool:
        """It is done. False: the lease was lost."""
        rows = await self._postgres.fetch("SELECT app.finish_job(%s::uuid, %s::uuid)", [job.id, job.claim])
        finished: bool = rows[0][0]
        return finished

    async def fail(self, job: Job, error: str, *, final: bool) -> str | None:
        """What it became: `waiting` for another attempt, or `dead`. None: the lease was lost.

        Args:
            final: no other attempt would help.
        """
        rows = await self._postgres.fetch(
            "SELECT app.fail_job(%s::uuid, %s::uuid, %s, %s)", [job.id, job.claim, error, final]
        )
        became: str | None = rows[0][0]
        return became

    async def next_in(self) -> float | None:
        """Seconds until some job is due; None: none is open."""
        rows = await self._postgres.fetch("SELECT app.next_job_in()")
        seconds: float | None = rows[0][0]
        return seconds

    async def report_dead(self, recipient: str) -> int:
        """Mail the operator which jobs were given up, each once; how many they are."""
        rows = await self._postgres.fetch("SELECT app.report_dead(%s)", [recipient])
        count: int = rows[0][0]
        return count

    async def listed(self, state: str) -> list[Listed]:
        """Jobs in a state, the newest first, a hundred at most."""
        rows = await self._postgres.fetch(
            "SELECT id::text, kind, subject::text, attempts, last_error, created_at FROM app.list_jobs(%s)", [state]
        )
        return [
            Listed(id=row[0], kind=row[1], subject=row[2], attempts=row[3], error=row[4], made=row[5]) for row in rows
        ]

    async def revive(self, job: str) -> bool:
        """Another life for a dead job. False: there is none of this id, it is a mail, or an open one does the same."""
        rows = await self._postgres.fetch("SELECT app.revive_job(%s::uuid)", [job])
        revived: bool = rows[0][0]
        return revived

    async def forget(self, days: int) -> int:
        """Forget jobs that were done so long ago; how many they were."""
        rows = await self._postgres.fetch("SELECT app.forget_jobs(make_interval(days => %s::int))", [days])
        count: int = rows[0][0]
        return count
