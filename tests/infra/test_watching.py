"""What is declared to watch: alerts that name what exists, the check from outside, the budget; what logs must say."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from typing import Any

import pytest

from core import logs
from core.problems import Unavailable
from declarations import BILLING, DEPLOYED, FUNCTIONS, MEMORIES, PLANS, Access
from infra import config
from infra.components.google import GoogleProject
from infra.components.watching import WORKERS_FREE_REQUESTS, Watching
from infra.cost import prices
from infra.local.places import REPO
from infra.watching import parts, work
from infra.watching.conditions import Is, Like
from infra.watching.metrics import METRICS, LogMetric, counted
from infra.watching.rule import Rule
from infra.watching.rules import rules
from provisioning.jobs import GaveUp, _log
from provisioning.outbox import Job
from tests.infra import program
from tests.infra.program import Graph
from tests.infra.watching import FACTS

OURS = "memorygraph-cloud:"
BY_NAME = {metric.name: metric for metric in METRICS}
PROMQL_OF_OURS = re.compile(r"logging_googleapis_com:user_(\w+?)(?:_sum|_count)?\{")


def declared(values: Mapping[str, str], *, databases_most: int = 100) -> Graph:
    """The graph of the component alone."""

    def run() -> None:
        stack = config.load()
        Watching("watching", stack, GoogleProject("google", stack), databases_most=databases_most)

    return program.run(values, program.REAL_ANSWERS, function=run)


@pytest.fixture(scope="module")
def watched() -> Graph:
    return declared(program.REAL)


def query(policy: program.Resource) -> dict[str, Any]:
    (condition,) = policy["conditions"]
    asked: dict[str, Any] = condition["conditionPrometheusQueryLanguage"]
    return asked


def test_each_rule_is_an_alert_that_mails_the_operator_what_to_do(watched: Graph) -> None:
    (channel,) = watched.of("NotificationChannel")
    assert (channel["type"], channel["labels"]) == ("email", {"email_address": "ops@memorygraph.dev"})
    policies = {policy.name: policy for policy in watched.of("AlertPolicy")}
    assert set(policies) == {f"alert-{rule.name}" for rule in rules(FACTS)}
    for rule in rules(FACTS):
        policy = policies[f"alert-{rule.name}"]
        assert query(policy)["query"] == rule.query
        assert query(policy)["duration"] == f"{rule.minutes * 60}s"
        assert policy["notificationChannels"] == ["projects/project/notificationChannels/1"]
        assert policy["documentation"]["content"] == rule.text
        assert policy["severity"] == rule.severity


@pytest.mark.parametrize("rule", rules(FACTS), ids=lambda rule: rule.name)
def test_an_alert_says_what_happened_why_it_matters_and_what_to_do(rule: Rule) -> None:
    for text in (rule.happened, rule.matters, rule.first):
        assert re.fullmatch(r"[A-Z`“1-9h].{20,}\.", text)
    assert f"docs/alerts.md, section “{rule.title}”" in rule.text
    assert len(rule.text) < 2000


def test_each_alert_has_its_section_and_no_section_is_without_one() -> None:
    sections = re.findall(r"^## (.+)$", (REPO / "docs/alerts.md").read_text(), re.MULTILINE)
    assert sections == [rule.title for rule in rules(FACTS)]


def test_an_alert_waits_for_what_it_looks_at_and_cannot_fail_on_what_is_new(watched: Graph) -> None:
    metrics = {metric["name"] for metric in watched.of("Metric")}
    made = {urn for urn in watched.resources if ":Metric::" in urn or ":UptimeCheckConfig::" in urn}
    for policy in watched.of("AlertPolicy"):
        assert made <= policy.depends_on
        assert query(policy)["disableMetricValidation"] is True
        assert set(PROMQL_OF_OURS.findall(query(policy)["query"])) <= metrics


def test_the_board_shows_what_exists_and_every_failure(watched: Graph) -> None:
    (board,) = watched.of("Dashboard")
    text = json.dumps(json.loads(board["dashboardJson"]))
    shown = set(PROMQL_OF_OURS.findall(text.replace('\\"', '"')))
    assert shown == set(BY_NAME)


def test_a_metric_that_is_not_declared_cannot_be_named() -> None:
    with pytest.raises(KeyError, match="databasse"):
        counted("databasse")


def test_the_check_asks_the_open_route_of_health_through_the_edge(watched: Graph) -> None:
    (check,) = watched.of("UptimeCheckConfig")
    path, host = check["httpCheck"]["path"], check["monitoredResource"]["labels"]["host"]
    assert Access.OPEN in {route.access for route in MEMORIES.routes if (route.method, route.path) == ("GET", path)}
    assert (host, check["period"], len(check["selectedRegions"])) == ("api.memorygraph.dev", "300s", 3)
    assert check["httpCheck"]["useSsl"] is True
    assert f'host="{host}"' in query(watched.one("AlertPolicy", "alert-uptime"))["query"]


def test_a_plan_without_an_end_has_no_alert_of_its_end() -> None:
    paid = declared({**program.REAL, f"{OURS}profile": "production"}, databases_most=0)
    names = {policy.name for policy in paid.of("AlertPolicy")}
    assert names == {f"alert-{rule.name}" for rule in rules(FACTS)} - {"alert-databases", "alert-edge"}


def test_the_edges_limit_is_the_one_that_is_reckoned_with() -> None:
    (meter,) = prices.WORKERS_FREE.meters
    assert meter.free == WORKERS_FREE_REQUESTS


def test_logs_are_kept_for_thirty_days_and_reads_of_secrets_are_among_them(watched: Graph) -> None:
    (bucket,) = watched.of("ProjectBucketConfig")
    assert (bucket["bucketId"], bucket["location"], bucket["retentionDays"]) == ("_Default", "global", 30)
    (audit,) = watched.of("IAMAuditConfig")
    assert (audit["service"], audit["auditLogConfigs"]) == (
        "secretmanager.googleapis.com",
        [{"logType": "DATA_READ"}],
    )


def test_the_budget_is_of_this_project_and_mails_at_each_share(watched: Graph) -> None:
    (budget,) = watched.of("Budget")
    assert budget["billingAccount"] == "0A1B2C-3D4E5F-6A7B8C"
    assert budget["amount"] == {"specifiedAmount": {"units": "50"}}  # no currency: it is the account's
    assert budget["budgetFilter"]["projects"] == ["projects/100000000001"]
    assert [rule["thresholdPercent"] for rule in budget["thresholdRules"]] == [0.5, 0.9, 1.0]
    assert budget["allUpdatesRule"]["monitoringNotificationChannels"] == ["projects/project/notificationChannels/1"]


def test_without_a_billing_account_there_is_no_budget_and_preview_says_so(caplog: pytest.LogCaptureFixture) -> None:
    values = {name: value for name, value in program.REAL.items() if not name.endswith(":billingAccount")}
    with caplog.at_level(logging.WARNING, logger=program.LOG.name):
        assert declared(values).of("Budget") == []
    assert "pulumi config set billingAccount" in caplog.text


def test_a_billing_account_that_is_none_is_named() -> None:
    with pytest.raises(config.ConfigError, match="billingAccount is 'my account'"):
        declared({**program.REAL, f"{OURS}billingAccount": "my account"})


def test_apis_are_on_before_they_are_used(watched: Graph) -> None:
    services = {service["service"] for service in watched.of("Service")}
    assert {"monitoring.googleapis.com", "logging.googleapis.com", "billingbudgets.googleapis.com"} <= services
    ready = {urn for urn in watched.resources if "projects/service:Service::" in urn}
    for kind in ("NotificationChannel", "UptimeCheckConfig", "Metric", "Dashboard", "ProjectBucketConfig", "Budget"):
        assert all(ready <= resource.depends_on for resource in watched.of(kind))


def test_a_metric_is_declared_as_it_is_described(watched: Graph) -> None:
    writes = watched.one("Metric", "counts-writes")
    assert writes["filter"] == (
        'resource.type="cloud_run_revision" AND jsonPayload.method="POST" AND jsonPayload.route=('
        '"/api/v1/memories" OR "/api/v1/memories/batch" OR "/api/v1/import")'
        " AND jsonPayload.status>=200 AND jsonPayload.status<300"
    )
    assert writes["labelExtractors"] == {"route": "EXTRACT(jsonPayload.route)"}
    assert writes["metricDescriptor"]["labels"] == [{"key": "route"}]
    databases = watched.one("Metric", "counts-databases")
    assert databases["metricDescriptor"]["valueType"] == "DISTRIBUTION"
    assert databases["valueExtractor"] == "EXTRACT(jsonPayload.sweep.databases)"


# What logs say: lines that the code writes, and which metrics count them.


def request(capsys: pytest.CaptureFixture[str], status: int, **fields: object) -> dict[str, Any]:
    """The line of a request, as the pipeline writes it."""
    logs.request_line(status, 0.1, {"method": "GET", "route": "/api/v1/memories", **fields}, None)
    line: dict[str, Any] = json.loads(capsys.readouterr().out)
    return line


def counting(line: Mapping[str, Any]) -> set[str]:
    return {metric.name for metric in METRICS if metric.counts(line)}


@pytest.mark.parametrize(
    ("status", "fields", "names"),
    [
        (200, {}, set()),
        (404, {}, set()),
        (500, {}, {"unhandled"}),
        (503, {"part": "store"}, {"unavailable"}),
        (503, {}, set()),
        (201, {"method": "POST"}, {"writes"}),
        (200, {"method": "POST", "route": "/api/v1/import"}, {"writes"}),
        (400, {"method": "POST"}, set()),
        (200, {"method": "POST", "route": BILLING.path_of("receive_event")}, set()),
        (503, {"part": "stripe", "route": BILLING.path_of("receive_event")}, {"unavailable", "webhooks_failed"}),
    ],
)
def test_requests_that_count(
    capsys: pytest.CaptureFixture[str], status: int, fields: Mapping[str, object], names: set[str]
) -> None:
    assert counting(request(capsys, status, **fields)) == names


@pytest.mark.parametrize(
    ("kind", "became", "failure", "names"),
    [
        ("open_store", "done", None, {"workspaces_opened"}),
        ("open_store", "waiting", Unavailable("Later.", part="turso"), set()),
        ("move_store", "done", None, set()),
        ("move_store", "dead", GaveUp("There is no such plan."), {"jobs_dead"}),
    ],
)
def test_jobs_that_count(
    caplog: pytest.LogCaptureFixture, kind: str, became: str, failure: Exception | None, names: set[str]
) -> None:
    with caplog.at_level(logging.INFO, logger=logs.LOGGER.name):
        _log(Job(id="1", claim="c", kind=kind, subject=None, payload={}, attempts=1), became, 0.1, failure)
    (record,) = caplog.records
    assert counting(json.loads(logs.JsonFormatter().format(record))) == names


def test_plans_that_begin_and_end() -> None:
    def line(*changes: str) -> dict[str, Any]:
        return {"message": "A customer was settled.", "changes": list(changes)}

    assert counting(line("subscription: plan none -> pro", "workspace: plan free -> pro")) == {"plans_begun"}
    assert counting(line("workspace: plan team -> free", "job: move_store to sqlite")) == {"plans_ended"}
    assert counting(line("workspace: plan pro -> team")) == set()
    assert "free" in PLANS
    sql = "\n".join(path.read_text() for path in (REPO / "functions/migrations/postgres").glob("*.sql"))
    assert "'workspace: plan %s -> %s'" in sql


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_what_is_counted_is_logged_where_it_says(metric: LogMetric) -> None:
    """Its members and its words are in that module, so whoever changes them there hears of it here."""
    text = (REPO / metric.logged_by).read_text()
    for member, condition in metric.where.items():
        if member == "message":
            words = condition.values if isinstance(condition, Is) else (getattr(condition, "pattern", "").lstrip("^"),)
            assert all(str(word) in text for word in words), f"{metric.logged_by} logs none of {words}"
        elif member != "status":  # which core/logs.py adds
            assert f'"{member}"' in text


def test_conditions_hold_as_google_reads_them() -> None:
    assert Like("^a").filter("jsonPayload.x") == 'jsonPayload.x=~"^a"'
    assert Like('say "a\\d"').filter("p") == 'p=~"say \\"a\\\\d\\""'
    assert Is((1, 2)).filter("p") == "p=(1 OR 2)"
    assert not Is(("a",)).holds(None)
    assert not Like("a").holds(7)
    assert Like("^b$").holds(["a", "b"])


def test_facts_of_the_tests_are_those_of_the_stack(watched: Graph) -> None:
    assert FACTS.functions == tuple(function.name for function in FUNCTIONS)
    assert "provisioning" in {function.name for function in DEPLOYED} - set(FACTS.functions)
    assert (work.DATABASES_SHARE, work.EDGE_SHARE, parts.PART_FLOOR) == (0.8, 0.7, 5)
    assert any("service_name" in query(policy)["query"] for policy in watched.of("AlertPolicy"))


def test_the_target_is_what_its_arithmetic_leaves() -> None:
    text = (REPO / "docs/availability.md").read_text()
    reckoned = [float(share) / 100 for share in re.findall(r"^\| [A-Z][^|]+\| \*?([\d.]+)%\*? \|", text, re.MULTILINE)]
    free, paid = math.prod(reckoned), math.prod(reckoned[:3])
    assert len(reckoned) == 4
    for product in (free, paid):
        assert f"**{product:.2%}**" in text
        assert f"{(1 - product) * 43_200:.0f} minutes" in text
    assert f"{0.005 * 43_200:.0f} may be lost" in text
    for name in re.findall(r"\| `([a-z-]+)`(?:, `([a-z-]+)`)? \|", text):
        assert set(name) - {""} <= {rule.name for rule in rules(FACTS)}
