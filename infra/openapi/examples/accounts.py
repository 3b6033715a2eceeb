"""The people of the story in examples/memories.py: Ada, who owns a workspace, and Bo, who works in it."""

from __future__ import annotations

from typing import Any

from declarations import FREE, KEYS_MOST, TEAM, Plan

Example = dict[str, Any]

TIME = "2025-01-31T09:15:27.123456+00:00"
LATER = "2025-02-07T09:15:27.123456+00:00"
ACCOUNT_ID = "3b0a3a3e-7a55-4d0e-8f0a-0d4c1c6d2b11"
OTHER_ID = "9f2c7c54-6f8e-4b7a-a1f0-5d2f1e9a7c03"
WORKSPACE_ID = "c5d1f0a2-1b8e-4c58-9a7e-2f4b6d8e0a13"
KEY_ID = "5e8d7c6b-4a39-4281-b706-f5e4d3c2b1a0"
INVITATION_ID = "7a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
ADDRESS = "ada@example.com"
SECONDS = {"holds_within_seconds": 5}

ADA: Example = {"id": ACCOUNT_ID, "name": "Ada"}
CURRENT: Example = {
    "id": WORKSPACE_ID,
    "name": "The shop",
    "personal": False,
    "seats": 2,
    "ready": True,
    "created_at": TIME,
}


def _limits(plan: Plan) -> Example:
    names = ("calls_per_day", "calls_per_minute", "memories", "storage_mb")
    return {name: getattr(plan, name) for name in names}


VERIFIED: Example = {
    "account": ADA,
    "workspace": {**CURRENT, "plan": TEAM.name},
    "role": "owner",
    "key": {
        "id": KEY_ID,
        "name": "Laptop",
        "prefix": "mg_3f9a1c2b",
        "scopes": ["memories:read", "memories:write"],
    },
    "scopes": ["memories:read", "memories:write"],
    "limits": _limits(TEAM),
}
SETTINGS: Example = {"theme": "dark", "mails.usage": True}
ACCOUNT: Example = {**ADA, "settings": SETTINGS, "created_at": TIME, "email": ADDRESS}
ERASURE_MAILED: Example = {"mailed": True, "expires_at": LATER}
ERASING: Example = {"erasing": True, **SECONDS}
TOKEN: Example = {"token": "0fX3mT9cQ1rB7vZ2"}

NEW_KEY: Example = {"name": "Laptop", "scopes": ["memories:read", "memories:write"], "expires_in_days": 90}
KEY: Example = {
    "id": KEY_ID,
    "name": "Laptop",
    "prefix": "mg_3f9a1c2b",
    "masked": "mg_3f9a1c2b****",
    "scopes": ["memories:read", "memories:write"],
    "status": "active",
    "created_at": TIME,
    "owner": ADA,
}
MADE_KEY: Example = {**KEY, "key": "mg_3f9a1c2b..."}
ROTATED_KEY: Example = {
    **MADE_KEY,
    "id": "1c2d3e4f-5a6b-4c7d-8e9f-0a1b2c3d4e5f",
    "rotated_from": KEY_ID,
    "previous": {**KEY, "status": "rotated", "expires_at": LATER},
    **SECONDS,
}
KEYS: Example = {"keys": [KEY], "most": KEYS_MOST}
REVOKED: Example = {"revoked": True, **SECONDS}

WORKSPACE: Example = {**CURRENT, "plan": TEAM.name, "role": "owner"}
NEW_WORKSPACE: Example = {**WORKSPACE, "plan": FREE.name, "seats": 1, "ready": False}
WORKSPACES: Example = {"workspaces": [WORKSPACE], "current": WORKSPACE_ID}
DELETED: Example = {"deleted": True, **SECONDS}
MEMBERS: Example = {
    "members": [
        {"account_id": ACCOUNT_ID, "name": "Ada", "role": "owner", "since": TIME, "email": ADDRESS},
        {"account_id": OTHER_ID, "name": "Bo", "role": "member", "since": TIME, "email": "bo@example.com"},
    ]
}
CHANGED_MEMBER: Example = {"account_id": OTHER_ID, "role": "admin", **SECONDS}
REMOVED: Example = {"removed": True, **SECONDS}
INVITATION: Example = {
    "id": INVITATION_ID,
    "workspace_id": WORKSPACE_ID,
    "email": "bo@example.com",
    "role": "member",
    "status": "open",
    "created_at": TIME,
    "expires_at": LATER,
    "invited_by": ADA,
}

USAGE: Example = {
    "workspace_id": WORKSPACE_ID,
    "plan": TEAM.name,
    "limits": _limits(TEAM),
    "days": [{"date": "2025-01-30", "calls": 812}, {"date": "2025-01-31", "calls": 126}],
    "calls_today": 126,
    "calls_this_month": 938,
    "memories": 340,
    "relationships": 512,
    "storage_used_mb": 1.204,
    "store_available": True,
}
DASHBOARD: Example = {
    "memory_count": 340,
    "relationship_count": 512,
    "storage_used_mb": 1.204,
    "store_available": True,
    "api_calls_today": 126,
    "api_calls_this_month": 938,
    "subscription_tier": TEAM.name,
    "limits": _limits(TEAM),
    "keys": {"live": 1, "most": KEYS_MOST},
    "workspace": CURRENT,
    "role": "owner",
}
