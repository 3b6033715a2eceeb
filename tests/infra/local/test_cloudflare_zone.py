"""What a zone says, insists on and forwards: what Cloudflare refuses is refused, and changes behave as there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from copy import deepcopy

import pytest

from infra.components.domain import SETTINGS
from infra.local.cloud.cloud import Cloud
from infra.local.cloud.paths import Paths
from infra.local.cloud.provider.kind import Checks, Kind
from infra.local.cloud.provider.registry import kinds
from infra.local.cloud.provider.wire import UNKNOWN
from tests.infra.local.program import ZONE
from tests.infra.local.running import Engine, Json, Refused

RECORD = "cloudflare:index/dnsRecord:DnsRecord"
DNSSEC = "cloudflare:index/zoneDnssec:ZoneDnssec"
SETTING = "cloudflare:index/zoneSetting:ZoneSetting"
MAIL = "cloudflare:index/emailRoutingSettings:EmailRoutingSettings"
MAIL_RECORDS = "cloudflare:index/emailRoutingDns:EmailRoutingDns"
ADDRESS = "cloudflare:index/emailRoutingAddress:EmailRoutingAddress"
RULE = "cloudflare:index/emailRoutingRule:EmailRoutingRule"
RULESET = "cloudflare:index/ruleset:Ruleset"

TXT: Json = {"zoneId": "z", "name": "memorygraph.localhost", "type": "TXT", "ttl": 1, "content": '"v=spf1 -all"'}
FLOOD: Json = {
    "expression": "true",
    "action": "block",
    "ratelimit": {
        "characteristics": ["cf.colo.id", "ip.src"],
        "period": 10,
        "requestsPerPeriod": 100,
        "mitigationTimeout": 10,
    },
}
RULES: Json = {"zoneId": "z", "kind": "zone", "name": "floods", "phase": "http_ratelimit", "rules": [FLOOD]}
FORWARD: Json = {
    "zoneId": "z",
    "matchers": [{"type": "literal", "field": "to", "value": "hello@memorygraph.localhost"}],
    "actions": [{"type": "forward", "values": ["operator@memorygraph.localhost"]}],
}
VALID: dict[str, Json] = {RECORD: TXT, RULESET: RULES, RULE: FORWARD, DNSSEC: {"zoneId": "z", "status": "active"}}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    loop = asyncio.new_event_loop()
    loop.close()  # checks start nothing
    return kinds(Cloud(Paths(tmp_path_factory.mktemp("root")), loop))


def refusals(known: dict[str, Kind], type_: str, inputs: Json) -> str:
    checks = Checks(inputs)
    known[type_].check(checks)
    return str(checks.failures) if checks.failures else ""


@pytest.mark.parametrize("type_", VALID)
def test_what_is_right_passes_also_before_it_is_known(known: dict[str, Kind], type_: str) -> None:
    assert refusals(known, type_, VALID[type_]) == ""
    assert refusals(known, type_, dict.fromkeys(VALID[type_], UNKNOWN)) == ""


@pytest.mark.parametrize("setting", SETTINGS)
def test_each_setting_that_we_declare_passes(known: dict[str, Kind], setting: str) -> None:
    assert refusals(known, SETTING, {"zoneId": "z", "settingId": setting, "value": SETTINGS[setting]}) == ""


@pytest.mark.parametrize(
    ("type_", "change", "words"),
    [
        (RECORD, {"ttl": None}, "ttl is required"),
        (RECORD, {"ttl": 30}, "between 60 and 86400"),
        (RECORD, {"proxied": True}, "cannot be proxied: TXT"),
        (RECORD, {"type": "A", "content": "127.0.0.1", "proxied": True, "ttl": 300}, "ttl 1"),
        (RECORD, {"type": "MX", "content": "mail.example.com"}, "priority is required for MX"),
        (RECORD, {"content": "v=spf1 -all"}, "in quotes"),
        (RECORD, {"type": "SPF"}, "expected one of"),
        (DNSSEC, {"status": "pending"}, "active, disabled"),
        (RULESET, {"rules": [FLOOD, FLOOD]}, "2 out of 1"),
        (RULESET, {"rules": [{**FLOOD, "ratelimit": {**FLOOD["ratelimit"], "period": 60}}]}, "has 10 s"),
        (
            RULESET,
            {"rules": [{**FLOOD, "ratelimit": {**FLOOD["ratelimit"], "characteristics": ["ip.src"]}}]},
            "cf.colo.id",
        ),
        (RULESET, {"rules": [{"action": "block", "ratelimit": FLOOD["ratelimit"]}]}, "expression is required"),
        (RULESET, {"phase": "http_request_dynamic_redirect"}, "takes the action redirect"),
        (RULE, {"actions": [{"type": "bounce"}]}, "forward, drop, worker"),
    ],
)
def test_what_cloudflare_refuses(known: dict[str, Kind], type_: str, change: Json, words: str) -> None:
    inputs = {name: value for name, value in {**deepcopy(VALID[type_]), **change}.items() if value is not None}
    assert words in refusals(known, type_, inputs)


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("ssl", "on", "off, flexible, full, strict"),
        ("min_tls_version", "1.4", "1.0, 1.1, 1.2, 1.3"),
        ("minTlsVersion", "1.2", "undefined zone setting"),
        ("security_header", {"strictTransportSecurity": {"enabled": True}}, "in snake case"),
        ("security_header", {"strict_transport_security": {"max_age": "1"}}, "max_age must be a int"),
        ("security_header", {"strict_transport_security": {"maxAge": 1}}, "maxAge is not known"),
    ],
)
def test_settings_that_cloudflare_refuses(known: dict[str, Kind], setting: str, value: object, words: str) -> None:
    assert words in refusals(known, SETTING, {"zoneId": "z", "settingId": setting, "value": value})


@pytest.fixture(scope="module")
def zone(engine: Engine) -> Iterator[str]:
    id_, _ = engine.create(ZONE, {"name": "zone.localhost", "account": {"id": "local"}})
    yield id_
    engine.delete(ZONE, id_)


def txt(zone: str, **changes: object) -> Json:
    return {**TXT, "zoneId": zone, "name": "mail.zone.localhost", **changes}


def test_a_record_is_of_its_zone_and_there_is_one_of_it(engine: Engine, zone: str) -> None:
    made, _ = engine.create(RECORD, txt(zone))
    with pytest.raises(Refused, match="identical record already exists"):
        engine.create(RECORD, txt(zone))
    with pytest.raises(Refused, match="not in the zone"):
        engine.create(RECORD, txt(zone, name="example.com"))
    with pytest.raises(Refused, match="7003"):
        engine.create(RECORD, txt("0" * 32))
    alias, _ = engine.create(RECORD, txt(zone, name="www.zone.localhost", type="CNAME", content="a.example.com"))
    with pytest.raises(Refused, match="81053"):
        engine.create(RECORD, txt(zone, name="www.zone.localhost", type="A", content="127.0.0.1"))
    for id_ in (made, alias):
        engine.delete(RECORD, id_)


def test_signatures_say_what_the_registrar_must_be_told(engine: Engine, zone: str) -> None:
    made, outputs = engine.create(DNSSEC, {"zoneId": zone, "status": "active"})
    assert outputs["ds"].startswith("zone.localhost. 3600 IN DS ")
    engine.delete(DNSSEC, made)


def test_mail_is_forwarded_to_whoever_has_confirmed_their_address(engine: Engine, zone: str) -> None:
    def rule(to: str) -> Json:
        return {**deepcopy(FORWARD), "zoneId": zone, "actions": [{"type": "forward", "values": [to]}]}

    with pytest.raises(Refused, match="2007"):
        engine.create(RULE, rule("me@zone.localhost"))
    settings, _ = engine.create(MAIL, {"zoneId": zone})
    records, _ = engine.create(MAIL_RECORDS, {"zoneId": zone})
    with pytest.raises(Refused, match="2055"):
        engine.create(RULE, rule("me@zone.localhost"))
    mine, outputs = engine.create(ADDRESS, {"accountId": "local", "email": "me@zone.localhost"})
    assert outputs["verified"]
    theirs, outputs = engine.create(ADDRESS, {"accountId": "local", "email": "me@example.com"})
    assert "verified" not in outputs
    made, _ = engine.create(RULE, rule("me@zone.localhost"))
    with pytest.raises(Refused, match=r"2054.*emailForwarding false"):
        engine.create(RULE, rule("me@example.com"))
    for type_, id_ in ((RULE, made), (ADDRESS, mine), (ADDRESS, theirs), (MAIL_RECORDS, records), (MAIL, settings)):
        engine.delete(type_, id_)


def test_a_phase_has_one_set_of_rules(engine: Engine, zone: str) -> None:
    made, _ = engine.create(RULESET, {**RULES, "zoneId": zone})
    with pytest.raises(Refused, match="exceeded maximum number of zone rulesets"):
        engine.create(RULESET, {**RULES, "zoneId": zone}, name="another")
    engine.delete(RULESET, made)
