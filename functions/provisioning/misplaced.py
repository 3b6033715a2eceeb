"""Workspaces whose memories are not where their plan says: a step of the sweep.

Those that fit there are moved: at once when they did not before, otherwise once a day, for then a move was given up.
Those that do not fit stay where they are (moves.py), and their owner is told once what to do about it.
"""

from __future__ import annotations

from declarations import PLANS, Plan
from provisioning.moves import TOO_LARGE
from provisioning.parts import Parts
from provisioning.watch import Misplaced

PAGE = 200
STAYS = "plan stays"
_MEGABYTE = 1_000_000


async def move_what_fits(parts: Parts) -> int:
    """Look at all of them; how many are to be moved."""
    kinds = {name: parts.stores.kind_for(plan).value for name, plan in PLANS.items()}
    staying: list[str] = []
    moves, after = 0, None
    while page := await parts.watch.list_misplaced(kinds, TOO_LARGE, after, PAGE):
        for one in page:
            plan = PLANS[one.plan]
            if one.noted and not _fits(one, plan):
                staying.append(one.workspace)
                await _tell(parts, one, plan)
            elif not one.moving and (one.noted or not one.moved):
                moves += await parts.watch.move_misplaced(one.workspace, one.plan, kinds[one.plan])
        after = page[-1].workspace
    await parts.watch.untell_owners(STAYS, staying)
    return moves


async def _tell(parts: Parts, one: Misplaced, plan: Plan) -> None:
    measured = one.memories is not None and one.bytes is not None
    data = {
        "plan": plan.name,
        "used": _amounts(one.memories, one.bytes or 0) if measured else "more",
        "most": _amounts(plan.memories, plan.storage_mb * _MEGABYTE),
    }
    await parts.watch.tell_owner(one.workspace, STAYS, 0, "plan_stays", data)


def _fits(one: Misplaced, plan: Plan) -> bool:
    """One that was not measured is as large as it was when it did not fit."""
    if one.memories is None or one.bytes is None:
        return False
    return (plan.memories is None or one.memories <= plan.memories) and one.bytes <= plan.storage_mb * _MEGABYTE


def _amounts(memories: int | None, size: int) -> str:
    count = "any number of memories" if memories is None else f"{memories:,} memories"
    return f"{count} and {-(-size // _MEGABYTE):,} MB"
