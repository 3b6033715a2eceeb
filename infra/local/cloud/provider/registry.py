"""Every resource type that the local cloud knows. A new one: write its class, list it here."""

from __future__ import annotations

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.provider.cloudflare.domains import DnsRecord, ZoneDnssec, ZoneSetting
from infra.local.cloud.provider.cloudflare.mail import Address, RoutingDns, RoutingSettings, Rule
from infra.local.cloud.provider.cloudflare.rulesets import Ruleset
from infra.local.cloud.provider.cloudflare.workers import CustomDomain, Script, ScriptSubdomain
from infra.local.cloud.provider.cloudflare.zones import Zone
from infra.local.cloud.provider.gcp.alerts import AlertPolicy
from infra.local.cloud.provider.gcp.billing import Budget
from infra.local.cloud.provider.gcp.functions import Function
from infra.local.cloud.provider.gcp.grants import AccountGrant, BucketGrant, ProjectGrant, SecretGrant, ServiceGrant
from infra.local.cloud.provider.gcp.identity import Pool, PoolProvider
from infra.local.cloud.provider.gcp.logging import AuditConfig, Metric, ProjectBucketConfig
from infra.local.cloud.provider.gcp.monitoring import Dashboard, NotificationChannel, UptimeCheckConfig
from infra.local.cloud.provider.gcp.projects import Account, Service
from infra.local.cloud.provider.gcp.scheduler import Job
from infra.local.cloud.provider.gcp.secrets import Secret, SecretVersion
from infra.local.cloud.provider.gcp.storage import Bucket, BucketObject
from infra.local.cloud.provider.gcp.tasks import Queue, QueueGrant
from infra.local.cloud.provider.kind import Kind, KindFactory
from infra.local.cloud.provider.upstash import RedisDatabase

KINDS: tuple[KindFactory, ...] = (
    Service,
    Account,
    Pool,
    PoolProvider,
    AccountGrant,
    ProjectGrant,
    Bucket,
    BucketObject,
    BucketGrant,
    Secret,
    SecretVersion,
    SecretGrant,
    RedisDatabase,
    Function,
    ServiceGrant,
    Queue,
    QueueGrant,
    Job,
    NotificationChannel,
    UptimeCheckConfig,
    Metric,
    AlertPolicy,
    Dashboard,
    ProjectBucketConfig,
    AuditConfig,
    Budget,
    Zone,
    ZoneDnssec,
    ZoneSetting,
    DnsRecord,
    RoutingSettings,
    RoutingDns,
    Address,
    Rule,
    Ruleset,
    Script,
    ScriptSubdomain,
    CustomDomain,
)
"""In the order in which they are brought back at a start."""


def kinds(cloud: Cloud) -> dict[str, Kind]:
    """The kinds by type token."""
    return {kind.token: kind for kind in (factory(cloud) for factory in KINDS)}
