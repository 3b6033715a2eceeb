"""The secrets of one function: each has its own copy in Secret Manager, which only this function may read.

A new value makes a new version, and the function names versions by number: so it rolls to a new revision at once, and
a revision never changes under a running instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_gcp as gcp

from core.secret_names import secret_id
from infra.config import StackConfig

ACCESSOR = "roles/secretmanager.secretAccessor"


class FunctionSecrets(pulumi.ComponentResource):
    """`variables` are the function's secret_environment_variables; `ready` is what its deployment waits for."""

    variables: list[gcp.cloudfunctionsv2.FunctionServiceConfigSecretEnvironmentVariableArgs]
    ready: list[pulumi.Resource]

    def __init__(
        self,
        function: str,
        config: StackConfig,
        values: Mapping[str, pulumi.Input[str]],
        *,
        reader: pulumi.Input[str],
        apis: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("memorygraph-cloud:components:FunctionSecrets", function, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.variables, self.ready = [], []
        for variable, value in values.items():
            identifier = secret_id(function, variable)
            secret = gcp.secretmanager.Secret(
                identifier,
                secret_id=identifier,
                replication={"auto": {}},
                opts=pulumi.ResourceOptions(parent=self, depends_on=apis, protect=config.protect),
            )
            version = gcp.secretmanager.SecretVersion(
                identifier,
                secret=secret.id,
                secret_data=pulumi.Output.secret(value),
                opts=child,  # not under the secret: a child inherits `protect`, and versions must be replaceable
            )
            grant = gcp.secretmanager.SecretIamMember(
                identifier,
                secret_id=secret.secret_id,
                role=ACCESSOR,
                member=reader,
                opts=child,
            )
            self.variables.append(
                gcp.cloudfunctionsv2.FunctionServiceConfigSecretEnvironmentVariableArgs(
                    key=variable, project_id=config.project, secret=secret.secret_id, version=version.version
                )
            )
            self.ready += [version, grant]
        self.register_outputs({})
