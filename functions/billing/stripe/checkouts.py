"""Pages at Stripe: where a plan is paid for (at most one that is open for a customer), and the portal."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from billing.model import Checkout
from billing.stripe.calls import Calls, Json, always, gone
from billing.stripe.prices import price_of
from billing.stripe.reading import moment, understood
from billing.stripe.refusals import Refused
from core.problems import Conflict, TooManyRequests
from declarations import Plan

PAGES_MOST = 20
"""That a workspace may open in an hour."""
HOUR_SECONDS = 3600
PAGE = 100
"""The newest pages of a customer. What is older has ended: a page lasts a day."""


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants to buy. `key` names this wish: asked for again, it gets the same page."""

    customer: str
    workspace: str
    plan: Plan
    seats: int
    site_url: str
    key: str

    @property
    def words(self) -> str:
        return f"{self.plan.lookup_key} x {self.seats}"


async def pages(calls: Calls, customer: str) -> list[Json]:
    """Their pages of the last day, the newest first."""
    found = await calls.ask(
        lambda stripe: stripe.v1.checkout.sessions.list_async({"customer": customer, "limit": PAGE})
    )
    with understood():
        data: list[Json] = found["data"]
        return data


async def expire(calls: Calls, found: list[Json]) -> None:
    """End those that are open.

    Raises:
        Conflict: one of them was paid meanwhile.
    """
    for page in found:
        if page.get("status") == "open":
            await _expire(calls, page["id"])


async def open_page(calls: Calls, order: Order) -> Checkout:
    """The page for an order, after every other one of the customer has ended.

    Raises:
        Conflict: the key is that of another order, or of a page that is over; or an older page was paid meanwhile.
        TooManyRequests: too many were opened within the hour.
    """
    found = await pages(calls, order.customer)
    with understood():
        same = next((page for page in found if (page.get("metadata") or {}).get("request") == order.key), None)
        recent = sum(page["created"] > time.time() - HOUR_SECONDS for page in found)
    if same is not None:
        return _again(same, order)
    if recent >= PAGES_MOST:
        raise TooManyRequests(
            f"{recent} pages for payment were opened for this workspace within an hour. Use the newest, or try again "
            "later.",
            retry_after_seconds=HOUR_SECONDS // 4,
        )
    await expire(calls, found)
    params = await _params(calls, order)
    made = await calls.ask(
        lambda stripe: stripe.v1.checkout.sessions.create_async(params, {"idempotency_key": order.key})
    )
    return _checkout(made)


async def open_portal(calls: Calls, customer: str, configuration: str, return_url: str) -> str:
    """See `ports.Payments.open_portal`."""
    params: Any = {
        "customer": customer,
        "return_url": return_url,
        **({"configuration": configuration} if configuration else {}),
    }
    try:
        made = await calls.ask(lambda stripe: stripe.v1.billing_portal.sessions.create_async(params), _no_customer)
    except Refused as refused:
        if not _no_customer(refused):
            raise
        raise Conflict(
            "Stripe does not know who paid for this workspace any more, so there is nothing to show. Choose a plan on "
            "the billing page of your dashboard to begin anew."
        ) from None
    with understood():
        return str(made["url"])


def _no_customer(refused: Refused) -> bool:
    return gone(refused) and refused.parameter == "customer"


async def _expire(calls: Calls, page: str) -> None:
    try:
        await calls.ask(lambda stripe: stripe.v1.checkout.sessions.expire_async(page), always)
    except Refused as refused:  # it is not open any more
        now = await calls.ask(lambda stripe: stripe.v1.checkout.sessions.retrieve_async(page))
        if now.get("status") == "complete":
            raise Conflict(
                "Somebody has just paid on an earlier page for this workspace, so no other was opened. Wait a few "
                "seconds, then load the billing page of your dashboard again."
            ) from None
        if now.get("status") != "expired":
            refused.tell()
            raise


def _again(page: Json, order: Order) -> Checkout:
    if page["metadata"].get("order") != order.words:
        raise Conflict("This Idempotency-Key was used for another request. Use a new one.")
    if page.get("status") != "open":
        raise Conflict(
            "The page that was opened with this Idempotency-Key was paid on, or is over. Load the billing page of your "
            "dashboard again; to buy another plan, use a new Idempotency-Key."
        )
    return _checkout(page)


def _checkout(page: Json) -> Checkout:
    with understood():
        return Checkout(id=page["id"], url=page["url"], expires_at=moment(page["expires_at"]))


async def _params(calls: Calls, order: Order) -> Any:
    back = f"{order.site_url}/dashboard/billing?checkout="
    return {
        "mode": "subscription",
        "customer": order.customer,
        "client_reference_id": order.workspace,
        "line_items": [{"price": await price_of(calls, order.plan), "quantity": order.seats}],
        "metadata": {"workspace_id": order.workspace, "request": order.key, "order": order.words},
        "subscription_data": {"metadata": {"workspace_id": order.workspace}},
        "allow_promotion_codes": True,
        "success_url": back + "done",
        "cancel_url": back + "cancelled",
    }
