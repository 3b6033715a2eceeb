"""One deployed function: archive, two identities, secrets, and the service itself.

Another runtime (a Cloud Run service from a zip or an image) would be another version of this one file.

Two identities, because who builds needs rights that who runs must not have. The build account is our own: the
project's default one lacks them in new organizations, and the first deployment then fails. Anyone may invoke a
function behind the edge; it refuses by itself whatever the edge has not signed, before it does anything else. One that
only Google calls has a `caller`, and nobody else may invoke it.
"""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from declarations import Function
from infra import source
from infra.bindings import Environment
from infra.components.google import GoogleProject
from infra.components.secrets import FunctionSecrets
from infra.config import StackConfig

RUNTIME = "python312"
"""All pinned requirements have wheels for it and Google supports it until 2028. The code keeps to 3.11, the oldest that
the local cloud runs it on."""

BUILD_ROLES = ("roles/logging.logWriter", "roles/artifactregistry.writer")


class FunctionService(pulumi.ComponentResource):
    """`url` is where it is reached, `edge_secret` what the edge must sign with (None: it is not behind the edge),
    `runner` its identity, for grants."""

    function: Function
    url: pulumi.Output[str]
    edge_secret: pulumi.Input[str] | None
    runner: pulumi.Output[str]
    invocable: pulumi.Resource

    def __init__(
        self,
        function: Function,
        config: StackConfig,
        google: GoogleProject,
        environment: Environment,
        *,
        caller: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("memorygraph-cloud:components:FunctionService", function.name, None, opts)
        self.function = function
        self.edge_secret = environment.secret.get("EDGE_SECRET")
        runner = self._account("run", f"Runs {function.name}", google)
        self.runner = member(runner)
        builder = self._account("build", f"Builds {function.name}", google)
        archive = self._archive(google)
        secrets = FunctionSecrets(
            function.name,
            config,
            environment.secret,
            reader=self.runner,
            apis=google.ready,
            opts=pulumi.ResourceOptions(parent=self),
        )
        sizing = function.sizing
        service = gcp.cloudfunctionsv2.Function(
            function.name,
            name=function.name,
            location=config.region,
            build_config=gcp.cloudfunctionsv2.FunctionBuildConfigArgs(
                runtime=RUNTIME,
                entry_point=function.name,
                service_account=builder.email.apply(lambda email: f"projects/{config.project}/serviceAccounts/{email}"),
                source=gcp.cloudfunctionsv2.FunctionBuildConfigSourceArgs(
                    storage_source=gcp.cloudfunctionsv2.FunctionBuildConfigSourceStorageSourceArgs(
                        bucket=archive.bucket, object=archive.name
                    )
                ),
            ),
            service_config=gcp.cloudfunctionsv2.FunctionServiceConfigArgs(
                available_memory=f"{sizing.memory_mb}Mi",
                available_cpu=str(sizing.cpu),
                timeout_seconds=sizing.timeout_seconds,
                max_instance_request_concurrency=sizing.concurrency,
                min_instance_count=sizing.min_instances,
                max_instance_count=sizing.max_instances,
                ingress_settings="ALLOW_ALL",
                all_traffic_on_latest_revision=True,
                service_account_email=runner.email,
                environment_variables=environment.plain,
                secret_environment_variables=secrets.variables,
            ),
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[*self._build_grants(builder, config, google), *secrets.ready]
            ),
        )
        self.invocable = gcp.cloudrunv2.ServiceIamMember(
            f"{function.name}-invoker",
            name=service.name,  # the Cloud Run service under a function has the function's name
            location=config.region,
            role="roles/run.invoker",
            member="allUsers" if caller is None else caller,
            opts=pulumi.ResourceOptions(parent=self, depends_on=google.public if caller is None else []),
        )
        self.url = service.service_config.apply(_uri)
        self.register_outputs({})

    def _account(self, purpose: str, description: str, google: GoogleProject) -> gcp.serviceaccount.Account:
        name = f"{self.function.name}-{purpose}"
        return gcp.serviceaccount.Account(
            name,
            account_id=name,
            display_name=description,
            opts=pulumi.ResourceOptions(parent=self, depends_on=google.ready),
        )

    def _archive(self, google: GoogleProject) -> gcp.storage.BucketObject:
        """The zip, named by what is in it: new code is a new object, and the same code is no change at all."""
        files = source.files(self.function)
        return gcp.storage.BucketObject(
            f"{self.function.name}-archive",
            name=f"{self.function.name}-{source.digest(files)[:16]}.zip",
            bucket=google.bucket,
            source=pulumi.AssetArchive({**files}),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _build_grants(
        self, builder: gcp.serviceaccount.Account, config: StackConfig, google: GoogleProject
    ) -> list[pulumi.Resource]:
        name = self.function.name
        child = pulumi.ResourceOptions(parent=self)
        grants: list[pulumi.Resource] = [
            gcp.projects.IAMMember(
                f"{name}-build-{role.rpartition('.')[2].lower()}",
                project=config.project,
                role=role,
                member=member(builder),
                opts=child,
            )
            for role in BUILD_ROLES
        ]
        grants.append(
            gcp.storage.BucketIAMMember(
                f"{name}-build-source",
                bucket=google.bucket,
                role="roles/storage.objectViewer",
                member=member(builder),
                opts=child,
            )
        )
        return grants


def _uri(service: gcp.cloudfunctionsv2.outputs.FunctionServiceConfig | None) -> str:
    """The run.app address: one hop shorter than the function's own cloudfunctions.net one."""
    assert service is not None  # the program sets it
    assert service.uri is not None  # every deployed function has one
    return service.uri


def member(account: gcp.serviceaccount.Account) -> pulumi.Output[str]:
    """How grants name an account."""
    return account.email.apply(lambda email: f"serviceAccount:{email}")
