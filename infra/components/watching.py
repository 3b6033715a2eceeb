"""Google Cloud: who notices. A check of the API from outside, alerts by mail to the operator, numbers from logs, a
dashboard, a budget; how long logs are kept, and that reads of secrets are among them.

What is counted, when it wakes somebody and what they are told is data: `infra/watching/`. A metric that was just made
is not found by an alert for some minutes, and the first `up` would fail on it; so alerts are made without that check,
and the tests see that each metric they name is declared.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from declarations import FUNCTIONS, PREFIX
from infra.components.google import GoogleProject
from infra.config import Profile, StackConfig
from infra.watching.board import board
from infra.watching.metrics import METRICS, LogMetric
from infra.watching.rule import Facts, Rule
from infra.watching.rules import rules

CHECK_SECONDS = 300
CHECK_TIMEOUT_SECONDS = 10
"""A cold start takes a few seconds and is no outage."""
CHECK_REGIONS = ("USA_VIRGINIA", "EUROPE", "ASIA_PACIFIC")
HEALTHY = '"healthy"'
"""In the answer of a function that is well (`read_health`)."""
EVALUATED_SECONDS = 60
CLOSED_SECONDS = 3600
"""An incident whose numbers stopped coming is closed after so long."""
LOG_DAYS = 30
BUDGET_UNITS = 50
"""Of the billing account's own currency: another one is refused. It tells, and caps nothing."""
BUDGET_SHARES = (0.5, 0.9, 1.0)
WORKERS_FREE_REQUESTS = 100_000
"""A day's. Source: https://developers.cloudflare.com/workers/platform/limits/"""


class Watching(pulumi.ComponentResource):
    """Everything that watches; nothing depends on it."""

    def __init__(
        self,
        name: str,
        config: StackConfig,
        google: GoogleProject,
        *,
        databases_most: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`databases_most`: how many databases Turso's plan has room for (0: any number)."""
        super().__init__("memorygraph-cloud:components:Watching", name, None, opts)
        self._config = config
        self._waits = pulumi.ResourceOptions(parent=self, depends_on=google.ready)
        facts = Facts(
            host=config.api_host,
            functions=tuple(function.name for function in FUNCTIONS),
            databases_most=databases_most,
            edge_requests_most=WORKERS_FREE_REQUESTS if config.profile is Profile.FRUGAL else 0,
        )
        channel = gcp.monitoring.NotificationChannel(
            "operator",
            display_name="The operator",
            type="email",
            labels={"email_address": config.operator_email},
            opts=self._waits,
        )
        seen = [*(self._metric(metric) for metric in METRICS), self._check()]
        for rule in rules(facts):
            self._alert(rule, channel, seen)
        gcp.monitoring.Dashboard(
            "board", dashboard_json=json.dumps(board(f"MemoryGraph {config.domain}", facts)), opts=self._waits
        )
        self._keep_logs()
        self._budget(google, channel)
        self.register_outputs({})

    def _check(self) -> pulumi.Resource:
        """From outside, through the edge, as a client comes."""
        return gcp.monitoring.UptimeCheckConfig(
            "api",
            display_name=f"{self._config.api_host} is healthy",
            period=f"{CHECK_SECONDS}s",
            timeout=f"{CHECK_TIMEOUT_SECONDS}s",
            selected_regions=CHECK_REGIONS,
            monitored_resource=gcp.monitoring.UptimeCheckConfigMonitoredResourceArgs(
                type="uptime_url", labels={"host": self._config.api_host, "project_id": self._config.project}
            ),
            http_check=gcp.monitoring.UptimeCheckConfigHttpCheckArgs(
                path=f"{PREFIX}/health", port=443, use_ssl=True, validate_ssl=True
            ),
            content_matchers=[gcp.monitoring.UptimeCheckConfigContentMatcherArgs(content=HEALTHY)],
            opts=self._waits,
        )

    def _metric(self, metric: LogMetric) -> pulumi.Resource:
        labels = [gcp.logging.MetricMetricDescriptorLabelArgs(key=metric.by)] if metric.by else None
        return gcp.logging.Metric(
            f"counts-{metric.name.replace('_', '-')}",
            name=metric.name,
            description=metric.shows,
            filter=metric.filter,
            metric_descriptor=gcp.logging.MetricMetricDescriptorArgs(
                metric_kind="DELTA", value_type="DISTRIBUTION" if metric.value else "INT64", unit="1", labels=labels
            ),
            label_extractors={metric.by: f"EXTRACT(jsonPayload.{metric.by})"} if metric.by else None,
            value_extractor=f"EXTRACT(jsonPayload.{metric.value})" if metric.value else None,
            opts=self._waits,
        )

    def _alert(self, rule: Rule, channel: gcp.monitoring.NotificationChannel, seen: Sequence[pulumi.Resource]) -> None:
        gcp.monitoring.AlertPolicy(
            f"alert-{rule.name}",
            display_name=f"{self._config.domain}: {rule.title}",
            severity=rule.severity.value,
            combiner="OR",
            conditions=[
                gcp.monitoring.AlertPolicyConditionArgs(
                    display_name=rule.title,
                    condition_prometheus_query_language=gcp.monitoring.AlertPolicyConditionConditionPrometheusQueryLanguageArgs(
                        query=rule.query,
                        duration=f"{rule.minutes * 60}s",
                        evaluation_interval=f"{EVALUATED_SECONDS}s",
                        disable_metric_validation=True,
                    ),
                )
            ],
            alert_strategy=gcp.monitoring.AlertPolicyAlertStrategyArgs(auto_close=f"{CLOSED_SECONDS}s"),
            documentation=gcp.monitoring.AlertPolicyDocumentationArgs(
                content=rule.text, mime_type="text/markdown", subject=f"{self._config.domain}: {rule.title}"
            ),
            notification_channels=[channel.name],
            opts=pulumi.ResourceOptions.merge(self._waits, pulumi.ResourceOptions(depends_on=seen)),
        )

    def _keep_logs(self) -> None:
        gcp.logging.ProjectBucketConfig(
            "logs",
            project=self._config.project,
            location="global",
            bucket_id="_Default",  # it is there already, and is only set
            retention_days=LOG_DAYS,
            opts=self._waits,
        )
        gcp.projects.IAMAuditConfig(
            "secret-reads",
            project=self._config.project,
            service="secretmanager.googleapis.com",
            audit_log_configs=[gcp.projects.IAMAuditConfigAuditLogConfigArgs(log_type="DATA_READ")],
            opts=self._waits,
        )

    def _budget(self, google: GoogleProject, channel: gcp.monitoring.NotificationChannel) -> None:
        if self._config.billing_account is None:
            return
        gcp.billing.Budget(
            "month",
            billing_account=self._config.billing_account,
            display_name=f"{self._config.domain}, a month",
            amount=gcp.billing.BudgetAmountArgs(
                specified_amount=gcp.billing.BudgetAmountSpecifiedAmountArgs(units=str(BUDGET_UNITS))
            ),
            budget_filter=gcp.billing.BudgetBudgetFilterArgs(
                projects=[google.number.apply(lambda number: f"projects/{number}")],  # Google makes a number of an id
                credit_types_treatment="INCLUDE_ALL_CREDITS",
            ),
            threshold_rules=[gcp.billing.BudgetThresholdRuleArgs(threshold_percent=share) for share in BUDGET_SHARES],
            all_updates_rule=gcp.billing.BudgetAllUpdatesRuleArgs(monitoring_notification_channels=[channel.name]),
            opts=self._waits,
        )
