"""People, keys and workspaces in the control plane: one function of schema `app` for each operation (0009_people.sql).

Each method is one round trip and one transaction. A statement may run twice when a connection breaks, so whoever makes
something chooses its id.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import orjson

from accounts.asker import Asker
from accounts.ports import Body, NewKey
from accounts.refusals import refusal
from core.adapters.postgres import Postgres, StatementRefused
from core.keys import ApiKey
from core.outdated import voids_of
from core.ports import Voids
from declarations import FREE, KEYS_MOST, TEAM

INVITATION_LASTS = timedelta(days=7)
ERASURE_LASTS = timedelta(days=1)
"""How long the link of a mail works."""
INVITATIONS_MOST = 50
"""Open ones of a workspace."""
INVITATION_MAILS_MOST = 100
"""Of a workspace in a day."""
ERASURE_MAILS_MOST = 5
"""Of an account in a day."""
WORKSPACES_MOST = 10
"""Named ones of one owner; as many may be made in a day."""
SETTINGS_MOST_BYTES = 4096


class _Part:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def _ask(self, call: str, *args: object) -> Any:
        """What a function answers. Raises: Problem, see `refusals`."""
        try:
            rows = await self._postgres.fetch(f"SELECT app.{call}", args)
        except StatementRefused as error:
            problem = refusal(error.sqlstate)
            if problem is None:
                raise
            raise problem from None
        return rows[0][0]


class ControlKeys(_Part):
    """Implements `ports.Keys`."""

    async def create(self, asker: Asker, key: NewKey, secret: ApiKey) -> Body:
        body: Body = await self._ask(
            "create_key(%s::uuid, %s::uuid, %s::uuid, %s::uuid, %s, %s, %s, %s::text[], %s, %s::integer, "
            "%s::timestamptz, %s::integer)",
            *_who(asker),
            key.id,
            key.name,
            secret.prefix,
            secret.hash,
            list(key.scopes),
            key.project,
            key.calls_per_day,
            key.expires_at,
            KEYS_MOST,
        )
        return body

    async def list_(self, asker: Asker) -> list[Body]:
        bodies: list[Body] = await self._ask("list_keys(%s::uuid, %s::uuid, %s::uuid)", *_who(asker))
        return bodies

    async def rename(self, asker: Asker, key_id: str, name: str) -> Body:
        body: Body = await self._ask(
            "rename_key(%s::uuid, %s::uuid, %s::uuid, %s::uuid, %s)", *_who(asker), key_id, name
        )
        return body

    async def rotate(
        self, asker: Asker, key_id: str, next_id: str, secret: ApiKey, overlap: timedelta
    ) -> tuple[Body, Body, Voids]:
        answer = await self._ask(
            "rotate_key(%s::uuid, %s::uuid, %s::uuid, %s::uuid, %s::uuid, %s, %s, %s::interval)",
            *_who(asker),
            key_id,
            next_id,
            secret.prefix,
            secret.hash,
            overlap,
        )
        return answer["key"], answer["previous"], voids_of(answer["voids"])

    async def revoke(self, asker: Asker, key_id: str) -> Voids:
        return voids_of(await self._ask("revoke_key(%s::uuid, %s::uuid, %s::uuid, %s::uuid)", *_who(asker), key_id))


class ControlWorkspaces(_Part):
    """Implements `ports.Workspaces`."""

    async def list_(self, asker: Asker) -> list[Body]:
        bodies: list[Body] = await self._ask("list_workspaces(%s::uuid, %s::uuid)", asker.account, asker.via)
        return bodies

    async def create(self, asker: Asker, workspace_id: str, name: str) -> Body:
        call = "create_workspace(%s::uuid, %s::uuid, %s, %s, %s, %s::integer)"
        args = (asker.account, workspace_id, name, FREE.name, TEAM.name, WORKSPACES_MOST)
        body: Body = await self._ask(call, *args)
        return body

    async def rename(self, asker: Asker, workspace_id: str, name: str) -> Body:
        call = "rename_workspace(%s::uuid, %s::uuid, %s::uuid, %s)"
        body: Body = await self._ask(call, asker.account, asker.via, workspace_id, name)
        return body

    async def delete(self, asker: Asker, workspace_id: str) -> Voids:
        return voids_of(await self._ask("delete_workspace(%s::uuid, %s::uuid)", asker.account, workspace_id))

    async def members(self, asker: Asker, workspace_id: str) -> list[Body]:
        call = "list_members(%s::uuid, %s::uuid, %s::uuid)"
        bodies: list[Body] = await self._ask(call, asker.account, asker.via, workspace_id)
        return bodies

    async def change_member(self, asker: Asker, workspace_id: str, account_id: str, role: str) -> Voids:
        call = "change_member(%s::uuid, %s::uuid, %s::uuid, %s::uuid, %s)"
        return voids_of(await self._ask(call, asker.account, asker.via, workspace_id, account_id, role))

    async def remove_member(self, asker: Asker, workspace_id: str, account_id: str) -> Voids:
        call = "remove_member(%s::uuid, %s::uuid, %s::uuid, %s::uuid)"
        return voids_of(await self._ask(call, asker.account, asker.via, workspace_id, account_id))

    async def invitations(self, asker: Asker, workspace_id: str) -> list[Body]:
        call = "list_invitations(%s::uuid, %s::uuid, %s::uuid)"
        bodies: list[Body] = await self._ask(call, asker.account, asker.via, workspace_id)
        return bodies

    async def invite(
        self, asker: Asker, workspace_id: str, invitation_id: str, email: str, role: str, token_hash: str, link: str
    ) -> Body:
        body: Body = await self._ask(
            "invite_member(%s::uuid, %s::uuid, %s::uuid, %s::uuid, %s, %s, %s, %s::interval, %s, %s, %s::integer, "
            "%s::integer)",
            asker.account,
            asker.via,
            workspace_id,
            invitation_id,
            email,
            role,
            token_hash,
            INVITATION_LASTS,
            link,
            TEAM.name,
            INVITATIONS_MOST,
            INVITATION_MAILS_MOST,
        )
        return body

    async def withdraw(self, asker: Asker, workspace_id: str, invitation_id: str) -> bool:
        call = "withdraw_invitation(%s::uuid, %s::uuid, %s::uuid, %s::uuid)"
        done: bool = await self._ask(call, asker.account, asker.via, workspace_id, invitation_id)
        return done

    async def accept(self, asker: Asker, token_hash: str) -> Body:
        body: Body = await self._ask("accept_invitation(%s::uuid, %s, %s)", asker.account, token_hash, TEAM.name)
        return body


class ControlAccounts(_Part):
    """Implements `ports.Accounts`."""

    async def describe(self, asker: Asker) -> Body | None:
        call = "describe(%s::uuid, %s::uuid, %s::uuid)"
        body: Body | None = await self._ask(call, asker.account, asker.workspace, asker.via)
        return body

    async def read(self, asker: Asker) -> Body | None:
        body: Body | None = await self._ask("read_account(%s::uuid, %s::uuid)", asker.account, asker.via)
        return body

    async def update(self, asker: Asker, name: str | None, settings: Body | None) -> Body:
        laid_over = None if settings is None else orjson.dumps(settings).decode()
        call = "update_account(%s::uuid, %s::uuid, %s, %s::jsonb, %s::integer)"
        body: Body = await self._ask(call, asker.account, asker.via, name, laid_over, SETTINGS_MOST_BYTES)
        return body

    async def export(self, asker: Asker) -> Body:
        body: Body = await self._ask("export_account(%s::uuid, %s::uuid)", asker.account, asker.via)
        return body

    async def request_erasure(self, asker: Asker, token_hash: str, link: str) -> Body:
        call = "request_erasure(%s::uuid, %s, %s::interval, %s, %s::integer)"
        body: Body = await self._ask(call, asker.account, token_hash, ERASURE_LASTS, link, ERASURE_MAILS_MOST)
        return body

    async def confirm_erasure(self, token_hash: str) -> Voids:
        return voids_of(await self._ask("confirm_erasure(%s)", token_hash))

    async def calls(self, workspace_id: str, days: int) -> list[tuple[date, int]]:
        statement = "SELECT day, calls FROM app.usage_of(%s::uuid, %s::integer) ORDER BY day"
        return [(day, int(calls)) for day, calls in await self._postgres.fetch(statement, [workspace_id, days])]


def _who(asker: Asker) -> tuple[str, str | None, str]:
    return asker.account, asker.via, asker.workspace
