"""What openapi.json says is what this function does, for a person, over PostgreSQL: see tests/functions/described.py.

Made-up ids are ids of nothing. So most of them are replaced by those of things that are there, made anew for what ends
them.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import jsonschema_rs
import pytest
from schemathesis import Case, Response
from starlette.types import ASGIApp

from core import logs
from core.credentials import WORKSPACE
from declarations import ACCOUNTS, PREFIX, SCOPES
from tests.functions.accounts.world import Person, World
from tests.functions.asgi import Answer
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.described import PHASES, Caller, described, findings, only_excused
from tests.functions.memories.serving import behind_edge, serving

T = TypeVar("T")

MANY = 1 << 30
SECONDS_FOR_ONE = 30
EXCUSED = (
    # Parameters that exclude each other, or the present.
    (r"expires_in_days", r"must not be sent together with expires_at"),
    (r"expires_at", r"must be in the future"),
    # All of them together.
    (r"settings", r"may take 4 KiB together"),
    # JSON has whole numbers of any size, also in fields that are ignored.
    (r"body", r"holds a whole number of more than 64 bits"),
)
"""See `described.Excuses`."""


def test_the_document_is_true(
    control_plane: ControlPlaneUrls, accounts_login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "request_line", lambda *_fields: None)  # some thousand of them
    for limit in ("KEYS_MOST", "WORKSPACES_MOST", "INVITATIONS_MOST", "INVITATION_MAILS_MOST", "ERASURE_MAILS_MOST"):
        monkeypatch.setattr(f"accounts.control.{limit}", MANY)
    urls = {**asdict(control_plane), "accounts": f"{accounts_login}/{control_plane.database}"}
    stocks: list[Stock] = []

    @asynccontextmanager
    async def prepare() -> AsyncIterator[tuple[ASGIApp, str]]:
        world = World(urls)
        try:
            stocks.append(await _stocked(world))
            yield behind_edge(world.accounts), stocks[0].owner.token
        finally:
            await world.close()

    with serving(prepare) as served:
        caller = Caller.by_token(served.key)
        found = findings(ACCOUNTS, served.url, caller, PHASES, excused=_excused, prepare=stocks[0].put_real_ids)
    assert found == []


async def test_what_the_links_of_mails_do_is_as_described(world: World) -> None:
    """No made-up token is one of them."""
    owner, workspace = await world.team()
    eve = await world.sign_in("eve@example.com")
    sent = await world.ask("POST", f"/workspaces/{workspace}/invitations", owner, {"email": eve.email})
    assert sent.status == 201, sent.body
    accepted = await world.ask("POST", "/invitations/accept", eve, {"token": world.mailed_token(eve.email)})
    _check("/invitations/accept", accepted, 200)
    asked = await world.ask("POST", "/account/erasure", eve)
    assert asked.status == 202, asked.body
    confirmed = await world.ask("POST", "/account/erasure/confirm", None, {"token": world.mailed_token(eve.email)})
    _check("/account/erasure/confirm", confirmed, 202)


def _check(path: str, answer: Answer, status: int) -> None:
    document = described(ACCOUNTS, "Person")
    assert answer.status == status, answer.body
    schema = document["paths"][PREFIX + path]["post"]["responses"][str(status)]["content"]["application/json"]["schema"]
    validator = jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})
    assert [str(error) for error in validator.iter_errors(answer.json())] == []


async def test_a_key_is_refused_where_only_people_are_described(world: World) -> None:
    owner = await world.sign_in("ada@example.com")
    key, _ = await world.key(owner, scopes=[scope.value for scope in SCOPES])
    paths = described(ACCOUNTS, "ApiKey")["paths"]
    for route in ACCOUNTS.routes:
        path = re.sub(r"\{\w+\}", lambda _name: str(uuid.uuid4()), route.path.removeprefix(PREFIX))
        answer = await world.ask(route.method, path, key, {})
        is_refused = answer.status == 403 and "An API key cannot do this" in answer.json()["detail"]
        assert is_refused == (paths[route.path][route.method.lower()]["security"] == []), answer.body


def _excused(check: str, _case: Case[Any], response: Response) -> bool:
    if check != "positive_data_acceptance":
        return False
    if response.status_code == 429:  # the same address was invited five times
        return "mails of this kind" in response.json()["detail"]
    return response.status_code == 400 and only_excused(response, EXCUSED)


async def _stocked(world: World) -> Stock:
    owner, workspace = await world.team()
    member = await world.sign_in("eve@example.com")
    await world.join(owner, workspace, member)
    _, key = await world.key(owner)
    return Stock(world, asyncio.get_running_loop(), owner, member, workspace, key)


@dataclass
class Stock:
    """What is there: an owner with an API key in their own workspace, and a workspace on Team with one member more."""

    world: World
    loop: asyncio.AbstractEventLoop
    owner: Person
    member: Person
    workspace: str
    key: str
    turns: Iterator[int] = field(default_factory=itertools.count)

    def put_real_ids(self, case: Case[Any]) -> None:
        if WORKSPACE in (case.headers or {}) and _is_id(case.headers[WORKSPACE]):
            case.headers[WORKSPACE] = self.owner.workspace
        if case.meta is not None and case.meta.phase.name.value == "stateful":
            return  # its ids are real, and it knows what became of them
        segments = case.operation.path.split("/")
        for before, segment in itertools.pairwise(segments):
            name = segment.strip("{}")
            if name != segment and _is_id(case.path_parameters[name]) and next(self.turns) % 4:
                case.path_parameters[name] = self._real(before, case)

    def _real(self, kind: str, case: Case[Any]) -> str:
        path, method = case.operation.path, case.operation.method.upper()
        if kind == "api-keys":
            ends = method == "DELETE" or path.endswith("/rotate")
            return self._do(self.world.key(self.owner))[1] if ends else self.key
        if kind == "workspaces":
            ends = method == "DELETE" and path.endswith("/{id}")
            return self._made("/workspaces", {"name": "another"}) if ends else self.workspace
        if kind == "members":
            self._restore_member()
            return self.member.account
        assert kind == "invitations"
        return self._made(f"/workspaces/{self.workspace}/invitations", {"email": f"bob{next(self.turns)}@example.com"})

    def _restore_member(self) -> None:
        self.world.run("DELETE FROM app.members WHERE workspace_id = %s", self.workspace)
        for person, role in ((self.owner, "owner"), (self.member, "member")):
            self.world.run(
                "INSERT INTO app.members (workspace_id, account_id, role) VALUES (%s, %s, %s)",
                self.workspace,
                person.account,
                role,
            )

    def _made(self, path: str, body: Any) -> str:
        answer = self._do(self.world.ask("POST", path, self.owner, body))
        assert answer.status == 201, answer.body
        made: str = answer.json()["id"]
        return made

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(SECONDS_FOR_ONE)


def _is_id(value: object) -> bool:
    try:
        uuid.UUID(str(value))
    except ValueError:
        return False
    return True
