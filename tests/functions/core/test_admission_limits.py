"""Admission over a Redis whose Lua is real: what a request costs, and whose credentials fail too often."""

from __future__ import annotations

import asyncio

import pytest

from core import keys
from core.adapters.http1 import HttpRefused
from core.failures import CLIENTS, FAILURES_MOST, FAILURES_SECONDS, Failures
from core.ports import KeyRecord
from core.problems import Forbidden, TooManyRequests, Unauthorized, Unavailable
from declarations import Access
from tests.functions.twins import TAG_SECRET, FakeClock, Gate, admit_to
from tests.functions.upstash import FakeUpstash

CLIENT = "203.0.113.9"


@pytest.fixture
def upstash() -> FakeUpstash:
    return FakeUpstash()


@pytest.fixture
def gate(upstash: FakeUpstash) -> Gate:
    return Gate(upstash.tools)


async def admit(gate: Gate, key: str, access: Access = Access.READ) -> None:
    assert await admit_to(gate.admission, key, None, access)


def record(gate: Gate, key: str) -> KeyRecord:
    found = gate.directory.keys[keys.hash_key(key)]
    assert isinstance(found, KeyRecord)
    return found


def counted(gate: Gate, upstash: FakeUpstash, key: str) -> str:
    day = gate.clock.now().strftime("%Y%m%d")
    return str(upstash.redis.get(f"calls:{record(gate, key).workspace_id}:{day}")).partition(" ")[0]


# What a request costs


async def test_a_caller_who_is_idle_costs_one_script_a_call(gate: Gate, upstash: FakeUpstash) -> None:
    key = gate.add_key()
    await admit(gate, key)
    assert (upstash.asked, len(upstash.scripts)) == (2, 1)  # a name that was never seen is looked for first
    for made in range(1, 60):
        gate.clock.advance(5 + made % 7)
        await admit(gate, key)
        assert upstash.asked == 2 + made
    assert max(upstash.scripts) == 3
    assert gate.directory.asked < 60 * 8 / 50
    assert counted(gate, upstash, key) == "60"


async def test_a_caller_who_comes_once_an_hour_costs_one_script_a_call(gate: Gate, upstash: FakeUpstash) -> None:
    key = gate.add_key()
    await admit(gate, key)
    for _ in range(3):
        asked = upstash.asked
        gate.clock.advance(3000)
        await admit(gate, key)
        assert upstash.asked == asked + 1
    assert set(upstash.scripts) == {3}


async def test_another_process_finds_the_record(gate: Gate, upstash: FakeUpstash) -> None:
    key = gate.add_key()
    await admit(gate, key)
    other = gate.process()
    assert await admit_to(other, key, None, Access.READ)
    assert gate.directory.asked == 1
    assert upstash.asked == 4  # each: a look, a script
    assert counted(gate, upstash, key) == "2"


async def test_two_keys_of_a_workspace_share_its_calls(gate: Gate, upstash: FakeUpstash) -> None:
    one, two = gate.add_key(), gate.add_key()
    gate.directory.keys[keys.hash_key(two)] = record(gate, one)
    await admit(gate, one)
    await admit(gate, one)  # a grant of two: one is left
    scripts = len(upstash.scripts)
    await admit(gate, two)
    assert len(upstash.scripts) == scripts + 1
    assert upstash.scripts[-1] == 2  # its fill, which asks for no calls
    assert counted(gate, upstash, one) == "3"
    gate.clock.advance(6)
    await asyncio.gather(admit(gate, one), admit(gate, two))
    assert counted(gate, upstash, one) in ("5", "6")


async def test_a_tombstone_is_obeyed_by_the_one_script(gate: Gate, upstash: FakeUpstash) -> None:
    key = gate.add_key(version=3)
    await admit(gate, key)
    cache, _ = upstash.tools(gate.clock)
    assert await cache.void(keys.hash_key(key), 4)
    gate.clock.advance(5)
    del gate.directory.keys[keys.hash_key(key)]
    with pytest.raises(Unauthorized, match="unknown"):
        await admit(gate, key)


async def test_a_fill_with_a_grant_loses_against_a_tombstone(gate: Gate, upstash: FakeUpstash) -> None:
    key = gate.add_key(version=3)
    cache, _ = upstash.tools(gate.clock)
    find = gate.directory.find_key

    async def held_up(key_hash: str) -> object:
        found = await find(key_hash)
        await cache.void(key_hash, 4)
        return found

    gate.directory.find_key = held_up  # type: ignore[method-assign,assignment]  # the race, made certain
    await admit(gate, key)
    assert await cache.get(keys.hash_key(key)) is None
    assert counted(gate, upstash, key) == "1"


async def test_a_capped_keys_record_is_filled_by_itself(gate: Gate, upstash: FakeUpstash) -> None:
    key = gate.add_key(key_calls_per_day=10)
    await admit(gate, key)
    assert upstash.scripts == [3, 2]
    assert await admit_to(gate.process(), key, None, Access.READ)
    assert gate.directory.asked == 1


async def test_the_control_plane_down_and_another_process_knew(gate: Gate, upstash: FakeUpstash) -> None:
    key = gate.add_key()
    await admit(gate, key)
    gate.clock.advance(56)
    await admit_to(gate.process(), key, None, Access.READ)  # finds nothing in its own memory, and fills again
    gate.directory.down = True
    await admit(gate, key)
    gate.clock.advance(56)
    upstash.redis.delete(f"principal:{keys.hash_key(key)}")
    with pytest.raises(Unavailable):
        await admit(gate, key)


# What counts


async def test_every_call_with_a_good_credential_counts(gate: Gate, upstash: FakeUpstash) -> None:
    key = gate.add_key(scopes=())
    await admit(gate, key, Access.OPEN)
    with pytest.raises(Forbidden):
        await admit(gate, key, Access.READ)
    gate.clock.advance(5)  # what is left goes back
    await admit(gate, key, Access.ANY)
    assert counted(gate, upstash, key) == "3"


async def test_no_credential_counts_nothing(gate: Gate, upstash: FakeUpstash) -> None:
    assert await admit_to(gate.admission, None, None, Access.OPEN) is None
    with pytest.raises(Unauthorized):
        await admit_to(gate.admission, None, None, Access.READ)
    assert upstash.asked == 0


async def test_a_refusal_for_limits_tells_them(gate: Gate) -> None:
    key = gate.add_key(key_calls_per_day=2)
    for left in (1, 0):
        found = await admit_to(gate.admission, key, None, Access.READ)
        assert found is not None
        assert dict(gate.admission.headers(found))[b"x-ratelimit-remaining"] == b"%d" % left
    with pytest.raises(TooManyRequests) as caught:
        await admit(gate, key)
    identified = await gate.admission.identify(key, None)
    assert identified is not None
    told = dict(gate.admission.headers(identified))
    assert (told[b"x-ratelimit-limit"], told[b"x-ratelimit-remaining"]) == (b"2", b"0")
    assert caught.value.headers["Retry-After"] == told[b"x-ratelimit-reset"].decode()


async def test_renewing_counts_nothing(gate: Gate, upstash: FakeUpstash) -> None:
    key = gate.add_key()
    await admit(gate, key)
    assert await gate.admission.renew(key, None, Access.READ)
    assert counted(gate, upstash, key) == "1"


async def test_redis_down_admits(gate: Gate, upstash: FakeUpstash) -> None:
    upstash.fault = HttpRefused("refused", sent=False)
    key = gate.add_key()
    for _ in range(20):
        await admit(gate, key)
        gate.clock.advance(1)
    assert gate.directory.asked == 4  # a lease lasts five seconds


# Failed credentials


async def fail(gate: Gate, client: str = CLIENT) -> type[Exception]:
    with pytest.raises((Unauthorized, TooManyRequests)) as caught:
        await admit_to(gate.admission, keys.issue(["forged"]).text, None, Access.OPEN, client=client)
    return type(caught.value)


async def test_failing_too_often_is_told_to_wait(gate: Gate) -> None:
    key = gate.add_key()
    for _ in range(FAILURES_MOST):
        assert await fail(gate) is Unauthorized
    gate.clock.advance(20)
    with pytest.raises(TooManyRequests) as caught:
        await admit_to(gate.admission, "mg_x", None, Access.READ, client=CLIENT)
    assert caught.value.headers["Retry-After"] == "40"
    assert await admit_to(gate.admission, key, None, Access.READ, client=CLIENT)  # a good one from the same address
    assert await fail(gate, "203.0.113.10") is Unauthorized
    assert await fail(gate, "") is Unauthorized
    gate.clock.advance(40)
    assert await fail(gate) is Unauthorized


async def test_unknown_keys_and_unknown_workspaces_are_failures_too(gate: Gate) -> None:
    token = gate.tokens.add("someone", gate.clock.seconds + 60)
    for _ in range(FAILURES_MOST // 2):
        with pytest.raises(Unauthorized):
            await admit_to(gate.admission, keys.issue([TAG_SECRET]).text, None, Access.READ, client=CLIENT)
        with pytest.raises(Forbidden):
            await admit_to(gate.admission, None, f"Bearer {token}", Access.ANY, client=CLIENT)
    assert await fail(gate) is TooManyRequests


async def test_neither_a_missing_scope_nor_a_missing_key_is_a_failure(gate: Gate) -> None:
    key = gate.add_key(scopes=())
    for _ in range(FAILURES_MOST):
        with pytest.raises(Forbidden):
            await admit_to(gate.admission, key, None, Access.READ, client=CLIENT)
        with pytest.raises(Unauthorized):
            await admit_to(gate.admission, None, None, Access.READ, client=CLIENT)
    assert await fail(gate) is Unauthorized


def test_an_ipv6_client_is_its_network() -> None:
    failures = Failures(FakeClock().monotonic)
    for host in range(FAILURES_MOST):
        failures.add(f"2001:db8:0:1::{host:x}")
    failures.add("2001:db8:0:2::1")
    failures.add("::ffff:203.0.113.9")
    failures.add("not:an:address")
    with pytest.raises(TooManyRequests):
        failures.add("2001:db8:0:1:ffff::")


def test_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.failures.CLIENTS", 3)
    clock = FakeClock()
    failures = Failures(clock.monotonic)
    for number in range(10):
        failures.add(f"10.0.0.{number}")
    assert len(failures._counts._values) == 3
    assert CLIENTS == 10_000
    clock.advance(FAILURES_SECONDS)
