"""The domain as it is declared: what it insists on, how our mails are known for ours, and where its own mail goes."""

from __future__ import annotations

from declarations import PLANS
from tests.infra import program
from tests.infra.program import Graph, Resource


def _records(graph: Graph) -> set[tuple[str, str, str]]:
    return {(item["type"], item["name"], item["content"]) for item in graph.of("DnsRecord")}


def _settings(graph: Graph) -> dict[str, object]:
    return {item["settingId"]: item["value"] for item in graph.of("ZoneSetting")}


def test_transport_is_encrypted_and_stays_so(real: Graph) -> None:
    settings = _settings(real)
    assert (settings["ssl"], settings["always_use_https"], settings["min_tls_version"]) == ("strict", "on", "1.2")
    assert settings["browser_check"] == "off", "agents are no browsers"
    hsts = settings["security_header"]
    assert isinstance(hsts, dict)
    assert hsts["strict_transport_security"]["max_age"] == 31_536_000
    assert hsts["strict_transport_security"]["include_subdomains"] is True
    assert real.one("ZoneDnssec", "dnssec")["status"] == "active"


def test_our_mails_are_known_for_ours(real: Graph) -> None:
    assert _records(real) == {
        ("TXT", "_dmarc.memorygraph.dev", '"v=DMARC1; p=quarantine; rua=mailto:ops@memorygraph.dev"'),
        ("TXT", "mail.memorygraph.dev", '"v=spf1 include:spf.example.com -all"'),
        ("CNAME", "s1._domainkey.mail.memorygraph.dev", "s1.dkim.example.com"),
    }


def test_a_key_that_is_a_text_is_a_text_record() -> None:
    key = "v=DKIM1; k=rsa; p=MIGf"
    found = program.run({**program.REAL, "memorygraph-cloud:mailDkim": f'{{"s1": "{key}"}}'}, program.REAL_ANSWERS)
    assert ("TXT", "s1._domainkey.mail.memorygraph.dev", f'"{key}"') in _records(found)


def test_mail_to_the_domain_reaches_the_operator(real: Graph) -> None:
    def target(rule: Resource) -> tuple[str, list[str]]:
        return rule["matchers"][0]["value"], rule["actions"][0]["values"]

    assert dict(target(rule) for rule in real.of("EmailRoutingRule")) == {
        f"{name}@memorygraph.dev": ["ops@memorygraph.dev"] for name in ("hello", "support", "security")
    }


def test_the_flood_rule_lets_every_plan_through(real: Graph) -> None:
    [rule] = real.one("Ruleset", "floods")["rules"]
    limit = rule["ratelimit"]
    assert limit["requestsPerPeriod"] / limit["period"] * 60 > max(plan.calls_per_minute for plan in PLANS.values())
