"""What clients send: Pydantic models. Strict, unknown fields are ignored, every fault is named by its field, as 400."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

import declarations
from memories.fields import Whole, member_of
from memories.schemas import Request

SEATS_MOST = 1000


class PaidPlan(StrEnum):
    """`declarations.PAID`."""

    PRO = declarations.PRO.name
    TEAM = declarations.TEAM.name


class PlanName(StrEnum):
    """`declarations.PLANS`."""

    FREE = declarations.FREE.name
    PRO = declarations.PRO.name
    TEAM = declarations.TEAM.name


class CheckoutOpen(Request):
    """POST /billing/checkout."""

    plan: Annotated[PaidPlan, member_of(PaidPlan)]
    seats: Annotated[Whole, Field(ge=1, le=SEATS_MOST)] | None = None


class PlanChange(Request):
    """POST /billing/plan."""

    plan: Annotated[PlanName, member_of(PlanName)]
