"""Tells the operator before Turso's plan runs out of databases: at 80 and at 95 per cent, once for each crossing."""

from __future__ import annotations

from provisioning.parts import Parts

LEVELS = (80, 95)
BACK = 5
"""Per cent below a level at which its next crossing is told again."""


async def watch_ceiling(parts: Parts) -> int:
    """How many databases there are."""
    count, most = await parts.stores.placements.count_databases(), parts.settings.turso_databases_most
    for level in LEVELS if most else ():
        what = f"turso databases {level}%"
        if count * 100 >= most * level:
            lines = [
                f"{count} of {most} databases are in use.",
                "When none is left, new workspaces of the Free plan start in PostgreSQL. "
                "Raise Turso's plan, then set TURSO_DATABASES_MOST (0: as many as one likes).",
            ]
            data = {"headline": f"{level}% of Turso's databases are in use", "lines": lines}
            await parts.ledger.tell_operator(what, parts.settings.operator_email, data)
        elif count * 100 < most * (level - BACK):
            await parts.ledger.untell_operator(what)
    return count
