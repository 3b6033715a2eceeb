"""What Ada's workspace pays for."""

from __future__ import annotations

from typing import Any

from declarations import PRO, TEAM
from infra.openapi.examples.accounts import TIME

Example = dict[str, Any]

PERIOD_END = "2025-02-28T09:15:27.000000+00:00"

BILLING: Example = {
    "plan": TEAM.name,
    "status": "active",
    "price_usd": TEAM.price_usd,
    "seats": 2,
    "members": 2,
    "period_end": PERIOD_END,
    "cancel_at": None,
    "next_plan": None,
    "next_at": None,
    "grace_until": None,
    "disputed": False,
    "move": {"state": "none", "to": None, "note": None},
    "customer": True,
    "subscription": True,
}
PLANNED: Example = {
    **BILLING,
    "next_plan": PRO.name,
    "next_at": PERIOD_END,
    "note": "From 28 February 2025 on, the other member of this workspace cannot use it: the plan pro is for its owner "
    "alone. They stay listed, and are back as soon as the workspace has the plan team again.",
}
ORDER: Example = {"plan": TEAM.name, "seats": 2}
CHECKOUT: Example = {
    "id": "cs_test_a1b2c3",
    "url": "https://checkout.stripe.com/c/pay/cs_test_a1b2c3",
    "expires_at": TIME,
}
PORTAL: Example = {"url": "https://billing.stripe.com/p/session/test_a1b2c3"}
EVENT: Example = {
    "id": "evt_1a2b3c",
    "object": "event",
    "type": "customer.subscription.updated",
    "created": 1_738_314_927,
    "data": {"object": {"id": "sub_1a2b3c", "object": "subscription", "customer": "cus_1a2b3c"}},
}
