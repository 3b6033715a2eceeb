"""Turso: the group in which provisioning opens one database for each workspace. The databases are data, not
infrastructure, so they are not declared; protecting the group protects them."""

from __future__ import annotations

import pulumi

from infra.config import Profile, StackConfig
from infra.providers.resources import TursoGroup

DATABASES_MOST = {Profile.FRUGAL: 100, Profile.PRODUCTION: 0}
"""Of Turso's plans Free and Developer (turso.tech/pricing)."""


class Store(pulumi.ComponentResource):
    """`group` is the name of the group; `databases_most` how many databases the plan has room for (0: any number)."""

    group: pulumi.Output[str]
    databases_most: int

    def __init__(self, name: str, config: StackConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("memorygraph-cloud:components:Store", name, None, opts)
        group = TursoGroup(
            "group",
            organization=config.turso_organization,
            name=config.name,
            location=f"aws-{config.aws_region}",
            opts=pulumi.ResourceOptions(parent=self, protect=config.protect),
        )
        self.group = group.name
        self.databases_most = DATABASES_MOST[config.profile]
        self.register_outputs({})
