"""Supabase: the project, its database schema, and one login role for each function.

The migrations run here, before any function changes: a function's database URL comes out of the Schema resource.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from infra.components.keys import Keys
from infra.config import StackConfig
from infra.providers.migrations import digest
from infra.providers.resources import Schema, SupabaseProject


class ControlPlane(pulumi.ComponentResource):
    """`url(reader)` is the secret database URL of one function's own role, through the transaction pooler."""

    def __init__(
        self,
        name: str,
        config: StackConfig,
        keys: Keys,
        *,
        readers: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("memorygraph-cloud:components:ControlPlane", name, None, opts)
        project = SupabaseProject(
            "project",
            organization=config.supabase_organization,
            name="memorygraph",
            region=config.aws_region,
            database_password=keys.newest("database-password"),
            opts=pulumi.ResourceOptions(parent=self, protect=config.protect),
        )
        schema = Schema(
            "schema",
            database_url=project.session_url,
            runtime_url=project.transaction_url,
            digest=digest(),
            roles={reader: keys.newest(f"{reader}-database-password") for reader in readers},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._urls = schema.urls
        self.register_outputs({})

    def url(self, reader: str) -> pulumi.Output[str]:
        return pulumi.Output.secret(self._urls.apply(lambda urls: urls[reader]))
