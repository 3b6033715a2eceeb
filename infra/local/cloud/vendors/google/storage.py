"""A stand-in of Cloud Storage's JSON API, for the objects that functions and the operator write and read.

Served: simple uploads, reading an object or what is known of it, lists with prefix and pages, deleting. Who may is
decided by the grants that the program declared on the bucket or the project: who may only create can neither delete nor
overwrite, which Google takes for a deletion. Buckets are made by the program.

Left out: resumable and multipart uploads, versions, life cycles, retention, copies, keys of customers, preconditions
other than `ifGenerationMatch=0`, XML, gRPC.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.provider.gcp import storage
from infra.local.cloud.provider.gcp.grants import holds
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.google.answers import Failed, Handler, caller
from infra.local.cloud.vendors.google.identities import Identities

CREATOR, VIEWER, USER = "roles/storage.objectCreator", "roles/storage.objectViewer", "roles/storage.objectUser"
NEEDS = {
    "storage.objects.create": CREATOR,
    "storage.objects.get": VIEWER,
    "storage.objects.list": VIEWER,
    "storage.objects.delete": USER,
}
"""Permission -> the smallest role that holds it here (grants.COVERS has the larger ones)."""
PAGE_MOST = 1000


class StorageApi:
    """`/storage/v1/b/*/o` and its upload twin."""

    def __init__(self, cloud: Cloud, identities: Identities) -> None:
        self._cloud = cloud
        self._identities = identities

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", "/upload/storage/v1/b/{bucket}/o", self._upload),
            ("GET", "/storage/v1/b/{bucket}/o", self._list),
            ("GET", "/storage/v1/b/{bucket}/o/{object:path}", self._read),
            ("DELETE", "/storage/v1/b/{bucket}/o/{object:path}", self._delete),
        ]

    async def _upload(self, request: Request) -> Response:
        email = await caller(request, self._identities)
        query = request.query_params
        if query.get("uploadType") != "media":
            raise Failed(400, "The local cloud takes simple uploads only: uploadType=media.")
        name = query.get("name", "")
        if not name or len(name.encode()) > 1024 or "\n" in name or "\r" in name:
            raise Failed(400, "Required: a name of at most 1024 bytes without line breaks.")
        body, only_new = await request.body(), query.get("ifGenerationMatch") == "0"
        return JSONResponse(await asyncio.to_thread(self._write, email, request, name, body, only_new))

    def _write(self, email: str, request: Request, name: str, body: bytes, only_new: bool) -> Json:  # noqa: FBT001
        bucket = self._allowed(email, request, "storage.objects.create", name)
        path = storage.object_path(self._cloud, bucket, name)
        if path.exists() and only_new:
            raise Failed(412, "At least one of the pre-conditions you specified did not hold.", "FAILED_PRECONDITION")
        if path.exists():
            self._allowed(email, request, "storage.objects.delete", name)
        half = path.with_name(f"half-{secrets.token_hex(8)}")
        half.write_bytes(body)
        if only_new:
            try:
                os.link(half, path)  # of two at once, one comes first
            except FileExistsError:
                raise Failed(
                    412, "At least one of the pre-conditions you specified did not hold.", "FAILED_PRECONDITION"
                ) from None
            finally:
                half.unlink()
        else:
            half.replace(path)
        return self._described(bucket, name, path)

    async def _read(self, request: Request) -> Response:
        email = await caller(request, self._identities)
        return await asyncio.to_thread(self._found, email, request)

    def _found(self, email: str, request: Request) -> Response:
        name = request.path_params["object"]
        bucket = self._allowed(email, request, "storage.objects.get", name)
        path = storage.object_path(self._cloud, bucket, name)
        if not path.is_file():
            raise Failed(404, f"No such object: {bucket}/{name}")
        if request.query_params.get("alt") == "media":
            return Response(path.read_bytes(), media_type="application/octet-stream")
        return JSONResponse(self._described(bucket, name, path))

    async def _list(self, request: Request) -> Response:
        email = await caller(request, self._identities)
        return JSONResponse(await asyncio.to_thread(self._page, email, request))

    def _page(self, email: str, request: Request) -> Json:
        bucket = self._allowed(email, request, "storage.objects.list", "")
        query = request.query_params
        most = min(int(query.get("maxResults", PAGE_MOST)), PAGE_MOST)
        after = _decoded(query.get("pageToken", ""))
        names = sorted(unquote(path.name[2:]) for path in storage.folder(self._cloud, bucket).glob("o-*"))
        found = [name for name in names if name.startswith(query.get("prefix", "")) and name > after]
        paths = {name: storage.object_path(self._cloud, bucket, name) for name in found[:most]}
        page: Json = {"kind": "storage#objects"}
        if paths:
            page["items"] = [self._described(bucket, name, path) for name, path in paths.items()]
        if len(found) > most:
            page["nextPageToken"] = base64.urlsafe_b64encode(found[most - 1].encode()).decode()
        return page

    async def _delete(self, request: Request) -> Response:
        email = await caller(request, self._identities)
        await asyncio.to_thread(self._remove, email, request)
        return Response(status_code=204)

    def _remove(self, email: str, request: Request) -> None:
        name = request.path_params["object"]
        bucket = self._allowed(email, request, "storage.objects.delete", name)
        try:
            storage.object_path(self._cloud, bucket, name).unlink()
        except FileNotFoundError:
            raise Failed(404, f"No such object: {bucket}/{name}") from None

    def _allowed(self, email: str, request: Request, permission: str, name: str) -> str:
        """The bucket, when the caller may do this there.

        Raises:
            Failed: 404, there is no such bucket; 403.
        """
        bucket = str(request.path_params["bucket"])
        if self._cloud.store.get(storage.Bucket.token, bucket) is None:
            raise Failed(404, "The specified bucket does not exist.")
        if not holds(self._cloud, email, NEEDS[permission], bucket=bucket):
            raise Failed(
                403,
                f"{email} does not have {permission} access to the Google Cloud Storage object. Permission "
                f"'{permission}' denied on resource (or it may not exist): projects/_/buckets/{bucket}/objects/{name}. "
                f"Declare a storage.BucketIAMMember with {NEEDS[permission]} if it is meant to.",
            )
        return bucket

    def _described(self, bucket: str, name: str, path: Path) -> Json:
        content = path.read_bytes()
        changed = path.stat().st_mtime_ns
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "size": str(len(content)),
            "generation": str(changed // 1000),
            "contentType": "application/octet-stream",
            "md5Hash": base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode(),
            "timeCreated": datetime.fromtimestamp(changed / 1e9, UTC).isoformat(timespec="milliseconds"),
        }


def _decoded(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError:
        raise Failed(400, "Invalid page token.") from None
