"""Every setting of a stack, as data: what it means, an example, what holds without it. docs/operate.md has it as a
table, which `make snapshot` writes and a test compares.

What a setting's value may be is the reader's to check (reader.py, vendors.py).
"""

from __future__ import annotations

from dataclasses import dataclass

NEEDED = "none: it must be set"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """`key` as in `pulumi config set KEY`; `example` a value that could be one, empty for a credential; `otherwise`
    says what holds while it is not set; `variable` is an environment variable that the vendor's provider reads
    instead."""

    key: str
    meaning: str
    example: str = ""
    otherwise: str = NEEDED
    secret: bool = False
    variable: str | None = None


def _secret(key: str, meaning: str, *, otherwise: str = NEEDED, variable: str | None = None) -> Setting:
    return Setting(key=key, meaning=meaning, otherwise=otherwise, secret=True, variable=variable)


SETTINGS = (
    Setting(key="cloud", meaning="which cloud this stack is for, local or real", example="real"),
    Setting(
        key="profile", meaning="the vendors' plans, frugal or production", example="production", otherwise="frugal"
    ),
    Setting(key="domain", meaning="the zone that Cloudflare serves", example="memorygraph.dev"),
    Setting(
        key="name",
        meaning="what the stack is called in accounts that stacks may share (Cloudflare, Supabase, Turso, Upstash); "
        "another one later makes all of it anew",
        example="memorygraph-staging",
        otherwise="memorygraph for prod and local, memorygraph-STACK for any other",
    ),
    Setting(
        key="protect",
        meaning="whether Pulumi refuses to delete data, secrets and the zone",
        example="true",
        otherwise="true on the real cloud",
    ),
    Setting(
        key="rotation",
        meaning="generations of the program's own secrets, newest first (docs/rotation.md)",
        example='{"memories-edge-secret": [2, 1]}',
        otherwise="one generation of each",
    ),
    Setting(key="gcp:project", meaning="the Google project, one for each stack", example="memorygraph-prod"),
    Setting(key="gcp:region", meaning="Google's region", example="us-east4", otherwise="us-east4"),
    Setting(
        key="awsRegion",
        meaning="the AWS region beside gcp:region, where Supabase, Turso and Upstash run",
        example="us-east-1",
        otherwise="the neighbour of gcp:region, where it is known",
    ),
    Setting(
        key="googleApi",
        meaning="where the local cloud serves this API (Google's, all of them)",
        example="http://127.0.0.1:PORT",
        otherwise="Google's own; the local cloud needs it",
    ),
    Setting(
        key="publicInvokerException",
        meaning="whether the project is made an exception from an organization's rule that forbids allUsers",
        example="true",
        otherwise="false",
    ),
    Setting(
        key="billingAccount",
        meaning="Google's billing account, for a budget that tells you",
        example="0A1B2C-3D4E5F-6A7B8C",
        otherwise="no budget",
    ),
    Setting(
        key="githubRepositoryId",
        meaning="GitHub's number of the repository whose workflows may act on the stack "
        "(gh api repos/OWNER/NAME --jq .id)",
        example="123456789",
        otherwise="no workflow may",
    ),
    Setting(
        key="githubEnvironment",
        meaning="the environment at GitHub whose runs on main deploy this stack",
        example="staging",
        otherwise="production",
    ),
    Setting(key="cloudflareAccountId", meaning="the Cloudflare account", example="ACCOUNT_ID"),
    _secret("cloudflare:apiToken", "the Cloudflare API token", variable="CLOUDFLARE_API_TOKEN"),
    Setting(
        key="zoneId",
        meaning="a zone of this domain that Cloudflare has already: it is taken over",
        example="ZONE_ID",
        otherwise="the zone is made",
    ),
    Setting(
        key="emailForwarding",
        meaning="whether mail to hello@, support@ and security@ goes to operatorEmail, once that is confirmed",
        example="true",
        otherwise="false on the real cloud",
    ),
    Setting(key="supabaseOrganization", meaning="the slug of the Supabase organization", example="SLUG"),
    _secret("memorygraph:supabaseToken", "a Supabase access token"),
    Setting(
        key="memorygraph:supabaseApi",
        meaning="where the local cloud serves this API (Supabase's)",
        example="https://api.supabase.com",
        otherwise="Supabase's own; the local cloud needs it",
    ),
    Setting(
        key="freeStore",
        meaning="where the free plan's memories are, sqlite (Turso) or postgres",
        example="sqlite",
        otherwise="sqlite",
    ),
    Setting(key="tursoOrganization", meaning="the slug of the Turso organization", example="SLUG"),
    _secret("memorygraph:tursoToken", "Turso's platform API token"),
    Setting(
        key="memorygraph:tursoApi",
        meaning="where the local cloud serves this API (Turso's)",
        example="https://api.turso.tech",
        otherwise="Turso's own; the local cloud needs it",
    ),
    Setting(
        key="upstash:email",
        meaning="the e-mail of the Upstash account",
        example="you@example.com",
        variable="UPSTASH_EMAIL",
    ),
    _secret("upstash:apiKey", "the Upstash API key", variable="UPSTASH_API_KEY"),
    Setting(key="smtpHost", meaning="the server that sends our mails", example="smtp.example.com"),
    Setting(key="smtpPort", meaning="its port", example="587", otherwise="465"),
    Setting(key="smtpUser", meaning="the account at the mail server", example="USER"),
    _secret("smtpPassword", "the password of the account at the mail server"),
    Setting(
        key="mailFrom",
        meaning="who our mails are from",
        example="hello@mail.memorygraph.dev",
        otherwise="hello@mail.DOMAIN",
    ),
    Setting(
        key="mailSpf",
        meaning="who may send in our name, as the mail service says it",
        example="include:HOST",
        otherwise="no record: mails may be taken for spam",
    ),
    Setting(
        key="mailDkim",
        meaning="the mail service's keys: --path mailDkim.SELECTOR TARGET",
        example='{"s1": "s1.dkim.example.com"}',
        otherwise="no record: mails may be taken for spam",
    ),
    Setting(key="operatorEmail", meaning="where the operator is told of trouble", example="you@example.com"),
    Setting(key="githubClientId", meaning="the OAuth app at github", example="ID", otherwise="nobody signs in with it"),
    _secret("githubClientSecret", "the secret of the OAuth app at github", otherwise="nobody signs in with it"),
    Setting(key="googleClientId", meaning="the OAuth app at google", example="ID", otherwise="nobody signs in with it"),
    _secret("googleClientSecret", "the secret of the OAuth app at google", otherwise="nobody signs in with it"),
    Setting(
        key="captchaSiteKey",
        meaning="the site key of the Turnstile widget",
        example="KEY",
        otherwise="no captcha",
    ),
    _secret("captchaSecret", "the secret key of the Turnstile widget", otherwise="no captcha"),
    Setting(
        key="billing",
        meaning="whether paid plans are sold",
        example="true",
        otherwise="true with the profile production, and on the local cloud",
    ),
    _secret(
        "memorygraph:stripeToken",
        "the key of Stripe's by which products, prices and the webhook are declared",
        otherwise="none: needed where plans are sold",
    ),
    _secret(
        "stripeKey",
        "the restricted key by which functions use Stripe",
        otherwise="none: needed where plans are sold",
    ),
    Setting(
        key="memorygraph:stripeApi",
        meaning="where the local cloud serves this API (Stripe's)",
        example="https://api.stripe.com",
        otherwise="Stripe's own; the local cloud needs it",
    ),
    _secret("sentryDsn", "where failures are told of, at Sentry", otherwise="failures are in the logs only"),
)

BY_KEY = {setting.key: setting for setting in SETTINGS}


def table() -> str:
    """The settings as a table of Markdown, each line ended."""
    rows = ["| setting | means | example | without it |", "|---|---|---|---|"]
    for setting in SETTINGS:
        shown = "a secret" if setting.secret else f"`{setting.example}`"
        also = f" (or the variable `{setting.variable}`)" if setting.variable else ""
        rows.append(f"| `{setting.key}` | {setting.meaning}{also} | {shown} | {setting.otherwise} |")
    return "\n".join(rows) + "\n"
