"""Wire <-> domain of workspaces, their members and invitations. A person chooses one by the header X-Workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from accounts.asker import Asker, known_id
from accounts.services import Services
from core.http import Call
from core.lazy import lazy
from core.problems import NotFound
from memories.validation import parse

if TYPE_CHECKING:
    from accounts import schemas
else:
    schemas = lazy("accounts.schemas")


async def list_workspaces(call: Call, services: Services) -> Response:
    asker = Asker.of(call.caller)
    return call.reply({"workspaces": await services.workspaces.list_(asker), "current": asker.workspace})


async def create_workspace(call: Call, services: Services) -> Response:
    asker = Asker.person(call.caller)
    body = parse(schemas.WorkspaceName, await call.json())
    return call.reply(await services.workspaces.create(asker, body.name), 201)


async def rename_workspace(call: Call, services: Services) -> Response:
    body = parse(schemas.WorkspaceName, await call.json())
    return call.reply(await services.workspaces.rename(Asker.of(call.caller), _workspace(call), body.name))


async def delete_workspace(call: Call, services: Services) -> Response:
    seconds = await services.workspaces.delete(Asker.person(call.caller), _workspace(call))
    return call.reply({"deleted": True, "holds_within_seconds": seconds})


async def list_members(call: Call, services: Services) -> Response:
    return call.reply({"members": await services.workspaces.members(Asker.of(call.caller), _workspace(call))})


async def change_member(call: Call, services: Services) -> Response:
    body = parse(schemas.MemberChange, await call.json())
    account = known_id(call.path["account"], "member")
    seconds = await services.workspaces.change_member(Asker.of(call.caller), _workspace(call), account, body.role.value)
    return call.reply({"account_id": account, "role": body.role.value, "holds_within_seconds": seconds})


async def remove_member(call: Call, services: Services) -> Response:
    account = known_id(call.path["account"], "member")
    seconds = await services.workspaces.remove_member(Asker.of(call.caller), _workspace(call), account)
    return call.reply({"removed": True, "holds_within_seconds": seconds})


async def list_invitations(call: Call, services: Services) -> Response:
    found = await services.workspaces.invitations(Asker.of(call.caller), _workspace(call))
    return call.reply({"invitations": found})


async def invite_member(call: Call, services: Services) -> Response:
    body = parse(schemas.InvitationCreate, await call.json())
    invitation = await services.workspaces.invite(Asker.of(call.caller), _workspace(call), body.email, body.role.value)
    return call.reply(invitation, 201)


async def withdraw_invitation(call: Call, services: Services) -> Response:
    invitation = known_id(call.path["invitation"], "invitation")
    if not await services.workspaces.withdraw(Asker.of(call.caller), _workspace(call), invitation):
        raise NotFound("There is no open invitation of that id in this workspace.")
    return call.no_content()


async def accept_invitation(call: Call, services: Services) -> Response:
    asker = Asker.person(call.caller)
    body = parse(schemas.InvitationAccept, await call.json())
    return call.reply(await services.workspaces.accept(asker, body.token))


def _workspace(call: Call) -> str:
    return known_id(call.path["id"], "workspace")
