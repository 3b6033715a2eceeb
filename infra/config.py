"""The stack's configuration: read once, into one frozen typed object. The only caller of `pulumi.Config`.

Every mistake is named at once, each with a line that fixes it. Values that a vendor's own provider reads by itself
(`gcp:project`, `cloudflare:apiToken`, ...) are checked here too, because their own messages come one at a time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import urlsplit

import pulumi
from pulumi.runtime.config import is_config_secret

from declarations import Store
from infra import stripe_keys
from infra.stripe_keys import Mode, mode

T = TypeVar("T")

LOCAL_TOKEN = "local"  # noqa: S105  the local cloud's public name for "no credential"; nothing accepts it elsewhere

STRIPE_API = "https://api.stripe.com"

BILLING_ACCOUNT = re.compile(r"[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}")
BILLING_ACCOUNT_EXAMPLE = "0A1B2C-3D4E5F-6A7B8C"

TURNSTILE_TEST_KEY = re.compile(r"[123]x0{20,}[A-F]{2}")
"""Source: https://developers.cloudflare.com/turnstile/troubleshooting/testing/"""

NEIGHBOURS = {
    "us-east4": "us-east-1",
    "us-east1": "us-east-1",
    "us-central1": "us-east-2",
    "us-west1": "us-west-2",
    "europe-west1": "eu-west-1",
    "europe-west2": "eu-west-2",
    "europe-west3": "eu-central-1",
    "asia-northeast1": "ap-northeast-1",
    "asia-southeast1": "ap-southeast-1",
}
"""Google region -> the AWS region of the same metro. Supabase, Turso and Upstash run on AWS; a hop between neighbours
costs 1-2 ms, any other 10-30 ms, on every request."""


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


SIGN_IN = ("github", "google")
"""Who else may say who somebody is. Each is on when its app is configured."""


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """Everything that differs between stacks. Tokens are secret Outputs; everything else is plain."""

    cloud: Cloud
    profile: Profile
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
    sentry_dsn: pulumi.Output[str] | None  # None: failures are told of in the logs only
    captcha: Captcha | None  # None: nobody has to show that they are no program
    stripe: StripeAccount | None  # None: no paid plans are sold

    @property
    def api_host(self) -> str:
        return f"api.{self.domain}"


def load() -> StackConfig:
    """Read and check the whole configuration of the current stack.

    Raises:
        ConfigError: naming every missing or wrong value, each with the command that sets it.
    """
    reader = _Reader()
    cloud = reader.choice("cloud", Cloud, "which cloud this stack is for", "real")
    profile = reader.choice("profile", Profile, "the vendors' plans", "frugal", default=Profile.FRUGAL)
    region = reader.text("gcp:region", "Google's region", "us-east4", default="us-east4")
    domain = reader.text("domain", "the zone that Cloudflare serves", "memorygraph.dev")
    config = StackConfig(
        cloud=cloud,
        profile=profile,
        domain=domain,
        project=reader.text("gcp:project", "the Google project", "memorygraph-prod"),
        region=region,
        aws_region=reader.text(
            "awsRegion",
            f"the AWS region beside {region}, where Supabase, Turso and Upstash run",
            "us-east-1",
            default=NEIGHBOURS.get(region),
        ),
        protect=reader.flag("protect", default=cloud is Cloud.REAL),
        public_invoker_exception=reader.flag("publicInvokerException", default=False),
        rotation=reader.rotation("rotation"),
        cloudflare_account_id=reader.text("cloudflareAccountId", "the Cloudflare account", "ACCOUNT_ID"),
        zone_id=reader.optional("zoneId"),
        email_forwarding=reader.flag("emailForwarding", default=cloud is Cloud.LOCAL),
        supabase_organization=reader.text("supabaseOrganization", "the slug of the Supabase organization", "SLUG"),
        free_store=reader.choice(
            "freeStore", Store, "where the free plan's memories are", "sqlite", default=Store.SQLITE
        ),
        turso_organization=reader.text("tursoOrganization", "the slug of the Turso organization", "SLUG"),
        turso_api=reader.url("memorygraph:tursoApi", cloud, "https://api.turso.tech"),
        turso_token=reader.token("memorygraph:tursoToken", cloud, "Turso's platform API token"),
        google_api=reader.google(cloud),
        smtp_host=reader.text("smtpHost", "the server that sends our mails", "smtp.example.com"),
        smtp_port=reader.port("smtpPort", 465),
        smtp_user=reader.text("smtpUser", "the account at the mail server", "USER"),
        smtp_password=reader.token("smtpPassword", cloud, "the password of the account at the mail server"),
        mail_from=reader.text("mailFrom", "who our mails are from", domain, default=f"hello@mail.{domain}"),
        mail_spf=reader.optional("mailSpf"),
        mail_dkim=reader.texts("mailDkim", "--path mailDkim.SELECTOR TARGET"),
        operator_email=reader.text("operatorEmail", "where the operator is told of trouble", "you@example.com"),
        sign_in=MappingProxyType({name: app for name in SIGN_IN if (app := reader.sign_in(name, cloud))}),
        billing_account=reader.billing_account("billingAccount"),
        sentry_dsn=reader.optional_token("sentryDsn", cloud),
        captcha=reader.captcha(cloud),
        stripe=reader.stripe(cloud, profile),
    )
    # Read by providers, not by the program; checked here so that all mistakes appear together.
    reader.url("memorygraph:supabaseApi", cloud, "https://api.supabase.com")
    reader.token("memorygraph:supabaseToken", cloud, "a Supabase access token")
    reader.token("cloudflare:apiToken", cloud, "the Cloudflare API token", variable="CLOUDFLARE_API_TOKEN")
    reader.token("upstash:apiKey", cloud, "the Upstash API key", variable="UPSTASH_API_KEY")
    reader.text("upstash:email", "the e-mail of the Upstash account", "you@example.com", variable="UPSTASH_EMAIL")
    reader.finish()
    neighbour = NEIGHBOURS.get(region)
    if neighbour and neighbour != config.aws_region:
        pulumi.log.warn(
            f"Functions run in {region}, stores in {config.aws_region}: each request pays 10-30 ms for the distance. "
            f"The neighbour of {region} is {neighbour}: pulumi config set awsRegion {neighbour}"
        )
    if cloud is Cloud.REAL and not (config.mail_spf and config.mail_dkim):
        pulumi.log.warn(
            f"Receivers cannot tell that mails from {config.mail_from} are ours, and may take them for spam. Set what "
            "your mail service names: pulumi config set mailSpf include:HOST, and "
            "pulumi config set --path mailDkim.SELECTOR TARGET"
        )
    if cloud is Cloud.REAL and config.billing_account is None:
        pulumi.log.warn(
            "No budget is declared, so nobody is told when Google charges more than expected. Name the billing "
            f"account: pulumi config set billingAccount {BILLING_ACCOUNT_EXAMPLE}"
        )
    if cloud is Cloud.REAL and profile is Profile.PRODUCTION and reader.stripe_mode is Mode.TEST:
        pulumi.log.warn(
            "Nobody pays: memorygraph:stripeToken is a test key, though the profile is production. Go live with live "
            "keys: pulumi config set --secret memorygraph:stripeToken, and the same for stripeKey"
        )
    return config


class _Reader:
    """Reads values by full key (`namespace:name`, or `name` of this project) and gathers what is wrong with them.

    After a fault it returns a placeholder, so that reading goes on; `finish()` raises before anyone sees one.
    """

    def __init__(self) -> None:
        self._faults: list[str] = []
        self.stripe_mode: Mode | None = None  # of the key by which the program declares

    def text(
        self, key: str, meaning: str, example: str, *, default: str | None = None, variable: str | None = None
    ) -> str:
        """A non-empty text. `variable` names an environment variable that the vendor's provider reads instead."""
        value = self._get(key) or (os.environ.get(variable) if variable else None) or default
        if value:
            return value
        return self._fault(f"{key} is missing: {meaning}", f"{key} {example}", "")

    def optional(self, key: str) -> str | None:
        """A text, if there is one."""
        return self._get(key) or None

    def billing_account(self, key: str) -> str | None:
        """Google's billing account, if it is to have a budget."""
        value = self._get(key)
        if value is None or BILLING_ACCOUNT.fullmatch(value):
            return value
        fault = f"{key} is {value!r}, not an ID such as {BILLING_ACCOUNT_EXAMPLE} (gcloud billing accounts list)"
        return self._fault(fault, f"{key} {BILLING_ACCOUNT_EXAMPLE}", None)

    def optional_token(self, key: str, cloud: Cloud) -> pulumi.Output[str] | None:
        """A credential, if there is one."""
        return self.token(key, cloud, "") if self._get(key) else None

    def texts(self, key: str, fix: str) -> Mapping[str, str]:
        """Texts by name, if there are any."""
        try:
            value = pulumi.Config().get_object(key) or {}
        except pulumi.ConfigTypeError:
            value = None
        if not isinstance(value, dict) or not all(isinstance(text, str) and text for text in value.values()):
            return self._fault(f"{key} does not map names to texts", fix, {})
        return MappingProxyType(dict(value))

    def choice(self, key: str, kind: type[T], meaning: str, example: str, *, default: T | None = None) -> T:
        text = self._get(key)
        members: dict[str, T] = {str(member): member for member in kind}  # type: ignore[attr-defined]  # an Enum class
        if text is None and default is not None:
            return default
        if text in members:
            return members[text]
        options = " or ".join(members)
        fault = f"{key} is missing: {meaning}, {options}" if text is None else f"{key} is {text!r}, not {options}"
        return self._fault(fault, f"{key} {example}", members[example])

    def flag(self, key: str, *, default: bool) -> bool:
        text = self._get(key)
        if text is None or text in ("true", "false"):
            return default if text is None else text == "true"
        return self._fault(f"{key} is {text!r}, not true or false", f"{key} {str(default).lower()}", default)

    def google(self, cloud: Cloud) -> str | None:
        """Where the local cloud stands in for Google's APIs; None for the real ones, which have a host each."""
        return self.url("googleApi", cloud, "") if cloud is Cloud.LOCAL else None

    def port(self, key: str, default: int) -> int:
        text = self._get(key)
        if text is None or (text.isdecimal() and 0 < int(text) < 65536):
            return default if text is None else int(text)
        return self._fault(f"{key} is {text!r}, not a port", f"{key} {default}", default)

    def sign_in(self, name: str, cloud: Cloud) -> SignIn | None:
        """The OAuth app at `name`, if there is one: both of its values, or neither."""
        client_id, secret = self._get(f"{name}ClientId"), self._get(f"{name}ClientSecret")
        if not client_id and not secret:
            return None
        if not client_id:
            return self._fault(f"{name}ClientId is missing: the OAuth app at {name}", f"{name}ClientId ID", None)
        return SignIn(
            client_id=client_id,
            secret=self.token(f"{name}ClientSecret", cloud, f"the secret of the OAuth app at {name}"),
        )

    def stripe(self, cloud: Cloud, profile: Profile) -> StripeAccount | None:
        """Stripe, unless `billing` is off: as it is by itself on a real stack without the paid plans of vendors."""
        sold = self.flag("billing", default=cloud is Cloud.LOCAL or profile is Profile.PRODUCTION)
        ours, theirs = "memorygraph:stripeToken", "stripeKey"  # of this program, of the functions
        keys = {name: key for name in (ours, theirs) if (key := self._get(name)) and key != LOCAL_TOKEN}
        self.stripe_mode = mode(keys.get(ours, ""))
        for what, fix in stripe_keys.faults(keys, local=cloud is Cloud.LOCAL, frugal=profile is Profile.FRUGAL):
            self._fault(what, fix, None)
        if not sold:
            for name in keys:  # one that is left over is to be encrypted all the same
                self.token(name, cloud, "")
            return None
        api = self.url("memorygraph:stripeApi", cloud, STRIPE_API)
        token = self.token(ours, cloud, "the key of Stripe's by which products, prices and the webhook are declared")
        if cloud is Cloud.REAL or self._get(theirs):
            token = self.token(theirs, cloud, "the restricted key by which functions use Stripe")
        return StripeAccount(api=None if api == STRIPE_API else api, key=token)

    def captcha(self, cloud: Cloud) -> Captcha | None:
        """The widget, if there is one: both of its values, or neither. Test keys let every program pass."""
        site_key, secret = self._get("captchaSiteKey"), self._get("captchaSecret")
        if not site_key and not secret:
            return None
        if not site_key:
            fault = "captchaSiteKey is missing: the site key of the Turnstile widget"
            return self._fault(fault, "captchaSiteKey KEY", None)
        held = self.token("captchaSecret", cloud, "the secret key of the Turnstile widget")
        for fix, value in (("captchaSiteKey KEY", site_key), ("--secret captchaSecret", secret)):
            if value and cloud is Cloud.REAL and TURNSTILE_TEST_KEY.fullmatch(value):
                self._fault("A test key of Turnstile's was set, but cloud is real", fix, None)
        return Captcha(site_key=site_key, secret=held)

    def token(self, key: str, cloud: Cloud, meaning: str, *, variable: str | None = None) -> pulumi.Output[str]:
        """A credential. On the real cloud it must be stored encrypted; the local cloud's is a public word."""
        value = self._get(key)
        from_environment = bool(variable and os.environ.get(variable))
        fix = f"--secret {key}  # asks for the value"
        if not value and not from_environment:
            self._fault(f"{key} is missing: {meaning}", fix, None)
        elif value == LOCAL_TOKEN and cloud is Cloud.REAL:
            self._fault(f"{key} is the local cloud's word {LOCAL_TOKEN!r}, but cloud is real", fix, None)
        elif value and cloud is Cloud.REAL and not is_config_secret(_full(key)):
            self._fault(f"{key} is stored as plain text: replace it, and set it as a secret", fix, None)
        return pulumi.Output.secret(value or "")

    def url(self, key: str, cloud: Cloud, default: str) -> str:
        """The base URL of a vendor's API: https and elsewhere for the real cloud, on this machine for the local one."""
        value = self._get(key) or (default if cloud is Cloud.REAL else "")
        if not value:
            return self._fault(
                f"{key} is missing: where the local cloud serves this API", f"{key} http://127.0.0.1:PORT", ""
            )
        try:
            parts = urlsplit(value)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number
            sound = False
        if not sound:
            return self._fault(f"{key} is {value!r}, not a URL", f"{key} {default}", value)
        here = is_loopback(parts.hostname or "")
        if cloud is Cloud.LOCAL and not here:
            self._fault(
                f"{key} is {value!r}, outside this machine, but cloud is local", f"{key} http://127.0.0.1:PORT", None
            )
        if cloud is Cloud.REAL and (here or parts.scheme != "https"):
            self._fault(f"{key} is {value!r}, but the real cloud needs https to the vendor", f"{key} {default}", None)
        return value.rstrip("/")

    def rotation(self, key: str) -> Mapping[str, tuple[int, ...]]:
        """Secret key -> its generations, newest first: one, or two while it is being rotated."""
        fix = f"--path {key}.principal-seal-key[0] 2"
        try:
            value = pulumi.Config().get_object(key) or {}
        except pulumi.ConfigTypeError:
            value = None
        if not isinstance(value, dict) or not all(_generations(entry) for entry in value.values()):
            return self._fault(f"{key} does not map names of keys to one or two generations (1, 2, ...)", fix, {})
        return MappingProxyType({name: tuple(entry) for name, entry in value.items()})

    def finish(self) -> None:
        if self._faults:
            count = "1 change" if len(self._faults) == 1 else f"{len(self._faults)} changes"
            raise ConfigError(f"The configuration of this stack needs {count}:\n" + "\n".join(self._faults))

    def _fault(self, what: str, fix: str, placeholder: T) -> T:
        self._faults.append(f"  - {what}.\n      pulumi config set {fix}")
        return placeholder

    @staticmethod
    def _get(key: str) -> str | None:
        namespace, _, name = key.rpartition(":")
        text = pulumi.Config(namespace or None).get(name)
        return text.strip() if text else None


def is_loopback(host: str) -> bool:
    """True for this machine: 127.0.0.0/8, ::1, and names that are or end in `localhost` (RFC 6761)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _full(key: str) -> str:
    return key if ":" in key else f"{pulumi.get_project()}:{key}"


def _generations(value: object) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 2
        and all(type(item) is int and item > 0 for item in value)
        and len(set(value)) == len(value)
    )
