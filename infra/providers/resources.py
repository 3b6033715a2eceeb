"""The resources of our provider, as the Pulumi program declares them."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi


def _secret(*names: str) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(additional_secret_outputs=list(names))


class Key(pulumi.CustomResource):
    """A random secret: 32 bytes in URL-safe base64. Another value of `keepers` makes another key."""

    value: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        keepers: Mapping[str, pulumi.Input[str]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"keepers": keepers, "value": None}
        super().__init__("memorygraph:random:Key", name, inputs, pulumi.ResourceOptions.merge(opts, _secret("value")))


class SupabaseProject(pulumi.CustomResource):
    """A Supabase project, once it is healthy.

    `sessionUrl` is for migrations (session pooler), `transactionUrl` for functions (transaction pooler); both log in
    as `postgres`.
    """

    ref: pulumi.Output[str]
    session_url: pulumi.Output[str]
    transaction_url: pulumi.Output[str]

    def __init__(
        self,
        resource: str,
        *,
        organization: pulumi.Input[str],
        name: pulumi.Input[str],
        region: pulumi.Input[str],
        database_password: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "organization": organization,
            "name": name,
            "region": region,
            "databasePassword": pulumi.Output.secret(database_password),
            "ref": None,
            "sessionUrl": None,
            "transactionUrl": None,
        }
        secret = _secret("databasePassword", "sessionUrl", "transactionUrl")
        super().__init__("memorygraph:supabase:Project", resource, inputs, pulumi.ResourceOptions.merge(opts, secret))

    def translate_output_property(self, prop: str) -> str:
        return _SNAKE.get(prop, prop)


class Schema(pulumi.CustomResource):
    """The control plane's tables and login roles: migrations applied, passwords set.

    `urls` maps each role to its database URL through `runtime_url`'s pooler.
    """

    version: pulumi.Output[int]
    urls: pulumi.Output[Mapping[str, str]]

    def __init__(
        self,
        resource: str,
        *,
        database_url: pulumi.Input[str],
        runtime_url: pulumi.Input[str],
        digest: pulumi.Input[str],
        roles: Mapping[str, pulumi.Input[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "databaseUrl": pulumi.Output.secret(database_url),
            "runtimeUrl": pulumi.Output.secret(runtime_url),
            "digest": digest,
            "roles": pulumi.Output.secret(roles),
            "version": None,
            "urls": None,
        }
        secret = _secret("databaseUrl", "runtimeUrl", "roles", "urls")
        super().__init__("memorygraph:postgres:Schema", resource, inputs, pulumi.ResourceOptions.merge(opts, secret))


class TursoGroup(pulumi.CustomResource):
    """A Turso group: the place of databases that provisioning opens."""

    name: pulumi.Output[str]

    def __init__(
        self,
        resource: str,
        *,
        organization: pulumi.Input[str],
        name: pulumi.Input[str],
        location: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"organization": organization, "name": name, "location": location}
        super().__init__("memorygraph:turso:Group", resource, inputs, opts)


_SNAKE = {"sessionUrl": "session_url", "transactionUrl": "transaction_url"}
