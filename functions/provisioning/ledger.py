"""What the control plane keeps of use, of what was told, and of what was erased
(functions/migrations/postgres/0011_usage.sql)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson

from core.adapters.postgres import Postgres


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a workspace used on a day. `memories` and `bytes` are None until its store was measured."""

    workspace: str
    name: str
    plan: str
    calls: int
    memories: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure that was confirmed: the workspaces that go with the account."""

    workspaces: tuple[str, ...]
    finished: bool


class Ledger:
    """Every method is one round trip, may be sent twice, and raises `problems.Unavailable`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def list_callable(self, after: str | None, most: int) -> list[str]:
        """Workspaces that somebody may call, by id, after `after`."""
        rows = await self._postgres.fetch(
            "SELECT workspace_id::text FROM app.list_callable(%s::uuid, %s::int)", [after, most]
        )
        return [row[0] for row in rows]

    async def record_usage(self, day: date, calls: Mapping[str, int]) -> None:
        """Counters of a day, as they stand now, by workspace."""
        await self._postgres.fetch(
            "SELECT app.record_usage(%s::date, %s::uuid[], %s::bigint[])", [day, list(calls), list(calls.values())]
        )

    async def unclosed_days(self, today: date) -> list[date]:
        """Days that are over, that Redis still counts and that were not counted since."""
        return [row[0] for row in await self._postgres.fetch("SELECT day FROM app.unclosed_days(%s::date)", [today])]

    async def close_day(self, day: date) -> None:
        await self._postgres.fetch("SELECT app.close_day(%s::date)", [day])

    async def list_unmeasured(self, day: date, age_seconds: float, most: int) -> list[tuple[str, int]]:
        """Workspaces that were called since their store was measured, so long ago at least; and their calls."""
        rows = await self._postgres.fetch(
            "SELECT workspace_id::text, calls"
            " FROM app.list_unmeasured(%s::date, make_interval(secs => %s::float8), %s::int)",
            [day, age_seconds, most],
        )
        return [(row[0], row[1]) for row in rows]

    async def record_measure(self, workspace: str, day: date, calls: int, memories: int, size: int) -> None:
        """What a store held when the workspace had had so many calls on that day."""
        await self._postgres.fetch(
            "SELECT app.record_measure(%s::uuid, %s::date, %s::bigint, %s::bigint, %s::bigint)",
            [workspace, day, calls, memories, size],
        )

    async def list_use(self, day: date, after: str | None, most: int) -> list[Use]:
        """What workspaces used on a day, by id, after `after`."""
        rows = await self._postgres.fetch(
            "SELECT workspace_id::text, name, plan, calls, memories, bytes"
            " FROM app.list_use(%s::date, %s::uuid, %s::int)",
            [day, after, most],
        )
        return [
            Use(workspace=row[0], name=row[1], plan=row[2], calls=row[3], memories=row[4], bytes=row[5]) for row in rows
        ]

    async def tell_quota(self, workspace: str, what: str, used: int, most: int, data: Mapping[str, Any]) -> int | None:
        """Mail the owner when a limit was crossed that they were not told of; the level (per cent) of that mail."""
        rows = await self._postgres.fetch(
            "SELECT app.tell_quota(%s::uuid, %s, %s::bigint, %s::bigint, %s::jsonb)",
            [workspace, what, used, most, orjson.dumps(data).decode()],
        )
        level: int | None = rows[0][0]
        return level

    async def tell_operator(self, what: str, recipient: str, data: Mapping[str, Any]) -> bool:
        """Mail the operator, once for `what` until `untell_operator`."""
        rows = await self._postgres.fetch(
            "SELECT app.tell_operator(%s, %s, %s::jsonb)", [what, recipient, orjson.dumps(data).decode()]
        )
        told: bool = rows[0][0]
        return told

    async def untell_operator(self, what: str) -> None:
        await self._postgres.fetch("SELECT app.untell_operator(%s)", [what])

    async def forget_marks(self, days: int) -> None:
        """Forget what was told about days that are this long over."""
        await self._postgres.fetch("SELECT app.forget_marks(make_interval(days => %s::int))", [days])

    async def forget_old(self, audit_days: int, keys_days: int, links_days: int, most: int) -> int:
        """Forget, of each kind so many at most, what is older: what was done, keys that have ended, links of mails that
        were used or have expired (0018_retention.sql). How many rows went."""
        rows = await self._postgres.fetch(
            "SELECT app.forget_old(make_interval(days => %s::int), make_interval(days => %s::int),"
            " make_interval(days => %s::int), %s::int)",
            [audit_days, keys_days, links_days, most],
        )
        gone: int = rows[0][0]
        return gone

    async def clear_store(self, workspace: str) -> None:
        """The workspace has no store any more, and gets none."""
        await self._postgres.fetch("SELECT app.clear_store(%s::uuid)", [workspace])

    async def read_erasure(self, account: str) -> Erasure | None:
        """None: nobody confirmed it."""
        rows = await self._postgres.fetch("SELECT workspaces, finished FROM app.read_erasure(%s::uuid)", [account])
        return Erasure(tuple(rows[0][0]), rows[0][1]) if rows else None

    async def finish_erasure(self, account: str) -> None:
        """Every row of the account goes, and a mail says so."""
        await self._postgres.fetch("SELECT app.finish_erasure(%s::uuid)", [account])
