"""One project's Auth: its settings and keys as the Management API keeps them, its users, its sessions, its mails."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth import apikeys, settings, signing
from infra.local.cloud.vendors.auth.database import Database
from infra.local.cloud.vendors.auth.flows import Flows
from infra.local.cloud.vendors.auth.mails import Mailer
from infra.local.cloud.vendors.auth.rates import Rates
from infra.local.cloud.vendors.auth.sessions import Sessions
from infra.local.cloud.vendors.auth.users import Users

PREFIX = "/auth/v1"


def new_configuration() -> Json:
    """What the Management API keeps of a new project: no setting is changed, HS256 signs, two API keys."""
    return {
        "settings": {},
        "signing_keys": [],
        "legacy_secret": secrets.token_urlsafe(48),
        "api_keys": apikeys.first(),
    }


class Project:
    """`read` gives the configuration (see `new_configuration`) as it is now."""

    def __init__(
        self, folder: Path, api_url: str, read: Callable[[], Json], clock: Callable[[], float] = time.time
    ) -> None:
        self._read = read
        self.api_url = api_url
        self.issuer = api_url + PREFIX
        self.database = Database(folder)
        self.users = Users(self.database, clock)
        self.flows = Flows(self.database, clock)
        self.mailer = Mailer(self.issuer, clock)
        self.rates = Rates(clock)
        self.sessions = Sessions(self.users, self.issuer, self._sign)

    @property
    def settings(self) -> Json:
        return settings.complete(self._read()["settings"])

    def key_kind(self, sent: str) -> str | None:
        """`publishable` or `secret`; None for what is no API key of this project."""
        return apikeys.kind_of(self._read()["api_keys"], sent)

    def verify(self, token: str) -> Json:
        """The claims of one of our tokens. Raises jwt.InvalidTokenError."""
        found = self._read()
        return signing.verify(found["signing_keys"], found["legacy_secret"], token)

    def jwks(self) -> Json:
        return signing.jwks(self._read()["signing_keys"])

    def close(self) -> None:
        self.database.close()

    def _sign(self, claims: Json) -> str:
        found = self._read()
        return signing.sign(found["signing_keys"], found["legacy_secret"], claims)
