"""Every answer is of the shape that accounts/answers.py says: nothing is missing, nothing more, no null by chance."""

from __future__ import annotations

from types import UnionType
from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from accounts import answers
from tests.functions.accounts.world import World


def faults(value: Any, kind: Any, where: str = "") -> list[str]:
    """Where a value is not of a type; members that the type does not name are faults too."""
    if kind is Any:
        return []
    origin, args = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return [] if any(not faults(value, one) for one in args) else [where]
    if origin is list:
        items = enumerate(value) if isinstance(value, list) else [(-1, None)]
        return [fault for number, item in items for fault in faults(item, args[0], f"{where}.{number}")]
    if origin is dict:
        return [] if isinstance(value, dict) else [where]
    if not is_typeddict(kind):
        return [] if type(value) is kind else [where]
    if not isinstance(value, dict):
        return [where]
    members = get_type_hints(kind, include_extras=True)
    found = [f"{where}.{name}" for name in set(value) - set(members)]
    for name, member in members.items():
        if name in value:
            bare = get_args(member)[0] if get_origin(member) is NotRequired else member
            found += faults(value[name], bare, f"{where}.{name}")
        elif get_origin(member) is not NotRequired:
            found.append(f"{where}.{name}")
    return found


def check(name: str, body: Any) -> Any:
    assert faults(body, getattr(answers, name), name) == []
    return body


async def test_of_everything(world: World) -> None:
    ada, workspace = await world.team()
    eve = await world.sign_in("eve@example.com")

    async def ask(method: str, path: str, by: Any = ada, body: Any = b"", status: int = 200) -> Any:
        answer = await world.ask(method, path, by, body)
        assert answer.status == status, answer.body
        return answer.json()

    for fields in ({}, {"calls_per_day": 5, "expires_in_days": 3, "scopes": ["account"]}):
        key = check("NewKeyBody", await ask("POST", "/api-keys", ada, {"name": "k", **fields}, 201))
        check("VerifiedBody", await ask("GET", "/auth/verify", key["key"]))
        check("KeysBody", await ask("GET", "/api-keys"))
        check("KeyBody", await ask("PATCH", f"/api-keys/{key['id']}", ada, {"name": "x"}))
        check("RotatedKeyBody", await ask("POST", f"/api-keys/{key['id']}/rotate", ada, {}, 201))
        check("KeysBody", await ask("GET", "/api-keys"))
        check("RevokedBody", await ask("DELETE", f"/api-keys/{key['id']}"))
    check("VerifiedBody", await ask("GET", "/auth/verify"))
    path = f"/workspaces/{workspace}"
    check("WorkspacesBody", await ask("GET", "/workspaces"))
    check("WorkspaceBody", await ask("PATCH", path, ada, {"name": "y"}))
    check("WorkspaceBody", await ask("POST", "/workspaces", ada, {"name": "z"}, 201))
    check("InvitationBody", await ask("POST", f"{path}/invitations", ada, {"email": eve.email}, 201))
    check("InvitationsBody", await ask("GET", f"{path}/invitations"))
    token = {"token": world.mailed_token(eve.email)}
    check("WorkspaceBody", await ask("POST", "/invitations/accept", eve, token))
    check("MembersBody", await ask("GET", f"{path}/members"))
    check("ChangedMemberBody", await ask("PATCH", f"{path}/members/{eve.account}", ada, {"role": "admin"}))
    check("RemovedMemberBody", await ask("DELETE", f"{path}/members/{eve.account}"))
    check("DeletedBody", await ask("DELETE", path))
    check("UsageBody", await ask("GET", "/usage"))
    check("DashboardBody", await ask("GET", "/dashboard/stats"))
    check("AccountBody", await ask("PATCH", "/account", ada, {"settings": {"a": 1}}))
    check("ErasureMailedBody", await ask("POST", "/account/erasure", ada, b"", 202))
    check("AccountBody", await ask("GET", "/account"))
    token = {"token": world.mailed_token(ada.email)}
    check("ErasingBody", await ask("POST", "/account/erasure/confirm", None, token, 202))


def test_the_check_sees_more_and_less() -> None:
    names = ("id", "workspace_id", "email", "role", "status", "created_at", "expires_at")
    good: dict[str, Any] = dict.fromkeys(names, "text")
    assert faults(good, answers.InvitationBody) == []
    for bad, where in (
        ({**good, "more": 1}, ".more"),
        ({**good, "invited_by": {"id": "a"}}, ".invited_by.name"),
        ({**good, "role": None}, ".role"),
        ({"id": "a"}, ".workspace_id"),
        ({"invitations": [good, 1]}, ".1"),
    ):
        kind = answers.InvitationsBody if "invitations" in bad else answers.InvitationBody
        assert any(fault.endswith(where) for fault in faults(bad, kind))
