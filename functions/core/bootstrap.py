"""Settings -> Tools: the only constructor of adapters. It connects to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from core.adapters import google
from core.adapters.control import ControlPlane
from core.adapters.hrana import HranaDatabases
from core.adapters.http1 import HttpClient
from core.adapters.postgres import Postgres
from core.adapters.redis import RedisPrincipalCache
from core.adapters.redis_calls import RedisCallCounter
from core.admission import Admission
from core.limits import Limits
from core.ports import Clock, Databases, PrincipalCache, Wake
from core.principals import Principals
from core.seal import Sealer
from core.settings import Secret, Settings, SettingsError
from core.tokens import JwtVerifier
from declarations import AdmissionSettings, Sizing, StoreOpeningSettings


class SystemClock:
    """Implements `ports.Clock`."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a function has to work with; handlers' `build` picks what its service needs.

    `wake`: None in a function that makes no jobs.
    """

    settings: AdmissionSettings
    clock: Clock
    databases: Databases
    postgres: Postgres
    admission: Admission
    wake: Wake | None = None


@dataclass(frozen=True, kw_only=True)
class ProvisioningTools:
    """What opens accounts. `close` it in the event loop that used it."""

    http: HttpClient
    postgres: Postgres
    control: ControlPlane
    cache: PrincipalCache
    databases: Databases
    store_sealer: Sealer

    async def close(self) -> None:
        await self.http.close()
        await self.postgres.close()


def build(settings: Settings, *, instances: int = Sizing.max_instances) -> Tools:
    """The tools of one function process. Each holds connections of one event loop.

    Args:
        instances: how many processes of the function there may be.

    Raises:
        SettingsError: a key among the settings is malformed.
    """
    if not isinstance(settings, AdmissionSettings):
        raise SettingsError(f"{type(settings).__name__} must derive from AdmissionSettings")
    clock = SystemClock()
    http = HttpClient()
    postgres = Postgres(settings.database_url)  # control plane and memories: few connections for each process
    store_key: Secret | None = getattr(settings, "store_seal_key", None)
    cache = RedisPrincipalCache(http, settings.redis_url, settings.redis_token)
    limits = Limits(counter=RedisCallCounter(cache.redis), clock=clock, instances=instances)
    return Tools(
        settings=settings,
        clock=clock,
        databases=HranaDatabases(http),
        postgres=postgres,
        admission=Admission(
            tag_secrets=settings.key_tag_secret.reveal().split(),
            directory=ControlPlane(postgres),
            principals=Principals(
                cache=cache,
                limits=limits,
                sealer=Sealer(settings.principal_seal_key, "PRINCIPAL_SEAL_KEY"),
                store_sealer=Sealer(store_key, "STORE_SEAL_KEY") if store_key else None,
                clock=clock,
            ),
            limits=limits,
            clock=clock,
            verifier=JwtVerifier(http, settings.auth_url, clock) if settings.auth_url else None,
        ),
        wake=_wake(http, settings),
    )


def _wake(http: HttpClient, settings: Settings) -> Wake | None:
    queue: str = getattr(settings, "tasks_url", "")
    return google.Wake(http, queue, google.Metadata(http)) if queue else None


def build_provisioning(settings: StoreOpeningSettings) -> ProvisioningTools:
    """The tools of provisioning, where statements may take longer than a request's.

    Raises:
        SettingsError: a key among the settings is malformed.
    """
    http = HttpClient()
    postgres = Postgres(settings.database_url, connect_seconds=5.0, answer_seconds=15.0)
    return ProvisioningTools(
        http=http,
        postgres=postgres,
        control=ControlPlane(postgres),
        cache=RedisPrincipalCache(http, settings.redis_url, settings.redis_token),
        databases=HranaDatabases(http),
        store_sealer=Sealer(settings.store_seal_key, "STORE_SEAL_KEY"),
    )
