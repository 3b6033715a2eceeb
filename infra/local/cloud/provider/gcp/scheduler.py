"""Google Cloud Scheduler: jobs. When and how they fire: `vendors/google/scheduler.py`."""

# ruff: noqa: ARG002  a kind is given more than each one needs

from __future__ import annotations

import base64
import binascii
from typing import ClassVar

from infra.local.cloud.provider.gcp.names import project_of
from infra.local.cloud.provider.gcp.projects import need_account, need_api
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record
from infra.local.cloud.vendors.google import cron
from infra.local.cloud.vendors.google.delivery import seconds
from infra.local.cloud.vendors.google.scheduler import JOB

DURATION = r"\d+(\.\d{1,9})?s"
WITH_BODY = ("POST", "PUT", "PATCH")


class Job(Kind):
    """A job that calls an HTTP target. Left out: Pub/Sub and App Engine targets, OAuth tokens."""

    token = JOB
    name_input = "name"
    replaces = frozenset({"name", "region", "project"})
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE", "attemptDeadline": "180s", "timeZone": "Etc/UTC"}

    def check(self, checks: Checks) -> None:
        checks.required("region", "schedule", "httpTarget")
        checks.text("name", r"[A-Za-z0-9_-]{1,500}", "Job ID can contain only letters, numbers, hyphens or underscores")
        for path in ("pubsubTarget", "appEngineHttpTarget", "httpTarget.oauthToken"):
            if checks.get(path) is not None:
                checks.refuse(path, "the local cloud has HTTP targets with OIDC tokens only")
        for path, read in (("schedule", cron.parse), ("timeZone", cron.zone_of)):
            text = checks.get(path)
            try:
                if text is not None:
                    read(str(text))
            except ValueError as error:
                checks.refuse(path, f"{text!r}: Schedule or time zone is invalid: {error}")
        if len(str(checks.get("description") or "")) > 500:
            checks.refuse("description", "description must be at most 500 characters")
        self._check_target(checks)
        self._check_retries(checks)

    def identify(self, args: Json) -> str | None:
        if not args.get("name") or not args.get("region"):
            return None
        return f"projects/{project_of(args)}/locations/{args['region']}/jobs/{args['name']}"

    def create(self, args: Json) -> Made:
        need_api(self, "cloudscheduler.googleapis.com", "Cloud Scheduler")
        return self._made(args)

    def update(self, record: Record, args: Json) -> Made:
        return self._made(args)

    def _made(self, args: Json) -> Made:
        identity = self.identify(args)
        assert identity is not None
        if account := ((args.get("httpTarget") or {}).get("oidcToken") or {}).get("serviceAccountEmail"):
            need_account(self, str(account))
        state = "PAUSED" if args.get("paused") else "ENABLED"
        return Made(id=identity, outputs={"name": args["name"], "project": project_of(args), "state": state})

    @staticmethod
    def _check_target(checks: Checks) -> None:
        if checks.inputs.get("httpTarget") is None or checks.get("httpTarget") is None:
            return
        checks.required("httpTarget.uri")
        checks.text("httpTarget.uri", r"https?://[^/\s]+\S*", "HttpTarget.url must begin with 'http://' or 'https://'")
        method = checks.get("httpTarget.httpMethod") or "POST"
        checks.one_of("httpTarget.httpMethod", ("POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"))
        body = checks.get("httpTarget.body")
        if body is not None:
            if method not in WITH_BODY:
                checks.refuse("httpTarget.body", "A request body is allowed only with the methods POST, PUT and PATCH")
            try:
                base64.b64decode(str(body), validate=True)
            except (binascii.Error, ValueError):
                checks.refuse("httpTarget.body", "the body must be base64: use base64.b64encode(...).decode()")
        if checks.get("httpTarget.oidcToken") is not None:
            checks.required("httpTarget.oidcToken.serviceAccountEmail")

    @staticmethod
    def _check_retries(checks: Checks) -> None:
        checks.text("attemptDeadline", DURATION, "a duration in seconds, such as '320s'")
        deadline = checks.get("attemptDeadline")
        if deadline is not None and not 15 <= seconds(deadline, 180.0) <= 1800:
            checks.refuse(
                "attemptDeadline", f"{deadline!r}: for HTTP targets the deadline is between 15 seconds and 30 minutes"
            )
        checks.whole("retryConfig.retryCount", 0, 5, "Values greater than 5 and negative values are not allowed")
        checks.whole("retryConfig.maxDoublings", 0, 1 << 31, "max_doublings is 0 or more")
        for key in ("minBackoffDuration", "maxBackoffDuration", "maxRetryDuration"):
            checks.text(f"retryConfig.{key}", DURATION, "a duration in seconds, such as '5s'")
