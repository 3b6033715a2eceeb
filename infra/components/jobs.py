"""Google Cloud: what calls `provisioning`: a queue that a change wakes, a schedule that picks up what was lost, and
those of the night: a look at what is paid for, the backup, and once a week its trial.

The queue carries the target and the identity of its calls, so who adds a task needs to know neither. It takes two
rights: to add tasks, and to act as that identity, which Cloud Tasks checks when a task is added. A deleted queue's name
stays taken for a week, so Pulumi makes one with a random end.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import pulumi
import pulumi_gcp as gcp

from infra.components.function import FunctionService, member
from infra.components.google import GoogleProject, google_api
from infra.config import StackConfig

SCHEDULES = {
    "sweep": "*/5 * * * *",
    "reconcile": "17 3 * * *",
    "back_up": "41 1 * * *",
    "check_backups": "23 4 * * 0",
}
"""When a handler is called, in UTC."""
ATTEMPTS = 5
"""Tries of one wake-up. The sweep runs what is still due after the last."""

ENQUEUER = "roles/cloudtasks.enqueuer"
ACT_AS = "roles/iam.serviceAccountUser"


class Caller(pulumi.ComponentResource):
    """The identity by which Google's services call our private functions. `email`; `member` for grants."""

    def __init__(self, name: str, google: GoogleProject, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("memorygraph-cloud:components:Caller", name, None, opts)
        account = gcp.serviceaccount.Account(
            "jobs-call",
            account_id="jobs-call",
            display_name="Calls provisioning for Cloud Tasks and Cloud Scheduler",
            opts=pulumi.ResourceOptions(parent=self, depends_on=google.ready),
        )
        self.id = account.name
        self.email = account.email
        self.member = member(account)
        self.register_outputs({})


class Jobs(pulumi.ComponentResource):
    """`url` is the queue's resource address in the API, where tasks are added; `allow` lets a function add them."""

    url: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        config: StackConfig,
        google: GoogleProject,
        target: FunctionService,
        caller: Caller,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("memorygraph-cloud:components:Jobs", name, None, opts)
        self._caller = caller
        self._region = config.region
        waits = pulumi.ResourceOptions(parent=self, depends_on=[*google.ready, target.invocable])
        self._queue = gcp.cloudtasks.Queue(
            "jobs",
            location=config.region,
            http_target=gcp.cloudtasks.QueueHttpTargetArgs(
                http_method="POST",
                uri_override=target.url.apply(lambda url: _override(url, target.function.path_of("run_jobs"))),
                oidc_token=gcp.cloudtasks.QueueHttpTargetOidcTokenArgs(
                    service_account_email=caller.email, audience=target.url
                ),
            ),
            rate_limits=gcp.cloudtasks.QueueRateLimitsArgs(max_concurrent_dispatches=1, max_dispatches_per_second=5),
            retry_config=gcp.cloudtasks.QueueRetryConfigArgs(
                max_attempts=ATTEMPTS, min_backoff="5s", max_backoff="300s"
            ),
            opts=waits,
        )
        for handler, schedule in SCHEDULES.items():
            gcp.cloudscheduler.Job(
                handler.replace("_", "-"),
                region=config.region,
                schedule=schedule,
                time_zone="Etc/UTC",
                retry_config=gcp.cloudscheduler.JobRetryConfigArgs(retry_count=1),
                attempt_deadline=f"{min(target.function.sizing.timeout_seconds, 1800)}s",
                http_target=gcp.cloudscheduler.JobHttpTargetArgs(
                    uri=pulumi.Output.concat(target.url, target.function.path_of(handler)),
                    http_method="POST",
                    oidc_token=gcp.cloudscheduler.JobHttpTargetOidcTokenArgs(
                        service_account_email=caller.email, audience=target.url
                    ),
                ),
                opts=waits,
            )
        self.url = pulumi.Output.concat(
            google_api(config, "cloudtasks"),
            f"/v2beta3/projects/{config.project}/locations/{config.region}/queues/",
            self._queue.name,
        )
        self.register_outputs({})

    def allow(self, service: FunctionService) -> None:
        """Let a function wake `provisioning`."""
        name = service.function.name
        gcp.cloudtasks.QueueIamMember(
            f"{name}-enqueues",
            name=self._queue.name,
            location=self._region,
            role=ENQUEUER,
            member=service.runner,
            opts=pulumi.ResourceOptions(parent=self),
        )
        gcp.serviceaccount.IAMMember(
            f"{name}-acts-as-caller",
            service_account_id=self._caller.id,
            role=ACT_AS,
            member=service.runner,
            opts=pulumi.ResourceOptions(parent=self),
        )


def _override(url: str, path: str) -> gcp.cloudtasks.QueueHttpTargetUriOverrideArgs:
    """Where every task of the queue goes, whatever address it was added with."""
    parts = urlsplit(url)
    return gcp.cloudtasks.QueueHttpTargetUriOverrideArgs(
        scheme=parts.scheme.upper(),
        host=parts.hostname or "",
        port=str(parts.port) if parts.port else None,
        path_override=gcp.cloudtasks.QueueHttpTargetUriOverridePathOverrideArgs(path=path),
        uri_override_enforce_mode="ALWAYS",
    )
