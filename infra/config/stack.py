"""What the program knows of its stack: one frozen typed object, and the words that it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import pulumi

from declarations import Store


class ConfigError(pulumi.RunError):
    """The stack's configuration cannot be used. A RunError, so that the operator sees the text and no traceback."""


class Cloud(StrEnum):
    LOCAL = "local"  # the rehearsal on this machine, infra/local/
    REAL = "real"


class Profile(StrEnum):
    FRUGAL = "frugal"  # free plans everywhere
    PRODUCTION = "production"  # Supabase Pro, Turso Developer, Workers Paid, Upstash pay-as-you-go


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """An OAuth app of ours at GitHub or Google, made by hand: neither can be declared."""

    client_id: str
    secret: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class StripeAccount:
    """Where paid plans are sold. `key` is what functions use: a restricted one, which may declare nothing.

    `api` is where Stripe stands on the local cloud; None is Stripe's own address.
    """

    api: str | None
    key: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class Captcha:
    """A widget of Cloudflare's Turnstile, made by hand for the site's domain. The site key is public."""

    site_key: str
    secret: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class Repository:
    """Whose workflows may act on the stack: GitHub's number of the repository, which a renamed or newly made one of the
    same name has not; and the environment (Settings, Environments) whose runs deploy."""

    id: str
    environment: str


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """Everything that differs between stacks. Tokens are secret Outputs; everything else is plain.

    What each value means to who sets it: settings.py.
    """

    cloud: Cloud
    profile: Profile
    name: str  # of what is made in accounts that stacks may share
    domain: str
    project: str
    region: str
    aws_region: str
    protect: bool
    public_invoker_exception: bool
    rotation: Mapping[str, tuple[int, ...]]
    cloudflare_account_id: str
    zone_id: str | None  # of a zone that is there already: it is taken over
    email_forwarding: bool
    supabase_organization: str
    free_store: Store
    turso_organization: str
    turso_api: str
    turso_token: pulumi.Output[str]
    google_api: str | None
    smtp_host: str
    smtp_port: int
    smtp_user: str
    smtp_password: pulumi.Output[str]
    mail_from: str
    mail_spf: str | None  # who may send in our name, as the mail service says it
    mail_dkim: Mapping[str, str]  # selector -> what the mail service wants there
    operator_email: str
    sign_in: Mapping[str, SignIn]
    billing_account: str | None  # None: nobody is told of what Google charges
    repository: Repository | None  # None: no workflow may act on the stack
    sentry_dsn: pulumi.Output[str] | None  # None: failures are told of in the logs only
    captcha: Captcha | None  # None: nobody has to show that they are no program
    stripe: StripeAccount | None  # None: no paid plans are sold

    @property
    def api_host(self) -> str:
        return f"api.{self.domain}"
