"""Workspaces: what comes on top of the control plane's own rules (links in mails, what is voided)."""

from __future__ import annotations

import uuid

from accounts.asker import Asker
from accounts.links import Links
from accounts.ports import Body, Workspaces
from core.outdated import Outdated


class WorkspaceService:
    """One for the process; each call says who asks."""

    def __init__(self, directory: Workspaces, outdated: Outdated, links: Links) -> None:
        self._directory = directory
        self._outdated = outdated
        self._links = links

    async def list_(self, asker: Asker) -> list[Body]:
        return await self._directory.list_(asker)

    async def create(self, asker: Asker, name: str) -> Body:
        """A workspace of the person, whose store a job makes."""
        body = await self._directory.create(asker, str(uuid.uuid4()), name)
        await self._outdated.wake()
        return body

    async def rename(self, asker: Asker, workspace_id: str, name: str) -> Body:
        return await self._directory.rename(asker, workspace_id, name)

    async def delete(self, asker: Asker, workspace_id: str) -> int:
        """The seconds after which nobody comes in; a job deletes what it holds."""
        return await self._outdated.void(await self._directory.delete(asker, workspace_id))

    async def members(self, asker: Asker, workspace_id: str) -> list[Body]:
        return await self._directory.members(asker, workspace_id)

    async def change_member(self, asker: Asker, workspace_id: str, account_id: str, role: str) -> int:
        """The seconds after which the role holds everywhere."""
        return await self._outdated.void(await self._directory.change_member(asker, workspace_id, account_id, role))

    async def remove_member(self, asker: Asker, workspace_id: str, account_id: str) -> int:
        """The seconds after which none of their keys is accepted."""
        return await self._outdated.void(await self._directory.remove_member(asker, workspace_id, account_id))

    async def invitations(self, asker: Asker, workspace_id: str) -> list[Body]:
        return await self._directory.invitations(asker, workspace_id)

    async def invite(self, asker: Asker, workspace_id: str, email: str, role: str) -> Body:
        """An invitation; its token goes by mail only."""
        ticket = self._links.invitation()
        body = await self._directory.invite(
            asker, workspace_id, str(uuid.uuid4()), email, role, ticket.token_hash, ticket.link
        )
        await self._outdated.wake()
        return body

    async def withdraw(self, asker: Asker, workspace_id: str, invitation_id: str) -> bool:
        return await self._directory.withdraw(asker, workspace_id, invitation_id)

    async def accept(self, asker: Asker, token: str) -> Body:
        body = await self._directory.accept(asker, self._links.hash(token))
        await self._outdated.wake()  # another seat may have to be paid for
        return body
