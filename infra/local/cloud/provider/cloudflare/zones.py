"""Cloudflare zones: a domain that is served. It is active at once: there is no registrar to delegate it."""

# ruff: noqa: ARG002  a kind is given more than each one needs

from __future__ import annotations

import hashlib
from typing import ClassVar

from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record

NAME_SERVERS = ["ada.ns.cloudflare.com", "hugo.ns.cloudflare.com"]
MADE = "2026-01-01T00:00:00Z"
DOMAIN = r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"


class Zone(Kind):
    """A domain."""

    token = "cloudflare:index/zone:Zone"  # noqa: S105  a name, no secret
    replaces = frozenset({"name", "account"})
    defaults: ClassVar[Json] = {"type": "full", "paused": False}

    def check(self, checks: Checks) -> None:
        checks.required("name", "account.id")
        checks.text("name", DOMAIN, "not a valid domain name; expected one such as example.com, in lower case")
        checks.one_of("type", ("full", "partial", "secondary", "internal"))

    def identify(self, args: Json) -> str | None:
        name = args.get("name")
        return hashlib.md5(str(name).encode(), usedforsecurity=False).hexdigest() if name else None

    def taken(self, args: Json) -> str:
        return f"Error 1061: {args['name']} already exists: import the existing zone instead of making one."

    def create(self, args: Json) -> Made:
        return Made(
            id=str(self.identify(args)),
            outputs={
                "nameServers": NAME_SERVERS,
                "originalNameServers": [],
                "status": "active",
                "activatedOn": MADE,
                "createdOn": MADE,
                "modifiedOn": MADE,
                "developmentMode": 0,
                "permissions": [],
                "verificationKey": "",
            },
        )

    def update(self, record: Record, args: Json) -> Made:
        return Made(id=record.id)
