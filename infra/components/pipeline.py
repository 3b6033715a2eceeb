"""Google Cloud: as whom GitHub's workflows act. No key file: Google believes the token that GitHub gives to a run, when
repository, environment and branch are the expected ones (.github/workflows/README.md), and lets it be one of two
identities: one that deploys, one that only reads.

Their roles are the least of Google's own by which all that is declared can be made, or read. Said plainly: who deploys
may grant roles in the project, so it could give itself any. What it may not change is this: who is believed. That, and
what is not in the project (the state's bucket and key, the budget, the organization), a person grants: see
docs/operate.md. Who reads sees secrets, since a refresh compares their values; the state, which it reads, has them too.
"""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from infra.components.function import member
from infra.components.google import GoogleProject
from infra.config import Repository, StackConfig
from infra.providers.resources import Key

ISSUER = "https://token.actions.githubusercontent.com"
BRANCH = "refs/heads/main"
READS_ANYWHERE, READS = "preview", "drift"
"""Environments whose runs read: one whose reviewers look at any branch, and one of the main branch."""

IMPERSONATE = "roles/iam.workloadIdentityUser"

READING = (
    "roles/browser",
    "roles/cloudfunctions.viewer",
    "roles/cloudscheduler.viewer",
    "roles/cloudtasks.viewer",
    "roles/iam.securityReviewer",  # grants, wherever they are
    "roles/iam.serviceAccountViewer",
    "roles/iam.workloadIdentityPoolViewer",
    "roles/logging.viewer",
    "roles/monitoring.viewer",
    "roles/run.viewer",
    "roles/secretmanager.secretAccessor",
    "roles/secretmanager.viewer",
    "roles/serviceusage.serviceUsageViewer",
    "roles/storage.bucketViewer",  # not what is in them: backups are somebody's memories
)
DEPLOYING = (
    "roles/browser",
    "roles/cloudfunctions.admin",
    "roles/cloudscheduler.admin",
    "roles/cloudtasks.admin",
    "roles/iam.serviceAccountAdmin",
    "roles/iam.serviceAccountUser",  # functions and jobs run as accounts of ours
    "roles/iam.workloadIdentityPoolViewer",
    "roles/logging.configWriter",
    "roles/monitoring.editor",
    "roles/resourcemanager.projectIamAdmin",
    "roles/run.admin",
    "roles/secretmanager.admin",
    "roles/serviceusage.serviceUsageAdmin",
    "roles/storage.admin",
)


class Pipeline(pulumi.ComponentResource):
    """`told` is what the environments at GitHub are told of: empty when no repository is named."""

    told: dict[str, pulumi.Output[str]]

    def __init__(
        self, name: str, config: StackConfig, google: GoogleProject, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("memorygraph-cloud:components:Pipeline", name, None, opts)
        self.told = {} if config.repository is None else self._declare(config, config.repository, google)
        self.register_outputs({})

    def _declare(
        self, config: StackConfig, repository: Repository, google: GoogleProject
    ) -> dict[str, pulumi.Output[str]]:
        kept = pulumi.ResourceOptions(parent=self, depends_on=google.ready, protect=config.protect)
        # The id of one that was deleted stays taken for 30 days: so each one has an end of its own.
        number = Key("github-pool", opts=pulumi.ResourceOptions(parent=self))
        pool = gcp.iam.WorkloadIdentityPool(
            "github",
            workload_identity_pool_id=number.id.apply(lambda id: f"github-{id[:8]}"),
            display_name="GitHub's workflows",
            opts=kept,
        )
        provider = gcp.iam.WorkloadIdentityPoolProvider(
            "github-actions",
            workload_identity_pool_id=pool.workload_identity_pool_id,
            workload_identity_pool_provider_id="github-actions",
            display_name="GitHub Actions",
            attribute_mapping={"google.subject": "assertion.sub", "attribute.environment": "assertion.environment"},
            attribute_condition=condition(repository),
            oidc=gcp.iam.WorkloadIdentityPoolProviderOidcArgs(issuer_uri=ISSUER),
            opts=kept,
        )
        deploys = self._identity("ci-deploys", "Deploys, for GitHub's workflows", DEPLOYING, config, kept)
        reads = self._identity("ci-reads", "Reads, for GitHub's workflows", READING, config, kept)
        gcp.storage.BucketIAMMember(
            "ci-reads-archives",
            bucket=google.bucket,
            role="roles/storage.objectViewer",
            member=member(reads),
            opts=pulumi.ResourceOptions(parent=self),
        )
        for environment, account in {repository.environment: deploys, READS_ANYWHERE: reads, READS: reads}.items():
            gcp.serviceaccount.IAMMember(
                f"github-{environment}",
                service_account_id=account.name,
                role=IMPERSONATE,
                member=pulumi.Output.concat(
                    "principalSet://iam.googleapis.com/", pool.name, "/attribute.environment/", environment
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )
        return {"provider": provider.name, "deploys": deploys.email, "reads": reads.email}

    def _identity(
        self, name: str, title: str, roles: tuple[str, ...], config: StackConfig, kept: pulumi.ResourceOptions
    ) -> gcp.serviceaccount.Account:
        account = gcp.serviceaccount.Account(name, account_id=name, display_name=title, opts=kept)
        for role in roles:
            gcp.projects.IAMMember(
                f"{name}-{role.removeprefix('roles/').lower().replace('.', '-')}",
                project=config.project,
                role=role,
                member=member(account),
                opts=pulumi.ResourceOptions(parent=self),
            )
        return account


def condition(repository: Repository) -> str:
    """Which of GitHub's tokens are believed, in CEL. A claim that a token has not got is an error, and so a refusal: a
    job without an environment is nobody here."""
    return (
        f"assertion.repository_id == '{repository.id}' && (assertion.environment == '{READS_ANYWHERE}' || "
        f"(assertion.environment in ['{repository.environment}', '{READS}'] && assertion.ref == '{BRANCH}'))"
    )
