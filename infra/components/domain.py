"""Cloudflare: the domain. Who serves it, how it is signed, what it insists on, and where mail to it and from it goes.

What stands on its names is declared where it is made: api.DOMAIN by the Worker (edge.py). Mail to hello@, support@ and
security@ is forwarded to the operator, once they have confirmed their address to Cloudflare (`emailForwarding`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_cloudflare as cloudflare

from declarations import PLANS, PREFIX
from infra.config import StackConfig

HSTS_SECONDS = 365 * 86_400
AUTOMATIC_TTL = 1
SETTINGS: Mapping[str, object] = {
    "ssl": "strict",  # to origins too
    "always_use_https": "on",
    "automatic_https_rewrites": "on",
    "min_tls_version": "1.2",
    "tls_1_3": "on",
    # Agents do not look like browsers: the check would turn them away.
    "browser_check": "off",
    "security_header": {
        "strict_transport_security": {
            "enabled": True,
            "include_subdomains": True,
            "max_age": HSTS_SECONDS,
            "nosniff": True,
            "preload": False,
        }
    },
}
FLOOD_SECONDS = 10
FORWARDED = ("hello", "support", "security")


class Domain(pulumi.ComponentResource):
    """`id` is the zone's; `name_servers` are what the domain must be delegated to, `ds` what its registrar must be told
    for DNSSEC."""

    id: pulumi.Output[str]
    name_servers: pulumi.Output[Sequence[str]]
    ds: pulumi.Output[str]

    def __init__(self, name: str, config: StackConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("memorygraph-cloud:components:Domain", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        zone = cloudflare.Zone(
            "zone",
            name=config.domain,
            account={"id": config.cloudflare_account_id},
            opts=pulumi.ResourceOptions(parent=self, protect=config.protect, import_=config.zone_id),
        )
        dnssec = cloudflare.ZoneDnssec(
            "dnssec",
            zone_id=zone.id,
            status="active",
            # It says "pending" until the registrar knows the key.
            opts=pulumi.ResourceOptions(parent=self, protect=config.protect, ignore_changes=["status"]),
        )
        for setting, value in SETTINGS.items():
            cloudflare.ZoneSetting(f"setting-{setting}", zone_id=zone.id, setting_id=setting, value=value, opts=child)
        for record, (kind, host, content) in _sending(config).items():
            cloudflare.DnsRecord(
                record, zone_id=zone.id, name=host, type=kind, content=content, ttl=AUTOMATIC_TTL, opts=child
            )
        cloudflare.Ruleset(
            "floods",
            zone_id=zone.id,
            kind="zone",
            name="floods",
            phase="http_ratelimit",
            rules=[_flood()],
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),  # a zone has one of each phase
        )
        self._receive(config, zone.id)
        self.id = zone.id
        self.name_servers = zone.name_servers
        self.ds = dnssec.ds
        self.register_outputs({})

    def _receive(self, config: StackConfig, zone: pulumi.Output[str]) -> None:
        """Mail to the domain. The records that it needs are Email Routing's own: none of them is declared here."""
        child = pulumi.ResourceOptions(parent=self)
        settings = cloudflare.EmailRoutingSettings("email", zone_id=zone, opts=child)
        records = cloudflare.EmailRoutingDns("email-records", zone_id=zone, opts=child)
        address = cloudflare.EmailRoutingAddress(
            "operator", account_id=config.cloudflare_account_id, email=config.operator_email, opts=child
        )
        if not config.email_forwarding:
            return
        for local in FORWARDED:
            cloudflare.EmailRoutingRule(
                f"forward-{local}",
                zone_id=zone,
                name=f"{local}@{config.domain}",
                enabled=True,
                matchers=[{"type": "literal", "field": "to", "value": f"{local}@{config.domain}"}],
                actions=[{"type": "forward", "values": [address.email]}],
                opts=pulumi.ResourceOptions(parent=self, depends_on=[settings, records]),
            )


def _flood() -> cloudflare.RulesetRuleArgs:
    """The one rule of this kind that the Free plan has: more from one address, at one of Cloudflare's places, than any
    plan of ours allows. It answers by itself, in Cloudflare's words; what plans allow is counted in the functions."""
    most = max(plan.calls_per_minute for plan in PLANS.values()) * FLOOD_SECONDS // 60
    return cloudflare.RulesetRuleArgs(
        description="more than any plan allows",
        expression=f'(starts_with(http.request.uri.path, "{PREFIX}/"))',
        action="block",
        ratelimit=cloudflare.RulesetRuleRatelimitArgs(
            characteristics=["cf.colo.id", "ip.src"],
            period=FLOOD_SECONDS,
            requests_per_period=most + most // 5,
            mitigation_timeout=FLOOD_SECONDS,
        ),
    )


def _sending(config: StackConfig) -> dict[str, tuple[str, str, str]]:
    """Records by which receivers know our mails for ours: name of the resource -> type, host, content.

    The sender is on a name of its own, so that this SPF record and Email Routing's do not meet.
    """
    sender = config.mail_from.rpartition("@")[2]
    found = {
        "dmarc": ("TXT", f"_dmarc.{config.domain}", f'"v=DMARC1; p=quarantine; rua=mailto:{config.operator_email}"')
    }
    if sender != config.domain and not sender.endswith(f".{config.domain}"):
        return found  # mails are from a domain of somebody else's, who says so there
    if config.mail_spf:
        found["spf"] = ("TXT", sender, f'"v=spf1 {config.mail_spf} -all"')
    for selector, target in config.mail_dkim.items():
        kind, content = ("TXT", f'"{target}"') if target.startswith("v=DKIM1") else ("CNAME", target)
        found[f"dkim-{selector}"] = (kind, f"{selector}._domainkey.{sender}", content)
    return found
