"""Cloudflare: what a zone says and insists on: records, DNSSEC, settings. Nothing is served from them here: the local
cloud's names are found by GET /addresses."""

# ruff: noqa: ARG002  a kind is given more than each one needs

from __future__ import annotations

import hashlib
import re
from typing import Any, ClassVar

from infra.local.cloud.errors import CloudError, NotFound
from infra.local.cloud.provider.cloudflare.zones import MADE, Zone
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record

TYPES = ("A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT")
PROXIED = ("A", "AAAA", "CNAME")
AUTOMATIC, LEAST_TTL, MOST_TTL = 1, 60, 86_400
SWITCH = ("on", "off")
VALUES: dict[str, tuple[str, ...]] = {
    "always_use_https": SWITCH,
    "automatic_https_rewrites": SWITCH,
    "browser_check": SWITCH,
    "min_tls_version": ("1.0", "1.1", "1.2", "1.3"),
    "ssl": ("off", "flexible", "full", "strict"),
    "tls_1_3": ("on", "off", "zrt"),
}
HSTS = {"enabled": bool, "include_subdomains": bool, "max_age": int, "nosniff": bool, "preload": bool}


def digest(*parts: object) -> str:
    """An id as Cloudflare's look: 32 hexadecimal digits, here from what is unique."""
    return hashlib.md5("\0".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def need_zone(kind: Kind, zone: object) -> Record:
    """The zone of that id.

    Raises:
        NotFound: there is none.
    """
    record = kind.cloud.store.get(Zone.token, str(zone))
    if record is None:
        raise NotFound(f"Error 7003: Could not route to /zones/{zone}: use the `id` output of a Zone.")
    return record


class DnsRecord(Kind):
    """One record."""

    token = "cloudflare:index/dnsRecord:DnsRecord"  # noqa: S105  a name, no secret
    replaces = frozenset({"zoneId", "type"})
    defaults: ClassVar[Json] = {"proxied": False}

    def check(self, checks: Checks) -> None:
        checks.required("zoneId", "name", "type", "ttl")
        checks.one_of("type", TYPES)
        kind, ttl, proxied = checks.get("type"), checks.get("ttl"), checks.get("proxied")
        if ttl is not None and ttl != AUTOMATIC and not LEAST_TTL <= ttl <= MOST_TTL:
            checks.refuse("ttl", f"{ttl}: TTL must be between 60 and 86400 seconds, or 1 for automatic")
        if proxied and kind is not None and kind not in PROXIED:
            checks.refuse("proxied", f"Error 9004: This record type cannot be proxied: {kind}")
        if proxied and ttl is not None and ttl != AUTOMATIC:
            checks.refuse("ttl", f"{ttl}: a proxied record has ttl 1 (automatic)")
        if kind == "MX" and checks.inputs.get("priority") is None:
            checks.refuse("priority", "Error 1004: DNS Validation Error: priority is required for MX records")
        if kind not in ("CAA", "SRV"):
            checks.required("content")
        if kind == "TXT":
            checks.text("content", r'(?s)".*"', 'content of a TXT record must be in quotes: "text"')

    def create(self, args: Json) -> Made:
        zone = need_zone(self, args["zoneId"])
        domain, name = str(zone.args["name"]), str(args["name"])
        if name != domain and not name.endswith(f".{domain}"):
            raise CloudError(f"Error 9000: DNS name is invalid: {name} is not in the zone {domain}.")
        for other in self.cloud.store.of(self.token):
            if other.args["zoneId"] != args["zoneId"] or other.args["name"] != name:
                continue
            if other.args["type"] == args["type"] and other.args.get("content") == args.get("content"):
                raise CloudError("Error 81058: An identical record already exists. Import it instead of making one.")
            if "CNAME" in (other.args["type"], args["type"]) and other.args["type"] != "TXT":
                raise CloudError(f"Error 81053: An A, AAAA, or CNAME record with that host already exists: {name}.")
        return Made(id=digest(args["zoneId"], args["type"], name, args.get("content")), outputs=_made(args))

    def update(self, record: Record, args: Json) -> Made:
        return Made(id=record.id, outputs=_made(args))


def _made(args: Json) -> Json:
    proxiable = args["type"] in PROXIED
    return {"proxiable": proxiable, "createdOn": MADE, "modifiedOn": MADE, "meta": "{}", "tagsModifiedOn": MADE}


class ZoneDnssec(Kind):
    """A zone's signatures. They are in force at once: there is no registrar to be told."""

    token = "cloudflare:index/zoneDnssec:ZoneDnssec"  # noqa: S105  a name, no secret
    replaces = frozenset({"zoneId"})

    def check(self, checks: Checks) -> None:
        checks.required("zoneId")
        checks.one_of("status", ("active", "disabled"))

    def identify(self, args: Json) -> str | None:
        zone = args.get("zoneId")
        return str(zone) if zone else None

    def create(self, args: Json) -> Made:
        return self._made(args)

    def update(self, record: Record, args: Json) -> Made:
        return self._made(args)

    def _made(self, args: Json) -> Made:
        zone = need_zone(self, args["zoneId"])
        key, signature = digest("key", zone.id), hashlib.sha256(zone.id.encode()).hexdigest().upper()
        tag = int(key[:4], 16)
        outputs = {
            "algorithm": "13",
            "digest": signature,
            "digestAlgorithm": "SHA256",
            "digestType": "2",
            "ds": f"{zone.args['name']}. 3600 IN DS {tag} 13 2 {signature}",
            "flags": 257,
            "keyTag": tag,
            "keyType": "ECDSAP256SHA256",
            "modifiedOn": MADE,
            "publicKey": key,
        }
        return Made(id=zone.id, outputs=outputs)


class ZoneSetting(Kind):
    """One setting of a zone. Deleting it changes nothing, as at Cloudflare: the zone keeps what it insists on."""

    token = "cloudflare:index/zoneSetting:ZoneSetting"  # noqa: S105  a name, no secret
    replaces = frozenset({"zoneId", "settingId"})

    def check(self, checks: Checks) -> None:
        checks.required("zoneId", "settingId", "value")
        setting, value = checks.get("settingId"), checks.get("value")
        if setting is None or value is None:
            return
        if setting == "security_header":
            _check_hsts(checks, value)
        elif setting not in VALUES:
            known = ", ".join(sorted((*VALUES, "security_header")))
            checks.refuse("settingId", f"{setting!r}: Error 1002: undefined zone setting. The local cloud has {known}")
        elif value not in VALUES[setting]:
            allowed = ", ".join(VALUES[setting])
            checks.refuse("value", f"{value!r}: Error 1007: Invalid value for zone setting {setting}: one of {allowed}")

    def identify(self, args: Json) -> str | None:
        zone, setting = args.get("zoneId"), args.get("settingId")
        return f"{zone}/{setting}" if zone and setting else None

    def create(self, args: Json) -> Made:
        need_zone(self, args["zoneId"])
        identity = f"{args['zoneId']}/{args['settingId']}"
        return Made(id=identity, outputs={"editable": True, "modifiedOn": MADE, "timeRemaining": 0})

    def update(self, record: Record, args: Json) -> Made:
        return Made(id=record.id, outputs={"editable": True, "modifiedOn": MADE, "timeRemaining": 0})


def _check_hsts(checks: Checks, value: Any) -> None:
    header = value.get("strict_transport_security") if isinstance(value, dict) else None
    if not isinstance(header, dict):
        checks.refuse("value", "security_header takes {strict_transport_security: {...}}, in snake case")
        return
    for name, kind in HSTS.items():
        if name in header and (
            not isinstance(header[name], kind | float) if kind is int else type(header[name]) is not kind
        ):
            checks.refuse("value", f"strict_transport_security.{name} must be a {kind.__name__}")
    for name in set(header) - set(HSTS):
        checks.refuse("value", f"strict_transport_security.{name} is not known: {', '.join(HSTS)}")


ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
