"""A stand-in of Secret Manager's REST API, as the official client library uses it with `transport="rest"`.

Served: accessing one version. Who may is decided by the grants that the program declared: on the secret, or on the
project. Left out: everything else (secrets are made by the program), gRPC.
"""

from __future__ import annotations

import asyncio
import base64
from functools import cache

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud.cloud import PROJECT, PROJECT_NUMBER, Cloud
from infra.local.cloud.provider.gcp import secrets
from infra.local.cloud.provider.gcp.grants import ACCESSOR, holds
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.google.answers import Failed, Handler, caller
from infra.local.cloud.vendors.google.identities import Identities

POLYNOMIAL = 0x82F63B78  # Castagnoli's, reversed


class SecretApi:
    """`projects/*/secrets/*/versions/*`."""

    def __init__(self, cloud: Cloud, identities: Identities) -> None:
        self._cloud = cloud
        self._identities = identities

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [("GET", "/v1/projects/{project}/secrets/{secret}/versions/{version}:access", self._access)]

    async def _access(self, request: Request) -> Response:
        email = await caller(request, self._identities)
        params = request.path_params
        body = await asyncio.to_thread(self._read, email, params["project"], params["secret"], params["version"])
        return JSONResponse(body)

    def _read(self, email: str, project: str, secret: str, version: str) -> Json:
        name = f"projects/{project}/secrets/{secret}/versions/{version}"
        ours = project in (PROJECT, str(PROJECT_NUMBER))
        if not ours or not holds(self._cloud, email, ACCESSOR, secret=secret):
            raise Failed(
                403,
                f"Permission 'secretmanager.versions.access' denied for resource '{name}' (or it may not exist). "
                f"Declare a secretmanager.SecretIamMember with {ACCESSOR} for serviceAccount:{email}.",
            )
        versions = secrets.versions(self._cloud, secret)
        if not versions:
            raise Failed(404, f"Secret [projects/{PROJECT_NUMBER}/secrets/{secret}] not found or has no versions.")
        found = [item for item in versions if version in ("latest", str(item.data["number"]))]
        if not found:
            raise Failed(404, f"Secret Version [{name}] not found.")
        record = found[-1]
        shown = f"projects/{PROJECT_NUMBER}/secrets/{secret}/versions/{record.data['number']}"
        if record.state.get("enabled") is False:
            raise Failed(400, f"Secret Version [{shown}] is in DISABLED state.", "FAILED_PRECONDITION")
        data = str(record.args["secretData"]).encode()
        # The checksum is an int64, which JSON has as text.
        return {"name": shown, "payload": {"data": base64.b64encode(data).decode(), "dataCrc32c": str(crc32c(data))}}


def crc32c(data: bytes) -> int:
    """The checksum of RFC 3720, which Google sends along."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _table()[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ POLYNOMIAL if value & 1 else value >> 1
        table.append(value)
    return tuple(table)
