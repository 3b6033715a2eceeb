"""Signed-in people as callers: their tokens, the workspace they name, what they may do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core import keys
from core.admission import Admission
from core.credentials import person_name
from core.failures import FAILURES_MOST, FAILURES_SECONDS
from core.ports import KeyRecord, KeyRefused, Principal
from core.problems import Forbidden, Invalid, TooManyRequests, Unauthorized, Unavailable
from declarations import SCOPES, Access
from tests.functions.twins import Gate, admit_to

ACCOUNT = "account-1"
WORKSPACE = "6f1d3c1e-5b0e-4f7c-9d43-2f6d7c1b8a90"


@pytest.fixture
def gate() -> Gate:
    return Gate()


def sign_in(gate: Gate, workspace: str | None = None, **changes: object) -> str:
    """The token of a person who is a member of a workspace, by default their own."""
    record = replace(gate.record("0" * 64, (), 1), key_id="", account_id=ACCOUNT, role="admin")
    gate.directory.members[ACCOUNT, workspace] = replace(record, **changes)  # type: ignore[arg-type]  # by name
    return gate.tokens.add(ACCOUNT, gate.clock.seconds + 3600)


async def admit(
    admission: Admission, token: str, access: Access = Access.READ, workspace: str | None = None
) -> Principal:
    found = await admit_to(admission, None, f"Bearer {token}", access, workspace=workspace)
    assert found is not None
    return found.principal


@pytest.mark.parametrize("access", [Access.READ, Access.WRITE, Access.ACCOUNT, Access.ANY, Access.OPEN])
async def test_a_person_has_every_scope(gate: Gate, access: Access) -> None:
    principal = await admit(gate.admission, sign_in(gate), access)
    assert principal.is_person
    assert principal.scopes == set(SCOPES)
    assert (principal.account_id, principal.role, principal.key_id) == (ACCOUNT, "admin", "")


async def test_a_person_names_the_workspace(gate: Gate) -> None:
    token = sign_in(gate)
    sign_in(gate, WORKSPACE, workspace_id=WORKSPACE, store_token=gate.store_sealer.seal_text("theirs", WORKSPACE))
    own = await admit(gate.admission, token)
    named = await admit(gate.admission, token, workspace=WORKSPACE.upper())
    assert named.workspace_id == WORKSPACE != own.workspace_id
    assert named.store.token.reveal() == "theirs"
    assert await admit(gate.admission, token) == own
    assert await admit(gate.admission, token, workspace=" ") == own


@pytest.mark.parametrize("header", ["x", WORKSPACE[:-1], f"{WORKSPACE}; DROP TABLE", "{" + WORKSPACE + "}"])
async def test_a_workspace_that_is_no_id_is_bad_input(gate: Gate, header: str) -> None:
    token = sign_in(gate)
    with pytest.raises(Invalid, match="X-Workspace") as caught:
        await admit(gate.admission, token, workspace=header)
    assert "X-Workspace" in caught.value.errors
    assert gate.directory.asked == 0


async def test_a_stranger_is_refused_and_that_is_remembered(gate: Gate) -> None:
    token = sign_in(gate)
    for _ in range(3):
        with pytest.raises(Forbidden, match="no member"):
            await admit(gate.admission, token, workspace=WORKSPACE)
    assert gate.directory.asked == 1


async def test_made_up_workspaces_are_looked_up_so_often_only(gate: Gate) -> None:
    """From whatever address: each name is another look-up, and a person can make up any number."""
    token, other = sign_in(gate), gate.tokens.add("account-2", gate.clock.seconds + 3600)
    refusals = []
    for number in range(FAILURES_MOST + 10):
        with pytest.raises((Forbidden, TooManyRequests)) as caught:
            await admit(gate.admission, token, workspace=f"{number:08x}{WORKSPACE[8:]}")
        refusals.append(type(caught.value))
    assert refusals == [Forbidden] * FAILURES_MOST + [TooManyRequests] * 10
    assert gate.directory.asked == FAILURES_MOST + 1
    assert await admit(gate.admission, token)  # their own
    with pytest.raises(Forbidden):
        await admit(gate.admission, other, workspace=WORKSPACE)
    gate.clock.advance(FAILURES_SECONDS)
    with pytest.raises(Forbidden):
        await admit(gate.admission, token, workspace=WORKSPACE)


@pytest.mark.parametrize(
    ("reason", "kind", "words"),
    [("erased", Unauthorized, "erased"), ("closed", Unauthorized, "closed"), ("no member", Forbidden, "no member")],
)
async def test_refusals_say_why(gate: Gate, reason: str, kind: type[Exception], words: str) -> None:
    token = sign_in(gate)
    gate.directory.members[ACCOUNT, None] = KeyRefused(reason)
    with pytest.raises(kind, match=words):
        await admit(gate.admission, token, Access.ANY)


async def test_a_token_is_proved_once_in_five_seconds(gate: Gate) -> None:
    token = sign_in(gate)
    for _ in range(5):
        await admit(gate.admission, token)
    assert (gate.tokens.asked, gate.directory.asked) == (1, 1)
    gate.clock.advance(5)
    await admit(gate.admission, token)
    assert (gate.tokens.asked, gate.directory.asked) == (2, 1)  # the shared cache knew


async def test_two_tokens_of_a_person_share_a_lease(gate: Gate) -> None:
    first, second = sign_in(gate), sign_in(gate)
    await admit(gate.admission, first)
    await admit(gate.admission, second)
    assert (gate.tokens.asked, gate.directory.asked) == (2, 1)


async def test_a_token_is_not_believed_beyond_its_end(gate: Gate) -> None:
    token = sign_in(gate)
    claims = gate.tokens.known.pop(token)
    short = gate.tokens.add(claims.account_id, gate.clock.seconds + 2)
    await admit(gate.admission, short)
    del gate.tokens.known[short]
    gate.clock.advance(1.9)
    await admit(gate.admission, short)
    gate.clock.advance(0.1)
    with pytest.raises(Unauthorized):
        await admit(gate.admission, short)


async def test_the_name_of_a_person_is_no_key(gate: Gate) -> None:
    """What leases call a person is a hash, as what they call a key: a key of that text must not find the person."""
    sign_in(gate, WORKSPACE)
    sign_in(gate, workspace_id=WORKSPACE)
    token = sign_in(gate, WORKSPACE, workspace_id=WORKSPACE, store_token=gate.store_sealer.seal_text("t", WORKSPACE))
    await admit(gate.admission, token, workspace=WORKSPACE)
    for named in (WORKSPACE, ""):
        text = f"person {ACCOUNT} {named}"
        assert keys.hash_key(text) == person_name(ACCOUNT, named or None)
        for key, authorization in ((text, None), (None, f"Bearer {text}")):
            with pytest.raises(Unauthorized, match="not valid"):
                await admit_to(gate.admission, key, authorization, Access.READ)
            with pytest.raises(Unauthorized, match="not valid"):
                await gate.admission.renew(key, authorization, Access.READ)


async def test_a_forged_token_asks_nobody(gate: Gate) -> None:
    sign_in(gate)
    for token in ("a.b.c", "rubbish", "a.b"):
        with pytest.raises(Unauthorized, match="not valid"):
            await admit(gate.admission, token, Access.OPEN)
    assert gate.tokens.asked == 1  # the others have not even the form
    assert gate.directory.asked == gate.cache.asked == 0


async def test_without_a_verifier_only_keys_are_taken(gate: Gate) -> None:
    token = sign_in(gate)
    gate.admission.verifier = None
    with pytest.raises(Unauthorized, match="This API key is not valid"):
        await admit(gate.admission, token)


async def test_a_token_is_no_key_and_a_key_no_token(gate: Gate) -> None:
    token = sign_in(gate)
    with pytest.raises(Unauthorized, match="This API key is not valid"):
        await admit_to(gate.admission, token, None, Access.READ)
    key = gate.add_key()
    found = await admit_to(gate.admission, None, f"Bearer {key}", Access.READ, workspace="not looked at")
    assert found is not None
    assert not found.principal.is_person


async def test_people_are_shared_by_name_sealed(gate: Gate) -> None:
    token = sign_in(gate)
    first = await admit(gate.admission, token)
    assert list(gate.cache.entries) == [person_name(ACCOUNT, None)]
    assert ACCOUNT.encode() not in gate.cache.entries[person_name(ACCOUNT, None)][1]
    assert await admit(gate.process(), token) == first
    assert gate.directory.asked == 1
    assert await gate.cache.void(person_name(ACCOUNT, None), 2)  # removed from the workspace
    gate.directory.members[ACCOUNT, None] = KeyRefused("no member")
    gate.clock.advance(5)
    with pytest.raises(Forbidden):
        await admit(gate.admission, token)


async def test_names_of_people_and_workspaces_do_not_meet() -> None:
    names = {person_name(account, workspace) for account in ("a", "b") for workspace in (None, "a", "b")}
    assert len(names) == 6


async def test_every_field_of_a_record_arrives_by_the_shared_cache(gate: Gate) -> None:
    token = sign_in(gate, project="/p", key_calls_per_day=7, epoch=9, workspace_created=12.5, role="member")
    for admission in (gate.admission, gate.process()):
        principal = await admit(admission, token, Access.READ)  # its store keeps it to the project
        assert (principal.project, principal.key_calls_per_day, principal.store.epoch) == ("/p", 7, 9)
        assert (principal.workspace_created, principal.role) == (12.5, "member")
    assert gate.directory.asked == 1


async def test_a_workspace_without_a_store_can_be_managed_but_not_read(gate: Gate) -> None:
    token = sign_in(gate, store_url=None, store_token="")
    for access in (Access.ACCOUNT, Access.ANY, Access.OPEN):
        assert (await admit(gate.admission, token, access)).store.url == ""
    with pytest.raises(Unavailable, match="set up"):
        await admit(gate.admission, token, Access.READ)
    ready = gate.directory.members[ACCOUNT, None]
    assert isinstance(ready, KeyRecord)
    sign_in(gate)
    assert (await admit(gate.admission, token, Access.READ)).store.url  # seen at once


async def test_renew_goes_past_the_caches_for_people_too(gate: Gate) -> None:
    token = sign_in(gate)
    await admit(gate.admission, token)
    sign_in(gate, store_url="http://new.localhost:1", epoch=2)
    renewed = await gate.admission.renew(None, f"Bearer {token}", Access.READ)
    assert renewed is not None
    assert (renewed.store.url, renewed.store.epoch) == ("http://new.localhost:1", 2)
    assert (await admit(gate.admission, token)).store.epoch == 2
    asked = gate.directory.asked
    assert await gate.admission.renew(None, f"Bearer {token}", Access.READ) == renewed
    assert gate.directory.asked == asked


async def test_an_account_route_needs_the_scope(gate: Gate) -> None:
    key = gate.add_key()
    for access in (Access.ANY, Access.OPEN):
        assert await admit_to(gate.admission, key, None, access)
    with pytest.raises(Forbidden, match="account"):
        await admit_to(gate.admission, key, None, Access.ACCOUNT)
    assert await admit_to(gate.admission, gate.add_key(scopes=("account",)), None, Access.ACCOUNT)
