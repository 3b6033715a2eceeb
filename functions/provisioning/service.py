"""What the operator does by hand: opens an account, revokes a key, looks at jobs.

Order of `open_account`: rows first (so that nothing outside is ever without an owner), then the store that the plan
says (a database with its schema, or a place in PostgreSQL), its address, and the key last, so that a key that exists
always works. Every step can be run again: an account that was left half open is finished by calling again with its id.

It is done at once, without a job. What it does with stores is what the jobs do (stores.py); here a refusal is told
instead of getting around it.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from core import bootstrap, keys
from core.adapters.postgres import StatementRefused
from core.admission import LEASE_SECONDS, SHARED_SECONDS
from core.bootstrap import ProvisioningTools, SystemClock
from core.problems import Conflict, Internal, Invalid, NotFound
from core.rotation import Fixed, SecretSource
from declarations import PLANS, SCOPES, ProvisioningSettings, Store, StoreOpeningSettings
from provisioning.outbox import Outbox
from provisioning.placements import Placements
from provisioning.stores import Stores
from provisioning.turso import Turso

KEY_NAME = "first key"
KEY_SCOPES = sorted(scope.value for scope in SCOPES)

JOB_STATES = ("waiting", "running", "done", "dead")

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
        stores = stores_of(settings, tools, Fixed(settings.turso_api_token))
        if not await stores.place(workspace, await stores.open(workspace, PLANS[plan])):
            raise Conflict(f"The workspace {workspace} has its memories elsewhere already. Leave the plan as it is.")
        key = keys.issue(settings.key_tag_secret.reveal().split())
        await tools.control.add_key(
            workspace, str(account), KEY_NAME, prefix=key.prefix, key_hash=key.hash, scopes=KEY_SCOPES
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


async def list_jobs(settings: ProvisioningSettings, state: str, *, tools: ProvisioningTools | None = None) -> str:
    """Jobs in a state (`JOB_STATES`), one a line, the newest first.

    Raises:
        Invalid: there is no such state.
        Unavailable: the control plane does not answer.
    """
    if state not in JOB_STATES:
        raise Invalid(f"There is no state {state!r}. States: {', '.join(JOB_STATES)}.")
    async with _using(settings, tools) as tools:
        found = await Outbox(tools.postgres).listed(state)
    return "\n".join(str(job) for job in found) or f"No job is {state}."


async def revive_job(settings: ProvisioningSettings, job: str, *, tools: ProvisioningTools | None = None) -> str:
    """Give a dead job another life; the next sweep takes it up.

    Raises:
        NotFound: no dead job of this id can be done again.
        Unavailable: the control plane does not answer.
    """
    try:
        name = str(uuid.UUID(job.strip()))
    except ValueError:
        raise Invalid("This is no id of a job. Copy it from the list.") from None
    async with _using(settings, tools) as tools:
        if not await Outbox(tools.postgres).revive(name):
            raise NotFound("There is no such dead job, it is a mail (of which nothing is kept), or another does it.")
    return "It is waiting again. The next sweep takes it up, within five minutes."


def workspace_of(account: uuid.UUID) -> str:
    """The id of an account's own workspace: always the same, so that opening it again opens the same."""
    return str(uuid.uuid5(_WORKSPACES, str(account)))


def stores_of(settings: StoreOpeningSettings, tools: ProvisioningTools, turso_token: SecretSource) -> Stores:
    """What opens and closes stores."""
    turso = Turso(tools.http, settings.turso_api_url, turso_token, settings.turso_organization, settings.turso_group)
    return Stores(
        turso=turso,
        databases=tools.databases,
        sealer=tools.store_sealer,
        control=tools.control,
        placements=Placements(tools.postgres),
        clock=SystemClock(),
        free=Store(settings.free_store),
    )


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
