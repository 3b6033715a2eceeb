"""Google Cloud Logging: metrics of logs, the bucket that keeps them, and which reads are logged. Here logs are files
(`make logs`), and nothing is counted."""

# ruff: noqa: ARG002  a kind is given more than each one needs

from __future__ import annotations

import re
from typing import ClassVar

from infra.local.cloud.provider.gcp.names import etag, project_of
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record

EXTRACTOR = r"EXTRACT\(\s*[\w.\"]+\s*\)|REGEXP_EXTRACT\(\s*[\w.\"]+\s*,\s*\"(?:[^\"\\]|\\.)+\"\s*\)"
FILTER_WORDS = re.compile(r'"(?:[^"\\]|\\.)*"|[()]|AND|OR|NOT|[\w./-]+|[=!<>:]=?~?|!~|-|,', re.ASCII)
FILTER_MOST = 20_000
LABELS_MOST = 10
RETENTION_DAYS = (1, 3650)
FIXED = "_Required"


class Metric(Kind):
    """A number that is taken from log entries."""

    token = "gcp:logging/metric:Metric"  # noqa: S105  a name, no secret
    name_input = "name"
    replaces = frozenset({"name", "project"})
    defaults: ClassVar[Json] = {"disabled": False, "deletionPolicy": "DELETE"}

    def check(self, checks: Checks) -> None:
        checks.required("filter")
        checks.text(
            "name",
            r"[\w\-.,+!*',()%][\w\-.,+!*',()%/]{0,99}",
            "a metric's name has 1 to 100 letters, digits and _-.,+!*',()%/ and does not begin with a slash",
        )
        if len(str(checks.get("description") or "")) > 8000:
            checks.refuse("description", "description must be at most 8000 characters")
        self._check_filter(checks)
        self._check_descriptor(checks)

    @staticmethod
    def _check_filter(checks: Checks) -> None:
        text = checks.get("filter")
        if text is None:
            return
        if len(str(text)) > FILTER_MOST:
            checks.refuse("filter", f"a filter has at most {FILTER_MOST} characters")
        rest = FILTER_WORDS.sub("", str(text)).strip()
        words = [word for word in FILTER_WORDS.findall(str(text)) if word in "()"]
        depth = [words[: end + 1].count("(") - words[: end + 1].count(")") for end in range(len(words))]
        if rest or min(depth, default=0) < 0 or (depth and depth[-1]):
            what = f"at {rest[:20]!r}" if rest else "its parentheses do not match"
            checks.refuse("filter", f"Unparseable filter: syntax error: {what}")

    @staticmethod
    def _check_descriptor(checks: Checks) -> None:
        checks.one_of("metricDescriptor.metricKind", ("DELTA",), "metrics of logs are DELTA")
        checks.one_of("metricDescriptor.valueType", ("INT64", "DISTRIBUTION"))
        spread = checks.get("metricDescriptor.valueType") == "DISTRIBUTION"
        extractor = checks.get("valueExtractor")
        if spread and not checks.inputs.get("valueExtractor"):
            checks.refuse("valueExtractor", "value_extractor is required for a metric of value type DISTRIBUTION")
        if extractor is not None and not spread:
            checks.refuse("valueExtractor", "value_extractor is only for a metric of value type DISTRIBUTION")
        if checks.get("bucketOptions") is not None and not spread:
            checks.refuse("bucketOptions", "bucket_options are only for a metric of value type DISTRIBUTION")
        checks.text("valueExtractor", EXTRACTOR, 'expected EXTRACT(field) or REGEXP_EXTRACT(field, "regex")')
        extractors = checks.get("labelExtractors") or {}
        for label, text in extractors.items():
            if not re.fullmatch(EXTRACTOR, str(text)):
                checks.refuse(
                    f"labelExtractors.{label}", f'{text!r}: expected EXTRACT(field) or REGEXP_EXTRACT(field, "")'
                )
        keys = {label.get("key") for label in checks.get("metricDescriptor.labels") or ()}
        if keys != set(extractors):
            checks.refuse(
                "labelExtractors", "each label of the metric_descriptor needs its extractor, and the other way"
            )
        if len(keys) > LABELS_MOST:
            checks.refuse("metricDescriptor.labels", f"a metric has at most {LABELS_MOST} labels")

    def identify(self, args: Json) -> str | None:
        return str(args["name"]) if args.get("name") else None

    def create(self, args: Json) -> Made:
        return Made(id=str(args["name"]), outputs={"name": args["name"], "project": project_of(args)})

    def update(self, record: Record, args: Json) -> Made:
        return Made(id=record.id, outputs={"name": args["name"], "project": project_of(args)})


class ProjectBucketConfig(Kind):
    """How long a bucket of logs keeps them. `_Default` is there before: it is taken over, and only forgotten."""

    token = "gcp:logging/projectBucketConfig:ProjectBucketConfig"  # noqa: S105  a name, no secret
    replaces = frozenset({"project", "location", "bucketId"})
    defaults: ClassVar[Json] = {"locked": False, "retentionDays": 30, "deletionPolicy": "DELETE"}

    def check(self, checks: Checks) -> None:
        checks.required("project", "location", "bucketId")
        least, most = RETENTION_DAYS
        checks.whole("retentionDays", least, most, f"logs are kept for {least} to {most} days")
        if checks.get("bucketId") == FIXED:
            checks.refuse("bucketId", f"{FIXED} keeps its logs for 400 days, which cannot be changed")
        if checks.get("locked") is True:
            checks.refuse("locked", "a locked bucket can never be unlocked, nor its project be deleted: leave it out")

    def identify(self, args: Json) -> str | None:
        if not args.get("location") or not args.get("bucketId"):
            return None
        return f"projects/{project_of(args)}/locations/{args['location']}/buckets/{args['bucketId']}"

    def create(self, args: Json) -> Made:
        return self._made(args)

    def update(self, record: Record, args: Json) -> Made:
        return self._made(args)

    def _made(self, args: Json) -> Made:
        identity = self.identify(args)
        assert identity is not None
        return Made(id=identity, outputs={"name": identity, "lifecycleState": "ACTIVE"})


class AuditConfig(Kind):
    """Which calls of a service are logged. There is one for each service: another one would overwrite it."""

    token = "gcp:projects/iAMAuditConfig:IAMAuditConfig"  # noqa: S105  a name, no secret
    replaces = frozenset({"project", "service"})

    def check(self, checks: Checks) -> None:
        checks.required("project", "service", "auditLogConfigs")
        checks.text("service", r"allServices|[a-z0-9.-]+\.googleapis\.com", "expected allServices or a service")
        for place, config in enumerate(checks.get("auditLogConfigs") or ()):
            if config.get("logType") not in ("DATA_READ", "DATA_WRITE", "ADMIN_READ"):
                checks.refuse(
                    f"auditLogConfigs[{place}].logType",
                    f"{config.get('logType')!r}: expected one of DATA_READ, DATA_WRITE, ADMIN_READ",
                )

    def identify(self, args: Json) -> str | None:
        return f"{project_of(args)}/audit_config/{args['service']}" if args.get("service") else None

    def create(self, args: Json) -> Made:
        return self._made(args)

    def update(self, record: Record, args: Json) -> Made:
        return self._made(args)

    def _made(self, args: Json) -> Made:
        identity = self.identify(args)
        assert identity is not None
        return Made(id=identity, outputs={"etag": etag(identity, args.get("auditLogConfigs"))})
