"""The control plane in PostgreSQL: one function of schema `app` for each operation (functions/migrations/postgres)."""

from __future__ import annotations

from core.adapters.postgres import Postgres
from core.ports import KeyRecord, KeyRefused


class ControlPlane:
    """Implements `ports.Directory`. Every method is one round trip and raises `problems.Unavailable`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def find_key(self, key_hash: str) -> KeyRecord | KeyRefused | None:
        rows = await self._postgres.fetch(_FIND_KEY, [key_hash])
        if not rows:
            return None
        refused, key, account, workspace, plan, scopes, version, kind, url, token, expires = rows[0]
        if refused:
            return KeyRefused(refused)
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
        )


_FIND_KEY = """
SELECT refused, key_id, account_id, workspace_id, plan, scopes, version, store_kind, store_url, store_token, expires_at
FROM app.admit(%s)
"""
