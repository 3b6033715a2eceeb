"""Google Cloud: where backups are kept: one bucket, for 30 days.

`provisioning` writes and reads them, and can neither remove nor overwrite one: it has no role that may, and its names
are new each time. Versions are kept, so that what somebody with more rights overwrites or removes is still there. What
is 30 days old ends, whichever version it is, within a day or two by Google's own pace, and nothing outlasts that (no
soft deletion): the privacy page says so. No retention policy: it would keep `pulumi destroy` from its word.
"""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from infra.components.control_plane import ControlPlane
from infra.components.function import FunctionService
from infra.components.google import GoogleProject
from infra.config import StackConfig

KEPT_DAYS = 30
ROLES = ("roles/storage.objectCreator", "roles/storage.objectViewer")


class Backups(pulumi.ComponentResource):
    """`bucket` is its name; `allow` lets a function write and read."""

    bucket: pulumi.Output[str]

    def __init__(
        self, name: str, config: StackConfig, google: GoogleProject, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("memorygraph-cloud:components:Backups", name, None, opts)
        bucket = gcp.storage.Bucket(
            "backups",
            name=f"{config.project}-backups",
            location=config.region,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            versioning=gcp.storage.BucketVersioningArgs(enabled=True),
            soft_delete_policy=gcp.storage.BucketSoftDeletePolicyArgs(retention_duration_seconds=0),
            lifecycle_rules=[
                gcp.storage.BucketLifecycleRuleArgs(
                    action=gcp.storage.BucketLifecycleRuleActionArgs(type="Delete"),
                    condition=gcp.storage.BucketLifecycleRuleConditionArgs(age=KEPT_DAYS, with_state="ANY"),
                ),
            ],
            force_destroy=not config.protect,
            opts=pulumi.ResourceOptions(parent=self, protect=config.protect, depends_on=google.ready),
        )
        self.bucket = bucket.name
        self._url = config.google_api
        self.register_outputs({})

    def allow(self, service: FunctionService) -> None:
        """Let a function write backups and read them."""
        for role in ROLES:
            gcp.storage.BucketIAMMember(
                f"{service.function.name}-{'writes' if role == ROLES[0] else 'reads'}-backups",
                bucket=self.bucket,
                role=role,
                member=service.runner,
                opts=pulumi.ResourceOptions(parent=self),
            )

    def told(self, control_plane: ControlPlane, reader: str) -> pulumi.Output[dict[str, str]]:
        """What the command of a restore needs: RestoreSettings in provisioning/backups/command.py."""
        return pulumi.Output.secret(
            pulumi.Output.all(
                BACKUP_BUCKET=self.bucket,
                STORAGE_URL=self._url or "",
                DATABASE_URL=control_plane.url(reader),
                OWNER_URL=control_plane.owner_url,
            )
        )
