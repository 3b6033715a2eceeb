"""How many invitations one address is mailed; and that what is forgotten later is missed by nobody."""

from __future__ import annotations

import asyncio
import uuid

from accounts.refusals import DAY_RETRY_SECONDS
from tests.functions.accounts.world import Person, World

EVE = "eve@example.com"
A_DAY = 5


async def invite(world: World, owner: Person, workspace: str, email: str = EVE) -> int:
    answer = await world.ask("POST", f"/workspaces/{workspace}/invitations", owner, {"email": email})
    if answer.status == 429:
        assert answer.headers["retry-after"] == str(DAY_RETRY_SECONDS)
        assert "mails of this kind" in answer.json()["detail"]
    return answer.status


async def test_an_address_gets_so_many_mails_a_day_from_all_workspaces(world: World) -> None:
    teams = [await world.team(f"owner{number}@example.com") for number in range(2)]
    sent = [await invite(world, *teams[number % 2]) for number in range(A_DAY + 1)]
    assert sent == [201] * A_DAY + [429]
    assert [await invite(world, *team, f" {EVE.upper()} ") for team in teams] == [429, 429]  # the same person
    assert len(world.jobs("send_mail")) == A_DAY
    # What stands is not touched by what was refused, and withdrawing it makes no room for another mail.
    owner, workspace = teams[0]
    [left] = (await world.ask("GET", f"/workspaces/{workspace}/invitations", owner)).json()["invitations"]
    assert (await world.ask("DELETE", f"/workspaces/{workspace}/invitations/{left['id']}", owner)).status == 204
    assert await invite(world, owner, workspace) == 429
    assert await invite(world, owner, workspace, "zoe@example.com") == 201
    world.run("UPDATE app.invitation_mails SET at = at - interval '1 day'")
    assert await invite(world, owner, workspace) == 201


async def test_no_more_from_many_workspaces_at_once(world: World) -> None:
    teams = [await world.team(f"owner{number}@example.com") for number in range(4)]
    answers = await asyncio.gather(*(invite(world, *team) for team in teams for _ in range(3)))
    assert sorted(answers) == [201] * A_DAY + [429] * (12 - A_DAY)


async def test_only_the_hash_of_an_address_is_kept(world: World) -> None:
    owner, workspace = await world.team()
    await invite(world, owner, workspace)
    [(text,)] = world.run("SELECT m::text FROM app.invitation_mails m")
    assert "eve" not in text


async def test_a_memory_outlives_the_key_that_wrote_it(world: World) -> None:
    """It keeps the key's id; what it was about is told to nobody, and reading it asks for no key."""
    ada = await world.sign_in("ada@example.com")
    text, key = await world.key(ada)
    body = {"id": str(uuid.uuid4()), "type": "task", "title": "t", "content": "c"}
    written = await world.ask("POST", "/memories", text, body, memories=True)
    assert written.status == 201
    assert (await world.ask("DELETE", f"/api-keys/{key}", ada)).status == 200
    world.run("UPDATE app.api_keys SET revoked_at = now() - interval '401 days'")
    assert world.run("SELECT app.forget_old('400 days', '400 days', '30 days', 1000)") == [(1,)]
    memory = f"/memories/{written.json()['id']}"
    read = await world.ask("GET", memory, ada, memories=True)
    told = read.json()
    assert (read.status, told.pop("author")["key"]) == (200, key)
    assert told == written.json()
    assert (await world.ask("PUT", memory, ada, {"title": "u"}, memories=True)).status == 200
    assert (await world.ask("GET", "/account/export", ada)).status == 200
    world.forget()
    refused = await world.ask("GET", "/memories", text, memories=True)
    assert refused.status == 401  # as any key that nobody knows
