"""What clients get: typed dictionaries. What is absent is left out; times are ISO 8601 with microseconds, in UTC.

Most are made by the control plane (0012 to 0014) and passed on as they are, so a test compares them with these.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class PersonBody(TypedDict):
    id: str
    name: str


class HoldsBody(TypedDict):
    """`holds_within_seconds`: after so long at most, what was ended is accepted nowhere."""

    holds_within_seconds: int


# Who is this.


class VerifiedAccountBody(PersonBody):
    """`email` only for whoever has the scope `account`."""

    email: NotRequired[str]


class CurrentWorkspaceBody(TypedDict):
    """`ready`: its store is there."""

    id: str
    name: str
    personal: bool
    seats: int
    ready: bool
    created_at: str


class VerifiedWorkspaceBody(CurrentWorkspaceBody):
    plan: str


class VerifiedKeyBody(TypedDict):
    id: str
    name: str
    prefix: str
    scopes: list[str]
    project: NotRequired[str]
    calls_per_day: NotRequired[int]
    expires_at: NotRequired[str]


class LimitsBody(TypedDict):
    """Of the plan; null is no limit. `key_calls_per_day`: the key's own cap."""

    calls_per_day: int
    calls_per_minute: int
    memories: int | None
    storage_mb: int
    key_calls_per_day: NotRequired[int]


class VerifiedBody(TypedDict):
    """GET /auth/verify. `key` is null for a person who is signed in."""

    account: VerifiedAccountBody
    workspace: VerifiedWorkspaceBody
    role: str
    key: VerifiedKeyBody | None
    scopes: list[str]
    limits: LimitsBody


# Keys.


class KeyBody(TypedDict):
    """`status`: active, rotated (another key takes its place, it ends at `expires_at`), expired or revoked."""

    id: str
    name: str
    prefix: str
    masked: str
    scopes: list[str]
    status: str
    created_at: str
    owner: PersonBody
    project: NotRequired[str]
    calls_per_day: NotRequired[int]
    expires_at: NotRequired[str]
    last_used_at: NotRequired[str]
    rotated_from: NotRequired[str]


class KeysBody(TypedDict):
    """GET /api-keys: those that were not revoked, newest first. `most`: so many a workspace may have."""

    keys: list[KeyBody]
    most: int


class NewKeyBody(KeyBody):
    """POST /api-keys. `key` is shown here only."""

    key: str


class RotatedKeyBody(NewKeyBody, HoldsBody):
    """POST /api-keys/{id}/rotate."""

    previous: KeyBody


class RevokedBody(HoldsBody):
    """DELETE /api-keys/{id}."""

    revoked: bool


# Workspaces.


class WorkspaceBody(TypedDict):
    """`role`: that of who asks."""

    id: str
    name: str
    plan: str
    role: str
    personal: bool
    seats: int
    ready: bool
    created_at: str


class WorkspacesBody(TypedDict):
    """GET /workspaces. `current`: the one that this request is about."""

    workspaces: list[WorkspaceBody]
    current: str


class DeletedBody(HoldsBody):
    """DELETE /workspaces/{id}."""

    deleted: bool


class MemberBody(TypedDict):
    account_id: str
    name: str
    role: str
    since: str
    email: NotRequired[str]


class MembersBody(TypedDict):
    """GET /workspaces/{id}/members."""

    members: list[MemberBody]


class ChangedMemberBody(HoldsBody):
    """PATCH /workspaces/{id}/members/{account}."""

    account_id: str
    role: str


class RemovedMemberBody(HoldsBody):
    """DELETE /workspaces/{id}/members/{account}."""

    removed: bool


class InvitationBody(TypedDict):
    """`status`: open, expired or accepted."""

    id: str
    workspace_id: str
    email: str
    role: str
    status: str
    created_at: str
    expires_at: str
    invited_by: NotRequired[PersonBody]


class InvitationsBody(TypedDict):
    """GET /workspaces/{id}/invitations: those that were not accepted."""

    invitations: list[InvitationBody]


# The account, and use.


class ErasureBody(TypedDict):
    requested_at: str
    expires_at: str


class AccountBody(PersonBody):
    """GET and PATCH /account. `erasure`: it was asked for, and can be confirmed until then."""

    settings: dict[str, Any]
    created_at: str
    email: NotRequired[str]
    erasure: NotRequired[ErasureBody]


class ErasureMailedBody(TypedDict):
    """POST /account/erasure."""

    mailed: bool
    expires_at: str


class ErasingBody(HoldsBody):
    """POST /account/erasure/confirm."""

    erasing: bool


class DayBody(TypedDict):
    date: str
    calls: int


class HeldBody(TypedDict):
    """What the store holds; null, and `store_available` false, when it did not tell in time."""

    memories: int | None
    relationships: int | None
    storage_used_mb: float | None
    store_available: bool


class UsageBody(HeldBody):
    """GET /usage."""

    workspace_id: str
    plan: str
    limits: LimitsBody
    days: list[DayBody]
    calls_today: int
    calls_this_month: int


class LiveKeysBody(TypedDict):
    live: int
    most: int


class DashboardBody(TypedDict):
    """GET /dashboard/stats."""

    memory_count: int | None
    relationship_count: int | None
    storage_used_mb: float | None
    store_available: bool
    api_calls_today: int
    api_calls_this_month: int
    subscription_tier: str
    limits: LimitsBody
    keys: LiveKeysBody
    workspace: CurrentWorkspaceBody
    role: str
