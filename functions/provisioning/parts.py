"""Settings -> Parts: what the jobs and the sweep work with. It connects to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from billing.control import ControlBilling
from billing.ports import Ledger as BillingLedger
from billing.ports import Payments
from billing.selling import sells
from billing.settling import Settler
from billing.stripe.payments import StripePayments
from core import bootstrap, rotation
from core.bootstrap import ProvisioningTools, SystemClock
from core.outdated import Outdated
from core.ports import Clock, StoreAddress
from core.rotation import SecretSource
from declarations import ProvisioningFunctionSettings, Store
from memories.stores.by_kind import StoresByKind
from memories.stores.ports_move import MovableStore, MovableStores
from memories.stores.postgres import PostgresStores
from memories.stores.postgres.moves import PostgresMovables
from memories.stores.sqlite import SqliteStores
from memories.stores.sqlite.moves import SqliteMovables
from provisioning.backups import tools as backup_tools
from provisioning.backups.tools import Backups
from provisioning.counters import Counters
from provisioning.ledger import Ledger
from provisioning.mailer import Mailer
from provisioning.outbox import Outbox
from provisioning.service import stores_of
from provisioning.stores import Stores
from provisioning.users import Users
from provisioning.watch import Watch

ROTATING = ("turso_api_token", "smtp_password", "auth_secret_key", "stripe_api_key")
"""Secrets that are read at use; a new value of any other needs a new revision."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """`close` it in the event loop that used it.

    `contents` opens what is inside the stores, `movables` the same below the fence; `stores` are the stores themselves.
    `payments` and `settler` are None where no plans are sold, `backups` where none are kept.
    """

    settings: ProvisioningFunctionSettings
    tools: ProvisioningTools
    clock: Clock
    outbox: Outbox
    ledger: Ledger
    stores: Stores
    contents: StoresByKind
    movables: Mapping[str, MovableStores]
    counters: Counters
    mailer: Mailer
    users: Users
    billing: BillingLedger
    watch: Watch
    payments: Payments | None
    settler: Settler | None
    sources: tuple[SecretSource, ...]
    backups: Backups | None = None

    def movable(self, address: StoreAddress) -> MovableStore:
        """What is at an address, below its fence."""
        return self.movables[address.kind].open(address)

    async def close(self) -> None:
        await self.counters.close()
        self.mailer.close()
        if isinstance(self.payments, StripePayments):
            await self.payments.close()
        for one in self.sources:
            await one.close()
        await self.tools.close()


def build(settings: ProvisioningFunctionSettings, tools: ProvisioningTools | None = None) -> Parts:
    """The parts of one function process.

    Args:
        tools: for tests; otherwise they are built from `settings`.

    Raises:
        SettingsError: a key among the settings is malformed.
    """
    tools = tools or bootstrap.build_provisioning(settings)
    sources = {field: rotation.source(settings, field) for field in ROTATING}
    billing = ControlBilling(tools.postgres)
    payments: Payments | None = None
    settler: Settler | None = None
    if sells(settings.stripe_api_key):
        payments = StripePayments(sources["stripe_api_key"], settings.stripe_api_url)
        settler = settler_of(settings, tools, payments, billing)
    return Parts(
        settings=settings,
        tools=tools,
        clock=SystemClock(),
        outbox=Outbox(tools.postgres),
        ledger=Ledger(tools.postgres),
        stores=stores_of(settings, tools, sources["turso_api_token"]),
        contents=StoresByKind(sqlite=SqliteStores(tools.databases), postgres=PostgresStores(tools.postgres)),
        movables={
            Store.SQLITE.value: SqliteMovables(tools.databases),
            Store.POSTGRES.value: PostgresMovables(tools.postgres),
        },
        counters=Counters(settings.redis_url, settings.redis_token),
        mailer=Mailer(
            settings.smtp_host, settings.smtp_port, settings.smtp_user, sources["smtp_password"], settings.mail_from
        ),
        users=Users(tools.http, settings.auth_url, sources["auth_secret_key"]),
        billing=billing,
        watch=Watch(tools.postgres),
        payments=payments,
        settler=settler,
        sources=tuple(sources.values()),
        backups=backup_tools.build(settings, tools.http, tools.postgres),
    )


def settler_of(
    settings: ProvisioningFunctionSettings, tools: ProvisioningTools, payments: Payments, billing: BillingLedger
) -> Settler:
    """What makes workspaces what their customers pay for. It wakes nobody: who settles here does the jobs."""
    return Settler(payments, billing, Outdated(tools.cache, None), SystemClock(), free=Store(settings.free_store))
