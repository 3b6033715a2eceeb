"""What Google refuses of alerts, checks, boards, metrics of logs and budgets; and what it takes: what we declare."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from infra.local.cloud.cloud import PROJECT_NUMBER, Cloud
from infra.local.cloud.errors import CloudError, Denied, NotFound
from infra.local.cloud.paths import Paths
from infra.local.cloud.provider.gcp.alerts import AlertPolicy
from infra.local.cloud.provider.gcp.billing import ACCOUNT, Budget
from infra.local.cloud.provider.gcp.logging import AuditConfig, Metric, ProjectBucketConfig
from infra.local.cloud.provider.gcp.monitoring import Dashboard, NotificationChannel, UptimeCheckConfig
from infra.local.cloud.provider.gcp.projects import Service
from infra.local.cloud.provider.kind import Checks, Kind
from infra.local.cloud.provider.registry import kinds
from infra.local.cloud.provider.wire import UNKNOWN, plain
from infra.local.cloud.store import Record
from infra.local.stack import LOCAL_CONFIG
from tests.infra import program
from tests.infra.local.running import Engine, Refused
from tests.infra.program import Graph
from tests.infra.test_watching import declared

Json = dict[str, Any]
CHANNEL, CHECK, ALERT, BOARD = (kind.token for kind in (NotificationChannel, UptimeCheckConfig, AlertPolicy, Dashboard))
METRIC, LOGS, AUDIT, BUDGET = (kind.token for kind in (Metric, ProjectBucketConfig, AuditConfig, Budget))
KINDS = (CHANNEL, CHECK, ALERT, BOARD, METRIC, LOGS, AUDIT, BUDGET)
APIS = ("monitoring", "billingbudgets")


@pytest.fixture(scope="module")
def watched() -> Graph:
    return declared(program.LOCAL)


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    (tmp_path / "cloud").mkdir()
    loop = asyncio.new_event_loop()
    loop.close()  # nothing here starts a process
    return Cloud(Paths(tmp_path), loop)


@pytest.fixture
def known(cloud: Cloud) -> dict[str, Kind]:
    return kinds(cloud)


def inputs(watched: Graph, token: str, name: str = "") -> Json:
    """What the program declares of a type."""
    found = next(one for one in watched.resources.values() if one.type == token and name in one.name)
    return sent(found)


def sent(resource: program.Resource) -> Json:
    """Inputs as a kind gets them."""
    args: Json = plain(resource.inputs)
    return args


def refusals(known: dict[str, Kind], token: str, args: Json) -> dict[str, str]:
    checks = Checks(args)
    known[token].check(checks)
    return checks.failures


def changed(args: Json, path: str, value: Any) -> Json:
    """A copy with one value changed; a number in the path is a place in a list."""
    copy = deepcopy(args)
    *outer, last = path.split(".")
    inner: Any = copy
    for key in outer:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    if value is None:
        inner.pop(last, None)
    else:
        inner[last] = value
    return copy


def make(cloud: Cloud, known: dict[str, Kind], token: str, args: Json) -> Record:
    """A resource that is there, as the servicer keeps it."""
    made = known[token].create(args)
    record = Record(type=token, id=made.id, urn=f"urn:{token}:{made.id}", inputs=args, outputs={**args, **made.outputs})
    cloud.store.put(record)
    return record


def switch_on(cloud: Cloud, known: dict[str, Kind], *apis: str) -> None:
    for api in apis:
        make(cloud, known, Service.token, {"service": f"{api}.googleapis.com"})


@pytest.mark.parametrize("token", KINDS)
def test_what_the_program_declares_passes(watched: Graph, known: dict[str, Kind], token: str) -> None:
    declared_ones = [one for one in watched.resources.values() if one.type == token]
    assert declared_ones
    for one in declared_ones:
        args = sent(one)
        assert refusals(known, token, args) == {}, one.name
        assert refusals(known, token, dict.fromkeys(args, UNKNOWN)) == {}  # in a preview


def board(change: Callable[[Json], object]) -> Callable[[Json], Json]:
    """The board with something else in its JSON."""

    def apply(args: Json) -> Json:
        content = json.loads(args["dashboardJson"])
        change(content)
        return {"dashboardJson": json.dumps(content)}

    return apply


CONDITION = "conditions.0.conditionPrometheusQueryLanguage"
REFUSED_CONDITION = "conditions[0].conditionPrometheusQueryLanguage"
CHANGES: list[tuple[str, str, Any, str, str]] = [
    (CHANNEL, "type", "sms", "type", "email only"),
    (CHANNEL, "labels", {}, "labels.email_address", "required"),
    (CHANNEL, "labels.email_address", "nobody", "labels.email_address", "e-mail address"),
    (CHANNEL, "displayName", "x" * 513, "displayName", "512"),
    (CHANNEL, "labels", None, "labels", "required"),
    (CHECK, "displayName", "x" * 513, "displayName", "512"),
    (CHECK, "monitoredResource.type", "gce_instance", "monitoredResource.type", "uptime_url only"),
    (CHECK, "period", "120s", "period", "900s"),
    (CHECK, "timeout", "61s", "timeout", "1 and 60"),
    (CHECK, "timeout", None, "timeout", "required"),
    (CHECK, "selectedRegions", ["EUROPE", "USA_IOWA"], "selectedRegions", "at least 3"),
    (CHECK, "selectedRegions", ["EUROPE", "MOON", "USA"], "selectedRegions", "'MOON'"),
    (CHECK, "monitoredResource.labels.host", "https://a.b", "monitoredResource.labels.host", "host alone"),
    (CHECK, "monitoredResource.labels.project_id", None, "monitoredResource.labels.project_id", "required"),
    (CHECK, "httpCheck.path", "health", "httpCheck.path", "slash"),
    (CHECK, "httpCheck.port", 0, "httpCheck.port", "port"),
    (CHECK, "httpCheck.useSsl", False, "httpCheck.validateSsl", "use_ssl"),
    (CHECK, "contentMatchers", [{"content": "a"}, {"content": "b"}], "contentMatchers", "one matcher"),
    (CHECK, "contentMatchers", [{"content": ""}], "contentMatchers", "empty"),
    (CHECK, "tcpCheck", {"port": 1}, "tcpCheck", "URLs only"),
    (ALERT, "combiner", "XOR", "combiner", "AND"),
    (ALERT, "displayName", None, "displayName", "required"),
    (ALERT, "severity", "FATAL", "severity", "CRITICAL"),
    (ALERT, "conditions", [], "conditions", "one to 6"),
    (ALERT, "conditions.0.displayName", None, "conditions[0].displayName", "display_name"),
    (ALERT, CONDITION, None, "conditions[0]", "condition_prometheus_query_language"),
    (ALERT, f"{CONDITION}.query", "sum(rate(a[5m])", f"{REFUSED_CONDITION}.query", "invalid PromQL"),
    (ALERT, f"{CONDITION}.query", "rate(a)", f"{REFUSED_CONDITION}.query", "invalid PromQL"),
    (ALERT, f"{CONDITION}.query", "", f"{REFUSED_CONDITION}.query", "Missing required argument: query"),
    (ALERT, f"{CONDITION}.duration", "5m", f"{REFUSED_CONDITION}.duration", "in seconds"),
    (ALERT, f"{CONDITION}.evaluationInterval", "45s", f"{REFUSED_CONDITION}.evaluationInterval", "multiple of 30"),
    (ALERT, f"{CONDITION}.evaluationInterval", "0s", f"{REFUSED_CONDITION}.evaluationInterval", "positive"),
    (ALERT, "alertStrategy.autoClose", "600s", "alertStrategy.autoClose", "30 minutes"),
    (
        ALERT,
        "alertStrategy.notificationRateLimit",
        {"period": "60s"},
        "alertStrategy.notificationRateLimit",
        "log match",
    ),
    (ALERT, "documentation.content", "x" * 8193, "documentation.content", "8192"),
    (ALERT, "documentation.subject", "x" * 256, "documentation.subject", "255"),
    (ALERT, "documentation.mimeType", "text/html", "documentation.mimeType", "text/markdown"),
    (METRIC, "name", "/a", "name", "begin with a slash"),
    (METRIC, "filter", 'a="b', "filter", "Unparseable filter"),
    (METRIC, "filter", "(a=1 OR (b=2)", "filter", "parentheses"),
    (METRIC, "filter", None, "filter", "required"),
    (METRIC, "metricDescriptor.metricKind", "GAUGE", "metricDescriptor.metricKind", "DELTA"),
    (METRIC, "metricDescriptor.valueType", "STRING", "metricDescriptor.valueType", "INT64"),
    (METRIC, "metricDescriptor.valueType", "DISTRIBUTION", "valueExtractor", "required"),
    (METRIC, "valueExtractor", "EXTRACT(a)", "valueExtractor", "only for"),
    (METRIC, "bucketOptions", {"explicitBuckets": {}}, "bucketOptions", "only for"),
    (METRIC, "labelExtractors.part", "jsonPayload.part", "labelExtractors.part", "EXTRACT(field)"),
    (METRIC, "labelExtractors", {}, "labelExtractors", "needs its extractor"),
    (METRIC, "filter", "a" * 20_001, "filter", "20000"),
    (METRIC, "description", "x" * 8001, "description", "8000"),
    (METRIC, "metricDescriptor.labels", [{"key": f"l{n}"} for n in range(11)], "metricDescriptor.labels", "at most 10"),
    (LOGS, "location", None, "location", "required"),
    (LOGS, "retentionDays", 0, "retentionDays", "1 to 3650"),
    (LOGS, "bucketId", "_Required", "bucketId", "400 days"),
    (LOGS, "locked", True, "locked", "never be unlocked"),
    (AUDIT, "auditLogConfigs", [{"logType": "READ"}], "auditLogConfigs[0].logType", "DATA_READ"),
    (AUDIT, "service", "secrets", "service", "allServices"),
    (AUDIT, "auditLogConfigs", None, "auditLogConfigs", "required"),
    (BUDGET, "amount", None, "amount", "required"),
    (BUDGET, "billingAccount", "my account", "billingAccount", "0A1B2C"),
    (BUDGET, "displayName", "x" * 61, "displayName", "60"),
    (BUDGET, "amount.specifiedAmount.currencyCode", "EUR", "amount.specifiedAmount.currencyCode", "leave it out"),
    (BUDGET, "amount.specifiedAmount.units", "fifty", "amount.specifiedAmount.units", "whole units"),
    (BUDGET, "amount", {}, "amount", "exactly one of"),
    (BUDGET, "thresholdRules", [{"thresholdPercent": 90}], "thresholdRules[0].thresholdPercent", "0.9 for 90%"),
    (BUDGET, "budgetFilter.projects", ["projects/memorygraph-local"], "budgetFilter.projects[0]", "by number"),
    (BUDGET, "budgetFilter.projects", ["projects/1"], "budgetFilter.projects[0]", "no such project"),
]


@pytest.mark.parametrize(("token", "path", "value", "refused", "words"), CHANGES)
def test_what_google_refuses(
    watched: Graph, known: dict[str, Kind], token: str, path: str, value: Any, refused: str, words: str
) -> None:
    args = changed(inputs(watched, token, "unavailable" if token == METRIC else ""), path, value)
    assert words in refusals(known, token, args)[refused]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.pop("displayName"), "displayName"),
        (lambda content: content.update(gridLayout={}), "one layout"),
        (lambda content: content["mosaicLayout"].update(columns=49), "between 1 and 48"),
        (lambda content: content["mosaicLayout"]["tiles"][0].update(width=49), "outside of the board"),
        (lambda content: content["mosaicLayout"]["tiles"][1].update(xPos=0), "overlaps"),
        (
            lambda content: content["mosaicLayout"]["tiles"][0]["widget"]["xyChart"]["dataSets"][0].update(
                timeSeriesQuery={"prometheusQuery": "sum("}
            ),
            "invalid PromQL",
        ),
        (lambda content: content["mosaicLayout"]["tiles"][0].pop("widget"), "Invalid JSON payload"),
    ],
)
def test_what_google_refuses_of_a_board(
    watched: Graph, known: dict[str, Kind], change: Callable[[Json], object], words: str
) -> None:
    args = board(change)(inputs(watched, BOARD))
    assert words in refusals(known, BOARD, args)["dashboardJson"]


def test_a_board_that_is_no_json_is_refused(known: dict[str, Kind]) -> None:
    assert "Invalid JSON" in refusals(known, BOARD, {"dashboardJson": "{"})["dashboardJson"]


@pytest.mark.parametrize("token", [CHANNEL, CHECK, BOARD, BUDGET])
def test_an_api_that_is_off_is_named(watched: Graph, known: dict[str, Kind], token: str) -> None:
    with pytest.raises(CloudError, match="SERVICE_DISABLED"):
        known[token].create(inputs(watched, token))


def test_an_alert_on_a_metric_that_is_not_there_is_refused_unless_it_says_so(
    watched: Graph, cloud: Cloud, known: dict[str, Kind]
) -> None:
    switch_on(cloud, known, "monitoring")
    args = {**inputs(watched, ALERT, "databases"), "notificationChannels": []}
    strict = changed(args, f"{CONDITION}.disableMetricValidation", value=False)
    with pytest.raises(NotFound, match=r"Cannot find metric.*databases_sum, databases_count.*10 minutes"):
        known[ALERT].create(strict)
    known[ALERT].create(args)
    make(cloud, known, METRIC, inputs(watched, METRIC, "databases"))
    known[ALERT].create(strict)


def test_a_channel_is_there_before_what_uses_it_and_goes_after(
    watched: Graph, cloud: Cloud, known: dict[str, Kind]
) -> None:
    switch_on(cloud, known, *APIS)
    args = inputs(watched, ALERT, "uptime")
    with pytest.raises(NotFound, match="Could not find channel"):
        known[ALERT].create(args)
    channel = make(cloud, known, CHANNEL, inputs(watched, CHANNEL))
    policy = make(cloud, known, ALERT, {**args, "notificationChannels": [channel.id]})
    with pytest.raises(
        CloudError, match=r"alerting policies use it \(memorygraph.localhost: The API is not reachable\)"
    ):
        known[CHANNEL].delete(channel)
    cloud.store.remove(ALERT, policy.id)
    known[CHANNEL].delete(channel)
    budget = inputs(watched, BUDGET)
    with pytest.raises(NotFound, match="Could not find channel"):
        known[BUDGET].create(budget)
    known[BUDGET].create(changed(budget, "allUpdatesRule.monitoringNotificationChannels", [channel.id]))


def test_a_budget_of_somebody_elses_account_is_denied(watched: Graph, cloud: Cloud, known: dict[str, Kind]) -> None:
    switch_on(cloud, known, "billingbudgets")
    with pytest.raises(Denied, match=r"costsManager.*userProjectOverride"):
        known[BUDGET].create({**inputs(watched, BUDGET), "billingAccount": "0A1B2C-3D4E5F-6A7B8C"})


def test_the_local_stack_names_the_local_account() -> None:
    assert LOCAL_CONFIG["billingAccount"] == program.LOCAL["memorygraph-cloud:billingAccount"] == ACCOUNT


def test_what_is_there_once_is_known_by_its_name(watched: Graph, known: dict[str, Kind]) -> None:
    """So that a second one is told that it is taken, instead of overwriting the first."""
    assert known[LOGS].identify(inputs(watched, LOGS)) == "projects/memorygraph-local/locations/global/buckets/_Default"
    assert known[AUDIT].identify(inputs(watched, AUDIT)) == (
        "memorygraph-local/audit_config/secretmanager.googleapis.com"
    )
    assert known[METRIC].identify({"name": "writes"}) == "writes"


def test_updates_keep_the_id(watched: Graph, cloud: Cloud, known: dict[str, Kind]) -> None:
    switch_on(cloud, known, *APIS)
    channel = make(cloud, known, CHANNEL, inputs(watched, CHANNEL))
    for token in KINDS:
        args = inputs(watched, token, "uptime" if token == ALERT else "")
        if token == ALERT:
            args["notificationChannels"] = [channel.id]
        if token == BUDGET:
            args = changed(args, "allUpdatesRule.monitoringNotificationChannels", [channel.id])
        record = make(cloud, known, token, args) if token != CHANNEL else channel
        assert known[token].update(record, args).id == record.id
    assert str(PROJECT_NUMBER) in inputs(watched, BUDGET)["budgetFilter"]["projects"][0]


def test_it_is_made_and_shows_no_change_when_asked_again(watched: Graph, engine: Engine) -> None:
    """Of each type the first two, by the provider itself: as the first `up` does, and the second."""
    for api in APIS:
        if engine.read(Service.token, f"memorygraph-local/{api}.googleapis.com") is None:
            engine.create(Service.token, {"service": f"{api}.googleapis.com"}, name=api)
    made: list[tuple[str, str]] = []
    channel = ""
    for token in (CHANNEL, METRIC, CHECK, ALERT, BOARD, LOGS, AUDIT, BUDGET):
        for one in [one for one in watched.resources.values() if one.type == token][:2]:
            args = sent(one)
            if token == ALERT:
                args["notificationChannels"] = [channel]
            if token == BUDGET:
                args["allUpdatesRule"] = {"monitoringNotificationChannels": [channel]}
            id_, outputs = engine.create(token, args, name=one.name)
            made.append((token, id_))
            channel = outputs["name"] if token == CHANNEL else channel
            checked, _ = engine.check(token, args, olds=args)
            assert engine.diff(token, id_, checked, checked) == ([], False)
            assert engine.read(token, id_) == outputs
    with pytest.raises(Refused, match="alerting policies use it"):
        engine.delete(CHANNEL, made[0][1])
    for token, id_ in reversed(made):
        engine.delete(token, id_)
        assert engine.read(token, id_) is None
