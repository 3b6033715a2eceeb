"""What the sweep and the nightly look ask the control plane about billing, and of the business as a whole
(functions/migrations/postgres/0019_billing.sql, 0020_billing_watch.sql and 0022_numbers.sql)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from core.adapters.postgres import Postgres


@dataclass(frozen=True, slots=True, kw_only=True)
class Grace:
    """A workspace whose payment is due, and until when its plan goes on."""

    workspace: str
    plan: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Misplaced:
    """A workspace whose memories are not where its plan says.

    `noted`: a move found that they do not fit there. `memories` and `bytes` are what was measured last; None: nothing
    was. `moving`: a move is waiting or under way; `moved`: one has ended within a day.
    """

    workspace: str
    plan: str
    noted: bool
    memories: int | None
    bytes: int | None
    moving: bool
    moved: bool


class Watch:
    """Every method is one round trip, may be sent twice, and raises `problems.Unavailable`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def list_graces(self, now: datetime, until: datetime, after: str | None, most: int) -> list[Grace]:
        """Graces that end after `now` and not after `until`, by workspace, after `after`."""
        rows = await self._postgres.fetch(
            "SELECT workspace_id::text, plan, grace_until"
            " FROM app.list_graces(%s::timestamptz, %s::timestamptz, %s::uuid, %s::int)",
            [now, until, after, most],
        )
        return [Grace(workspace=row[0], plan=row[1], until=row[2]) for row in rows]

    async def list_misplaced(
        self, kinds: Mapping[str, str], too_large: str, after: str | None, most: int
    ) -> list[Misplaced]:
        """Open workspaces whose store is not of the kind that their plan's should be, by id, after `after`.

        Args:
            kinds: by plan.
            too_large: what `store_note` says of one that does not fit.
        """
        rows = await self._postgres.fetch(
            "SELECT workspace_id::text, plan, noted, memories, bytes, moving, moved"
            " FROM app.list_misplaced(%s::jsonb, %s, %s::uuid, %s::int)",
            [orjson.dumps(kinds).decode(), too_large, after, most],
        )
        return [
            Misplaced(
                workspace=row[0], plan=row[1], noted=row[2], memories=row[3], bytes=row[4], moving=row[5], moved=row[6]
            )
            for row in rows
        ]

    async def move_misplaced(self, workspace: str, plan: str, kind: str) -> bool:
        """Have a workspace moved to where its plan says, unless it has another plan by now; whether a job was made."""
        rows = await self._postgres.fetch("SELECT app.move_misplaced(%s::uuid, %s, %s)", [workspace, plan, kind])
        made: bool = rows[0][0]
        return made

    async def tell_owner(self, workspace: str, what: str, level: int, template: str, data: Mapping[str, Any]) -> bool:
        """Mail the owner of a workspace, once for `what` at this level, until `untell_owners`.

        Args:
            data: besides the workspace's name.
        """
        rows = await self._postgres.fetch(
            "SELECT app.tell_owner(%s::uuid, %s, %s::int, %s, %s::jsonb)",
            [workspace, what, level, template, orjson.dumps(data).decode()],
        )
        told: bool = rows[0][0]
        return told

    async def untell_owners(self, what: str, but: Sequence[str]) -> None:
        """It is no longer so, except in these workspaces: the next time it is told again."""
        await self._postgres.fetch("SELECT app.untell_owners(%s, %s::uuid[])", [what, list(but)])

    async def standing(self, workspace: str) -> str | None:
        """`open`, `closed` or `erased`; None: there never was such a workspace, or the text is no id."""
        rows = await self._postgres.fetch("SELECT app.workspace_standing(%s)", [workspace])
        standing: str | None = rows[0][0]
        return standing

    async def list_ended_payers(self, before: datetime) -> list[tuple[str, str]]:
        """Customers, and their workspaces, that were closed before this; a hundred at most."""
        rows = await self._postgres.fetch(
            "SELECT customer, workspace_id::text FROM app.list_ended_payers(%s::timestamptz)", [before]
        )
        return [(row[0], row[1]) for row in rows]

    async def list_customers_of(self, workspaces: Sequence[str]) -> list[str]:
        """The customers at Stripe of workspaces that go."""
        rows = await self._postgres.fetch("SELECT customer FROM app.list_customers_of(%s::uuid[])", [list(workspaces)])
        return [row[0] for row in rows]

    async def count_numbers(self) -> dict[str, int]:
        """`accounts`, `workspaces`, `paying`, `memories` (as last measured) and `dead` (jobs that were given up)."""
        rows = await self._postgres.fetch("SELECT app.count_numbers()")
        numbers: dict[str, int] = rows[0][0]
        return numbers

    async def forget_events(self, days: int) -> int:
        """Forget what Stripe told of so long ago; how many deliveries they were."""
        rows = await self._postgres.fetch("SELECT app.forget_events(make_interval(days => %s::int))", [days])
        count: int = rows[0][0]
        return count
