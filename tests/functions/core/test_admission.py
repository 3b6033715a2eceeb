"""Who asks: caches, their staleness, and what happens when a part is down."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core import keys
from core.admission import Admission
from core.ports import KeyRecord, KeyRefused, Principal
from core.problems import Forbidden, Unauthorized, Unavailable
from declarations import Access
from tests.functions.twins import TAG_SECRET, Gate, admit_to


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def admit(gate: Gate, key: str, access: Access = Access.READ) -> str:
    """The workspace of the key."""
    return (await admitted(gate.admission, key, access)).workspace_id


async def admitted(admission: Admission, key: str, access: Access = Access.READ) -> Principal:
    found = await admit_to(admission, key, None, access)
    assert found is not None
    return found.principal


def refuse(gate: Gate, key: str, reason: str) -> None:
    gate.directory.keys[keys.hash_key(key)] = KeyRefused(reason)


async def test_principal_carries_the_opened_store_token(gate: Gate) -> None:
    principal = await admitted(gate.admission, gate.add_key(), Access.WRITE)
    assert principal.store.token.reveal() == "store-token"
    assert principal.store.url == "http://db.localhost:1"
    assert principal.scopes == {"memories:read", "memories:write"}


@pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", " Bearer  {} "])
async def test_bearer_is_as_good_as_the_key_header(gate: Gate, header: str) -> None:
    key = gate.add_key()
    by_bearer = await admit_to(gate.admission, None, header.format(key), Access.READ)
    assert by_bearer == await admit_to(gate.admission, key, None, Access.READ)


async def test_two_keys_are_two_workspaces(gate: Gate) -> None:
    one, two = gate.add_key(), gate.add_key()
    assert await admit(gate, one) != await admit(gate, two)


async def test_no_key(gate: Gate) -> None:
    assert await admit_to(gate.admission, None, None, Access.OPEN) is None
    assert await admit_to(gate.admission, "", " ", Access.OPEN) is None
    with pytest.raises(Unauthorized, match="No API key was sent"):
        await admit_to(gate.admission, None, None, Access.READ)


async def test_basic_credentials_are_refused_in_words(gate: Gate) -> None:
    with pytest.raises(Unauthorized, match="Bearer"):
        await admit_to(gate.admission, None, "Basic dTpw", Access.OPEN)


async def test_a_forged_key_is_refused_without_a_look_up(gate: Gate) -> None:
    forged = keys.issue(["another secret"]).text
    with pytest.raises(Unauthorized, match="not valid"):
        await admit(gate, forged, Access.OPEN)
    assert gate.directory.asked == gate.cache.asked == 0


@pytest.mark.parametrize(
    ("reason", "words"), [("revoked", "was revoked"), ("expired", "has expired"), ("closed", "closed")]
)
async def test_refusals_say_why(gate: Gate, reason: str, words: str) -> None:
    key = gate.add_key()
    refuse(gate, key, reason)
    with pytest.raises(Unauthorized, match=words):
        await admit(gate, key, Access.OPEN)


async def test_an_unknown_key_is_remembered_for_five_seconds(gate: Gate) -> None:
    key = keys.issue([TAG_SECRET])
    for _ in range(3):
        with pytest.raises(Unauthorized, match="unknown"):
            await admit(gate, key.text)
    assert gate.directory.asked == 1
    gate.directory.keys[key.hash] = gate.record(key.hash, ("memories:read",), 1)
    gate.clock.advance(5)
    await admit(gate, key.text)


async def test_a_missing_scope_is_named(gate: Gate) -> None:
    key = gate.add_key(scopes=("memories:read",))
    await admit(gate, key, Access.READ)
    with pytest.raises(Forbidden, match="memories:write"):
        await admit(gate, key, Access.WRITE)


@pytest.mark.parametrize(("suspended", "refused"), [("writes", [Access.WRITE]), ("all", [Access.READ, Access.WRITE])])
async def test_a_suspended_workspace_says_so(gate: Gate, suspended: str, refused: list[Access]) -> None:
    key = gate.add_key(("memories:read", "memories:write", "account"))
    record = gate.directory.keys[keys.hash_key(key)]
    assert isinstance(record, KeyRecord)
    gate.directory.keys[keys.hash_key(key)] = replace(record, suspended=suspended)
    for process in (gate.admission, gate.process()):  # the second has it from the shared cache
        for access in (Access.READ, Access.WRITE, Access.ACCOUNT, Access.ANY, Access.OPEN):
            if access in refused:
                with pytest.raises(Forbidden, match=r"suspended.*support"):
                    await admitted(process, key, access)
            else:
                await admitted(process, key, access)
    assert gate.directory.asked == 1


async def test_second_request_asks_nobody(gate: Gate) -> None:
    key = gate.add_key()
    await admit(gate, key)
    asked = (gate.directory.asked, gate.cache.asked)
    gate.clock.advance(4.9)
    await admit(gate, key)
    assert (gate.directory.asked, gate.cache.asked) == asked


async def test_another_process_is_served_by_the_shared_cache(gate: Gate) -> None:
    key = gate.add_key()
    first = await admitted(gate.admission, key)
    assert await admitted(gate.process(), key) == first
    assert gate.directory.asked == 1


async def test_concurrent_misses_share_one_look_up(gate: Gate) -> None:
    key = gate.add_key()
    await asyncio.gather(*(admit(gate, key) for _ in range(50)))
    assert gate.directory.asked == gate.cache.asked == 1


async def test_a_caller_who_goes_away_takes_the_look_up_from_nobody(gate: Gate) -> None:
    key = gate.add_key()
    release = asyncio.Event()
    find = gate.directory.find_key

    async def slow(key_hash: str) -> KeyRecord | KeyRefused | None:
        await release.wait()
        return await find(key_hash)

    gate.directory.find_key = slow  # type: ignore[method-assign]  # a slow control plane
    first, second = (asyncio.create_task(admit(gate, key)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    release.set()
    assert await second
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_revocation_holds_within_five_seconds_everywhere(gate: Gate) -> None:
    key = gate.add_key(version=3)
    other = gate.process()
    await admit(gate, key)
    await admit_to(other, key, None, Access.READ)
    refuse(gate, key, "revoked")
    assert await gate.cache.void(keys.hash_key(key), 4)
    gate.clock.advance(5)
    for admission in (gate.admission, other, gate.process()):
        with pytest.raises(Unauthorized, match="revoked"):
            await admit_to(admission, key, None, Access.READ)


async def test_without_a_tombstone_revocation_holds_within_sixty_seconds(gate: Gate) -> None:
    key = gate.add_key()
    await admit(gate, key)  # fills the shared cache at second 0
    refuse(gate, key, "revoked")
    gate.clock.advance(54.9)
    late = gate.process()
    await admit_to(late, key, None, Access.READ)  # the last moment at which a lease can begin
    gate.clock.advance(0.1)
    with pytest.raises(Unauthorized, match="revoked"):
        await admit_to(gate.process(), key, None, Access.READ)
    gate.clock.advance(5)
    with pytest.raises(Unauthorized, match="revoked"):
        await admit_to(late, key, None, Access.READ)


async def test_a_late_fill_loses_against_a_tombstone(gate: Gate) -> None:
    """A process reads the key, is held up, and fills the cache after the revocation."""
    key = gate.add_key(version=3)
    key_hash = keys.hash_key(key)
    put = gate.cache.put

    async def held_up(key_hash: str, version: int, entry: bytes, ttl_seconds: float) -> None:
        refuse(gate, key, "revoked")
        await gate.cache.void(key_hash, 4)
        await put(key_hash, version, entry, ttl_seconds)

    gate.cache.put = held_up  # type: ignore[method-assign]  # the race, made certain
    await admit(gate, key)
    assert await gate.cache.get(key_hash) is None
    with pytest.raises(Unauthorized, match="revoked"):
        await admit_to(gate.process(), key, None, Access.READ)


async def test_a_record_put_back_after_its_time_is_not_believed(gate: Gate) -> None:
    """Whoever holds the Redis token can restore old bytes, but not their time."""
    key = gate.add_key()
    await admit(gate, key)
    stolen = gate.cache.entries[keys.hash_key(key)][1]
    refuse(gate, key, "revoked")
    gate.clock.advance(60)
    await gate.cache.put(keys.hash_key(key), 99, stolen, 1000)
    with pytest.raises(Unauthorized, match="revoked"):
        await admit(gate, key)


async def test_a_record_of_another_key_is_not_believed(gate: Gate) -> None:
    mine, theirs = gate.add_key(), gate.add_key()
    await admit(gate, theirs)
    stolen = gate.cache.entries[keys.hash_key(theirs)][1]
    await gate.cache.put(keys.hash_key(mine), 99, stolen, 60)
    assert await admit(gate, mine) == f"workspace-{keys.hash_key(mine)[:6]}"


async def test_a_lease_does_not_outlive_its_key(gate: Gate) -> None:
    key = gate.add_key(expires_at=gate.clock.seconds + 2)
    await admit(gate, key)
    refuse(gate, key, "expired")
    gate.clock.advance(2)
    for admission in (gate.admission, gate.process()):
        with pytest.raises(Unauthorized, match="expired"):
            await admit_to(admission, key, None, Access.READ)


async def test_redis_down_is_no_failure(gate: Gate) -> None:
    gate.cache.down = True
    await admit(gate, gate.add_key())


async def test_control_plane_down(gate: Gate) -> None:
    cached, unknown = gate.add_key(), gate.add_key()
    await admit(gate, cached)
    gate.directory.down = True
    gate.clock.advance(30)
    await admit(gate, cached)  # the shared cache still serves
    with pytest.raises(Unavailable) as caught:
        await admit(gate, unknown)
    assert int(caught.value.headers["Retry-After"]) > 0
    gate.directory.down = False
    await admit(gate, unknown)  # the failure is not remembered


async def test_a_workspace_without_a_store_is_not_cached(gate: Gate) -> None:
    key = gate.add_key()
    key_hash = keys.hash_key(key)
    ready = gate.directory.keys[key_hash]
    assert isinstance(ready, KeyRecord)
    gate.directory.keys[key_hash] = replace(ready, store_url=None, store_token="")
    with pytest.raises(Unavailable, match="set up"):
        await admit(gate, key)
    gate.directory.keys[key_hash] = ready
    await admit(gate, key)


async def test_renew_goes_past_both_caches_but_not_twice(gate: Gate) -> None:
    key = gate.add_key(version=3)
    before = await admitted(gate.admission, key)
    record = gate.directory.keys[keys.hash_key(key)]
    assert isinstance(record, KeyRecord)
    moved = replace(record, store_url="http://new.localhost:1", version=4)
    gate.directory.keys[keys.hash_key(key)] = moved
    assert await admitted(gate.admission, key) == before
    after = await gate.admission.renew(key, None, Access.READ)
    assert after is not None
    assert after.store.url == "http://new.localhost:1"
    gate.directory.keys[keys.hash_key(key)] = replace(moved, store_url="http://newest.localhost:1", version=5)
    assert await gate.admission.renew(key, None, Access.READ) == after
    assert await admitted(gate.process(), key) == after


async def test_a_function_without_the_store_key_fills_records_that_others_can_use(gate: Gate) -> None:
    key = gate.add_key()
    principal = await admitted(gate.process(store_sealer=False), key)
    assert principal is not None
    assert principal.store.token.reveal() == ""
    seeing = await admitted(gate.admission, key)
    assert seeing.store.token.reveal() == "store-token"
    assert gate.directory.asked == 1


async def test_leases_are_bounded(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.principals.LEASES", 2)
    small = gate.process()
    one, two, three = gate.add_key(), gate.add_key(), gate.add_key()
    for key in (one, two, one, three):  # two is now the least recently used
        await admit_to(small, key, None, Access.READ)
    asked = gate.cache.asked
    await admit_to(small, one, None, Access.READ)
    assert gate.cache.asked == asked
    await admit_to(small, two, None, Access.READ)
    assert gate.cache.asked == asked + 1
