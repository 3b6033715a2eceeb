"""Google Cloud Tasks: queues and who may add tasks to them. What is in them: `vendors/google/queues.py`."""

# ruff: noqa: ARG002  a kind is given more than each one needs

from __future__ import annotations

import time
from typing import ClassVar

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.errors import CloudError, NotFound
from infra.local.cloud.provider.gcp.grants import Grant, holds
from infra.local.cloud.provider.gcp.names import project_of
from infra.local.cloud.provider.gcp.projects import need_account, need_api
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record
from infra.local.cloud.vendors.google.delivery import seconds
from infra.local.cloud.vendors.google.queues import CONCURRENCY, QUEUE, RATE, SECTION

ENQUEUER = "roles/cloudtasks.enqueuer"
DURATION = r"\d+(\.\d{1,9})?s"
DELETED = "google_deleted_queues"
TAKEN_SECONDS = 7 * 86400
MOST_PER_SECOND = 500.0
MOST_AT_ONCE = 5000


class Queue(Kind):
    """A queue of HTTP tasks. Left out: App Engine, OAuth tokens for its target, logs of its dispatches."""

    token = QUEUE
    name_input = "name"
    replaces = frozenset({"name", "location", "project"})
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE", "desiredState": "RUNNING"}

    def check(self, checks: Checks) -> None:
        checks.required("location")
        checks.text(
            "name",
            r"[A-Za-z0-9-]{1,100}",
            "Queue ID can contain only letters ([A-Za-z]), numbers ([0-9]), or hyphens (-). Queue ID must be between 1 "
            "and 100 characters",
        )
        checks.one_of("desiredState", ("RUNNING", "PAUSED"))
        for path in ("appEngineRoutingOverride", "httpTarget.oauthToken"):
            if checks.get(path) is not None:
                checks.refuse(path, "the local cloud has HTTP targets with OIDC tokens only")
        self._check_limits(checks)
        self._check_target(checks)

    def identify(self, args: Json) -> str | None:
        if not args.get("name") or not args.get("location"):
            return None
        return f"projects/{project_of(args)}/locations/{args['location']}/queues/{args['name']}"

    def create(self, args: Json) -> Made:
        need_api(self, "cloudtasks.googleapis.com", "Cloud Tasks")
        identity = self.identify(args)
        assert identity is not None
        deleted = self.cloud.store.section(DELETED).get(identity)
        if deleted is not None and time.time() - deleted < TAKEN_SECONDS:
            raise CloudError(
                "Error 400: The queue cannot be created because a queue with this name existed too recently: "
                f"{identity}. A deleted name stays taken for 7 days. Give the queue another name, or none at all: "
                "Pulumi then makes one with a random end."
            )
        return self._made(args)

    def update(self, record: Record, args: Json) -> Made:
        return self._made(args)

    def delete(self, record: Record) -> None:
        self.cloud.store.edit(DELETED, lambda section: section.update({record.id: int(time.time())}))
        self.cloud.store.edit(SECTION, lambda section: section.pop(record.id, None))

    def _made(self, args: Json) -> Made:
        identity = self.identify(args)
        assert identity is not None
        if account := ((args.get("httpTarget") or {}).get("oidcToken") or {}).get("serviceAccountEmail"):
            need_account(self, str(account))
        limits = {"maxConcurrentDispatches": CONCURRENCY, "maxDispatchesPerSecond": RATE, "maxBurstSize": 100}
        retries = {"maxAttempts": 100, "minBackoff": "0.100s", "maxBackoff": "3600s", "maxDoublings": 16}
        return Made(
            id=identity,
            outputs={
                "name": args["name"],
                "project": project_of(args),
                "rateLimits": {**limits, **(args.get("rateLimits") or {})},
                "retryConfig": {**retries, **(args.get("retryConfig") or {})},
                "state": args.get("desiredState") or "RUNNING",
            },
        )

    @staticmethod
    def _check_limits(checks: Checks) -> None:
        rate = checks.get("rateLimits.maxDispatchesPerSecond")
        if rate is not None and not 0 < rate <= MOST_PER_SECOND:
            checks.refuse(
                "rateLimits.maxDispatchesPerSecond", f"{rate}: rate_limits.max_dispatches_per_second is 0 to 500"
            )
        checks.whole(
            "rateLimits.maxConcurrentDispatches",
            1,
            MOST_AT_ONCE,
            f"rate_limits.max_concurrent_dispatches is 1 to {MOST_AT_ONCE}",
        )
        checks.whole("retryConfig.maxAttempts", -1, 1 << 31, "retry_config.max_attempts is -1 (no limit), or 1 or more")
        if checks.get("retryConfig.maxAttempts") == 0:
            checks.refuse("retryConfig.maxAttempts", "0: -1 is no limit, 1 is no retry")
        checks.whole("retryConfig.maxDoublings", 0, 1 << 31, "retry_config.max_doublings is 0 or more")
        for key in ("minBackoff", "maxBackoff", "maxRetryDuration"):
            checks.text(f"retryConfig.{key}", DURATION, "a duration in seconds, such as '1.5s'")
        least, most = checks.get("retryConfig.minBackoff"), checks.get("retryConfig.maxBackoff")
        if least is not None and most is not None and seconds(least, 0.0) > seconds(most, 0.0):
            checks.refuse("retryConfig.minBackoff", "min_backoff must not be longer than max_backoff")

    @staticmethod
    def _check_target(checks: Checks) -> None:
        if checks.get("httpTarget.uriOverride.host") == "":
            checks.refuse("httpTarget.uriOverride.host", "Host value cannot be an empty string (INVALID_ARGUMENT)")
        checks.text(
            "httpTarget.uriOverride.host",
            r"[^/:\s]+",
            "the host alone: scheme, port and path are arguments of their own",
        )
        checks.text("httpTarget.uriOverride.port", r"\d{1,5}", "the port is a whole number")
        checks.one_of("httpTarget.uriOverride.scheme", ("HTTP", "HTTPS"))
        checks.one_of("httpTarget.uriOverride.uriOverrideEnforceMode", ("ALWAYS", "IF_NOT_EXISTS"))
        checks.one_of("httpTarget.httpMethod", ("POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"))
        if checks.get("httpTarget.oidcToken") is not None:
            checks.required("httpTarget.oidcToken.serviceAccountEmail")


class QueueGrant(Grant):
    """A role on one queue."""

    token = "gcp:cloudtasks/queueIamMember:QueueIamMember"  # noqa: S105  a name, no secret
    on = "name"
    replaces = frozenset({"project", "location", "name", "role", "member", "condition"})

    def create(self, args: Json) -> Made:
        target = self._target(args)
        if self.cloud.store.get(QUEUE, target) is None:
            raise NotFound(
                f"Error 404: Queue {target} does not exist: name it by the `name` and `location` outputs of its Queue, "
                "so that it is made first."
            )
        return super().create(args)

    def _target(self, args: Json) -> str:
        name = str(args["name"])
        return name if "/" in name else f"projects/{project_of(args)}/locations/{args.get('location')}/queues/{name}"

    def _extra(self, args: Json) -> Json:
        return {"project": project_of(args)}


def may_enqueue(cloud: Cloud, email: str, queue: str) -> bool:
    """Whether an account may add tasks to the queue of this id."""
    grants = [grant for grant in cloud.store.of(QueueGrant.token) if grant.id.startswith(f"{queue}/")]
    return holds(cloud, email, ENQUEUER, also=grants)
