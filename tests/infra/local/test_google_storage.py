"""Cloud Storage's API: what may be done by whom, and that our own client works against it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from core.adapters.google import Metadata
from core.adapters.http1 import HttpClient
from core.problems import Internal, NotFound, Unavailable
from infra.local.cloud.ports import HOST
from provisioning.backups import bucket as buckets
from provisioning.backups.bucket import GoogleBucket
from tests.infra.local.google import Made, declare_api, email, google_port, identities_of
from tests.infra.local.program import BUCKET, BUCKET_GRANT, REGION
from tests.infra.local.running import Daemon, Engine, Refused, call

NAME = "storage-kept"
CREATOR, VIEWER, ADMIN = (f"roles/storage.object{what}" for what in ("Creator", "Viewer", "Admin"))


@dataclass(frozen=True)
class Callers:
    """Access tokens."""

    daemon: Daemon
    writer: str
    reader: str
    admin: str
    stranger: str

    def client(self, http: HttpClient, account: str) -> GoogleBucket:
        host = identities_of(self.daemon).environment(email(account))["GCE_METADATA_HOST"]
        return GoogleBucket(http, Metadata(http, host), NAME, f"http://{HOST}:{google_port(self.daemon)}")

    def ask(self, method: str, token: str, name: str, body: bytes = b"", *, more: str = "") -> int:
        path = f"/storage/v1/b/{NAME}/o/{quote(name, safe='')}?alt=media"
        if method == "POST":
            path = f"/upload/storage/v1/b/{NAME}/o?uploadType=media&name={quote(name, safe='')}{more}"
        return call(google_port(self.daemon), method, path, body, token=token)[0]


@pytest.fixture(scope="module")
def callers(daemon: Daemon, engine: Engine) -> Iterator[Callers]:
    declare_api(engine, "storage")
    made = Made(engine)
    made.make(BUCKET, {"name": NAME, "location": REGION, "forceDestroy": True}, "storage")
    tokens = {}
    roles = {"writer": (CREATOR, VIEWER), "reader": (VIEWER,), "admin": (ADMIN,), "stranger": ()}
    for name, held in roles.items():
        address = made.account(f"storage-{name}")
        tokens[name] = identities_of(daemon).access_token(address)
        for role in held:
            member = {"bucket": NAME, "role": role, "member": f"serviceAccount:{address}"}
            made.make(BUCKET_GRANT, member, f"storage-{name}-{role[-6:]}")
    yield Callers(daemon, **tokens)
    made.remove()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


async def test_our_client_writes_reads_and_lists(
    callers: Callers, http: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "PAGE", 2)
    writer = callers.client(http, "storage-writer")
    content = bytes(range(256)) * 4096
    names = [f"workspaces/{n}/2026-11-28T014100Z-ab/part %.gz" for n in range(5)]
    for name in names:
        await writer.write(name, content)
    assert await writer.read(names[0]) == content
    assert await writer.names("workspaces/") == names
    assert await writer.names("workspaces/3") == names[3:4]
    assert await writer.names("nothing") == []
    with pytest.raises(NotFound):
        await writer.read("nothing")


async def test_who_writes_can_neither_overwrite_nor_delete(callers: Callers, http: HttpClient) -> None:
    writer = callers.client(http, "storage-writer")
    await writer.write("kept", b"first")
    await writer.write("kept", b"first")  # sent again after an answer was lost
    await writer.write("kept", b"second")  # and whatever else comes changes nothing
    assert callers.ask("POST", callers.writer, "kept", b"third") == 403
    assert callers.ask("DELETE", callers.writer, "kept") == 403
    assert await writer.read("kept") == b"first"
    assert callers.ask("POST", callers.admin, "kept", b"third") == 200
    assert callers.ask("DELETE", callers.admin, "kept") == 204
    assert callers.ask("DELETE", callers.admin, "kept") == 404


async def test_who_has_no_right_is_refused_by_name(callers: Callers, http: HttpClient) -> None:
    assert callers.ask("POST", callers.reader, "mine", b"x") == 403
    assert callers.ask("POST", callers.stranger, "mine", b"x") == 403
    assert callers.ask("GET", callers.stranger, "mine") == 403
    assert callers.ask("GET", "ya29.forged", "mine") == 401
    with pytest.raises(Internal, match=r"403.*storage\.objects\.create"):
        await callers.client(http, "storage-reader").write("mine", b"x")
    with pytest.raises(Internal, match=r"storage\.objects\.list"):
        await callers.client(http, "storage-stranger").names("")


async def test_of_two_writers_of_one_name_one_comes_first(callers: Callers) -> None:
    def write(content: bytes) -> int:
        return callers.ask("POST", callers.writer, "raced", content, more="&ifGenerationMatch=0")

    statuses = await asyncio.gather(*(asyncio.to_thread(write, f"{n}".encode()) for n in range(6)))
    assert sorted(statuses) == [200, 412, 412, 412, 412, 412]


async def test_a_bucket_that_is_not_reached_is_unavailable(http: HttpClient, callers: Callers) -> None:
    host = identities_of(callers.daemon).environment(email("storage-writer"))["GCE_METADATA_HOST"]
    with pytest.raises(Unavailable):
        await GoogleBucket(http, Metadata(http, host), NAME, f"http://{HOST}:1").read("kept")
    with pytest.raises(Unavailable):  # without an identity
        await GoogleBucket(http, Metadata(http, f"{HOST}:1"), NAME).read("kept")


def test_a_bucket_with_objects_is_not_deleted(callers: Callers, engine: Engine) -> None:
    made = Made(engine)
    _, _ = made.make(BUCKET, {"name": "storage-full", "location": REGION}, "storage-full")
    member = {"bucket": "storage-full", "role": CREATOR, "member": f"serviceAccount:{email('storage-writer')}"}
    made.make(BUCKET_GRANT, member, "storage-full-writer")
    admin = {**member, "role": ADMIN, "member": f"serviceAccount:{email('storage-admin')}"}
    made.make(BUCKET_GRANT, admin, "storage-full-admin")
    port = google_port(callers.daemon)
    path = "/upload/storage/v1/b/storage-full/o?uploadType=media&name=x"
    assert call(port, "POST", path, b"x", token=callers.writer)[0] == 200
    with pytest.raises(Refused, match="force_destroy"):
        engine.delete(BUCKET, "storage-full")
    assert call(port, "DELETE", "/storage/v1/b/storage-full/o/x", token=callers.admin)[0] == 204
    made.remove()
