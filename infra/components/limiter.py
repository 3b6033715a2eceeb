"""Upstash Redis: the cache of principals and, later, the rate limits. It holds nothing that cannot be made again."""

from __future__ import annotations

import pulumi
import upstash_pulumi as upstash

from core.urls import base_url
from infra.config import Profile, StackConfig

BUDGET_USD = 10
"""What Upstash may cost a month before it throttles; functions then limit by themselves (fail open)."""


class Limiter(pulumi.ComponentResource):
    """`url` is the base of the REST API, `token` its secret bearer token."""

    url: pulumi.Output[str]
    token: pulumi.Output[str]

    def __init__(self, name: str, config: StackConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("memorygraph-cloud:components:Limiter", name, None, opts)
        database = upstash.RedisDatabase(
            "redis",
            database_name=config.name,
            region="global",
            primary_region=config.aws_region,
            tls=True,
            eviction=True,  # a full cache forgets its oldest entries instead of refusing new ones
            budget=BUDGET_USD if config.profile is Profile.PRODUCTION else None,  # the free plan has no budget
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.url = database.endpoint.apply(base_url)
        self.token = pulumi.Output.secret(database.rest_token)
        self.register_outputs({})
