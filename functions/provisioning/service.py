"""Opening an account and revoking a key. Until people sign up on the site, only the operator's `make key` calls it.

Order of `open_account`: rows first (so that nothing outside is ever without an owner), then the store that the plan
says (a database with its schema, or a place in PostgreSQL), its address, and the key last, so that a key that exists
always works. Every step can be run again: an account that was left half open is finished by calling again with its id.

Left out: jobs, sign-up, moving a workspace from one store to another.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from core import bootstrap, keys, migrations
from core.adapters.postgres import StatementRefused
from core.admission import LEASE_SECONDS, SHARED_SECONDS
from core.bootstrap import ProvisioningTools
from core.ports import Database, StatementFailed, StoreAddress
from core.problems import Internal, Invalid, NotFound, Unavailable
from core.settings import Secret
from core.urls import base_url, workspace_url
from declarations import PLANS, Access, ProvisioningSettings, Store
from provisioning.turso import Turso

KEY_NAME = "first key"
SCOPES = sorted(access.value for access in Access if access is not Access.OPEN)

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between tries to reach a new database: its name takes a moment to become known."""

_WORKSPACES = uuid.UUID("6f2a9f5c-4c9e-4d53-9d0b-0d6c1b0f7a11")


@dataclass(frozen=True, slots=True)
class Revocation:
    """A key that was revoked: after `seconds` at most it is accepted nowhere."""

    seconds: int

    def __str__(self) -> str:
        return f"Revoked. The key stops working within {self.seconds} seconds."


async def open_account(
    settings: ProvisioningSettings,
    plan: str,
    name: str = "My workspace",
    *,
    account_id: uuid.UUID | None = None,
    tools: ProvisioningTools | None = None,
) -> str:
    """Open an account with one workspace and one key, and give the key: it is not stored and cannot be shown again.

    Args:
        plan: a name in `declarations.PLANS`.
        account_id: to finish an account that was left half open; a new one by default.
        tools: for tests; otherwise they are built from `settings`.

    Raises:
        Invalid: there is no such plan.
        Unavailable: a part does not answer in time.
        Internal: a part refuses; the detail says which, and what to do.
    """
    if plan not in PLANS:
        raise Invalid(f"There is no plan {plan!r}. Plans: {', '.join(PLANS)}.")
    account = account_id or uuid.uuid4()
    workspace = workspace_of(account)
    async with _using(settings, tools) as tools:
        await tools.control.open_account(str(account), workspace, name, plan)
        address = await _open_store(settings, tools, workspace, PLANS[plan].store)
        sealed = tools.store_sealer.seal_text(address.token.reveal(), workspace)
        await tools.control.attach_store(workspace, address.kind, address.url, sealed)
        key = keys.issue(settings.key_tag_secret.reveal().split())
        await tools.control.add_key(
            workspace, str(account), KEY_NAME, prefix=key.prefix, key_hash=key.hash, scopes=SCOPES
        )
    return key.text


async def revoke_key(settings: ProvisioningSettings, key: str, *, tools: ProvisioningTools | None = None) -> Revocation:
    """Revoke a key; again is the same.

    Raises:
        NotFound: there is no such key.
        Unavailable: the control plane does not answer; nothing was revoked.
    """
    key_hash = keys.hash_key(key.strip())
    async with _using(settings, tools) as tools:
        version = await tools.control.revoke_key(key_hash)
        if version is None:
            raise NotFound("There is no such key. Give the whole key, as it was printed.")
        certain = await tools.cache.void(key_hash, version)
    return Revocation(int(LEASE_SECONDS if certain else SHARED_SECONDS))


def workspace_of(account: uuid.UUID) -> str:
    """The id of an account's own workspace: always the same, so that opening it again opens the same."""
    return str(uuid.uuid5(_WORKSPACES, str(account)))


def database_name(workspace: str) -> str:
    """Turso's name of a workspace's database: lower-case letters, digits and dashes, 64 at most."""
    return f"ws-{uuid.UUID(workspace).hex}"


async def _open_store(
    settings: ProvisioningSettings, tools: ProvisioningTools, workspace: str, store: Store
) -> StoreAddress:
    if store is Store.POSTGRES:
        await tools.control.open_memories(workspace)
        return StoreAddress(store.value, workspace_url(workspace), Secret(""))
    turso = Turso(
        tools.http,
        settings.turso_api_url,
        settings.turso_api_token,
        settings.turso_organization,
        settings.turso_group,
    )
    database = database_name(workspace)
    hostname = await turso.open_database(database)
    token = await turso.make_token(database)
    address = StoreAddress(store.value, base_url(hostname), token)
    await _apply_schema(tools.databases.open(address))
    return address


async def _apply_schema(database: Database) -> None:
    for pause in (*PAUSES, None):
        try:
            await migrations.apply(database, migrations.load(Store.SQLITE))
        except Unavailable:
            if pause is None:
                raise
            await asyncio.sleep(pause)
        except StatementFailed as error:
            raise Internal(f"The new database refuses its schema: {error.message}.") from None
        else:
            return


@asynccontextmanager
async def _using(settings: ProvisioningSettings, tools: ProvisioningTools | None) -> AsyncIterator[ProvisioningTools]:
    used = tools or bootstrap.build_provisioning(settings)
    try:
        yield used
    except StatementRefused as error:
        raise Internal(f"The control plane refuses ({error}). Run `pulumi up`: a migration may be missing.") from None
    finally:
        if tools is None:
            await used.close()
