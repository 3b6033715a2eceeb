"""Supabase: the project, its database schema, and one login role for each function.

The migrations run here, before any function changes: a function's database URL comes out of the Schema resource.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

import pulumi

from infra.components.keys import Keys
from infra.config import StackConfig
from infra.providers.logins import login
from infra.providers.migrations import digest
from infra.providers.resources import Schema, SupabaseProject


class ControlPlane(pulumi.ComponentResource):
    """`url(reader)` is the secret database URL of a reader's own role, through the transaction pooler, `session_url` is
    the same through the session pooler; `ref` names the project."""

    ref: pulumi.Output[str]

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
            name=config.name,
            region=config.aws_region,
            database_password=keys.newest("database-password"),
            opts=pulumi.ResourceOptions(parent=self, protect=config.protect),
        )
        schema = Schema(
            "schema",
            database_url=project.session_url,
            runtime_url=project.transaction_url,
            digest=digest(),
            roles={
                login(reader, number): password
                for reader in readers
                for number, password in keys.generations(password_of(reader)).items()
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ref = project.ref
        self._session_url = project.session_url
        self._urls = schema.urls
        self._logins = {reader: login(reader, next(iter(keys.generations(password_of(reader))))) for reader in readers}
        self.register_outputs({})

    def url(self, reader: str) -> pulumi.Output[str]:
        return pulumi.Output.secret(self._urls.apply(lambda urls: urls[self._logins[reader]]))

    @property
    def owner_url(self) -> pulumi.Output[str]:
        """Of `postgres`, who owns the schema: for `pulumi up`, and for a restore into a new place."""
        return pulumi.Output.secret(self._session_url)

    def session_url(self, reader: str) -> pulumi.Output[str]:
        both = pulumi.Output.all(self.url(reader), self._session_url)
        return pulumi.Output.secret(both.apply(lambda urls: _through(urls[1], urls[0])))


def _through(pooler: str, login: str) -> str:
    """The login of one URL at the host and port of another."""
    there, who = urlsplit(pooler), urlsplit(login)
    place = there.netloc.rpartition("@")[2]
    return urlunsplit(who._replace(netloc=f"{who.netloc.rpartition('@')[0]}@{place}"))


def password_of(reader: str) -> str:
    """The key that is a reader's password."""
    return f"{reader}-database-password"
