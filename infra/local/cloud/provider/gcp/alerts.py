"""Google Cloud Monitoring: alerts by PromQL. They wake nobody here."""

from __future__ import annotations

from typing import ClassVar

from infra.local.cloud.errors import NotFound
from infra.local.cloud.provider.gcp import promql
from infra.local.cloud.provider.gcp.monitoring import (
    ALERT_POLICY,
    API,
    TITLE,
    check_display_name,
    need_channels,
    new_number,
)
from infra.local.cloud.provider.gcp.names import project_of
from infra.local.cloud.provider.gcp.projects import need_api
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record

CONDITION = "conditionPrometheusQueryLanguage"
CONDITIONS_MOST = 6
CLOSES_LEAST, CLOSES_MOST = 1800, 7 * 86_400
CONTENT_MOST, CONTENT_BYTES_MOST, SUBJECT_MOST = 8192, 10_240, 255


class AlertPolicy(Kind):
    """A policy. Left out: every kind of condition but PromQL."""

    token = ALERT_POLICY
    replaces = frozenset({"project"})
    defaults: ClassVar[Json] = {"enabled": True, "deletionPolicy": "DELETE"}

    def check(self, checks: Checks) -> None:
        checks.required("displayName", "combiner", "conditions")
        check_display_name(checks)
        checks.one_of("combiner", ("AND", "OR", "AND_WITH_MATCHING_RESOURCE"))
        checks.one_of("severity", ("CRITICAL", "ERROR", "WARNING"))
        conditions = checks.get("conditions")
        if conditions is not None and not 1 <= len(conditions) <= CONDITIONS_MOST:
            checks.refuse("conditions", f"a policy has one to {CONDITIONS_MOST} conditions")
        for place, condition in enumerate(conditions or ()):
            self._check_condition(checks, f"conditions[{place}]", condition)
        closes = _seconds(checks, "alertStrategy.autoClose", checks.get("alertStrategy.autoClose"))
        if closes is not None and not CLOSES_LEAST <= closes <= CLOSES_MOST:
            checks.refuse("alertStrategy.autoClose", "auto_close is between 30 minutes and 7 days")
        if checks.get("alertStrategy.notificationRateLimit") is not None:
            checks.refuse("alertStrategy.notificationRateLimit", "only policies with a log match have a rate limit")
        content = str(checks.get("documentation.content") or "")
        if len(content) > CONTENT_MOST or len(content.encode()) > CONTENT_BYTES_MOST:
            checks.refuse("documentation.content", f"at most {CONTENT_MOST} characters and {CONTENT_BYTES_MOST} bytes")
        if len(str(checks.get("documentation.subject") or "")) > SUBJECT_MOST:
            checks.refuse("documentation.subject", f"at most {SUBJECT_MOST} characters")
        checks.one_of("documentation.mimeType", ("text/markdown",))

    @staticmethod
    def _check_condition(checks: Checks, path: str, condition: Json) -> None:
        if not condition.get("displayName"):
            checks.refuse(f"{path}.displayName", "Missing required argument: display_name")
        asked = condition.get(CONDITION)
        if asked is None:
            checks.refuse(path, "the local cloud has conditions by condition_prometheus_query_language only")
            return
        path = f"{path}.{CONDITION}"
        query = str(asked.get("query") or "")
        if refusal := promql.refusal(query) if query else "Missing required argument: query":
            checks.refuse(f"{path}.query", refusal)
        _seconds(checks, f"{path}.duration", asked.get("duration"))
        interval = _seconds(checks, f"{path}.evaluationInterval", asked.get("evaluationInterval"))
        if interval is not None and (interval == 0 or interval % 30):
            checks.refuse(f"{path}.evaluationInterval", "must be a positive multiple of 30 seconds")

    def create(self, args: Json) -> Made:
        need_api(self, API, TITLE)
        return self._made(f"projects/{project_of(args)}/alertPolicies/{new_number()}", args)

    def update(self, record: Record, args: Json) -> Made:
        return self._made(record.id, args)

    def _made(self, name: str, args: Json) -> Made:
        need_channels(self.cloud, args.get("notificationChannels") or ())
        for condition in args["conditions"]:
            asked = condition[CONDITION]
            absent = promql.missing(self.cloud, asked["query"])
            if absent and asked.get("disableMetricValidation") is not True:
                raise NotFound(
                    f"Error 404: Cannot find metric(s) that match: logging.googleapis.com/user/{', '.join(absent)}. "
                    "If a metric was created recently, it could take up to 10 minutes to become available: let the "
                    "policy depend on its logging.Metric, and set disable_metric_validation."
                )
        return Made(id=name, outputs={"name": name, "project": project_of(args), "creationRecords": []})


def _seconds(checks: Checks, path: str, text: object) -> int | None:
    if text is None:
        return None
    number = str(text).removesuffix("s")
    if not str(text).endswith("s") or not number.isdecimal():
        checks.refuse(path, f"{text!r}: a duration in seconds, such as '300s'")
        return None
    return int(number)
