"""The function's own access token and the task that wakes another function, against a real server that misbehaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core.adapters import google
from core.adapters.google import MARGIN_SECONDS, Metadata, Wake
from core.adapters.http1 import HttpClient
from core.problems import Unavailable
from tests.functions.core.answering import Answering, Reply, Sent, answering, json
from tests.functions.twins import FakeClock

TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
QUEUE_PATH = "/v2/projects/p/locations/l/queues/q"


@pytest_asyncio.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


@pytest_asyncio.fixture
async def cloud() -> AsyncIterator[Answering]:
    """A metadata server and Cloud Tasks at one address; both work."""
    async with answering() as cloud:
        cloud.reply = works
        yield cloud


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def works(sent: Sent) -> Reply:
    if sent.path == TOKEN_PATH:
        return json({"access_token": "token-1", "expires_in": 3599, "token_type": "Bearer"})
    return json({"task": {"name": "t"}})


def metadata_of(client: HttpClient, cloud: Answering, clock: FakeClock) -> Metadata:
    return Metadata(client, cloud.url.removeprefix("http://"), monotonic=clock.monotonic)


def wake_of(client: HttpClient, cloud: Answering, clock: FakeClock) -> Wake:
    return Wake(client, f"{cloud.url}{QUEUE_PATH}", metadata_of(client, cloud, clock))


async def test_a_token_is_asked_for_once_until_its_last_minute(
    client: HttpClient, cloud: Answering, clock: FakeClock
) -> None:
    metadata = metadata_of(client, cloud, clock)
    assert await asyncio.gather(*(metadata.access_token() for _ in range(5))) == ["token-1"] * 5
    assert [sent.path for sent in cloud.sent] == [TOKEN_PATH]
    assert cloud.sent[0].headers["metadata-flavor"] == "Google"
    clock.advance(3599 - MARGIN_SECONDS - 1)
    await metadata.access_token()
    assert len(cloud.sent) == 1
    clock.advance(1)
    await metadata.access_token()
    assert len(cloud.sent) == 2


async def test_the_host_is_the_platforms(client: HttpClient, cloud: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", f"{cloud.url.removeprefix('http://')}/own")
    cloud.reply = lambda _sent: json({"access_token": "mine", "expires_in": 100})
    assert await Metadata(client).access_token() == "mine"
    assert cloud.sent[0].path == f"/own{TOKEN_PATH}"


FAULTS: list[Reply] = [
    None,
    (404, {}, b"not found"),
    (200, {}, b"<html>"),
    (200, {}, b"[]"),
    json({"access_token": "", "expires_in": 100}),
    json({"access_token": "x", "expires_in": "soon"}),
    b"nonsense\r\n\r\n",
    b"",
]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_no_token_is_unavailable_and_the_old_one_serves_to_its_end(
    client: HttpClient, cloud: Answering, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, fault: Reply
) -> None:
    metadata = metadata_of(client, cloud, clock)
    await metadata.access_token()
    cloud.reply = lambda _sent: fault
    with monkeypatch.context() as hurried:
        hurried.setattr(google, "METADATA_SECONDS", 0.05)
        clock.advance(3599 - MARGIN_SECONDS)
        assert await metadata.access_token() == "token-1"
        clock.advance(MARGIN_SECONDS)
        with pytest.raises(Unavailable):
            await metadata.access_token()
    cloud.reply = works
    assert await metadata.access_token() == "token-1"


async def test_waking_adds_an_empty_task(client: HttpClient, cloud: Answering, clock: FakeClock) -> None:
    assert await wake_of(client, cloud, clock).wake()
    task = cloud.sent[1]
    assert (task.method, task.path, task.body) == ("POST", f"{QUEUE_PATH}/tasks:buffer", b"")
    assert task.headers["authorization"] == "Bearer token-1"


@pytest.mark.parametrize("fault", [None, (500, {}, b""), (403, {}, b"{}"), b"nonsense\r\n\r\n", b""], ids=repr)
async def test_a_lost_wake_is_logged_once_and_told(
    client: HttpClient,
    cloud: Answering,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: Reply,
) -> None:
    wake = wake_of(client, cloud, clock)
    cloud.reply = lambda sent: works(sent) if sent.path == TOKEN_PATH else fault
    with caplog.at_level(logging.WARNING):
        with monkeypatch.context() as hurried:
            hurried.setattr(google, "TASK_SECONDS", 0.05)
            assert not await wake.wake()
            assert not await wake.wake()
        cloud.reply = works
        assert await wake.wake()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "token-1" not in caplog.text


async def test_a_refused_token_is_asked_for_anew(client: HttpClient, cloud: Answering, clock: FakeClock) -> None:
    wake = wake_of(client, cloud, clock)
    cloud.reply = lambda sent: works(sent) if sent.path == TOKEN_PATH else (401, {}, b"{}")
    assert not await wake.wake()
    cloud.reply = works
    assert await wake.wake()
    assert [sent.path for sent in cloud.sent].count(TOKEN_PATH) == 2


async def test_no_metadata_server_no_wake(client: HttpClient, cloud: Answering, clock: FakeClock) -> None:
    wake = Wake(client, cloud.url, Metadata(client, "127.0.0.1:1", monotonic=clock.monotonic))
    assert not await wake.wake()
    assert cloud.sent == []


async def test_a_queue_that_is_no_address_is_a_lost_wake(
    client: HttpClient, cloud: Answering, clock: FakeClock
) -> None:
    assert not await Wake(client, "queue", metadata_of(client, cloud, clock)).wake()
