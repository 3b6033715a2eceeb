"""Every function, route, setting, size and plan of the product, stated once.

Read by the Pulumi program (function, identity, environment, secret grants), the edge Worker (path table), the local
cloud, `core.http.serve` (routing, access) and the tests. Imports the standard library and `core.settings` only, so that
reading it costs nothing.

To add a route: add it here and write the handler of that name in `functions/NAME/handlers.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.settings import Secret, Settings

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
    READ = "memories:read"
    WRITE = "memories:write"


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
    """One deployed function. Its archive holds `functions/NAME/` and `functions/core/`."""

    name: str
    settings: type[Settings]
    routes: tuple[Route, ...]
    sizing: Sizing = Sizing()


class Store(StrEnum):
    """Where a workspace's memories are. The value is the `kind` of its `core.ports.StoreAddress`."""

    SQLITE = "sqlite"  # a database of its own, at Turso
    POSTGRES = "postgres"  # beside the others in the control plane's database, under row-level security


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one workspace may do. `None` means no limit. Prices in whole dollars a month (Team: for each seat)."""

    name: str
    price_usd: int
    calls_per_day: int
    calls_per_minute: int
    memories: int | None
    storage_mb: int
    store: Store


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
)
PLANS = {plan.name: plan for plan in (FREE, PRO, TEAM)}


@dataclass(frozen=True, kw_only=True)
class FunctionSettings(Settings):
    """What every function behind the edge needs.

    `edge_secret` signs the hop from the Worker. It holds one secret, or two separated by a space (current, previous)
    while it is being rotated.
    """

    edge_secret: Secret


@dataclass(frozen=True, kw_only=True)
class AdmissionSettings(FunctionSettings):
    """What it takes to know who asks: the control plane, the cache in front of it, and the keys that protect both.

    Every secret key is 32 random bytes in URL-safe base64; `*_key` ones may hold two, separated by a space.
    """

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
class ProvisioningSettings(AdmissionSettings):
    """What opens an account: the control plane, the seals, and Turso's platform API.

    Not a deployed function yet: the operator's `make key` runs it with these values from the stack's `operator` output.
    """

    store_seal_key: Secret
    turso_api_url: str
    turso_api_token: Secret
    turso_organization: str
    turso_group: str


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

FUNCTIONS = (MEMORIES,)
