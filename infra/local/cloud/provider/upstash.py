"""Upstash: a Redis database with its REST address. Behind it is `vendors/redis.py`."""

from __future__ import annotations

import re
import secrets
import time
import uuid
from typing import ClassVar

from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json, secret
from infra.local.cloud.store import Record
from infra.local.cloud.vendors.redis import Redis

REGIONS = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "sa-east-1",
    "ap-south-1",
    "ap-northeast-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "af-south-1",
]
GOOGLE_REGIONS = ["us-central1", "us-east4", "europe-west1", "asia-northeast1"]


class RedisDatabase(Kind):
    """One database: `NAME.localhost:PORT`, plain HTTP on loopback where Upstash has TLS.

    Left out: plans, quotas and budgets, eviction, regions and replicas, the Redis protocol itself (only REST is
    served).
    """

    token = "upstash:index/redisDatabase:RedisDatabase"  # noqa: S105  a name, no secret
    replaces = frozenset({"databaseName", "region", "primaryRegion"})
    defaults: ClassVar[Json] = {"autoScale": False, "eviction": False, "prodPack": False, "tls": True}

    def check(self, checks: Checks) -> None:
        checks.required("databaseName", "region")
        checks.text(
            "databaseName",
            r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}",
            "a database name has 1 to 40 letters, digits, dashes, underscores and dots",
        )
        region = checks.get("region")
        checks.one_of("region", (*REGIONS, "global", "gcp-global"), "invalid region; new databases use 'global'")
        if region in ("global", "gcp-global"):
            checks.required("primaryRegion")
            checks.one_of("primaryRegion", REGIONS if region == "global" else GOOGLE_REGIONS)
        elif checks.get("primaryRegion") is not None:
            checks.refuse("primaryRegion", "primary_region works only if region is 'global'")
        if checks.get("tls") is False:
            checks.refuse(
                "tls", "TLS is enabled by default for newly created databases and cannot be disabled; leave it out"
            )
        checks.whole("budget", 1, 1_000_000, "a budget is a whole number of dollars a month, at least 1")

    def identify(self, args: Json) -> str | None:
        name = args.get("databaseName")
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, str(name))) if name else None

    def taken(self, args: Json) -> str:
        return f"database name {args['databaseName']} already exists: choose another, or import it."

    def create(self, args: Json) -> Made:
        host = re.sub(r"[^a-z0-9-]+", "-", str(args["databaseName"]).lower()).strip("-")
        database = str(self.identify(args))
        data: Json = {"host": host, "token": secrets.token_urlsafe(32), "reader": secrets.token_urlsafe(32)}
        redis = Redis(self.cloud, database, data["token"], data["reader"])
        self.cloud.wait(redis.create())
        return Made(
            id=database,
            data=data,
            outputs={
                **self._address(database, data),
                "databaseId": database,
                "databaseType": "pay as you go" if args.get("budget") else "free",
                "creationTime": int(time.time()),
                "password": secret(data["token"]),
                "restToken": secret(data["token"]),
                "readOnlyRestToken": secret(data["reader"]),
                "state": "active",
                "userEmail": "local@localhost",
                "dbDailyBandwidthLimit": 0,
                "dbDiskThreshold": 0,
                "dbMaxClients": 10000,
                "dbMaxCommandsPerSecond": 10000,
                "dbMaxEntrySize": 104857600,
                "dbMaxRequestSize": 10485760,
                "dbMemoryThreshold": 0,
            },
        )

    def read(self, record: Record) -> Json:
        return self._address(record.id, record.data)

    def delete(self, record: Record) -> None:
        self.cloud.wait(self._redis(record).delete())

    async def bring_back(self, record: Record) -> None:
        self._redis(record).bring_back()

    def _redis(self, record: Record) -> Redis:
        return Redis(self.cloud, record.id, record.data["token"], record.data["reader"])

    def _address(self, database: str, data: Json) -> Json:
        port = self.cloud.ports.of(Redis.part_name(database))
        return {"endpoint": f"{data['host']}.localhost:{port}", "port": port}
