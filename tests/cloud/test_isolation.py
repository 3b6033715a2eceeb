"""Nothing crosses from one workspace to another, whatever a caller sends; through the Worker."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from declarations import ACCOUNTS, MEMORIES, PREFIX, Route
from tests.cloud import inside
from tests.cloud.people import Person
from tests.cloud.stack import Answer, Stack

SQL = [
    "'; DROP TABLE memories; --",
    "' OR '1'='1",
    '" OR ""="',
    "x' UNION SELECT key_hash FROM app.api_keys --",
    "'); SELECT pg_sleep(30); --",
    "$$; RESET ROLE; SET memory.workspace = ''; $$",
    "%s %(name)s {0} :1 ?1 \\' \\\\",
]


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """One with two memories, a relationship and an import, opened by the operator."""

    stack: Stack
    key: str
    id: str
    account: str
    memories: tuple[str, str]
    relationship: str
    key_id: str
    import_id: str

    @classmethod
    def opened(cls, stack: Stack, plan: str) -> Workspace:
        key = stack.make("key", f"PLAN={plan}").stdout.strip()
        known = stack.call("GET", "/auth/verify", key=key).body
        memories = tuple(
            stack.call("POST", "/memories", {"type": "task", "title": title, "content": "secret"}, key=key).body["id"]
            for title in ("first", "second")
        )
        edge = {"from_memory_id": memories[0], "to_memory_id": memories[1], "relationship_type": "SOLVES"}
        import_id = str(uuid.uuid4())
        line = json.dumps({"kind": "memory", "id": "m1", "type": "task", "title": "t", "content": "c"})
        imported = stack.send(f"/import?import_id={import_id}&part=1", line + "\n", key=key)
        assert imported.status == 200, imported
        return cls(
            stack=stack,
            key=key,
            id=known["workspace"]["id"],
            account=known["account"]["id"],
            memories=(memories[0], memories[1]),
            relationship=stack.call("POST", "/relationships", edge, key=key).body["id"],
            key_id=known["key"]["id"],
            import_id=import_id,
        )

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return self.stack.call(method, path, body, key=self.key, **headers)

    def held(self) -> list[Any]:
        """All that a stranger could have changed."""
        exported = self.stack.text("GET", "/export", key=self.key).splitlines()
        lists = ("/api-keys", "/workspaces", f"/workspaces/{self.id}/members", f"/workspaces/{self.id}/invitations")
        return [exported[1:], *(without_use(self.call("GET", path).body) for path in lists)]


def without_use(body: Any) -> Any:
    """A list of keys says when each was used last, which looking at it changes."""
    for one in body.get("keys", []):
        one.pop("last_used_at", None)
    return body


@pytest.fixture(scope="module")
def pairs(stack: Stack) -> dict[str, tuple[Workspace, Workspace]]:
    """Mine and theirs, for each kind of store."""
    return {plan: (Workspace.opened(stack, plan), Workspace.opened(stack, plan)) for plan in ("free", "team")}


BODIES: dict[str, Any] = {
    "update_memory": {"title": "stolen"},
    "update_relationship": {"strength": 0.1},
    "reinforce_relationship": {},
    "invalidate_relationship": {"reason": "stolen"},
    "rename_key": {"name": "stolen"},
    "rotate_key": {"overlap_hours": 0},
    "rename_workspace": {"name": "stolen"},
    "change_member": {"role": "admin"},
    "invite_member": {"email": "thief@example.com"},
}


def with_ids(function_routes: tuple[Route, ...]) -> list[Route]:
    return [route for route in function_routes if "{" in route.path]


@pytest.mark.parametrize("plan", ["free", "team"])
def test_ids_of_others_are_unknown(pairs: dict[str, tuple[Workspace, Workspace]], plan: str) -> None:
    mine, theirs = pairs[plan]
    before = theirs.held()
    assert "secret" in str(before)
    assert len(theirs.call("GET", f"/import/{theirs.import_id}").body["parts"]) == 1
    for route in with_ids(MEMORIES.routes):
        identifier = theirs.relationship if "/relationships/" in route.path else theirs.memories[0]
        path = route.path.removeprefix(PREFIX).format(
            id=identifier, other=theirs.memories[1], import_id=theirs.import_id
        )
        answer = mine.call(route.method, path, BODIES.get(route.handler))
        if route.handler == "read_import":
            assert not answer.body.get("parts"), answer
        else:
            assert answer.status == 404, (route, answer)
        assert "secret" not in str(answer.body)
    ours, (one, other) = mine.memories[0], theirs.memories
    for ends in ((one, other), (ours, other), (one, ours)):
        edge = dict(zip(("from_memory_id", "to_memory_id"), ends, strict=True))
        assert mine.call("POST", "/relationships", {**edge, "relationship_type": "SOLVES"}).status == 404
    assert mine.call("GET", f"/memories/{ours}/path/{other}").status == 404
    near = mine.call("POST", "/search/contextual", {"memory_id": one, "query": "secret"})
    assert near.status == 404 or not near.body["memories"], near
    # The same id in two workspaces is two memories, and so is the same import.
    again = mine.call("POST", "/memories", {"id": one, "type": "task", "title": "mine", "content": "c"})
    assert again.status in {200, 201}
    assert theirs.held() == before


def test_keys_workspaces_members_and_invitations_of_others(
    stack: Stack, pairs: dict[str, tuple[Workspace, Workspace]]
) -> None:
    mine, theirs = pairs["team"]
    person = Person(stack)
    invited = theirs.call("POST", f"/workspaces/{theirs.id}/invitations", {"email": "guest@example.com"})
    assert invited.status == 201
    before = theirs.held()
    for route in with_ids(ACCOUNTS.routes):
        ids = {"account": theirs.account, "invitation": invited.body["id"]}
        ids["id"] = theirs.key_id if "/api-keys/" in route.path else theirs.id
        path, body = route.path.removeprefix(PREFIX).format(**ids), BODIES.get(route.handler)
        for call in (mine.call, person.call):
            answer = call(route.method, path, body)
            assert answer.status in {403, 404}, (route, answer)
            assert "guest" not in str(answer.body)
            assert theirs.account not in str(answer.body)
        if "{invitation}" in path or "/members/" in path:
            within = path.replace(theirs.id, mine.id)  # theirs, in a workspace that one may manage
            assert mine.call(route.method, within, body).status == 404, within
    assert theirs.held() == before


def test_a_person_names_a_workspace_that_is_not_theirs(
    stack: Stack, pairs: dict[str, tuple[Workspace, Workspace]]
) -> None:
    _, theirs = pairs["team"]
    person = Person(stack)
    person.ready()
    for path in ("/memories/recent", f"/memories/{theirs.memories[0]}", "/api-keys"):
        answer = person.call("GET", path, X_Workspace=theirs.id)
        assert answer.status == 403, answer
        assert "no member" in answer.body["detail"]
    assert person.call("GET", "/api-keys", X_Workspace="not an id").status == 400
    assert person.call("GET", f"/memories/{theirs.memories[0]}").status == 404
    # A key has its one workspace, whatever the header says.
    key = person.key()
    seen = stack.call("GET", "/auth/verify", key=key, X_Workspace=theirs.id)
    assert seen.body["workspace"]["id"] != theirs.id


@pytest.mark.parametrize("plan", ["free", "team"])
@pytest.mark.parametrize("text", SQL)
def test_sql_is_text(pairs: dict[str, tuple[Workspace, Workspace]], plan: str, text: str) -> None:
    mine, theirs = pairs[plan]
    memory = {
        "type": "task",
        "title": text,
        "content": text,
        "summary": text,
        "tags": [text],
        "context": {"project_path": text, "languages": [text], "additional_metadata": {text[:20]: text}},
    }
    stored = mine.call("POST", "/memories", memory)
    assert stored.status == 201, stored
    found = mine.call("GET", f"/memories/{stored.body['id']}").body
    for field in ("title", "content", "summary"):
        assert found[field] == text
    assert found["tags"] == [text.lower()]
    assert found["context"]["project_path"] == text
    edge = {"from_memory_id": stored.body["id"], "to_memory_id": mine.memories[0], "relationship_type": "SOLVES"}
    tied = mine.call("POST", "/relationships", {**edge, "context": text})
    assert mine.call("GET", f"/relationships/{tied.body['id']}").body["context"] == text
    filters: dict[str, Any] = {"query": text, "tags": [text], "project_path": text}
    for name, value in filters.items():
        answer = mine.call("POST", "/search/advanced", {name: value})
        assert answer.status in {200, 400}, (name, answer)
        if answer.status == 200:
            assert not {one["id"] for one in answer.body["memories"]} & set(theirs.memories)
    tagged = mine.call("POST", "/search/advanced", {"tags": [text]})
    assert [one["id"] for one in tagged.body["memories"]] == [stored.body["id"]]
    for path in (f"/memories/{quote(text, safe='')}", f"/memories/recent?project={quote(text)}"):
        assert mine.call("GET", path).status in {200, 400, 404}
    named = mine.call("POST", "/api-keys", {"name": text})
    assert named.body["name"] == text
    assert mine.call("DELETE", f"/api-keys/{named.body['id']}").status == 200
    assert mine.call("DELETE", f"/memories/{stored.body['id']}").status in {200, 204}


def test_provisioning_is_for_the_queue_and_the_schedule_alone(stack: Stack) -> None:
    key = stack.make("key").stdout.strip()
    url = f"http://127.0.0.1:{inside.part(stack, 'provisioning')['port']}"
    person = Person(stack)
    for path in ("/jobs", "/sweep"):
        assert stack.call("POST", path, {}, key=key).status == 404, "the Worker knows no such path"
        for credential in ({}, {"Authorization": f"Bearer {key}"}, {"Authorization": f"Bearer {person.token}"}):
            refused = stack.status("POST", url + path, **credential)
            assert refused in {401, 403}, (path, refused)
