"""The one junction between what functions declare and what the program makes: variable name -> value.

A function says which variables it reads (`functions/declarations.py`); here each name gets its value, once, whoever
asks for it. To give functions a new variable: add the field there and a line to `Bindings` here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pulumi

from core.secret_names import secrets_prefix
from core.settings import Settings
from core.urls import base_url
from infra.components.billing import Billing
from infra.components.control_plane import ControlPlane
from infra.components.google import google_api
from infra.components.keys import Keys
from infra.components.limiter import Limiter
from infra.components.people import People
from infra.components.store import Store
from infra.config import StackConfig


class Unbound(pulumi.RunError):
    """A function declares a variable that has no value here."""


@dataclass(frozen=True)
class Environment:
    """The variables of one function: plain ones by value, secret ones for Secret Manager."""

    plain: Mapping[str, pulumi.Input[str]]
    secret: Mapping[str, pulumi.Input[str]]


class Bindings:
    """Values by variable name. A value may depend on who reads it: each function has its own database role. None: there
    is none, and the function does without that variable."""

    def __init__(
        self,
        *,
        config: StackConfig,
        keys: Keys,
        control_plane: ControlPlane,
        people: People,
        limiter: Limiter,
        store: Store,
        billing: Billing,
    ) -> None:
        self._values: dict[str, Callable[[str], pulumi.Input[str] | None]] = {
            "EDGE_SECRET": lambda owner: keys.all(f"{owner}-edge-secret"),
            "DATABASE_URL": control_plane.url,
            "REDIS_URL": lambda _: limiter.url,
            "REDIS_TOKEN": lambda _: limiter.token,
            "KEY_TAG_SECRET": lambda _: keys.all("key-tag-secret"),
            "PRINCIPAL_SEAL_KEY": lambda _: keys.all("principal-seal-key"),
            "STORE_SEAL_KEY": lambda _: keys.all("store-seal-key"),
            "FREE_STORE": lambda _: str(config.free_store),
            "TURSO_API_URL": lambda _: config.turso_api,
            "TURSO_API_TOKEN": lambda _: config.turso_token,
            "TURSO_ORGANIZATION": lambda _: config.turso_organization,
            "TURSO_GROUP": lambda _: store.group,
            "TURSO_DATABASES_MOST": lambda _: str(store.databases_most),
            "AUTH_URL": lambda _: people.issuer,
            "AUTH_SECRET_KEY": lambda _: people.secret_key,
            "STRIPE_API_KEY": lambda _: billing.api_key,
            "STRIPE_API_URL": lambda _: billing.api_url,
            "STRIPE_WEBHOOK_SECRET": lambda _: billing.webhook_secret,
            "STRIPE_PORTAL": lambda _: billing.portal,
            "STORAGE_URL": lambda _: google_api(config, "storage"),
            "BACKUP_DATABASE_URL": lambda _: control_plane.session_url("backup"),
            "SENTRY_DSN": lambda _: config.sentry_dsn,
            "SITE_URL": lambda _: base_url(config.domain),
            "SMTP_HOST": lambda _: config.smtp_host,
            "SMTP_PORT": lambda _: str(config.smtp_port),
            "SMTP_USER": lambda _: config.smtp_user,
            "SMTP_PASSWORD": lambda _: config.smtp_password,
            "MAIL_FROM": lambda _: config.mail_from,
            "OPERATOR_EMAIL": lambda _: config.operator_email,
            "OIDC_CERTS_URL": lambda _: google_api(config, "www") + "/oauth2/v3/certs",
            "SECRETS_PREFIX": lambda owner: secrets_prefix(config.project, owner),
            "SECRET_MANAGER_URL": lambda _: google_api(config, "secretmanager"),
        }

    def offer(self, name: str, value: pulumi.Input[str]) -> None:
        """A value that is known only once some of the functions are there."""
        self._values[name] = lambda _: value

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._values)

    def bind(self, owner: str, settings: type[Settings]) -> Environment:
        """The environment of `owner` (a function's name).

        Raises:
            Unbound: naming every variable of `settings` that has no value.
        """
        variables = settings.variables()
        missing = [variable.name for variable in variables if variable.name not in self._values]
        if missing:
            raise Unbound(
                f"{settings.__name__} declares {', '.join(missing)}, but infra/bindings.py gives no value: "
                "add one to Bindings there, or drop the field."
            )
        plain: dict[str, pulumi.Input[str]] = {}
        secret: dict[str, pulumi.Input[str]] = {}
        for variable in variables:
            value = self._values[variable.name](owner)
            if value is not None:
                (secret if variable.secret else plain)[variable.name] = value
            elif variable.required:
                raise Unbound(f"{settings.__name__} cannot do without {variable.name}, for which there is no value.")
        return Environment(plain=plain, secret=secret)
