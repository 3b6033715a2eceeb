"""The whole configuration, read and checked at once; and what is allowed, but worth a warning."""

from __future__ import annotations

import pulumi

from declarations import Store
from infra.config import vendors
from infra.config.reader import Reader
from infra.config.settings import BY_KEY
from infra.config.stack import Cloud, Profile, StackConfig

NAME = "memorygraph"
OLDEST = ("prod", "local")
"""Stacks whose things are called NAME alone."""

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


def load() -> StackConfig:
    """Read and check the whole configuration of the current stack.

    Raises:
        ConfigError: naming every missing or wrong value, each with the command that sets it.
    """
    reader = Reader()
    cloud = reader.choice("cloud", Cloud)
    profile = reader.choice("profile", Profile, default=Profile.FRUGAL)
    region = reader.text("gcp:region", default="us-east4")
    domain = reader.text("domain")
    config = StackConfig(
        cloud=cloud,
        profile=profile,
        name=_name(reader),
        domain=domain,
        project=reader.text("gcp:project"),
        region=region,
        aws_region=reader.text("awsRegion", default=NEIGHBOURS.get(region)),
        protect=reader.flag("protect", default=cloud is Cloud.REAL),
        public_invoker_exception=reader.flag("publicInvokerException", default=False),
        rotation=reader.rotation("rotation"),
        cloudflare_account_id=reader.text("cloudflareAccountId"),
        zone_id=reader.optional("zoneId"),
        email_forwarding=reader.flag("emailForwarding", default=cloud is Cloud.LOCAL),
        supabase_organization=reader.text("supabaseOrganization"),
        free_store=reader.choice("freeStore", Store, default=Store.SQLITE),
        turso_organization=reader.text("tursoOrganization"),
        turso_api=reader.url("memorygraph:tursoApi", cloud),
        turso_token=reader.token("memorygraph:tursoToken", cloud),
        # The local cloud stands in for all of Google's APIs at one address; the real ones have a host each.
        google_api=reader.url("googleApi", cloud) if cloud is Cloud.LOCAL else None,
        smtp_host=reader.text("smtpHost"),
        smtp_port=reader.port("smtpPort", 465),
        smtp_user=reader.text("smtpUser"),
        smtp_password=reader.token("smtpPassword", cloud),
        mail_from=reader.text("mailFrom", default=f"hello@mail.{domain}"),
        mail_spf=reader.optional("mailSpf"),
        mail_dkim=reader.texts("mailDkim", "--path mailDkim.SELECTOR TARGET"),
        operator_email=reader.text("operatorEmail"),
        sign_in=vendors.sign_in(reader, cloud),
        billing_account=reader.shaped(
            "billingAccount", r"[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}", "an ID (gcloud billing accounts list)"
        ),
        repository=vendors.repository(reader),
        sentry_dsn=reader.optional_token("sentryDsn", cloud),
        captcha=vendors.captcha(reader, cloud),
        stripe=vendors.stripe(reader, cloud, profile),
    )
    # Read by providers, not by the program; checked here so that all mistakes appear together.
    reader.url("memorygraph:supabaseApi", cloud)
    for key in ("memorygraph:supabaseToken", "cloudflare:apiToken", "upstash:apiKey"):
        reader.token(key, cloud)
    reader.text("upstash:email")
    reader.finish()
    _warn(config, nobody_pays=vendors.nobody_pays(reader))
    return config


def _name(reader: Reader) -> str:
    stack = pulumi.get_stack()
    default = NAME if stack in OLDEST else f"{NAME}-{stack}"
    # What Cloudflare, Supabase, Turso and Upstash all take, with room for an ending.
    return (
        reader.shaped("name", "[a-z][a-z0-9-]{2,31}", "3 to 32 small letters, digits and dashes", default=default) or ""
    )


def _warn(config: StackConfig, *, nobody_pays: bool) -> None:
    neighbour = NEIGHBOURS.get(config.region)
    if neighbour and neighbour != config.aws_region:
        pulumi.log.warn(
            f"Functions run in {config.region}, stores in {config.aws_region}: each request pays 10-30 ms for the "
            f"distance. The neighbour of {config.region} is {neighbour}: pulumi config set awsRegion {neighbour}"
        )
    if config.cloud is not Cloud.REAL:
        return
    if not (config.mail_spf and config.mail_dkim):
        pulumi.log.warn(
            f"Receivers cannot tell that mails from {config.mail_from} are ours, and may take them for spam. Set what "
            "your mail service names: pulumi config set mailSpf include:HOST, and "
            "pulumi config set --path mailDkim.SELECTOR TARGET"
        )
    if config.billing_account is None:
        pulumi.log.warn(
            "No budget is declared, so nobody is told when Google charges more than expected. Name the billing "
            f"account: pulumi config set billingAccount {BY_KEY['billingAccount'].example}"
        )
    if config.profile is Profile.PRODUCTION and nobody_pays:
        pulumi.log.warn(
            "Nobody pays: memorygraph:stripeToken is a test key, though the profile is production. Go live with live "
            "keys: pulumi config set --secret memorygraph:stripeToken, and the same for stripeKey"
        )
