"""What the services need of the outside. Bodies are JSON objects as the control plane makes them (0009_people.sql).

Every method may raise `problems.Unavailable`, and the problems of `refusals.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from accounts.asker import Asker
from core.keys import ApiKey
from core.ports import Voids

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key to make. `id` is chosen by the caller, so that asking twice makes one."""

    id: str
    name: str
    scopes: Sequence[str]
    project: str | None = None
    calls_per_day: int | None = None
    expires_at: datetime | None = None


class Keys(Protocol):
    """The API keys of a workspace."""

    async def create(self, asker: Asker, key: NewKey, secret: ApiKey) -> Body: ...

    async def list_(self, asker: Asker) -> list[Body]: ...

    async def rename(self, asker: Asker, key_id: str, name: str) -> Body: ...

    async def rotate(
        self, asker: Asker, key_id: str, next_id: str, secret: ApiKey, overlap: timedelta
    ) -> tuple[Body, Body, Voids]:
        """The new key and the one before."""
        ...

    async def revoke(self, asker: Asker, key_id: str) -> Voids: ...


class Workspaces(Protocol):
    """Workspaces, who is in them, and who is asked to come."""

    async def list_(self, asker: Asker) -> list[Body]: ...

    async def create(self, asker: Asker, workspace_id: str, name: str) -> Body: ...

    async def rename(self, asker: Asker, workspace_id: str, name: str) -> Body: ...

    async def delete(self, asker: Asker, workspace_id: str) -> Voids: ...

    async def members(self, asker: Asker, workspace_id: str) -> list[Body]: ...

    async def change_member(self, asker: Asker, workspace_id: str, account_id: str, role: str) -> Voids: ...

    async def remove_member(self, asker: Asker, workspace_id: str, account_id: str) -> Voids: ...

    async def invitations(self, asker: Asker, workspace_id: str) -> list[Body]: ...

    async def invite(
        self, asker: Asker, workspace_id: str, invitation_id: str, email: str, role: str, token_hash: str, link: str
    ) -> Body: ...

    async def withdraw(self, asker: Asker, workspace_id: str, invitation_id: str) -> bool: ...

    async def accept(self, asker: Asker, token_hash: str) -> Body: ...


class Accounts(Protocol):
    """People, and what is known of them."""

    async def describe(self, asker: Asker) -> Body | None:
        """The account, the workspace, the role, the key; None: one of them is gone."""
        ...

    async def read(self, asker: Asker) -> Body | None: ...

    async def update(self, asker: Asker, name: str | None, settings: Body | None) -> Body: ...

    async def export(self, asker: Asker) -> Body: ...

    async def request_erasure(self, asker: Asker, token_hash: str, link: str) -> Body: ...

    async def confirm_erasure(self, token_hash: str) -> Voids: ...

    async def calls(self, workspace_id: str, days: int) -> list[tuple[date, int]]:
        """Calls of the last days, as the sweep counted them; days without any are left out."""
        ...


class Today(Protocol):
    """The calls of the running day, which the sweep has not counted yet."""

    async def calls(self, workspace_id: str, day: date) -> int | None:
        """None: it cannot be told."""
        ...
