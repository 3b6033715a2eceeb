"""Every type of resource that is declared: what it costs, or why nothing. A test compares it with the graph."""

from __future__ import annotations

COSTS: dict[str, tuple[str, ...]] = {
    "gcp:cloudfunctionsv2/function:Function": ("function CPU", "function memory", "function requests", "build time"),
    "gcp:cloudscheduler/job:Job": ("schedules",),
    "gcp:cloudtasks/queue:Queue": ("task operations",),
    "gcp:logging/metric:Metric": ("numbers from logs",),
    "gcp:monitoring/uptimeCheckConfig:UptimeCheckConfig": ("checks from outside",),
    "gcp:secretmanager/secretVersion:SecretVersion": ("secret versions", "secret reads"),
    "gcp:storage/bucket:Bucket": ("archives and backups",),
    "cloudflare:index/workersScript:WorkersScript": ("edge requests", "edge requests of the busiest day"),
    "memorygraph:supabase:Project": ("database", "people who sign in", "database answers"),
    "memorygraph:turso:Group": ("databases", "Turso storage", "rows read", "rows written"),
    "upstash:index/redisDatabase:RedisDatabase": ("Redis commands",),
}
"""Type -> names of meters (prices.py)."""

FREE: dict[str, str] = {
    "cloudflare:index/dnsRecord:DnsRecord": "records of the Free plan cost nothing",
    "cloudflare:index/emailRoutingAddress:EmailRoutingAddress": "Email Routing costs nothing",
    "cloudflare:index/emailRoutingDns:EmailRoutingDns": "Email Routing costs nothing",
    "cloudflare:index/emailRoutingRule:EmailRoutingRule": "Email Routing costs nothing",
    "cloudflare:index/emailRoutingSettings:EmailRoutingSettings": "Email Routing costs nothing",
    "cloudflare:index/ruleset:Ruleset": "the one rate rule that the Free plan has",
    "cloudflare:index/workersCustomDomain:WorkersCustomDomain": "a name for the Worker, with a certificate",
    "cloudflare:index/workersScriptSubdomain:WorkersScriptSubdomain": "switches an address off",
    "cloudflare:index/zoneDnssec:ZoneDnssec": "signatures cost nothing",
    "cloudflare:index/zoneSetting:ZoneSetting": "settings",
    "cloudflare:index/zone:Zone": "zones of the Free plan cost nothing; the domain itself is a line of its own",
    "gcp:billing/budget:Budget": "tells, and caps nothing",
    "gcp:cloudrunv2/serviceIamMember:ServiceIamMember": "grants cost nothing",
    "gcp:cloudtasks/queueIamMember:QueueIamMember": "grants cost nothing",
    "gcp:iam/workloadIdentityPool:WorkloadIdentityPool": "identities cost nothing",
    "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider": "identities cost nothing",
    "gcp:logging/projectBucketConfig:ProjectBucketConfig": "thirty days of logs are kept for nothing",
    "gcp:monitoring/alertPolicy:AlertPolicy": "free until September 2027 at least; then about $0.35 a month for each "
    "metric that one names, and $0.50 for a million points",
    "gcp:monitoring/dashboard:Dashboard": "costs nothing",
    "gcp:monitoring/notificationChannel:NotificationChannel": "mails cost nothing",
    "gcp:projects/iAMAuditConfig:IAMAuditConfig": "what is logged for it is within the logs' line",
    "gcp:projects/iAMMember:IAMMember": "grants cost nothing",
    "gcp:projects/service:Service": "switching an API on costs nothing",
    "gcp:secretmanager/secret:Secret": "its versions are what is charged",
    "gcp:secretmanager/secretIamMember:SecretIamMember": "grants cost nothing",
    "gcp:serviceaccount/account:Account": "identities cost nothing",
    "gcp:serviceaccount/iAMMember:IAMMember": "grants cost nothing",
    "gcp:storage/bucketIAMMember:BucketIAMMember": "grants cost nothing",
    "gcp:storage/bucketObject:BucketObject": "a few hundred kilobytes each, within the bucket's line",
    "memorygraph:postgres:Schema": "tables, within the database's line",
    "memorygraph:random:Key": "made here",
    "memorygraph:stripe:PortalConfiguration": "Stripe takes its share of each payment, and nothing a month",
    "memorygraph:stripe:Price": "as above",
    "memorygraph:stripe:Product": "as above",
    "memorygraph:stripe:WebhookEndpoint": "as above",
    "memorygraph:supabase:AuthSettings": "settings",
}
"""Type -> why it costs nothing of its own."""

UNDECLARED: dict[str, str] = {
    "images": "Google's build of each function leaves one",
    "logs": "what functions write",
    "answers sent out": "what functions answer",
}
"""Meters that no declared resource stands for, and where they come from."""
