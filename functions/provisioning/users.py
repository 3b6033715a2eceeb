"""Supabase Auth's users, by its admin API, with the project's secret key.

The key goes in the header `apikey` alone: it is no JWT, and must not be sent as one.
"""

from __future__ import annotations

import uuid

from core.adapters.http1 import HttpClient, HttpError
from core.problems import Internal, Unavailable
from core.rotation import SecretSource

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 10.0


class Users:
    """The people who can sign in.

    Args:
        auth_url: Supabase Auth's address, such as https://REF.supabase.co/auth/v1.
    """

    def __init__(self, client: HttpClient, auth_url: str, secret_key: SecretSource) -> None:
        self._client = client
        self._base = f"{auth_url.rstrip('/')}/admin/users"
        self._secret_key = secret_key

    async def delete(self, account: str) -> None:
        """Delete a user, their sessions and identities; one that is not there is deleted.

        Raises:
            Internal: it refuses.
            Unavailable: no answer in time.
        """
        status = await self._ask("DELETE", account)
        if status not in (200, 204, 404):
            raise Internal(f"Supabase Auth refused to delete a user ({status}). {_hint(status)}")

    async def exists(self, account: str) -> bool:
        """Raises as `delete` does."""
        status = await self._ask("GET", account)
        if status not in (200, 404):
            raise Internal(f"Supabase Auth refused to look for a user ({status}). {_hint(status)}")
        return status == 200

    async def _ask(self, method: str, account: str) -> int:
        secret_key = await self._secret_key.read()
        try:
            answer = await self._client.request(
                method,
                f"{self._base}/{uuid.UUID(account)}",
                b"{}" if method == "DELETE" else b"",
                {"apikey": secret_key.reveal(), "Content-Type": "application/json"},
                timeout=ANSWER_SECONDS,
                connect_timeout=CONNECT_SECONDS,
            )
        except HttpError as error:
            raise Unavailable(f"Supabase Auth does not answer: {error}.", part="auth") from None
        if answer.status >= 500 or answer.status == 429:
            raise Unavailable(f"Supabase Auth answers {answer.status}.", part="auth")
        return answer.status


def _hint(status: int) -> str:
    if status in (401, 403):
        return "AUTH_SECRET_KEY is not a secret key of this project: set a new one."
    return "AUTH_URL may be wrong."
