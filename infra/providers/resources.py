"""The resources of our provider, as the Pulumi program declares them. Those of Stripe: `stripe_resources.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

_CAMEL = {
    "database_password": "databasePassword",
    "session_url": "sessionUrl",
    "transaction_url": "transactionUrl",
    "database_url": "databaseUrl",
    "runtime_url": "runtimeUrl",
    "api_url": "apiUrl",
    "publishable_key": "publishableKey",
    "secret_key": "secretKey",
    "statement_descriptor": "statementDescriptor",
    "unit_amount": "unitAmount",
    "lookup_key": "lookupKey",
    "default_return_url": "defaultReturnUrl",
    "business_profile": "businessProfile",
    "api_version": "apiVersion",
}
_SNAKE = {camel: snake for snake, camel in _CAMEL.items()}


class Resource(pulumi.CustomResource):
    """Python's names in the program, the engine's on the wire. None stands for an output."""

    def __init__(
        self,
        token: str,
        name: str,
        properties: Mapping[str, Any],
        opts: pulumi.ResourceOptions | None,
        *,
        secret: Sequence[str] = (),
    ) -> None:
        secrets = pulumi.ResourceOptions(additional_secret_outputs=list(secret))
        super().__init__(token, name, dict(properties), pulumi.ResourceOptions.merge(opts, secrets))

    def translate_input_property(self, prop: str) -> str:
        return _CAMEL.get(prop, prop)

    def translate_output_property(self, prop: str) -> str:
        return _SNAKE.get(prop, prop)


class Key(Resource):
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
        super().__init__("memorygraph:random:Key", name, inputs, opts, secret=["value"])


class SupabaseProject(Resource):
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
            "database_password": pulumi.Output.secret(database_password),
            "ref": None,
            "session_url": None,
            "transaction_url": None,
        }
        secret = ["databasePassword", "sessionUrl", "transactionUrl"]
        super().__init__("memorygraph:supabase:Project", resource, inputs, opts, secret=secret)


class SupabaseAuth(Resource):
    """How people sign in to a project: settings by their names in Supabase's Management API, secret ones apart.

    `issuer` is what tokens name; the keys that verify them are at `{issuer}/.well-known/jwks.json`.
    """

    api_url: pulumi.Output[str]
    issuer: pulumi.Output[str]
    publishable_key: pulumi.Output[str]
    secret_key: pulumi.Output[str]

    def __init__(
        self,
        resource: str,
        *,
        project: pulumi.Input[str],
        settings: Mapping[str, pulumi.Input[str | int | bool]],
        secrets: Mapping[str, pulumi.Input[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project": project,
            "settings": settings,
            "secrets": pulumi.Output.secret(secrets),
            "api_url": None,
            "issuer": None,
            "publishable_key": None,
            "secret_key": None,
        }
        secret = ["secrets", "secretKey"]
        super().__init__("memorygraph:supabase:AuthSettings", resource, inputs, opts, secret=secret)


class Schema(Resource):
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
            "database_url": pulumi.Output.secret(database_url),
            "runtime_url": pulumi.Output.secret(runtime_url),
            "digest": digest,
            "roles": pulumi.Output.secret(roles),
            "version": None,
            "urls": None,
        }
        secret = ["databaseUrl", "runtimeUrl", "roles", "urls"]
        super().__init__("memorygraph:postgres:Schema", resource, inputs, opts, secret=secret)


class TursoGroup(Resource):
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
