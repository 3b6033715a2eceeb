"""The adapter against a real server: frozen, killed, restarted, and back."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import uvloop

from core.adapters.postgres import Postgres, StatementRefused
from core.problems import Unavailable
from core.settings import Secret
from tests.functions.postgres import Server

PATIENCE = 20
"""Seconds after which a test says that the adapter hangs; it gives up by itself within one."""


@pytest.fixture
def server(postgres_server: Server) -> Iterator[Server]:
    yield postgres_server
    postgres_server.signal_all(signal.SIGCONT)
    if not postgres_server.running:
        postgres_server.start()


@pytest.fixture
async def postgres(server: Server) -> AsyncIterator[Postgres]:
    adapter = Postgres(Secret(server.new_database()), connect_seconds=0.3, answer_seconds=0.4)
    yield adapter
    await adapter.close()


async def answers(postgres: Postgres) -> bool:
    async with asyncio.timeout(PATIENCE):
        return await postgres.fetch("SELECT %s::int + 1", [41]) == [(42,)]


async def unavailable(postgres: Postgres, statement: str = "SELECT 1") -> None:
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Unavailable) as caught:
            await postgres.fetch(statement)
    assert int(caught.value.headers["Retry-After"]) > 0
    assert caught.value.part == "control plane"


async def test_rows_and_a_kept_connection(postgres: Postgres) -> None:
    first = await postgres.fetch("SELECT pg_backend_pid(), %s, ARRAY['a', 'b']", ["text"])
    assert first[0][1:] == ("text", ["a", "b"])
    assert await postgres.fetch("SELECT pg_backend_pid(), %s, ARRAY['a', 'b']", ["text"]) == first


async def test_a_statement_and_an_answer_that_no_socket_takes_at_once(server: Server) -> None:
    postgres = Postgres(Secret(server.new_database()), answer_seconds=PATIENCE)
    text = "long " * (4 << 20)
    assert await postgres.fetch("SELECT %s::text, %s::int", [text, 1]) == [(text, 1)]
    assert await answers(postgres)
    await postgres.close()


async def test_a_long_statement_to_a_frozen_server_ends(postgres: Postgres, server: Server) -> None:
    assert await answers(postgres)
    server.signal_all(signal.SIGSTOP)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Unavailable):
            await postgres.fetch("SELECT %s::text", ["long " * (4 << 20)])
    server.signal_all(signal.SIGCONT)
    assert await answers(postgres)


async def test_what_cannot_be_sent_is_our_fault(postgres: Postgres) -> None:
    for statement, args in (("SELECT %s", ["a\0b"]), ("SELECT %s, %s", [1]), ("SELECT 1; SELECT 2", [])):
        with pytest.raises(StatementRefused):
            await postgres.fetch(statement, args)
        assert await answers(postgres)


async def test_a_statement_that_fails_as_it_is_committed(postgres: Postgres) -> None:
    """Its rows have arrived by then."""
    await postgres.fetch("CREATE TABLE t (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(StatementRefused) as caught:
        await postgres.fetch("INSERT INTO t VALUES (1), (1) RETURNING number")
    assert caught.value.sqlstate == "23505"
    assert await postgres.fetch("SELECT count(*) FROM t") == [(0,)]


async def test_at_most_four_connections(postgres: Postgres) -> None:
    pids = await asyncio.gather(*(postgres.fetch("SELECT pg_backend_pid() FROM pg_sleep(0.01)") for _ in range(12)))
    assert len({rows[0][0] for rows in pids}) == 4


async def test_nothing_is_prepared(postgres: Postgres) -> None:
    """A transaction pooler gives each statement another session."""
    for _ in range(10):
        await postgres.fetch("SELECT %s::int", [1])
    assert await postgres.fetch("SELECT count(*) FROM pg_prepared_statements") == [(0,)]


async def test_a_refused_statement_is_our_fault_and_quotes_nothing(postgres: Postgres) -> None:
    await postgres.fetch("CREATE TABLE t (secret text PRIMARY KEY)")
    await postgres.fetch("INSERT INTO t VALUES ('hush') RETURNING 1")
    with pytest.raises(StatementRefused, match=r"UniqueViolation, SQLSTATE 23505") as caught:
        await postgres.fetch("INSERT INTO t VALUES ('hush') RETURNING 1")
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert await answers(postgres)


async def test_a_slow_statement_ends(postgres: Postgres) -> None:
    await unavailable(postgres, "SELECT pg_sleep(60)")
    assert await answers(postgres)


async def test_frozen_with_a_kept_connection(postgres: Postgres, server: Server) -> None:
    assert await answers(postgres)
    server.signal_all(signal.SIGSTOP)
    for _ in range(2):  # first the kept connection does not answer, then no new one comes about
        await unavailable(postgres)
    server.signal_all(signal.SIGCONT)
    assert await answers(postgres)


async def test_frozen_under_a_crowd(postgres: Postgres, server: Server) -> None:
    await asyncio.gather(*(answers(postgres) for _ in range(4)))
    server.signal_all(signal.SIGSTOP)
    await asyncio.gather(*(unavailable(postgres) for _ in range(12)))
    server.signal_all(signal.SIGCONT)
    assert all(await asyncio.gather(*(answers(postgres) for _ in range(12))))


async def test_killed_and_back(postgres: Postgres, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.gather(*(answers(postgres) for _ in range(4)))
    with caplog.at_level(logging.WARNING):
        server.kill()
        for _ in range(3):
            await unavailable(postgres)
        server.start()
        assert await answers(postgres)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert server.password not in caplog.text


async def test_a_restart_between_two_calls_is_not_noticed(postgres: Postgres, server: Server) -> None:
    await asyncio.gather(*(answers(postgres) for _ in range(4)))
    server.kill()
    server.start()
    for _ in range(4):
        assert await answers(postgres)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_no_caller_of_a_crowd_notices_a_restart(server: Server, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Four connections break at once, and new ones get the numbers of their sockets."""

    async def crowd() -> None:
        postgres = Postgres(Secret(server.new_database()))
        for _ in range(3):
            await asyncio.gather(*(postgres.fetch("SELECT pg_sleep(0.02)") for _ in range(4)))
            server.kill()
            server.start()
            assert all(await asyncio.gather(*(answers(postgres) for _ in range(40))))
        await postgres.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(crowd())


async def test_a_session_ended_by_the_server_is_replaced(postgres: Postgres) -> None:
    pid = (await postgres.fetch("SELECT pg_backend_pid()"))[0][0]
    other = Postgres(postgres._url)
    await other.fetch("SELECT pg_terminate_backend(%s, 5000)", [pid])
    await other.close()
    assert await answers(postgres)


async def test_a_caller_who_goes_away_leaves_a_working_pool(postgres: Postgres) -> None:
    for _ in range(5):
        call = asyncio.create_task(postgres.fetch("SELECT pg_sleep(0.3)"))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert await answers(postgres)


async def test_a_wrong_address_says_why_in_the_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    url = f"postgresql://nobody-known:hush@127.0.0.1:{server.port}/postgres"
    await unavailable(Postgres(Secret(url)))
    assert "nobody-known" in caplog.text
    assert "hush" not in caplog.text


async def test_two_that_lock_each_other_out_both_come_through(server: Server) -> None:
    """The server ends one of them after a second; it is run again."""
    adapter = Postgres(Secret(server.new_database()), answer_seconds=PATIENCE)
    lock = "SELECT pg_advisory_xact_lock(%s), pg_sleep(0.2), pg_advisory_xact_lock(%s), 'done'"
    rows = await asyncio.gather(adapter.fetch(lock, [1, 2]), adapter.fetch(lock, [2, 1]))
    assert [row[0][-1] for row in rows] == ["done", "done"]
    await adapter.close()


async def test_conflicts_without_end_are_given_up(postgres: Postgres) -> None:
    conflict = "DO $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = 'serialization_failure'; END $$"
    await unavailable(postgres, conflict)
    assert await answers(postgres)


async def test_an_answer_tells_whether_its_statement_ran_twice(postgres: Postgres, server: Server) -> None:
    assert not (await postgres.ask("SELECT 1")).repeated
    server.kill()
    server.start()
    answer = await postgres.ask("SELECT 1")
    assert (answer.rows, answer.repeated) == ([(1,)], True)
    assert not (await postgres.ask("SELECT 1")).repeated
