"""Where the stores of workspaces are, as the control plane has it (functions/migrations/postgres/0008_jobs.sql)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.adapters.postgres import Postgres
from core.ports import StoreAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One workspace and its store. `url` is None until it has one; `token` is sealed.

    `schema` is the newest migration that a database of its own has; `note` says why a store is not where the plan says.
    `move_epoch`: a move is under way, whose newest attempt leads there.
    """

    plan: str
    name: str
    kind: str
    url: str | None
    token: str | None
    token_ends: datetime | None
    epoch: int
    schema: int
    note: str | None
    move_epoch: int | None


class Placements:
    """Every method is one round trip, may be sent twice, and raises `problems.Unavailable`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def read(self, workspace: str) -> Placement | None:
        """None: there is no such workspace."""
        rows = await self._postgres.fetch(
            "SELECT plan, name, store_kind, store_url, store_token, token_expires_at, epoch, store_schema, store_note,"
            " move_epoch"
            " FROM app.read_store(%s::uuid)",
            [workspace],
        )
        if not rows:
            return None
        plan, name, kind, url, token, ends, epoch, schema, note, move_epoch = rows[0]
        return Placement(
            plan=plan,
            name=name,
            kind=kind,
            url=url,
            token=token,
            token_ends=ends,
            epoch=epoch,
            schema=schema,
            note=note,
            move_epoch=move_epoch,
        )

    async def place(
        self,
        workspace: str,
        kind: str,
        url: str,
        sealed_token: str,
        *,
        token_ends: datetime | None = None,
        schema: int = 0,
        note: str | None = None,
    ) -> tuple[str, str] | None:
        """The workspace's store is there from now on, unless it has one elsewhere.

        Returns:
            Kind and URL that hold now; None when there is no such workspace.
        """
        rows = await self._postgres.fetch(
            "SELECT store_kind, store_url FROM app.place_store(%s::uuid, %s, %s, %s, %s::timestamptz, %s::int, %s)",
            [workspace, kind, url, sealed_token, token_ends, schema, note],
        )
        return (rows[0][0], rows[0][1]) if rows else None

    async def begin_move(self, workspace: str, from_epoch: int) -> int | None:
        """Another attempt to move it: the epoch that it leads to. None: it is at another epoch, or closed."""
        rows = await self._postgres.fetch("SELECT app.begin_move(%s::uuid, %s::bigint)", [workspace, from_epoch])
        epoch: int | None = rows[0][0]
        return epoch

    async def read_clock(self) -> datetime:
        """The time there."""
        rows = await self._postgres.fetch("SELECT clock_timestamp()")
        now: datetime = rows[0][0]
        return now

    async def flip(
        self,
        workspace: str,
        from_epoch: int,
        to: StoreAddress,
        sealed_token: str,
        *,
        token_ends: datetime | None,
        schema: int,
        before: datetime,
    ) -> bool | None:
        """The workspace's store is there from now on, at the epoch of `to`.

        Args:
            before: by the clock there (`read_clock`).

        Returns:
            False: this attempt is not the newest. None: it is too late.
        """
        rows = await self._postgres.fetch(
            "SELECT app.flip_store(%s::uuid, %s::bigint, %s::bigint, %s, %s, %s, %s::timestamptz, %s::int,"
            " %s::timestamptz)",
            [workspace, from_epoch, to.epoch, to.kind, to.url, sealed_token, token_ends, schema, before],
        )
        flipped: bool | None = rows[0][0]
        return flipped

    async def end_move(self, workspace: str, epoch: int) -> None:
        """The move that led to this epoch is finished."""
        await self._postgres.fetch("SELECT app.end_move(%s::uuid, %s::bigint)", [workspace, epoch])

    async def note(self, workspace: str, note: str) -> None:
        """Why the store is not where the plan says."""
        await self._postgres.fetch("SELECT app.note_store(%s::uuid, %s)", [workspace, note])

    async def suspend(self, workspace: str, what: str | None) -> None:
        """What its store refuses from now on: `writes`, `all`, or nothing. Cached principals are made outdated."""
        await self._postgres.fetch("SELECT app.suspend_workspace(%s::uuid, %s)", [workspace, what])

    async def read_suspended(self, workspace: str) -> str | None:
        """What its store is to refuse: `writes`, `all`, or nothing."""
        rows = await self._postgres.fetch("SELECT app.read_suspended(%s::uuid)", [workspace])
        what: str | None = rows[0][0]
        return what

    async def renew_token(self, workspace: str, url: str, sealed_token: str, token_ends: datetime) -> bool:
        """Another token for the store at `url`. False: the workspace's store is not there any more."""
        rows = await self._postgres.fetch(
            "SELECT app.renew_store_token(%s::uuid, %s, %s, %s::timestamptz)",
            [workspace, url, sealed_token, token_ends],
        )
        renewed: bool = rows[0][0]
        return renewed

    async def record_schema(self, workspace: str, url: str, schema: int) -> None:
        """The database at `url` has this migration now."""
        await self._postgres.fetch("SELECT app.record_schema(%s::uuid, %s, %s::int)", [workspace, url, schema])

    async def list_databases(
        self, after: str | None, most: int, *, ending: datetime | None = None, below: int | None = None
    ) -> list[str]:
        """Workspaces, by id after `after`, with a database whose token ends before `ending` or schema is `below`."""
        rows = await self._postgres.fetch(
            "SELECT workspace_id::text FROM app.list_databases(%s::uuid, %s::int, %s::timestamptz, %s::int)",
            [after, most, ending, below],
        )
        return [row[0] for row in rows]

    async def count_databases(self) -> int:
        rows = await self._postgres.fetch("SELECT app.count_databases()")
        count: int = rows[0][0]
        return count
