"""Cloudflare rulesets, with what the Free plan allows. They are kept and checked; no request passes them here."""

# ruff: noqa: ARG002  a kind is given more than each one needs

from __future__ import annotations

from typing import Any

from infra.local.cloud.errors import CloudError
from infra.local.cloud.provider.cloudflare.domains import digest, need_zone
from infra.local.cloud.provider.cloudflare.zones import MADE
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record

RATE = "http_ratelimit"
REDIRECT = "http_request_dynamic_redirect"
MOST_RULES = {RATE: 1, REDIRECT: 10, "http_request_firewall_custom": 5, "http_request_transform": 10}
"""By phase, on the Free plan."""
PERIOD_SECONDS = 10


class Ruleset(Kind):
    """The rules of one phase of a zone, which has one set of them for each phase."""

    token = "cloudflare:index/ruleset:Ruleset"  # noqa: S105  a name, no secret
    replaces = frozenset({"zoneId", "kind", "phase"})

    def check(self, checks: Checks) -> None:
        checks.required("zoneId", "name", "kind", "phase")
        checks.one_of("kind", ("zone",), "the local cloud has rulesets of zones only")
        checks.one_of("phase", MOST_RULES)
        rules, phase = checks.get("rules"), checks.get("phase")
        for number, rule in enumerate(rules if isinstance(rules, list) else []):
            _check_rule(checks, f"rules[{number}]", rule, phase)
        most = MOST_RULES.get(phase or "")
        if most and isinstance(rules, list) and len(rules) > most:
            checks.refuse(
                "rules", f"exceeded the maximum number of rules in the phase {phase}: {len(rules)} out of {most}"
            )

    def identify(self, args: Json) -> str | None:
        zone, phase = args.get("zoneId"), args.get("phase")
        return digest(zone, phase) if zone and phase else None

    def taken(self, args: Json) -> str:
        return (
            "Error 20217: 'zone' is not a valid value for kind because exceeded maximum number of zone rulesets for "
            f"phase {args['phase']}: import the existing one."
        )

    def create(self, args: Json) -> Made:
        need_zone(self, args["zoneId"])
        return self._made(args)

    def update(self, record: Record, args: Json) -> Made:
        return self._made(args)

    def _made(self, args: Json) -> Made:
        identity = self.identify(args)
        if identity is None:
            raise CloudError("A ruleset needs a zone and a phase.")
        return Made(id=identity, outputs={"version": "1", "lastUpdated": MADE})


def _check_rule(checks: Checks, path: str, rule: Any, phase: str | None) -> None:
    if not isinstance(rule, dict):
        return
    for name in ("expression", "action"):
        if not rule.get(name):
            checks.refuse(f"{path}.{name}", f"Missing required argument: {name} is required, but was not set.")
    if phase == REDIRECT and rule.get("action") not in (None, "redirect"):
        checks.refuse(f"{path}.action", f"{rule['action']!r}: this phase takes the action redirect")
    if phase != RATE:
        return
    limit = rule.get("ratelimit")
    if not isinstance(limit, dict):
        checks.refuse(f"{path}.ratelimit", "Missing required argument: a rule of this phase says its rate limit.")
        return
    needed = {"cf.colo.id", "ip.src"}
    if set(limit.get("characteristics") or ()) != needed:
        checks.refuse(
            f"{path}.ratelimit", "not entitled: the Free plan counts by cf.colo.id and ip.src, and both are needed"
        )
    for name in ("period", "mitigationTimeout"):
        if limit.get(name) not in (None, PERIOD_SECONDS):
            checks.refuse(f"{path}.ratelimit", f"not entitled to use the {name} {limit[name]}: the Free plan has 10 s")
    if not isinstance(limit.get("requestsPerPeriod"), int | float):
        checks.refuse(f"{path}.ratelimit", "requests_per_period is required")
