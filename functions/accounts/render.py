"""Domain -> wire: limits of plans and use of them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from accounts.usage.service import Usage
from core.ports import Principal
from declarations import FREE, PLANS
from memories.quotas import MEGABYTE
from memories.quotas import Usage as Held

if TYPE_CHECKING:
    from accounts import answers


def verified_body(caller: Principal, described: dict[str, Any]) -> answers.VerifiedBody:
    """GET /auth/verify. The e-mail address is for those who may see the account; `key` is null for a person."""
    account: answers.VerifiedAccountBody = described["account"]
    if "account" not in caller.scopes:
        account.pop("email", None)
    workspace: answers.CurrentWorkspaceBody = described["workspace"]
    return {
        "account": account,
        "workspace": {**workspace, "plan": caller.plan},
        "role": described["role"],
        "key": described["key"],
        "scopes": sorted(caller.scopes),
        "limits": limits_body(caller),
    }


def limits_body(caller: Principal) -> answers.LimitsBody:
    """Of the plan; null is no limit. `key_calls_per_day` only for a key with a cap of its own."""
    plan = PLANS.get(caller.plan, FREE)
    body: answers.LimitsBody = {
        "calls_per_day": plan.calls_per_day,
        "calls_per_minute": plan.calls_per_minute,
        "memories": plan.memories,
        "storage_mb": plan.storage_mb,
    }
    if caller.key_calls_per_day is not None:
        body["key_calls_per_day"] = caller.key_calls_per_day
    return body


def usage_body(caller: Principal, usage: Usage) -> answers.UsageBody:
    """GET /usage. What the store did not tell in time is null, and `store_available` false."""
    return {
        "workspace_id": caller.workspace_id,
        "plan": caller.plan,
        "limits": limits_body(caller),
        "days": [_day(day, calls) for day, calls in usage.days],
        "calls_today": usage.today,
        "calls_this_month": usage.this_month,
        **_held(usage.held),
    }


def dashboard_body(caller: Principal, usage: Usage, described: dict[str, Any], keys_most: int) -> answers.DashboardBody:
    """GET /dashboard/stats."""
    held = _held(usage.held)
    return {
        "memory_count": held["memories"],
        "relationship_count": held["relationships"],
        "storage_used_mb": held["storage_used_mb"],
        "store_available": held["store_available"],
        "api_calls_today": usage.today,
        "api_calls_this_month": usage.this_month,
        "subscription_tier": caller.plan,
        "limits": limits_body(caller),
        "keys": {"live": described["keys"], "most": keys_most},
        "workspace": described["workspace"],
        "role": described["role"],
    }


def _day(day: date, calls: int) -> answers.DayBody:
    return {"date": day.isoformat(), "calls": calls}


def _held(held: Held | None) -> answers.HeldBody:
    return {
        "memories": held.memories if held else None,
        "relationships": held.relationships if held else None,
        "storage_used_mb": round(held.bytes / MEGABYTE, 3) if held else None,
        "store_available": held is not None,
    }
