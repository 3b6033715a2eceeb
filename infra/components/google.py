"""What all functions share in the Google project: the APIs that must be on, and the bucket of their archives."""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from infra.config import Cloud, StackConfig

APIS = (
    "artifactregistry.googleapis.com",
    "billingbudgets.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudscheduler.googleapis.com",
    "cloudtasks.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
    "sts.googleapis.com",
)
"""Every resource of a function waits for all of them: a call right after an API is switched on fails."""


def google_api(config: StackConfig, name: str) -> str:
    """The address of one of Google's APIs, such as `cloudtasks`. The local cloud stands in for all of them at one."""
    return config.google_api or f"https://{name}.googleapis.com"


PUBLIC_POLICY = "iam.allowedPolicyMemberDomains"


class GoogleProject(pulumi.ComponentResource):
    """`ready` is what others wait for, `bucket` holds archives, `public` is what an allUsers grant waits for;
    `number` is the project's, by which budgets know it."""

    bucket: pulumi.Output[str]
    number: pulumi.Output[int]
    ready: list[pulumi.Resource]
    public: list[pulumi.Resource]

    def __init__(self, name: str, config: StackConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("memorygraph-cloud:components:GoogleProject", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.ready = [gcp.projects.Service(api.split(".")[0], service=api, opts=child) for api in APIS]
        bucket = gcp.storage.Bucket(
            "archives",
            name=f"{config.project}-archives",
            location=config.region,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            force_destroy=True,  # archives are made from the repository; losing them costs a rebuild
            opts=pulumi.ResourceOptions(parent=self, depends_on=self.ready),
        )
        self.bucket = bucket.name
        self.number = bucket.project_number
        self.public = self._allow_public(config)
        self.register_outputs({})

    def _allow_public(self, config: StackConfig) -> list[pulumi.Resource]:
        """The project's exception from domain-restricted sharing, which new organizations have by default."""
        if not config.public_invoker_exception:
            if config.cloud is Cloud.REAL:
                pulumi.log.info(
                    f"Functions are invoked by allUsers. If the organization policy {PUBLIC_POLICY} forbids that, "
                    "let this project be an exception: pulumi config set publicInvokerException true",
                    self,
                )
            return []
        api = gcp.projects.Service(
            "orgpolicy", service="orgpolicy.googleapis.com", opts=pulumi.ResourceOptions(parent=self)
        )
        policy = gcp.orgpolicy.Policy(
            "allow-public-invoker",
            name=f"projects/{config.project}/policies/{PUBLIC_POLICY}",
            parent=f"projects/{config.project}",
            spec={"rules": [{"allow_all": "TRUE"}]},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[api]),
        )
        return [policy]
