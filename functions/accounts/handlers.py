"""Wire <-> domain, one coroutine for each handler that `declarations.ACCOUNTS` names; here: who asks, their account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from accounts.archive.service import ArchiveService
from accounts.asker import Asker
from accounts.control import ControlAccounts, ControlKeys, ControlWorkspaces
from accounts.keys.handlers import create_key, list_keys, rename_key, revoke_key, rotate_key
from accounts.keys.service import KeyService
from accounts.links import Links
from accounts.render import verified_body
from accounts.service import AccountService
from accounts.services import Services
from accounts.usage.handlers import read_dashboard, read_usage
from accounts.usage.service import UsageService
from accounts.usage.today import CountedToday
from accounts.workspaces.handlers import (
    accept_invitation,
    change_member,
    create_workspace,
    delete_workspace,
    invite_member,
    list_invitations,
    list_members,
    list_workspaces,
    remove_member,
    rename_workspace,
    withdraw_invitation,
)
from accounts.workspaces.service import WorkspaceService
from core.bootstrap import Tools
from core.http import Call
from core.lazy import lazy
from core.outdated import Outdated
from core.seal import Sealer
from declarations import AccountsSettings
from memories.stores.by_kind import StoresByKind
from memories.stores.postgres import PostgresStores
from memories.stores.sqlite import SqliteStores
from memories.transfer.stream import Stream
from memories.validation import parse

if TYPE_CHECKING:
    from accounts import schemas
else:
    schemas = lazy("accounts.schemas")

__all__ = [
    "accept_invitation",
    "build",
    "change_member",
    "confirm_erasure",
    "create_key",
    "create_workspace",
    "delete_workspace",
    "export_account",
    "invite_member",
    "list_invitations",
    "list_keys",
    "list_members",
    "list_workspaces",
    "read_account",
    "read_credential",
    "read_dashboard",
    "read_usage",
    "remove_member",
    "rename_key",
    "rename_workspace",
    "request_erasure",
    "revoke_key",
    "rotate_key",
    "update_account",
    "withdraw_invitation",
]


def build(tools: Tools) -> Services:
    settings = tools.settings
    assert isinstance(settings, AccountsSettings), "the function's own settings"
    accounts = ControlAccounts(tools.postgres)
    outdated = Outdated(tools.admission.principals.cache, tools.wake)
    tag_secrets = settings.key_tag_secret.reveal().split()
    links = Links(settings.site_url, tag_secrets)
    stores = StoresByKind(sqlite=SqliteStores(tools.databases), postgres=PostgresStores(tools.postgres))
    sealer = Sealer(settings.store_seal_key, "STORE_SEAL_KEY")
    return Services(
        accounts=AccountService(accounts, outdated, links),
        keys=KeyService(ControlKeys(tools.postgres), outdated, tools.clock, tag_secrets),
        workspaces=WorkspaceService(ControlWorkspaces(tools.postgres), outdated, links),
        usage=UsageService(accounts, stores, tools.clock, CountedToday(tools.admission.limits.counter)),
        archive=ArchiveService(accounts, stores, sealer, tools.clock),
    )


async def read_credential(call: Call, services: Services) -> Response:
    return call.reply(verified_body(call.caller, await services.accounts.describe(Asker.of(call.caller))))


async def read_account(call: Call, services: Services) -> Response:
    return call.reply(await services.accounts.read(Asker.of(call.caller)))


async def update_account(call: Call, services: Services) -> Response:
    body = parse(schemas.AccountUpdate, await call.json())
    return call.reply(await services.accounts.update(Asker.of(call.caller), body.name, body.settings))


async def export_account(call: Call, services: Services) -> Response:
    return Stream(
        await services.archive.begin(call.caller),
        media_type="application/zip",
        headers={"Content-Disposition": 'attachment; filename="memorygraph-account.zip"'},
        request_id=call.request_id,
    )


async def request_erasure(call: Call, services: Services) -> Response:
    erasure = await services.accounts.request_erasure(Asker.person(call.caller))
    return call.reply({"mailed": True, **erasure}, 202)


async def confirm_erasure(call: Call, services: Services) -> Response:
    body = parse(schemas.ErasureConfirm, await call.json())
    seconds = await services.accounts.confirm_erasure(body.token)
    return call.reply({"erasing": True, "holds_within_seconds": seconds}, 202)
