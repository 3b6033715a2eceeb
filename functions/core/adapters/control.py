"""The control plane in PostgreSQL: one function of schema `app` for each operation (functions/migrations/postgres)."""

from __future__ import annotations

import uuid

from core.adapters.postgres import Postgres
from core.ports import Claims, KeyRecord, KeyRefused
from declarations import FREE, SCOPES

_PERSONS_SCOPES = tuple(sorted(scope.value for scope in SCOPES))


class ControlPlane:
    """Implements `ports.Directory`. Every method is one round trip and raises `problems.Unavailable`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def find_key(self, key_hash: str) -> KeyRecord | KeyRefused | None:
        rows = await self._postgres.fetch(_FIND_KEY, [key_hash])
        if not rows:
            return None
        refused, key, account, workspace, plan, scopes, version, kind, url, token, expires, *more = rows[0]
        if refused:
            return KeyRefused(refused)
        role, project, calls_per_day, epoch, created, suspended = more
        return KeyRecord(
            key_id=key,
            account_id=account,
            workspace_id=workspace,
            plan=plan,
            scopes=tuple(scopes),
            version=version,
            store_kind=kind,
            store_url=url,
            store_token=token or "",
            expires_at=expires,
            role=role,
            project=project,
            key_calls_per_day=calls_per_day,
            epoch=epoch,
            workspace_created=created,
            suspended=suspended,
        )

    async def find_member(self, claims: Claims, workspace_id: str | None) -> KeyRecord | KeyRefused | None:
        """See `ports.Directory`. The record does not end with the token: the lease is the person's, not the token's."""
        try:
            workspace = None if workspace_id is None else str(uuid.UUID(workspace_id))
        except ValueError:
            return None
        rows = await self._postgres.fetch(
            _FIND_MEMBER,
            [claims.account_id, workspace, claims.email, claims.name, claims.expires_at, FREE.name],
        )
        refused, account, workspace, plan, version, kind, url, token, role, epoch, created, suspended = rows[0]
        if refused:
            return KeyRefused(refused)
        return KeyRecord(
            key_id="",
            account_id=account,
            workspace_id=workspace,
            plan=plan,
            scopes=_PERSONS_SCOPES,
            version=version,
            store_kind=kind,
            store_url=url,
            store_token=token or "",
            role=role,
            epoch=epoch,
            workspace_created=created,
            suspended=suspended,
        )

    async def open_account(self, account_id: str, workspace_id: str, name: str, plan: str) -> None:
        """An account that owns a workspace without a store. Again: nothing happens."""
        await self._postgres.fetch(
            "SELECT app.open_account(%s::uuid, %s::uuid, %s, %s)", [account_id, workspace_id, name, plan]
        )

    async def open_memories(self, workspace_id: str) -> None:
        """The workspace's place among the memories in PostgreSQL. Again: nothing happens."""
        await self._postgres.fetch("SELECT memory.open_workspace(%s)", [workspace_id])

    async def attach_store(self, workspace_id: str, kind: str, url: str, sealed_token: str) -> None:
        """Where the workspace's memories are from now on."""
        await self._postgres.fetch(
            "SELECT app.attach_store(%s::uuid, %s, %s, %s)", [workspace_id, kind, url, sealed_token]
        )

    async def add_key(
        self, workspace_id: str, account_id: str, name: str, *, prefix: str, key_hash: str, scopes: list[str]
    ) -> None:
        """A key that does not expire. Again with the same hash: nothing happens."""
        await self._postgres.fetch(
            "SELECT app.add_key(%s::uuid, %s::uuid, %s, %s, %s, %s, NULL)",
            [workspace_id, account_id, name, prefix, key_hash, scopes],
        )

    async def revoke_key(self, key_hash: str) -> int | None:
        """Revoke a key; the version that no cached principal may be older than. None: there is no such key."""
        rows = await self._postgres.fetch("SELECT app.revoke_key(%s)", [key_hash])
        version: int | None = rows[0][0]
        return version


_FIND_KEY = """
SELECT refused, key_id, account_id, workspace_id, plan, scopes, version, store_kind, store_url, store_token, expires_at,
    role, project, key_calls_per_day, epoch, workspace_created, suspended
FROM app.admit(%s)
"""

_FIND_MEMBER = """
SELECT refused, account_id, workspace_id, plan, version, store_kind, store_url, store_token, role, epoch,
    workspace_created, suspended
FROM app.admit_member(%s::uuid, %s::uuid, %s, %s, %s::double precision, %s)
"""
