"""One real sqld process for one Turso group. A database is a namespace, named by the first label of the Host."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import json
import shutil
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from infra.local.cloud import probes
from infra.local.cloud.cloud import Cloud
from infra.local.cloud.errors import CloudError, disk_sentence
from infra.local.cloud.ports import HOST
from infra.local.cloud.processes import Launch
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import write_whole
from infra.local.cloud.supervisor import Plan

ADMIN_TIMEOUT_SECONDS = 10


def new_key() -> str:
    """A private key (PEM) that signs the tokens of one group."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


def token(private_pem: str, database: str, *, writable: bool, seconds: int | None) -> str:
    """A JWT (EdDSA) that opens one database, for `seconds` or for ever.

    sqld also knows `{"a": "rw"}`, which Turso puts in; it would open every database of the server, so it is not used.
    """
    claims: Json = {"p": {"rw" if writable else "ro": {"ns": [database]}}, "iat": int(time.time())}
    if seconds is not None:
        claims["exp"] = claims["iat"] + seconds
    head = f"{_part({'alg': 'EdDSA', 'typ': 'JWT'})}.{_part(claims)}"
    key = _load(private_pem)
    return f"{head}.{_base64(key.sign(head.encode()))}"


class Sqld:
    """The server of one group."""

    def __init__(self, cloud: Cloud, group: str, private_pem: str) -> None:
        self._cloud = cloud
        self._private_pem = private_pem
        self.name = f"sqld-{group}"
        self._admin = f"{self.name}-admin"
        self._folder = cloud.paths.sqld / group

    @property
    def port(self) -> int | None:
        return self._cloud.ports.of(self.name)

    @property
    def _admin_key(self) -> str:
        """What the admin port asks for: every program of this machine can reach it, and it can delete databases."""
        return hashlib.sha256(b"admin" + self._private_pem.encode()).hexdigest()

    async def create(self) -> None:
        """Start it empty.

        Raises:
            CloudError: with its last words.
        """
        await self._cloud.supervisor.start(self.plan())

    def bring_back(self) -> None:
        self._cloud.supervisor.bring_back(self.plan())

    async def delete(self) -> None:
        """Stop it and remove every database; already gone is done."""
        await self._cloud.supervisor.remove(self.name)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self._cloud.ports.release(self.name)
        self._cloud.ports.release(self._admin)

    async def create_database(self, database: str) -> None:
        await self._ask("POST", f"/v1/namespaces/{database}/create", {})

    async def configure(self, database: str, configuration: Json) -> None:
        """`block_reads`, `block_writes`, and a `size_limit` such as 500mb (empty: none)."""
        wanted = {name: configuration[name] for name in ("block_reads", "block_writes")}
        if configuration["size_limit"]:
            wanted["max_db_size"] = configuration["size_limit"]
        await self._ask("POST", f"/v1/namespaces/{database}/config", wanted)

    async def delete_database(self, database: str) -> None:
        await self._ask("DELETE", f"/v1/namespaces/{database}")

    async def usage(self, database: str) -> Json:
        """sqld's own counters: rows_read_count, rows_written_count, storage_bytes_used."""
        return await self._ask("GET", f"/v1/namespaces/{database}/stats")

    def plan(self) -> Plan:
        return Plan(
            name=self.name,
            kind="sqld",
            prepare=self._launch,
            probe=lambda: probes.http(self.port or 0, "/health"),
            port=lambda: self.port,
            least_seconds=0.3,  # SIGTERM right after its start makes it hang
        )

    async def _launch(self, _ready: int) -> Launch:
        port, admin = self._cloud.ports.claim(self.name), self._cloud.ports.claim(self._admin, moves=True)
        key = self._folder / "key.pem"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CloudError(disk_sentence(error, "preparing sqld")) from None
        public = _load(self._private_pem).public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        write_whole(key, pem, "preparing sqld")
        return Launch(
            argv=(
                str(self._cloud.binaries.sqld()),
                *("-d", str(self._folder / "data"), "--http-listen-addr", f"{HOST}:{port}"),
                *("--admin-listen-addr", f"{HOST}:{admin}", "--enable-namespaces"),
                *("--auth-jwt-key-file", str(key), "--no-welcome"),
            ),
            env={"RUST_LOG": "warn", "LIBSQL_ADMIN_AUTH_KEY": self._admin_key},
            cwd=self._folder,
        )

    async def _ask(self, method: str, path: str, body: Json | None = None) -> Json:
        return await asyncio.to_thread(self._ask_now, method, path, body)

    def _ask_now(self, method: str, path: str, body: Json | None) -> Json:
        port = self._cloud.ports.of(self._admin)
        if port is None:
            raise CloudError(f"{self.name} does not run.")
        connection = http.client.HTTPConnection(HOST, port, timeout=ADMIN_TIMEOUT_SECONDS)
        try:
            content = None if body is None else json.dumps(body)
            headers = {"Content-Type": "application/json", "Authorization": f"Basic {self._admin_key}"}
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            text = answer.read()
        except OSError as error:
            raise CloudError(f"{self.name} does not answer ({error}); `make logs` shows why.") from None
        finally:
            connection.close()
        if answer.status >= 400:
            raise CloudError(f"sqld answered {answer.status}: {text.decode(errors='replace')}")
        value = json.loads(text) if text else {}
        return value if isinstance(value, dict) else {}


def _load(private_pem: str) -> Ed25519PrivateKey:
    key = load_pem_private_key(private_pem.encode(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def _part(value: Json) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
