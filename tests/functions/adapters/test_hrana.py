"""The Hrana client against a real sqld that refuses, freezes and dies, and against a server that answers nonsense."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.adapters import hrana
from core.adapters.hrana import HranaDatabases, StoreRefused
from core.adapters.http1 import HttpAnswer, HttpClient, HttpTimeout
from core.ports import Database, Statement, StoreAddress
from core.problems import Unavailable
from core.settings import Secret
from tests.functions.adapters.sqld import Sqld

_numbers = itertools.count()
ONE = [Statement("SELECT 1")]


@pytest.fixture
def own_sqld(tmp_path: Path) -> Iterator[Sqld]:
    """A server of this test's own, to be mistreated."""
    server = Sqld(tmp_path)
    server.start()
    yield server
    server.stop()


async def read(database: Database) -> Any:
    [found] = await database.batch(ONE, write=False)
    return found.rows[0][0]


async def test_tenants_are_apart(sqld: Sqld, http: HttpClient) -> None:
    databases = HranaDatabases(http)
    one, other = (sqld.create(f"t{next(_numbers)}") for _ in range(2))
    await databases.open(one).batch([Statement("CREATE TABLE mine (x)")], write=True)
    [tables] = await databases.open(other).batch([Statement("SELECT name FROM sqlite_master")], write=False)
    assert tables.rows == []


async def test_a_token_that_is_no_longer_good_asks_for_a_new_one(sqld: Sqld, http: HttpClient) -> None:
    good = sqld.create(f"t{next(_numbers)}")
    for address in (
        StoreAddress("sqlite", good.url, Secret("renewed")),  # 401
        sqld.create(f"t{next(_numbers)}"),
        sqld.address("never-made", sqld.token("never-made")),  # 404
    ):
        stolen = StoreAddress("sqlite", good.url, address.token) if "never" not in address.url else address
        with pytest.raises(StoreRefused) as caught:
            await read(HranaDatabases(http).open(stolen))
        assert caught.value.stale_address
        assert caught.value.part in ("store (answers 401)", "store (answers 404)")
        assert "cannot be opened" in caught.value.detail
        assert isinstance(caught.value, Unavailable)
        assert int(caught.value.headers["Retry-After"]) >= 1


async def test_secrets_and_contents_stay_out_of_errors_and_logs(
    sqld: Sqld, http: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = StoreAddress("sqlite", sqld.create(f"t{next(_numbers)}").url, Secret("s3cr3t"))
    with pytest.raises(StoreRefused) as caught:
        await HranaDatabases(http).open(address).batch([Statement("SELECT ?", ("private words",))], write=False)
    told = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert "s3cr3t" not in told
    assert "private words" not in told


async def test_a_frozen_server_is_unavailable_in_time_and_good_again_when_it_thaws(
    own_sqld: Sqld, http: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hrana, "ANSWER_SECONDS", 0.2)
    database = HranaDatabases(http).open(own_sqld.create("w"))
    assert await read(database) == 1
    own_sqld.freeze()
    with pytest.raises(Unavailable) as caught:
        await read(database)
    assert isinstance(caught.value.__cause__, HttpTimeout)
    own_sqld.thaw()
    monkeypatch.setattr(hrana, "ANSWER_SECONDS", 5.0)
    assert await read(database) == 1


async def test_a_killed_server_is_unavailable_and_keeps_what_it_acknowledged(own_sqld: Sqld, http: HttpClient) -> None:
    database = HranaDatabases(http).open(own_sqld.create("w"))
    await database.batch([Statement("CREATE TABLE t (x)"), Statement("INSERT INTO t VALUES (7)")], write=True)
    own_sqld.stop()
    with pytest.raises(Unavailable):
        await read(database)
    own_sqld.start()
    [found] = await database.batch([Statement("SELECT x FROM t")], write=False)
    assert found.rows == [(7,)]


class Scripted(HttpClient):
    """Answers with what the test says; keeps what was sent, and how long it would have waited."""

    def __init__(self, answer: Callable[[], HttpAnswer]) -> None:
        super().__init__()
        self.answer = answer
        self.timeouts: list[tuple[float, float]] = []
        self.sent: list[Any] = []

    async def post(self, url: str, body: bytes, *args: Any, timeout: float, **more: Any) -> HttpAnswer:  # noqa: ARG002
        self.timeouts.append((timeout, more["connect_timeout"]))
        self.sent.append(json.loads(body))
        return self.answer()


def say(body: Any, status: int = 200) -> Callable[[], HttpAnswer]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda: HttpAnswer(status, {}, data)


def silence() -> HttpAnswer:
    raise HttpTimeout("no answer", sent=True)


def batch(results: Sequence[Any], errors: Sequence[Any]) -> Any:
    result = {"step_results": results, "step_errors": errors}
    return {"results": [{"type": "ok", "response": {"type": "batch", "result": result}}]}


STEP = {"rows": [], "affected_row_count": 0}
ADDRESS = StoreAddress("sqlite", "http://w.localhost:1", Secret("token"))


@pytest.mark.parametrize(
    "answer",
    [
        say({}, 500),
        say(b"upstream connect error", 503),
        say({}, 400),
        say(b"<html>"),
        say([]),
        say({"results": []}),
        say({"results": [{"type": "error", "error": {"message": "busy", "code": "TRANSACTION_TIMEOUT"}}]}),
        say(batch([STEP, None, None, STEP], [None, {"message": "io", "code": "SQLITE_IOERR_WRITE"}, None, None])),
        say(batch([STEP, STEP, None, STEP], [None, None, {"message": "full", "code": "SQLITE_FULL"}, None])),
        say(batch([STEP, STEP, None, None], [None] * 4)),  # COMMIT was left out
        say(batch([STEP, None, STEP, None], [None] * 4)),  # a statement was left out
        say(batch([], [])),
        say(batch([STEP, STEP | {"rows": [[{"type": "blob", "base64": "*"}]]}, STEP, None], [None] * 4)),
        say(batch([STEP, STEP | {"rows": [[{"type": "moon"}]]}, STEP, None], [None] * 4)),
        say(batch([STEP, STEP | {"rows": [[{"value": 1}]]}, STEP, None], [None] * 4)),
    ],
)
async def test_whatever_is_not_a_whole_answer_is_unavailable(answer: Callable[[], HttpAnswer]) -> None:
    with pytest.raises(Unavailable) as caught:
        await HranaDatabases(Scripted(answer)).open(ADDRESS).batch([Statement("DELETE FROM t")], write=True)
    assert caught.value.part == "store"


async def test_a_write_is_one_request_of_conditional_steps() -> None:
    client = Scripted(say(batch([STEP] * 4 + [None], [None] * 5)))
    await HranaDatabases(client).open(ADDRESS).batch([Statement("A"), Statement("B", (1,))], write=True)
    [sent] = client.sent
    work, close = sent["requests"]
    assert close == {"type": "close"}
    assert "baton" not in sent
    begun, all_before = {"type": "ok", "step": 0}, [{"type": "ok", "step": step} for step in range(3)]
    assert [(step["stmt"]["sql"], step.get("condition")) for step in work["batch"]["steps"]] == [
        ("BEGIN IMMEDIATE", None),
        ("A", all_before[0]),
        ("B", all_before[1]),
        ("COMMIT", all_before[2]),
        ("ROLLBACK", {"type": "and", "conds": [begun, {"type": "not", "cond": {"type": "ok", "step": 3}}]}),
    ]
    assert work["batch"]["steps"][2]["stmt"]["args"] == [{"type": "integer", "value": "1"}]


async def test_a_database_that_was_idle_gets_time_to_wake() -> None:
    now = 1000.0
    client = Scripted(say(batch([STEP], [None])))
    databases = HranaDatabases(client, monotonic=lambda: now)

    async def patience(address: StoreAddress = ADDRESS) -> float:
        await databases.open(address).batch(ONE, write=False)
        return client.timeouts[-1][0]

    assert await patience() == 10
    assert await patience() == 5
    assert await patience(StoreAddress("sqlite", "http://other.localhost:1", Secret("t"))) == 10
    now += 61
    assert await patience() == 10
    now += 59
    assert await patience() == 5
    assert {connect for _, connect in client.timeouts} == {1.0}

    client.answer = silence
    now += 61
    for wait, expected in ((0, 10), (4, 6), (7, 5)):  # those who come while it wakes share its time; then it is down
        now += wait
        with pytest.raises(Unavailable):
            await patience()
        assert client.timeouts[-1][0] == expected


BUSY = {"message": "SQLite error: database is locked", "code": "SQLITE_BUSY"}
DONE = batch([STEP] * 3 + [None], [None] * 4)


async def test_a_batch_that_could_not_begin_tries_again_until_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hrana, "BUSY_PAUSE_SECONDS", (0.0, 0.0))
    answers = [batch([None] * 4, [BUSY, None, None, None])] * 3 + [DONE]
    client = Scripted(lambda: say(answers.pop(0))())
    await HranaDatabases(client).open(ADDRESS).batch([Statement("A")], write=True)
    assert len(client.sent) == 4

    now = itertools.count(1000.0, 0.5)
    client = Scripted(say(batch([None] * 4, [BUSY, None, None, None])))
    with pytest.raises(Unavailable):
        await HranaDatabases(client, monotonic=lambda: next(now)).open(ADDRESS).batch([Statement("A")], write=True)
    assert 1 < len(client.sent) < 20


async def test_a_batch_that_had_begun_is_not_sent_again() -> None:
    for errors in ([None, BUSY, None, None], [None, None, BUSY, None]):
        client = Scripted(say(batch([STEP, None, None, STEP], errors)))
        with pytest.raises(Unavailable):
            await HranaDatabases(client).open(ADDRESS).batch([Statement("A")], write=True)
        assert len(client.sent) == 1


async def test_a_batch_that_was_sent_twice_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hrana, "BUSY_PAUSE_SECONDS", (0.0, 0.0))
    busy = say(batch([None] * 4, [BUSY, None, None, None]))()
    for answers, expected in (
        ([say(DONE)()], False),
        ([busy, say(DONE)()], False),
        ([replace(say(DONE)(), resent=True)], True),
        ([replace(busy, resent=True), say(DONE)()], True),
    ):
        client = Scripted(partial(answers.pop, 0))
        [result] = await HranaDatabases(client).open(ADDRESS).batch([Statement("A")], write=True)
        assert result.repeated == expected


async def test_a_write_whose_answer_was_lost_says_that_it_ran_twice(sqld: Sqld) -> None:
    """Between us and sqld: the second connection's first request arrives, its answer does not."""
    address = sqld.create(f"t{next(_numbers)}")
    direct = HttpClient()
    await HranaDatabases(direct).open(address).batch([Statement("CREATE TABLE t (x PRIMARY KEY)")], write=True)
    insert = [Statement("INSERT OR IGNORE INTO t VALUES (?)", (1,))]
    lost = False

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal lost
        there, back = await asyncio.open_connection("127.0.0.1", sqld.port)
        answered = 0
        while request := await reader.read(1 << 20):
            back.write(request)
            answer = await there.read(1 << 20)
            answered += 1
            if answered == 2 and not lost:
                lost = True
                break
            writer.write(answer)
        back.close()
        writer.close()

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as between:
        port = between.sockets[0].getsockname()[1]
        client = HttpClient()
        database = HranaDatabases(client).open(
            StoreAddress("sqlite", address.url.replace(str(sqld.port), str(port)), address.token)
        )
        await read(database)
        [result] = await database.batch(insert, write=True)
        assert (lost, result.changed, result.repeated) == (True, 0, True)
        await client.close()
    await direct.close()


async def test_few_write_to_one_database_at_once_and_nobody_waits_for_another_database() -> None:
    running: dict[str, int] = {}
    most: dict[str, int] = {}

    class Slow(Scripted):
        async def post(self, url: str, *args: Any, **more: Any) -> HttpAnswer:
            running[url] = running.get(url, 0) + 1
            most[url] = max(most.get(url, 0), running[url])
            await asyncio.sleep(0.001)
            running[url] -= 1
            return await super().post(url, *args, **more)

    databases = HranaDatabases(Slow(say(DONE)))
    addresses = [StoreAddress("sqlite", f"http://w{number}.localhost:1", Secret("t")) for number in range(3)]
    await asyncio.gather(
        *(databases.open(address).batch([Statement("A")], write=True) for address in addresses for _ in range(10))
    )
    assert list(most.values()) == [hrana.WRITERS] * 3


async def test_waiting_for_a_turn_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hrana, "WAKE_SECONDS", 0.05)
    monkeypatch.setattr(hrana, "ANSWER_SECONDS", 0.05)
    never = asyncio.Event()

    class Stuck(Scripted):
        async def post(self, *_args: Any, **_more: Any) -> HttpAnswer:
            await never.wait()
            raise AssertionError

    databases = HranaDatabases(Stuck(silence))
    stuck = [
        asyncio.create_task(databases.open(ADDRESS).batch([Statement("A")], write=True)) for _ in range(hrana.WRITERS)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await databases.open(ADDRESS).batch([Statement("A")], write=True)
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)


async def test_many_writers_over_sqld_all_get_their_turn(sqld: Sqld, http: HttpClient) -> None:
    address = sqld.create(f"t{next(_numbers)}")
    processes = [HranaDatabases(http) for _ in range(4)]  # each has turns of its own, as processes have
    await processes[0].open(address).batch([Statement("CREATE TABLE t (x)")], write=True)
    insert = [Statement("INSERT INTO t VALUES (1)")]
    await asyncio.gather(*(process.open(address).batch(insert, write=True) for process in processes * 50))
    [found] = await processes[0].open(address).batch([Statement("SELECT count(*) FROM t")], write=False)
    assert found.rows == [(200,)]
