"""Settings -> Tools: the only constructor of adapters. It connects to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from core.adapters.control import ControlPlane
from core.adapters.hrana import HranaDatabases
from core.adapters.http1 import HttpClient
from core.adapters.postgres import Postgres
from core.adapters.redis import RedisPrincipalCache
from core.admission import Admission
from core.ports import Clock, Databases
from core.seal import Sealer
from core.settings import Secret, Settings, SettingsError
from declarations import AdmissionSettings


class SystemClock:
    """Implements `ports.Clock`."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a function has to work with; handlers' `build` picks what its service needs."""

    settings: AdmissionSettings
    clock: Clock
    databases: Databases
    admission: Admission


def build(settings: Settings) -> Tools:
    """The tools of one function process. Each holds connections of one event loop.

    Raises:
        SettingsError: a key among the settings is malformed.
    """
    if not isinstance(settings, AdmissionSettings):
        raise SettingsError(f"{type(settings).__name__} must derive from AdmissionSettings")
    clock = SystemClock()
    http = HttpClient()
    store_key: Secret | None = getattr(settings, "store_seal_key", None)
    return Tools(
        settings=settings,
        clock=clock,
        databases=HranaDatabases(http),
        admission=Admission(
            tag_secrets=settings.key_tag_secret.reveal().split(),
            directory=ControlPlane(Postgres(settings.database_url)),
            cache=RedisPrincipalCache(http, settings.redis_url, settings.redis_token),
            principal_sealer=Sealer(settings.principal_seal_key, "PRINCIPAL_SEAL_KEY"),
            store_sealer=Sealer(store_key, "STORE_SEAL_KEY") if store_key else None,
            clock=clock,
        ),
    )
