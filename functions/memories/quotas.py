"""How much a workspace may hold by its plan, and what is said when it is full.

The stores keep count and refuse, in the batch of the write itself (stores/); here are the words.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.problems import Forbidden
from declarations import FREE, PLANS, Plan

MEGABYTE = 1_000_000
GIGABYTE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """What a store may hold. `memories` None: any number."""

    memories: int | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store holds. `bytes`: the texts of memories and of their earlier states, and what relationships take."""

    memories: int
    relationships: int
    bytes: int


class Resource(StrEnum):
    """What a store may have no more room for."""

    MEMORIES = "memories"
    BYTES = "bytes"


class QuotaReached(Forbidden):
    """The plan has no room for it, and nothing was done. Reading and deleting still work, and what does not grow."""

    def __init__(self, detail: str, resource: Resource) -> None:
        super().__init__(detail)
        self.resource = resource


def limits_of(plan: str) -> StoreLimits:
    """What a plan's workspace may hold; one of an unknown plan is treated as `core.limits` does: as free."""
    declared = PLANS.get(plan, FREE)
    return StoreLimits(declared.memories, declared.storage_mb * MEGABYTE)


def reached(limits: StoreLimits, usage: Usage | None, resource: Resource) -> QuotaReached:
    """The limit, the use, and the way up (client contract 4.1: an MCP user sees this text and nothing else).

    `usage`: None for a caller who may not know how much there is.
    """
    ours = next((plan for plan in PLANS.values() if limits_of(plan.name) == limits), None)
    named = f"Your {ours.name.title()} plan" if ours else "Your plan"
    if usage is None:
        most = f"{limits.memories:,} memories" if resource is Resource.MEMORIES else told(limits.bytes)
        full = f"holds {most}, and the workspace is full"
    elif resource is Resource.MEMORIES:
        full = f"holds {limits.memories:,} memories and {usage.memories:,} are stored"
    else:
        full = (
            f"holds {told(limits.bytes)}, earlier states and relationships included, and {told(usage.bytes)} are stored"
        )
    return QuotaReached(f"{named} {full}. {_way_up(limits, resource)}", resource)


def told(size: int) -> str:
    """A number of bytes, as plans say it."""
    for unit, name in ((GIGABYTE, "GB"), (MEGABYTE, "MB"), (1_000, "KB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"


def _way_up(limits: StoreLimits, resource: Resource) -> str:
    larger = next(
        (plan for plan in PLANS.values() if _room(limits_of(plan.name), resource) > _room(limits, resource)), None
    )
    if larger is None:
        return "Delete some memories to store others."
    return f"Delete some, or upgrade to {larger.name.title()} for {_offer(larger, resource)}."


def _room(limits: StoreLimits, resource: Resource) -> float:
    if resource is Resource.BYTES:
        return limits.bytes
    return float("inf") if limits.memories is None else limits.memories


def _offer(plan: Plan, resource: Resource) -> str:
    if resource is Resource.BYTES:
        return told(plan.storage_mb * MEGABYTE)
    return "any number" if plan.memories is None else f"{plan.memories:,}"
