"""Cloudflare Email Routing: the zone's records for mail, addresses to forward to, rules. No mail comes in here.

Who an address belongs to confirms it by a mailed link. Here an address of this machine (`.localhost`) is confirmed, and
no other ever is, so that a rule that comes too early can be seen to fail.
"""

from __future__ import annotations

from typing import Any, ClassVar

from infra.local.cloud.errors import CloudError
from infra.local.cloud.provider.cloudflare.domains import ADDRESS, digest, need_zone
from infra.local.cloud.provider.cloudflare.zones import MADE
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record


class _OfZone(Kind):
    """One of a zone."""

    replaces = frozenset({"zoneId"})

    def check(self, checks: Checks) -> None:
        checks.required("zoneId")

    def identify(self, args: Json) -> str | None:
        zone = args.get("zoneId")
        return str(zone) if zone else None


class RoutingSettings(_OfZone):
    token = "cloudflare:index/emailRoutingSettings:EmailRoutingSettings"  # noqa: S105  a name, no secret
    defaults: ClassVar[Json] = {"supportSubaddress": False}

    def create(self, args: Json) -> Made:
        zone = need_zone(self, args["zoneId"])
        outputs = {"enabled": True, "name": zone.args["name"], "status": "ready", "skipWizard": True, "tag": zone.id}
        return Made(id=zone.id, outputs={**outputs, "created": MADE, "modified": MADE})


class RoutingDns(_OfZone):
    """The MX and SPF records of the zone, which are Email Routing's own."""

    token = "cloudflare:index/emailRoutingDns:EmailRoutingDns"  # noqa: S105  a name, no secret

    def create(self, args: Json) -> Made:
        zone = need_zone(self, args["zoneId"])
        for record in self.cloud.store.of("cloudflare:index/dnsRecord:DnsRecord"):
            if record.args["type"] == "MX" and record.args["name"] == zone.args["name"]:
                raise CloudError(
                    "Error 2008: other MX records exist in the zone: Email Routing makes its own. Do not declare them."
                )
        outputs = {"enabled": True, "status": "ready", "tag": zone.id, "created": MADE, "modified": MADE}
        return Made(id=zone.id, outputs=outputs)


class Address(Kind):
    token = "cloudflare:index/emailRoutingAddress:EmailRoutingAddress"  # noqa: S105  a name, no secret
    replaces = frozenset({"accountId", "email"})

    def check(self, checks: Checks) -> None:
        checks.required("accountId", "email")
        checks.text("email", ADDRESS.pattern, "Error 2027: Invalid Destination Address")

    def identify(self, args: Json) -> str | None:
        email = args.get("email")
        return digest("address", email) if email else None

    def create(self, args: Json) -> Made:
        email = str(args["email"])
        outputs: Json = {"created": MADE, "modified": MADE, "tag": digest("address", email)}
        if is_confirmed(email):
            outputs["verified"] = MADE
        return Made(id=digest("address", email), outputs=outputs)


def is_confirmed(email: str) -> bool:
    return email.endswith(".localhost")


class Rule(Kind):
    """Where mail to one address goes."""

    token = "cloudflare:index/emailRoutingRule:EmailRoutingRule"  # noqa: S105  a name, no secret
    replaces = frozenset({"zoneId"})
    defaults: ClassVar[Json] = {"priority": 0}

    def check(self, checks: Checks) -> None:
        checks.required("zoneId", "matchers", "actions")
        for name, kinds in (("matchers", ("literal", "all")), ("actions", ("forward", "drop", "worker"))):
            given = checks.get(name)
            for number, item in enumerate(given if isinstance(given, list) else []):
                kind = item.get("type") if isinstance(item, dict) else None
                if kind not in kinds:
                    checks.refuse(f"{name}[{number}]", f"{kind!r}: expected one of {', '.join(kinds)}")

    def create(self, args: Json) -> Made:
        zone = need_zone(self, args["zoneId"])
        if self.cloud.store.get(RoutingSettings.token, zone.id) is None:
            raise CloudError("Error 2007: Email Routing is not enabled in this zone: declare EmailRoutingSettings.")
        self._check_targets(args)
        identity = digest(zone.id, args.get("name"), args["matchers"])
        return Made(id=identity, outputs={"tag": identity})

    def update(self, record: Record, args: Json) -> Made:
        self._check_targets(args)
        return Made(id=record.id, outputs={"tag": record.id})

    def _check_targets(self, args: Json) -> None:
        known = {str(record.args["email"]) for record in self.cloud.store.of(Address.token)}
        for target in _targets(args):
            if target not in known:
                raise CloudError(f"Error 2055: {target} is no destination address: declare an EmailRoutingAddress.")
            if not is_confirmed(target):
                raise CloudError(
                    f"Error 2054: Destination address is not verified: {target}. Its owner has to open the link that "
                    "Cloudflare mailed; until then: pulumi config set emailForwarding false"
                )


def _targets(args: Json) -> list[str]:
    actions: list[Any] = args["actions"]
    return [str(value) for action in actions if action.get("type") == "forward" for value in action.get("values") or []]
