"""Rotating secrets through Google's own client library, over a real server that misbehaves."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from core.adapters import secrets
from core.adapters.secrets import KEPT_SECONDS, RETRY_SECONDS, RotatingSecret
from core.problems import Unavailable
from tests.functions.core.answering import Answering, Reply, Sent, answering, json
from tests.functions.twins import FakeClock

NAME = "projects/p/secrets/s"


def holding(*values: str) -> Callable[[Sent], Reply]:
    """A Secret Manager whose secret has these versions, from 1."""

    def reply(sent: Sent) -> Reply:
        assert sent.headers["authorization"] == "Bearer token"
        assert "/versions/latest:access" in sent.path  # no other is ever read
        data = base64.b64encode(values[-1].encode()).decode()
        name = f"projects/1/secrets/s/versions/{len(values)}"
        return json({"name": name, "payload": {"data": data}}, Content_Type="application/json")

    return reply


@pytest_asyncio.fixture
async def google() -> AsyncIterator[Answering]:
    async with answering() as google:
        google.reply = holding("one", "two")
        yield google


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def secret(google: Answering, clock: FakeClock) -> AsyncIterator[RotatingSecret]:
    from google.oauth2.credentials import Credentials  # half a second: only here

    credentials = Credentials("token")  # type: ignore[no-untyped-call]
    secret = RotatingSecret(NAME, google.url, credentials=credentials, monotonic=clock.monotonic)
    yield secret
    await google.hang_up()  # a thread may still wait for an answer
    await secret.close()


async def test_the_newest_version_is_read_and_kept(secret: RotatingSecret, google: Answering, clock: FakeClock) -> None:
    for value in await asyncio.gather(secret.read(), secret.read()):
        assert value == "two"
    assert len(google.sent) == 1
    google.reply = holding("one", "two", "three two")
    clock.advance(KEPT_SECONDS - 1)
    assert await secret.read() == "two"
    clock.advance(1)
    assert await secret.read() == "three two"  # both, while it is being rotated


FAULTS: list[Reply] = [
    None,
    json({"error": {"code": 403, "message": "denied for two", "status": "PERMISSION_DENIED"}}, 403),
    json({"error": {"code": 404, "message": "gone", "status": "NOT_FOUND"}}, 404),
    (500, {}, b"two"),
    (200, {}, b"<html>two"),
    json({"name": "projects/1/secrets/s/versions/2", "payload": {"data": "/w=="}}),
    b"nonsense\r\n\r\n",
]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_the_old_value_serves_on(
    secret: RotatingSecret,
    google: Answering,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: Reply,
) -> None:
    await secret.read()
    google.reply = lambda _sent: fault
    clock.advance(KEPT_SECONDS)
    with monkeypatch.context() as hurried, caplog.at_level(logging.ERROR, "memorygraph"):
        hurried.setattr(secrets, "ANSWER_SECONDS", 0.2)
        assert await secret.read() == "two"
        asked = len(google.sent)
        assert await secret.read() == "two"
    assert len(google.sent) == asked  # not at every call
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "two" not in caplog.text
    google.reply = holding("one", "two", "three")
    clock.advance(RETRY_SECONDS)
    assert await secret.read() == "three"


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_what_was_never_read_is_unavailable(
    secret: RotatingSecret, google: Answering, monkeypatch: pytest.MonkeyPatch, fault: Reply
) -> None:
    google.reply = lambda _sent: fault
    with monkeypatch.context() as hurried:
        hurried.setattr(secrets, "ANSWER_SECONDS", 0.2)
        with pytest.raises(Unavailable):
            await secret.read()
    google.reply = holding("one")
    assert await secret.read() == "one"


async def test_a_library_that_hangs_is_left_behind(
    secret: RotatingSecret, google: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "WHOLE_SECONDS", 0.05)
    monkeypatch.setattr(secrets, "ANSWER_SECONDS", 0.5)
    google.reply = lambda _sent: None
    with pytest.raises(Unavailable):
        await secret.read()
