"""What becomes of each answer of Cloud Storage; and the format's own bounds. The API itself: tests/infra/local."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from core.adapters.http1 import HttpAnswer, HttpClient, HttpRefused
from core.problems import Internal, NotFound, Problem, Unavailable
from core.settings import Secret
from provisioning.backups import archive
from provisioning.backups.archive import Corrupted, Writer, read_index, read_rows, verify
from provisioning.backups.bucket import GoogleBucket
from provisioning.backups.command import GivenToken
from tests.functions.provisioning.backing import MemoryBucket

NOW = datetime(2026, 11, 28, 1, 41, tzinfo=UTC)


class Storage(HttpClient):
    """Answers what it is told, and remembers what it was asked."""

    def __init__(self, *answers: HttpAnswer | Exception) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []

    async def request(
        self,
        method: str,
        url: str,
        body: bytes = b"",  # noqa: ARG002  the interface
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float,
        connect_timeout: float = 1.0,
        retry: bool = True,  # noqa: ARG002  the interface
    ) -> HttpAnswer:
        assert timeout <= 60
        assert connect_timeout <= 2
        assert headers is not None
        assert headers["Authorization"] == "Bearer a-token"
        self.asked.append((method, url))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def bucket(storage: Storage) -> GoogleBucket:
    return GoogleBucket(storage, GivenToken(Secret("a-token")), "kept", "http://storage.test/")


def answer(status: int, body: object) -> HttpAnswer:
    return HttpAnswer(status, {}, orjson.dumps(body))


def md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


async def test_it_asks_as_the_api_wants_it() -> None:
    storage = Storage(answer(200, {"md5Hash": md5(b"x")}), HttpAnswer(200, {}, b"x"), answer(200, {}))
    kept = bucket(storage)
    await kept.write("a/b", b"x")
    assert await kept.read("a/b") == b"x"
    assert await kept.names("a/") == []
    (post, written), (get, read), (_, listed) = storage.asked
    assert (post, get) == ("POST", "GET")
    assert urlsplit(written).path == "/upload/storage/v1/b/kept/o"
    assert parse_qs(urlsplit(written).query)["ifGenerationMatch"] == ["0"]
    assert read == "http://storage.test/storage/v1/b/kept/o/a%2Fb?alt=media"
    assert parse_qs(urlsplit(listed).query)["prefix"] == ["a/"]


FAILURES: list[tuple[list[HttpAnswer | Exception], type[Problem]]] = [
    ([HttpRefused("down", sent=False)], Unavailable),
    ([answer(503, {})], Unavailable),
    ([answer(429, {})], Unavailable),
    ([answer(401, {}), answer(401, {})], Unavailable),
    ([answer(200, ["nonsense"])], Unavailable),
    ([HttpAnswer(200, {}, b"<html>")], Unavailable),
    ([answer(403, {"error": {"message": "no access"}})], Internal),
    ([HttpAnswer(400, {}, b"<html>")], Internal),
    ([answer(200, {"md5Hash": md5(b"other")})], Internal),
]


@pytest.mark.parametrize(("answers", "expected"), FAILURES)
async def test_a_write_that_fails_says_how(answers: list[HttpAnswer | Exception], expected: type[Problem]) -> None:
    storage = Storage(*answers)
    with pytest.raises(expected) as failure:
        await bucket(storage).write("a", b"x")
    assert type(failure.value) is expected
    assert "a-token" not in str(failure.value)
    assert storage.answers == []


async def test_a_token_that_has_ended_is_asked_for_anew() -> None:
    storage = Storage(answer(401, {}), HttpAnswer(200, {}, b"x"), answer(404, {}))
    assert await bucket(storage).read("a") == b"x"
    with pytest.raises(NotFound):
        await bucket(storage).read("a")


async def test_parts_are_bounded_and_come_back_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ROWS_BYTES", 500)
    kept = MemoryBucket()
    writer = Writer(kept, "here", NOW)
    for number in range(50):
        await writer.add("memory", {"id": f"m{number}", "text": "line\u2028one\nline two"})
    index = await read_index(kept, await writer.finish({"what": "test"}))
    assert len(index.parts) > 3
    assert [row["id"] async for _, row in read_rows(kept, index)] == [f"m{number}" for number in range(50)]
    monkeypatch.setattr(archive, "PART_MOST", 200)
    with pytest.raises(Corrupted, match="too much"):
        await verify(kept, index)


async def test_an_empty_backup_is_one() -> None:
    kept = MemoryBucket()
    index = await read_index(kept, await Writer(kept, "here", NOW).finish({}))
    await verify(kept, index)
    assert (index.parts, index.counts) == ((), {})
    other = await Writer(kept, "here", NOW).finish({})
    assert other != index.name
    body = orjson.loads(kept.objects[other])
    body["format"] = 2
    body.pop("seal")
    kept.objects[other] = archive.sealed(body)
    with pytest.raises(Corrupted, match="version"):
        await read_index(kept, other)
