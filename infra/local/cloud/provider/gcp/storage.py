"""Google Cloud Storage: buckets are folders, objects are files; archives arrive as paths and texts, and are zipped."""

# ruff: noqa: ARG002  a kind is given more than each one needs

from __future__ import annotations

import base64
import hashlib
import shutil
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from infra.local.cloud.cloud import PROJECT_NUMBER, Cloud
from infra.local.cloud.errors import CloudError, NotFound, disk_sentence
from infra.local.cloud.provider.gcp.names import labels, project_of
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json, is_archive, is_asset
from infra.local.cloud.runtime import archives
from infra.local.cloud.store import Record

MADE = "2026-01-01T00:00:00.000Z"
API = "https://www.googleapis.com/storage/v1/b"


class Bucket(Kind):
    """A bucket: no versions, no life cycle, no storage classes."""

    token = "gcp:storage/bucket:Bucket"  # noqa: S105  a name, no secret
    name_input = "name"
    replaces = frozenset({"name", "location", "project", "hierarchicalNamespace", "enableObjectRetention"})
    defaults: ClassVar[Json] = {"forceDestroy": False, "storageClass": "STANDARD", "deletionPolicy": "DELETE"}

    def check(self, checks: Checks) -> None:
        checks.required("location")
        checks.text(
            "name",
            r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]",
            "Invalid bucket name: 3 to 63 lower-case letters, digits, dashes, underscores and dots, beginning and "
            "ending with a letter or digit",
        )
        name = str(checks.get("name") or "")
        if name.startswith("goog") or "google" in name:
            checks.refuse("name", f"{name!r}: The specified bucket name is not valid: it must not contain 'google'")
        checks.one_of("publicAccessPrevention", ("inherited", "enforced"))

    def identify(self, args: Json) -> str | None:
        name = args.get("name")
        return str(name) if name else None

    def create(self, args: Json) -> Made:
        name = str(args["name"])
        try:
            folder(self.cloud, name).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CloudError(disk_sentence(error, f"making bucket {name}")) from None
        return self._made(name, args)

    def update(self, record: Record, args: Json) -> Made:
        return self._made(record.id, args)

    def read(self, record: Record) -> Json | None:
        return {} if folder(self.cloud, record.id).is_dir() else None

    def delete(self, record: Record) -> None:
        if any(folder(self.cloud, record.id).glob("o-*")) and record.args.get("forceDestroy") is not True:
            raise CloudError(
                f"Error trying to delete bucket {record.id} containing objects without `force_destroy` set to true: "
                "empty it, or set force_destroy and apply that first."
            )
        shutil.rmtree(folder(self.cloud, record.id), ignore_errors=True)
        for item in self._objects(record.id):
            self.cloud.store.remove(BucketObject.token, item.id)

    def _objects(self, bucket: str) -> list[Record]:
        return [item for item in self.cloud.store.of(BucketObject.token) if item.state["bucket"] == bucket]

    def _made(self, name: str, args: Json) -> Made:
        return Made(
            id=name,
            outputs={
                **labels(args),
                "name": name,
                "project": project_of(args),
                "projectNumber": PROJECT_NUMBER,
                "selfLink": f"{API}/{name}",
                "url": f"gs://{name}",
                "location": str(args["location"]).upper(),
                "timeCreated": MADE,
                "updated": MADE,
            },
        )


class BucketObject(Kind):
    """An object with the bytes of its `source` (archive or asset) or `content`."""

    token = "gcp:storage/bucketObject:BucketObject"  # noqa: S105  a name, no secret
    name_input = "name"
    replaces = frozenset({"name", "bucket", "source", "content"})
    defaults: ClassVar[Json] = {"storageClass": "STANDARD", "deletionPolicy": "DELETE"}

    def check(self, checks: Checks) -> None:
        checks.required("bucket", "name")
        sources = [key for key in ("source", "content") if key in checks.inputs]
        if len(sources) != 1:
            checks.refuse("source", "exactly one of `content, source` must be specified")
        name = str(checks.get("name") or "x")
        if len(name.encode()) > 1024 or "\n" in name or "\r" in name:
            checks.refuse("name", "an object name has at most 1024 bytes and no line break")

    def identify(self, args: Json) -> str | None:
        return f"{args['bucket']}-{args['name']}" if "bucket" in args and "name" in args else None

    def create(self, args: Json) -> Made:
        bucket, name = str(args["bucket"]), str(args["name"])
        content = _content(args)
        path = object_path(self.cloud, bucket, name)
        try:
            path.write_bytes(content)
        except FileNotFoundError:
            raise NotFound(f"Error 404: The specified bucket does not exist: {bucket}.") from None
        except OSError as error:
            raise CloudError(disk_sentence(error, f"storing object {name}")) from None
        md5 = hashlib.md5(content, usedforsecurity=False)
        return Made(
            id=f"{bucket}-{name}",
            outputs={
                "name": name,
                "outputName": name,
                "contentType": args.get("contentType") or "application/octet-stream",
                "md5hash": base64.b64encode(md5.digest()).decode(),
                "md5hexhash": md5.hexdigest(),
                "generation": int(md5.hexdigest()[:12], 16),
                "selfLink": f"{API}/{bucket}/o/{quote(name, safe='')}",
                "mediaLink": f"{API}/{bucket}/o/{quote(name, safe='')}?alt=media",
            },
        )

    def update(self, record: Record, args: Json) -> Made:
        return self.create(args)

    def read(self, record: Record) -> Json | None:
        return {} if object_path(self.cloud, record.state["bucket"], record.state["name"]).is_file() else None

    def delete(self, record: Record) -> None:
        object_path(self.cloud, record.state["bucket"], record.state["name"]).unlink(missing_ok=True)


def folder(cloud: Cloud, bucket: str) -> Path:
    return cloud.paths.buckets / bucket


def object_path(cloud: Cloud, bucket: str, name: str) -> Path:
    """The file of an object. Its name is quoted: it may hold slashes and dots."""
    return folder(cloud, bucket) / f"o-{quote(name, safe='')}"


def _content(args: Json) -> bytes:
    source: Any = args.get("source")
    if is_archive(source):
        return archives.zipped(source)
    if is_asset(source):
        return archives.asset(source)
    return str(args.get("content", "")).encode()
