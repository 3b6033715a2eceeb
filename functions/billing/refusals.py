"""What the control plane refuses of billing, in words: the SQLSTATEs that 0019_billing.sql raises besides those of
accounts/refusals.py."""

from __future__ import annotations

from accounts import refusals
from core.problems import Conflict, Problem

LEASE_LOST = "MGLEA"


def refusal(sqlstate: str | None) -> Problem | None:
    """The problem that a caller gets; None when the control plane raised something else."""
    if sqlstate == LEASE_LOST:
        return Conflict(
            "Looking at the payments took too long, so another look has begun since, and nothing was changed by this "
            "one. Try again in a moment."
        )
    return refusals.refusal(sqlstate)
