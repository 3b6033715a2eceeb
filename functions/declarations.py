"""Every function, route, setting, size and plan of the product, stated once.

Read by the Pulumi program (function, identity, environment, secret grants), the edge Worker (path table), the local
cloud, `core.http.serve` (routing, access) and the tests. Imports the standard library and `core.settings` only, so that
reading it costs nothing.

To add a route: add it here and write the handler of that name in `functions/NAME/handlers.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.settings import NO_SECRET, Secret, Settings

VERSION = "0.1.0"

PREFIX = "/api/v1"
"""Both clients reach every route under this prefix (client contract, section 1.4)."""

BODY_LIMIT_BYTES = 1 << 20
"""Largest request body that a route reads unless it says otherwise; more is answered 413."""
IMPORT_PART_BYTES = 8 << 20
"""Largest part of an import: the platform refuses more than 32 MiB, and 60 s must suffice for its rows."""


class Access(StrEnum):
    """Who may call a route. The value of a keyed access is the scope that the API key must hold."""

    OPEN = "open"  # no key is needed, but one that is sent must be good (client contract 2.2, GET /health)
    ANY = "any"  # any good credential
    READ = "memories:read"
    WRITE = "memories:write"
    ACCOUNT = "account"  # keys, workspaces, members, usage; a signed-in person has every scope
    INTERNAL = "internal"  # Google's queue and scheduler only (core/internal.py); no key opens it


SCOPES = (Access.READ, Access.WRITE, Access.ACCOUNT)
"""What an API key may hold."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method and path; `{name}` in the path is a parameter of one segment. First match wins.

    `body_bytes` is the largest body that it reads. `once`: it takes an `Idempotency-Key`.
    """

    method: str
    path: str
    handler: str
    access: Access
    body_bytes: int = BODY_LIMIT_BYTES
    once: bool = False


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """What one function may use. Left out of the archive, so that a new size does not deploy new code."""

    memory_mb: int = 512
    cpu: int = 1
    timeout_seconds: int = 60
    concurrency: int = 80
    min_instances: int = 0
    max_instances: int = 10


@dataclass(frozen=True, kw_only=True)
class Function:
    """One deployed function. Its archive holds `functions/NAME/`, `functions/core/` and those of `packages`."""

    name: str
    packages: tuple[str, ...] = ()
    settings: type[Settings]
    routes: tuple[Route, ...]
    sizing: Sizing = Sizing()

    def path_of(self, handler: str) -> str:
        """The path of the first route to `handler`. Raises StopIteration: there is none."""
        return next(route.path for route in self.routes if route.handler == handler)


class Store(StrEnum):
    """Where a workspace's memories are. The value is the `kind` of its `core.ports.StoreAddress`."""

    SQLITE = "sqlite"  # a database of its own, at Turso
    POSTGRES = "postgres"  # beside the others in the control plane's database, under row-level security


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one workspace may do. `None` means no limit. Prices in whole dollars a month (Team: for each seat).

    `former_prices_usd` are those at which somebody may still pay: a new price is for new subscriptions only.
    """

    name: str
    price_usd: int
    calls_per_day: int
    calls_per_minute: int
    memories: int | None
    storage_mb: int
    store: Store
    by_seat: bool = False
    former_prices_usd: tuple[int, ...] = ()

    @property
    def lookup_key(self) -> str:
        """What the price that is sold is called at Stripe, which knows one price by that name."""
        return self._lookup_key(self.price_usd)

    @property
    def lookup_keys(self) -> frozenset[str]:
        """What every price is called by which somebody may have this plan. None for a free one."""
        prices = (self.price_usd, *self.former_prices_usd)
        return frozenset(self._lookup_key(price) for price in prices if price)

    def _lookup_key(self, price_usd: int) -> str:
        return f"memorygraph_{self.name}_monthly_{price_usd}_usd"


FREE = Plan(
    name="free",
    price_usd=0,
    calls_per_day=1_000,
    calls_per_minute=2_000,
    memories=100,
    storage_mb=500,
    store=Store.SQLITE,
)
PRO = Plan(
    name="pro",
    price_usd=8,
    calls_per_day=100_000,
    calls_per_minute=30_000,
    memories=10_000,
    storage_mb=5_000,
    store=Store.POSTGRES,
)
TEAM = Plan(
    name="team",
    price_usd=12,
    calls_per_day=1_000_000,
    calls_per_minute=60_000,
    memories=None,
    storage_mb=50_000,
    store=Store.POSTGRES,
    by_seat=True,
)
PLANS = {plan.name: plan for plan in (FREE, PRO, TEAM)}
PAID = tuple(plan for plan in PLANS.values() if plan.price_usd)
"""From the smallest to the largest."""
PLANS_BY_PRICE = {lookup_key: plan for plan in PAID for lookup_key in plan.lookup_keys}
"""Whatever else Stripe sells grants nothing."""

STRIPE_API_VERSION = "2026-10-28.endive"
"""Of what we ask of Stripe and of what it sends. stripe-python 16 is made for it."""
STRIPE_EVENTS = (
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.refunded",
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "checkout.session.expired",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.updated",
    "invoice.paid",
    "invoice.payment_failed",
    "subscription_schedule.canceled",
    "subscription_schedule.released",
    "subscription_schedule.updated",
)
"""What Stripe tells us of."""
GRACE_DAYS = 14
"""How long a paid plan goes on when its payment fails."""

MIGRATION_CREDIT_CALLS = 5_000
"""Calls that a new workspace may make once beyond its day's: what moving 1,000 local memories takes."""
MIGRATION_CREDIT_DAYS = 30
"""How long a workspace is new."""
MINUTE_WAIT_SECONDS = 5
"""How long a call over the minute's limit waits for the next minute before it is refused."""
KEYS_MOST = 20
"""API keys of one workspace that are not revoked."""


@dataclass(frozen=True, kw_only=True)
class FunctionSettings(Settings):
    """What every function behind the edge needs.

    `edge_secret` signs the hop from the Worker. It holds one secret, or two separated by a space (current, previous)
    while it is being rotated. `sentry_dsn` is where failures are told of; empty: nowhere.
    """

    edge_secret: Secret
    sentry_dsn: Secret = NO_SECRET


@dataclass(frozen=True, kw_only=True)
class AdmissionSettings(FunctionSettings):
    """What it takes to know who asks: the control plane, the cache in front of it, and the keys that protect both.

    Every secret key is 32 random bytes in URL-safe base64; `*_key` ones may hold two, separated by a space. `auth_url`
    is who signs people's tokens, as they name it; without one only keys are accepted.
    """

    auth_url: str = ""
    database_url: Secret
    redis_url: str
    redis_token: Secret
    key_tag_secret: Secret
    principal_seal_key: Secret


@dataclass(frozen=True, kw_only=True)
class MemoriesSettings(AdmissionSettings):
    """`store_seal_key` opens the per-workspace store tokens that provisioning sealed."""

    store_seal_key: Secret


@dataclass(frozen=True, kw_only=True)
class AccountsSettings(AdmissionSettings):
    """`store_seal_key` opens the stores, to tell how full they are and for the archive of all that is held of a person.

    `tasks_url` is the queue's address, to wake `provisioning`; `site_url` is where links in mails lead.
    """

    store_seal_key: Secret
    tasks_url: str
    site_url: str


@dataclass(frozen=True, kw_only=True)
class BillingSettings(AdmissionSettings):
    """What it takes to sell plans. Without `stripe_api_key` none are sold.

    `stripe_webhook_secret` holds one secret, or two separated by a space (current, previous). `stripe_api_url` is empty
    for Stripe's own address; `stripe_portal` is the id of the portal's configuration. `tasks_url` wakes `provisioning`,
    `site_url` is where Stripe sends people back to, `free_store` as in `StoreOpeningSettings`. Both Stripe secrets are
    read anew at use when `secrets_prefix` says where, as in `ProvisioningFunctionSettings`.
    """

    stripe_api_key: Secret = NO_SECRET
    stripe_webhook_secret: Secret = NO_SECRET
    stripe_api_url: str = ""
    stripe_portal: str = ""
    tasks_url: str
    site_url: str
    free_store: str = Store.SQLITE.value
    secrets_prefix: str = ""
    secret_manager_url: str = ""


@dataclass(frozen=True, kw_only=True)
class StoreOpeningSettings(Settings):
    """What opens and closes stores: the control plane, the cache in front of it, the seal, and Turso's platform API.

    `free_store` is where the free plan's workspaces are: a `Store`.
    """

    database_url: Secret
    redis_url: str
    redis_token: Secret
    free_store: str = Store.SQLITE.value
    store_seal_key: Secret
    turso_api_url: str
    turso_api_token: Secret
    turso_organization: str
    turso_group: str


@dataclass(frozen=True, kw_only=True)
class ProvisioningSettings(StoreOpeningSettings):
    """What the operator's `make key` needs besides, to issue a key; from the stack's `operator` output."""

    key_tag_secret: Secret


@dataclass(frozen=True, kw_only=True)
class ProvisioningFunctionSettings(StoreOpeningSettings):
    """What the deployed function needs besides: mail, Supabase's users, and who may call it.

    It issues no key and admits nobody, so it holds no secret for that. `auth_url` is Supabase's, `mail_from` is the
    sender of mails, `operator_email` who is told of trouble, `auth_secret_key` a key of the project that may delete
    users. Callers prove themselves by OIDC tokens of `oidc_caller` (an address of a service account), signed by a key
    in `oidc_certs_url`; for whom they are is checked by the platform, since a function cannot know its own address.
    `stripe_api_key` and `stripe_api_url` as in `BillingSettings`. Backups go to `backup_bucket` (empty: none are made),
    by Google's address or `storage_url`; `backup_database_url` is that of the role that may read everything and write
    nothing, through the session pooler. The secrets turso_api_token, smtp_password,
    auth_secret_key and stripe_api_key are read anew at use when `secrets_prefix` says where
    (projects/PROJECT/secrets/FUNCTION-), by Google's address or `secret_manager_url`.
    """

    turso_databases_most: int  # that Turso's plan has room for; 0: as many as one likes
    smtp_host: str
    smtp_port: int
    smtp_user: str = ""  # empty: the server asks for none
    smtp_password: Secret
    mail_from: str
    operator_email: str
    site_url: str
    auth_url: str
    auth_secret_key: Secret
    oidc_certs_url: str
    oidc_caller: str
    stripe_api_key: Secret = NO_SECRET
    stripe_api_url: str = ""
    backup_bucket: str = ""
    backup_database_url: Secret = NO_SECRET
    storage_url: str = ""
    sentry_dsn: Secret = NO_SECRET
    secrets_prefix: str = ""
    secret_manager_url: str = ""


def _route(
    method: str, path: str, handler: str, access: Access, *, body_bytes: int = BODY_LIMIT_BYTES, once: bool = False
) -> Route:
    return Route(method=method, path=PREFIX + path, handler=handler, access=access, body_bytes=body_bytes, once=once)


MEMORIES = Function(
    name="memories",
    settings=MemoriesSettings,
    sizing=Sizing(memory_mb=512, cpu=1, timeout_seconds=60, concurrency=80, max_instances=10),
    routes=(
        _route("GET", "/health", "read_health", Access.OPEN),
        _route("GET", "/openapi.json", "read_openapi", Access.OPEN),
        _route("GET", "/docs", "read_docs", Access.OPEN),
        # memories
        _route("POST", "/memories", "create_memory", Access.WRITE, once=True),
        _route("GET", "/memories", "list_memories", Access.READ),
        _route("GET", "/memories/recall", "recall_memories", Access.READ),
        _route("GET", "/memories/recent", "read_recent", Access.READ),
        _route("POST", "/memories/batch", "create_memories", Access.WRITE, once=True),
        _route("GET", "/memories/{id}", "read_memory", Access.READ),
        _route("PUT", "/memories/{id}", "update_memory", Access.WRITE),
        _route("PATCH", "/memories/{id}", "update_memory", Access.WRITE),
        _route("DELETE", "/memories/{id}", "delete_memory", Access.WRITE),
        _route("POST", "/search/advanced", "search_memories", Access.READ),
        _route("POST", "/search/recall", "recall_memories", Access.READ),
        _route("POST", "/search/contextual", "search_neighbourhood", Access.READ),
        _route("GET", "/graphs/statistics", "read_statistics", Access.READ),
        # relationships
        _route("GET", "/memories/{id}/related", "list_related", Access.READ),
        _route("GET", "/search/memories/{id}/related", "list_related", Access.READ),
        _route("GET", "/memories/{id}/history", "read_history", Access.READ),
        _route("GET", "/memories/{id}/path/{other}", "find_path", Access.READ),
        _route("POST", "/relationships", "create_relationship", Access.WRITE, once=True),
        _route("GET", "/relationships/types", "list_relationship_types", Access.READ),
        _route("GET", "/relationships/changes", "list_changes", Access.READ),
        _route("POST", "/relationships/search", "search_relationships", Access.READ),
        _route("GET", "/relationships/{id}", "read_relationship", Access.READ),
        _route("PUT", "/relationships/{id}", "update_relationship", Access.WRITE),
        _route("PATCH", "/relationships/{id}", "update_relationship", Access.WRITE),
        _route("DELETE", "/relationships/{id}", "delete_relationship", Access.WRITE),
        _route("POST", "/relationships/{id}/reinforce", "reinforce_relationship", Access.WRITE, once=True),
        _route("POST", "/relationships/{id}/invalidate", "invalidate_relationship", Access.WRITE),
        # all of it
        _route("GET", "/export", "export_memories", Access.READ),
        _route("POST", "/import", "import_part", Access.WRITE, body_bytes=IMPORT_PART_BYTES),
        _route("GET", "/import/{import_id}", "read_import", Access.READ),
    ),
)

ACCOUNTS = Function(
    name="accounts",
    settings=AccountsSettings,
    packages=("memories",),
    sizing=Sizing(memory_mb=512, cpu=1, timeout_seconds=60, concurrency=80, max_instances=10),
    routes=(
        _route("GET", "/auth/verify", "read_credential", Access.ANY),
        _route("GET", "/account", "read_account", Access.ACCOUNT),
        _route("PATCH", "/account", "update_account", Access.ACCOUNT),
        _route("GET", "/account/export", "export_account", Access.ACCOUNT),
        _route("POST", "/account/erasure", "request_erasure", Access.ACCOUNT),
        _route("POST", "/account/erasure/confirm", "confirm_erasure", Access.OPEN),
        # keys
        _route("GET", "/api-keys", "list_keys", Access.ACCOUNT),
        _route("POST", "/api-keys", "create_key", Access.ACCOUNT),
        _route("PATCH", "/api-keys/{id}", "rename_key", Access.ACCOUNT),
        _route("POST", "/api-keys/{id}/rotate", "rotate_key", Access.ACCOUNT),
        _route("DELETE", "/api-keys/{id}", "revoke_key", Access.ACCOUNT),
        # workspaces and who is in them
        _route("GET", "/workspaces", "list_workspaces", Access.ACCOUNT),
        _route("POST", "/workspaces", "create_workspace", Access.ACCOUNT),
        _route("PATCH", "/workspaces/{id}", "rename_workspace", Access.ACCOUNT),
        _route("DELETE", "/workspaces/{id}", "delete_workspace", Access.ACCOUNT),
        _route("GET", "/workspaces/{id}/members", "list_members", Access.ACCOUNT),
        _route("PATCH", "/workspaces/{id}/members/{account}", "change_member", Access.ACCOUNT),
        _route("DELETE", "/workspaces/{id}/members/{account}", "remove_member", Access.ACCOUNT),
        _route("GET", "/workspaces/{id}/invitations", "list_invitations", Access.ACCOUNT),
        _route("POST", "/workspaces/{id}/invitations", "invite_member", Access.ACCOUNT),
        _route("DELETE", "/workspaces/{id}/invitations/{invitation}", "withdraw_invitation", Access.ACCOUNT),
        _route("POST", "/invitations/accept", "accept_invitation", Access.ACCOUNT),
        # use
        _route("GET", "/usage", "read_usage", Access.ACCOUNT),
        _route("GET", "/dashboard/stats", "read_dashboard", Access.ACCOUNT),
    ),
)

WEBHOOK_BYTES = 512 << 10
"""Largest delivery of Stripe that is read; theirs are some ten kilobytes."""

BILLING = Function(
    name="billing",
    settings=BillingSettings,
    packages=("accounts", "memories"),
    sizing=Sizing(memory_mb=512, cpu=1, timeout_seconds=60, concurrency=80, max_instances=10),
    routes=(
        _route("GET", "/billing", "read_billing", Access.ACCOUNT),
        _route("POST", "/billing/checkout", "open_checkout", Access.ACCOUNT, once=True),
        _route("POST", "/billing/portal", "open_portal", Access.ACCOUNT),
        _route("POST", "/billing/plan", "change_plan", Access.ACCOUNT, once=True),
        _route("DELETE", "/billing/plan", "keep_plan", Access.ACCOUNT),
        _route("POST", "/webhooks/stripe", "receive_event", Access.OPEN, body_bytes=WEBHOOK_BYTES),
    ),
)

PROVISIONING = Function(
    name="provisioning",
    settings=ProvisioningFunctionSettings,
    packages=("accounts", "billing", "memories", "migrations"),
    sizing=Sizing(memory_mb=512, cpu=1, timeout_seconds=1800, concurrency=4, max_instances=2),
    routes=(
        Route(method="POST", path="/jobs", handler="run_jobs", access=Access.INTERNAL),
        Route(method="POST", path="/sweep", handler="sweep", access=Access.INTERNAL),
        Route(method="POST", path="/reconcile", handler="reconcile", access=Access.INTERNAL),
        Route(method="POST", path="/backup", handler="back_up", access=Access.INTERNAL),
        Route(method="POST", path="/restore-check", handler="check_backups", access=Access.INTERNAL),
        Route(method="GET", path="/health", handler="read_health", access=Access.OPEN),
    ),
)

FUNCTIONS = (MEMORIES, ACCOUNTS, BILLING)
"""Those behind the edge."""
DEPLOYED = (*FUNCTIONS, PROVISIONING)
