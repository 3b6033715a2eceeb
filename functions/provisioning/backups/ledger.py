"""What the control plane keeps of backups (functions/migrations/postgres/0021_backups.sql)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.adapters.postgres import Postgres

ATTEMPTS = 3
"""Tries of one store in one run."""


@dataclass(frozen=True, slots=True)
class Run:
    """A backup that is under way. `control`: the index of its control plane, once that is written."""

    id: str
    began: datetime
    control: str | None


@dataclass(frozen=True, slots=True)
class Due:
    """A store to look at. `mark` is of its newest backup; None: there is none, or it ends before long, and is written
    anew in any case."""

    workspace: str
    mark: str | None


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest backup that is whole. `age`: seconds since it began."""

    run: str
    manifest: str
    failed: int
    age: float
    checked: datetime | None
    check_error: str | None


class BackupLedger:
    """Every method is one round trip, may be sent twice, and raises `problems.Unavailable`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def hold(self, claim: str, lease_seconds: float, *, fresh: bool) -> Run | None:
        """The run under way, for nobody else meanwhile; `fresh`: begin one. None: there is none, or another has it."""
        rows = await self._postgres.fetch(
            "SELECT run::text, began_at, control"
            " FROM app.hold_backup(%s::uuid, make_interval(secs => %s::float8), %s::boolean)",
            [claim, lease_seconds, fresh],
        )
        return Run(*rows[0]) if rows else None

    async def release(self, claim: str) -> None:
        await self._postgres.fetch("SELECT app.release_backup(%s::uuid)", [claim])

    async def record_control(self, run: str, object_: str) -> None:
        await self._postgres.fetch("SELECT app.record_control_backup(%s::uuid, %s)", [run, object_])

    async def list_due(self, run: str, most: int) -> list[Due]:
        """What this run has still to look at, those that failed at the end, `ATTEMPTS` times."""
        rows = await self._postgres.fetch(
            "SELECT workspace_id::text, mark FROM app.list_backups_due(%s::uuid, %s::int, %s::int)",
            [run, most, ATTEMPTS],
        )
        return [Due(*row) for row in rows]

    async def record(self, run: str, workspace: str, *, epoch: int, mark: str | None, object_: str | None) -> None:
        """A store was looked at, and (`object_`) written anew."""
        await self._record(run, workspace, epoch, mark, object_, None)

    async def record_failure(self, run: str, workspace: str, error: str) -> None:
        await self._record(run, workspace, 0, None, None, error)

    async def _record(
        self, run: str, workspace: str, epoch: int, mark: str | None, object_: str | None, error: str | None
    ) -> None:
        await self._postgres.fetch(
            "SELECT app.record_backup(%s::uuid, %s::uuid, %s::bigint, %s, %s, %s)",
            [run, workspace, epoch, mark, object_, error],
        )

    async def list_all(self, after: str | None, most: int) -> list[tuple[str, str | None, str | None]]:
        """Workspace, newest backup and error of its last look, by id, after `after`."""
        rows = await self._postgres.fetch(
            "SELECT workspace_id::text, object, error FROM app.list_backups(%s::uuid, %s::int)", [after, most]
        )
        return [(row[0], row[1], row[2]) for row in rows]

    async def finish(self, run: str, manifest: str, failed: int) -> None:
        await self._postgres.fetch("SELECT app.finish_backup(%s::uuid, %s, %s::int)", [run, manifest, failed])

    async def newest(self) -> Newest | None:
        rows = await self._postgres.fetch(
            "SELECT run::text, manifest, failed, age, checked_at, check_error FROM app.newest_backup()"
        )
        return Newest(*rows[0]) if rows else None

    async def record_check(self, run: str, error: str | None) -> None:
        await self._postgres.fetch("SELECT app.record_check(%s::uuid, %s)", [run, error])
