"""Google Secret Manager: secrets and versions. Values are in resources.json, which only the owner can read."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import ClassVar

from infra.local.cloud.cloud import PROJECT_NUMBER, Cloud
from infra.local.cloud.errors import CloudError, NotFound
from infra.local.cloud.provider.gcp.names import labels, project_of, short
from infra.local.cloud.provider.gcp.projects import need_api
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record

MADE = "2026-01-01T00:00:00.000000Z"
LARGEST_BYTES = 65536
DURATION = r"\d+(\.\d{1,9})?s"


class Secret(Kind):
    """A secret: a name that holds versions. No rotation, topics or expiry."""

    token = "gcp:secretmanager/secret:Secret"  # noqa: S105  a name, no secret
    name_input = "secretId"
    replaces = frozenset({"secretId", "replication", "project"})
    defaults: ClassVar[Json] = {"deletionProtection": False, "deletionPolicy": "DELETE"}

    def check(self, checks: Checks) -> None:
        checks.required("secretId", "replication")
        checks.text(
            "secretId", r"[A-Za-z0-9_-]{1,255}", "a secret_id has 1 to 255 letters, digits, dashes and underscores"
        )
        replication = checks.get("replication")
        if isinstance(replication, dict) and ("auto" in replication) == ("userManaged" in replication):
            checks.refuse("replication", "exactly one of `auto`, `user_managed` must be specified")
        checks.text("ttl", DURATION, "a duration in seconds, such as '3600s'")
        checks.text("versionDestroyTtl", DURATION, "a duration in seconds of at least one day, such as '86400s'")
        if checks.get("ttl") is not None and checks.get("expireTime") is not None:
            checks.refuse("ttl", "only one of `expire_time, ttl` can be specified")

    def identify(self, args: Json) -> str | None:
        return f"projects/{project_of(args)}/secrets/{args['secretId']}" if "secretId" in args else None

    def create(self, args: Json) -> Made:
        need_api(self, "secretmanager.googleapis.com", "Secret Manager")
        return self._made(args)

    def update(self, record: Record, args: Json) -> Made:
        return replace(self._made(args), data=record.data)

    def delete(self, record: Record) -> None:
        if record.args.get("deletionProtection") is True:
            raise CloudError(f"{record.id} has deletionProtection: set it to false, apply that, then delete it.")
        for version in versions(self.cloud, record.args["secretId"]):
            self.cloud.store.remove(SecretVersion.token, version.id)

    def _made(self, args: Json) -> Made:
        name = f"projects/{project_of(args)}/secrets/{args['secretId']}"
        return Made(
            id=name,
            outputs={
                **labels(args),
                "effectiveAnnotations": args.get("annotations") or {},
                "name": name,
                "project": project_of(args),
                "createTime": MADE,
            },
        )


class SecretVersion(Kind):
    """One version, numbered from 1 within its secret; a number is never used again while the secret lives."""

    token = "gcp:secretmanager/secretVersion:SecretVersion"  # noqa: S105  a name, no secret
    replaces = frozenset({"secret", "secretData"})
    defaults: ClassVar[Json] = {"enabled": True, "deletionPolicy": "DELETE"}

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._order = threading.Lock()

    def check(self, checks: Checks) -> None:
        checks.required("secret")
        checks.required("secretData")
        if "secretDataWo" in checks.inputs or "isSecretDataBase64" in checks.inputs:
            checks.refuse("secretData", "the local cloud takes secret_data as text only")
        checks.text("secret", r"(projects/[^/]+/secrets/)?[A-Za-z0-9_-]{1,255}", "expected the `id` of a Secret")
        data = checks.get("secretData")
        if data is not None and not 0 < len(str(data).encode()) <= LARGEST_BYTES:
            # never the value itself
            checks.refuse(
                "secretData", f"a secret's payload has 1 to {LARGEST_BYTES} bytes; this one is empty or larger"
            )

    def create(self, args: Json) -> Made:
        with self._order:
            return self._add(args)

    def _add(self, args: Json) -> Made:
        owner = self.cloud.store.get(Secret.token, f"projects/{project_of(args)}/secrets/{short(args['secret'])}")
        if owner is None:
            raise NotFound(
                f"Error 404: Secret [{args['secret']}] not found: name it by the `id` output of its Secret, so that "
                "it is made first."
            )
        number = int(owner.data.get("last", 0)) + 1
        self.cloud.store.put(replace(owner, data={**owner.data, "last": number}))
        name = f"projects/{PROJECT_NUMBER}/secrets/{short(owner.id)}/versions/{number}"
        return Made(
            id=name,
            data={"secret": short(owner.id), "number": number},
            outputs={
                "name": name,
                "version": str(number),
                "createTime": MADE,
                "destroyTime": "",
                "project": project_of(args),
            },
        )


def versions(cloud: Cloud, secret_id: str) -> list[Record]:
    """All versions of a secret, oldest first."""
    found = [record for record in cloud.store.of(SecretVersion.token) if record.data["secret"] == secret_id]
    return sorted(found, key=lambda record: int(record.data["number"]))


def value(cloud: Cloud, secret_id: str, version: str) -> str:
    """The text of one version (`latest` or a number).

    Raises:
        NotFound: there is no such enabled version; in Google's words.
    """
    enabled = [record for record in versions(cloud, secret_id) if record.state.get("enabled") is not False]
    for record in reversed(enabled):
        if version in ("latest", str(record.data["number"])):
            return str(record.args["secretData"])
    raise NotFound(f"Secret projects/{PROJECT_NUMBER}/secrets/{secret_id}/versions/{version} was not found")
