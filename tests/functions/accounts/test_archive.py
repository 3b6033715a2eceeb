"""All that is held of a person, as one archive: whole, readable, without secrets, and nobody else's."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from typing import Any

import pytest

from accounts.archive import service as archive_service
from accounts.archive.service import ARCHIVES_MOST, RETRY_SECONDS, ArchiveService
from core.problems import Unavailable
from tests.functions.accounts.world import Person, World


async def fill(world: World, by: Person | str, titles: list[str], workspace: str | None = None) -> None:
    for title in titles:
        body = {"type": "task", "title": title, "content": "c"}
        assert (await world.ask("POST", "/memories", by, body, workspace=workspace, memories=True)).status == 201


async def archive(world: World, by: Person | str) -> zipfile.ZipFile:
    answer = await world.ask("GET", "/account/export", by)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/zip"
    found = zipfile.ZipFile(io.BytesIO(answer.body))
    assert found.testzip() is None
    return found


def read(found: zipfile.ZipFile, name: str) -> Any:
    return json.loads(found.read(name))


def titles_in(found: zipfile.ZipFile, workspace: str) -> list[str]:
    lines = [json.loads(line) for line in found.read(f"memories/{workspace}.jsonl").splitlines()]
    assert (lines[0]["kind"], lines[-1]["kind"]) == ("header", "end")
    return [line["title"] for line in lines if line["kind"] == "memory"]


async def test_it_holds_all_that_is_theirs(world: World) -> None:
    ada, workspace = await world.team("ada@example.com")
    text, key = await world.key(ada)
    await fill(world, text, ["of my own"])
    await fill(world, ada, ["of the team"], workspace)
    await world.ask("POST", f"/workspaces/{workspace}/invitations", ada, {"email": "zoe@example.com"})
    world.run(
        "INSERT INTO app.usage_daily (workspace_id, day, calls) VALUES (%s, (now() AT TIME ZONE 'UTC')::date, 7)",
        ada.workspace,
    )
    found = await archive(world, ada)
    account = read(found, "account.json")
    assert account["account"]["email"] == "ada@example.com"
    assert {one["id"] for one in account["workspaces"]} == {ada.workspace, workspace}
    assert [one["email"] for one in account["invitations"]] == ["zoe@example.com"]
    assert [one["id"] for one in read(found, "keys.json")] == [key]
    assert {"account.opened", "key.created", "workspace.created"} <= {
        one["action"] for one in read(found, "audit.json")
    }
    assert [day["calls"] for day in read(found, "usage.json")[ada.workspace]] == [7]
    assert titles_in(found, ada.workspace) == ["of my own"]
    assert titles_in(found, workspace) == ["of the team"]
    manifest = read(found, "manifest.json")
    assert manifest["complete"]
    assert set(manifest["files"]) | {"manifest.json"} == set(found.namelist())
    everything = b"".join(found.read(name) for name in found.namelist())
    secrets = [
        text,
        world.mailed_token("zoe@example.com"),
        *(str(row) for row in world.run("SELECT key_hash FROM app.api_keys")[0]),
    ]
    secrets += [str(row[0]) for row in world.run("SELECT store_token FROM app.workspaces WHERE store_token <> ''")]
    for secret in secrets:
        assert secret.encode() not in everything


async def test_it_can_be_imported_again(world: World) -> None:
    ada, eve = await world.sign_in("ada@example.com"), await world.sign_in("eve@example.com")
    await fill(world, ada, ["one", "two"])
    lines = (await archive(world, ada)).read(f"memories/{ada.workspace}.jsonl")
    taken = await world.ask("POST", "/import", eve, [lines], memories=True)
    assert (taken.status, taken.json()["memories"]["created"]) == (200, 2)


async def test_nothing_of_others(world: World) -> None:
    owner, workspace = await world.team("ada@example.com")
    eve = await world.sign_in("eve@example.com")
    await world.join(owner, workspace, eve)
    await fill(world, owner, ["of the team"], workspace)
    await fill(world, eve, ["of eve"])
    await world.key(owner, workspace)
    found = await archive(world, eve)
    assert [name for name in found.namelist() if name.startswith("memories/")] == [f"memories/{eve.workspace}.jsonl"]
    everything = b"".join(found.read(name) for name in found.namelist())
    for other in (b"of the team", b"ada@example.com", owner.workspace.encode()):
        assert other not in everything
    assert b"of eve" in everything


async def test_by_a_key_only_its_own_workspace(world: World) -> None:
    ada, workspace = await world.team("ada@example.com")
    await fill(world, ada, ["of my own"])
    await fill(world, ada, ["of the team"], workspace)
    text, _ = await world.key(ada, workspace, scopes=["account", "memories:read"])
    await world.key(ada)
    found = await archive(world, text)
    assert [name for name in found.namelist() if name.startswith("memories/")] == [f"memories/{workspace}.jsonl"]
    assert len(read(found, "keys.json")) == 1
    for scopes, project in ((["account"], None), (["account", "memories:read"], "p")):
        weak, weak_id = await world.key(ada, scopes=scopes)
        world.run("UPDATE app.api_keys SET project = %s WHERE id = %s", project, weak_id)
        assert (await world.ask("GET", "/account/export", weak)).status == 403


async def test_what_does_not_fit_the_time_says_where_it_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_service, "EXPORT_PAGE", 2)
    monkeypatch.setattr(archive_service, "SECONDS", 0.0)
    ada = await world.sign_in("ada@example.com")
    titles = ["a", "b", "c"]
    await fill(world, ada, titles)
    found = await archive(world, ada)
    manifest = read(found, "manifest.json")
    [part] = manifest["memories"]
    assert (manifest["complete"], part["complete"]) == (False, False)
    rest = await world.ask("GET", f"/export?cursor={part['next_cursor']}", ada, memories=True)
    following = [json.loads(line)["title"] for line in rest.body.splitlines() if b'"kind":"memory"' in line]
    assert sorted([*titles_in(found, ada.workspace), *following]) == titles
    assert len(following) == 1


async def test_a_store_that_is_being_made_is_left_out(world: World) -> None:
    ada = await world.sign_in("ada@example.com", store=False)
    found = await archive(world, ada)
    assert read(found, "manifest.json")["memories"] == []


async def test_a_store_that_does_not_answer_is_no_half_archive(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await world.sign_in("ada@example.com")
    monkeypatch.setattr(ArchiveService, "_open", _broken)
    assert (await world.ask("GET", "/account/export", ada)).status == 503


async def test_so_many_are_made_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, eve = await world.sign_in("ada@example.com"), await world.sign_in("eve@example.com")
    opened, go_on = asyncio.Semaphore(0), asyncio.Event()
    opens = ArchiveService._open

    async def slowly(service: ArchiveService, sealed: dict[str, Any], *, first: bool) -> Any:
        opened.release()
        await go_on.wait()
        return await opens(service, sealed, first=first)

    monkeypatch.setattr(ArchiveService, "_open", slowly)
    running = [asyncio.create_task(world.ask("GET", "/account/export", ada)) for _ in range(ARCHIVES_MOST)]
    for _ in running:
        await opened.acquire()
    refused = await world.ask("GET", "/account/export", ada)
    assert (refused.status, refused.headers["retry-after"]) == (429, str(RETRY_SECONDS))
    others = asyncio.create_task(world.ask("GET", "/account/export", eve))
    await opened.acquire()
    go_on.set()
    assert [(await one).status for one in (*running, others)] == [200] * (ARCHIVES_MOST + 1)
    for _ in range(ARCHIVES_MOST + 1):  # each gave its turn back
        assert (await world.ask("GET", "/account/export", ada)).status == 200


async def test_what_fails_keeps_no_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await world.sign_in("ada@example.com")
    with monkeypatch.context() as broken:
        broken.setattr(ArchiveService, "_open", _broken)
        for _ in range(ARCHIVES_MOST + 1):
            assert (await world.ask("GET", "/account/export", ada)).status == 503
    assert (await world.ask("GET", "/account/export", ada)).status == 200


async def _broken(*_: object, **__: object) -> None:
    raise Unavailable("The memory store does not answer.", part="store")
