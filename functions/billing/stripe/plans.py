"""Changes of a subscription: at once, at the end of its period, and taken back.

What comes later is a schedule (another plan) or `cancel_at_period_end` (none). A subscription with a schedule refuses
to be changed by itself, so a schedule is always released first. Each call has a key of its own, made from the caller's
and from the schedule that it starts from: a second try starts where the first one stopped.
"""

from __future__ import annotations

from typing import Any

from billing.model import Subscription
from billing.stripe.calls import Calls, Expected, Json, always, gone, never
from billing.stripe.prices import price_of
from billing.stripe.reading import DUE, id_of, understood
from billing.stripe.refusals import Refused
from core.problems import Conflict, PaymentRequired
from declarations import Plan

OVER = frozenset({"released", "canceled", "completed"})


async def change(calls: Calls, subscription: Subscription, plan: Plan, seats: int, key: str) -> None:
    """See `ports.Payments.change_plan`."""
    price = await price_of(calls, plan)
    await _release(calls, subscription, key)
    fields = {
        "items": [{"id": subscription.item, "price": price, "quantity": seats}],
        "proration_behavior": "always_invoice",
        "payment_behavior": "error_if_incomplete",
        "cancel_at_period_end": False,
    }
    try:
        await _update(calls, subscription, fields, f"{key}:change", _no_card)
    except Refused as refused:
        if not _no_card(refused):
            raise
        raise PaymentRequired(
            "There is no card, or other way to pay, for this workspace, so nothing was changed. Add one on the billing "
            "page of your dashboard, then try again."
        ) from None


async def schedule_change(calls: Calls, subscription: Subscription, plan: Plan, seats: int, key: str) -> None:
    """See `ports.Payments.schedule_change`."""
    price = await price_of(calls, plan)
    await keep(calls, subscription, key)
    made = await calls.ask(
        lambda stripe: stripe.v1.subscription_schedules.create_async(
            {"from_subscription": subscription.id}, {"idempotency_key": f"{key}:after:{subscription.schedule}"}
        )
    )
    with understood():
        schedule, running = str(made["id"]), made["phases"][0]
        params = phases_after(running, price, seats)
    try:
        await calls.ask(
            lambda stripe: stripe.v1.subscription_schedules.update_async(
                schedule, params, {"idempotency_key": f"{key}:phases:{schedule}"}
            ),
            always,
        )
    except Refused as refused:
        await _check_over(calls, schedule, refused)
        raise Conflict("This Idempotency-Key was used for a change that was taken back since. Use a new one.") from None


async def schedule_end(calls: Calls, subscription: Subscription, key: str) -> None:
    """See `ports.Payments.schedule_end`."""
    await _release(calls, subscription, key)
    await _update(calls, subscription, {"cancel_at_period_end": True}, f"{key}:end")


async def keep(calls: Calls, subscription: Subscription, key: str) -> None:
    """See `ports.Payments.keep`."""
    await _release(calls, subscription, key)
    if subscription.cancel_at is not None:
        await _update(calls, subscription, {"cancel_at_period_end": False}, f"{key}:keep")


async def set_seats(calls: Calls, subscription: Subscription, seats: int, key: str) -> None:
    """See `ports.Payments.set_seats`. A schedule may stay: only plans without seats come later.

    More are invoiced at once, since who leaves before the next invoice would have had them for nothing. They are in all
    the same when the card fails (`payment_behavior` is allow_incomplete): then the payment is due. Not while one is due
    already: Stripe has a subscription run whose newest invoice is paid, whatever became of the one before."""
    more, due = seats > subscription.seats, subscription.status in DUE
    fields = {
        "items": [{"id": subscription.item, "quantity": seats}],
        "proration_behavior": "always_invoice" if more and not due else "create_prorations",
    }
    await _update(calls, subscription, fields, f"{key}:seats")


def _no_card(refused: Refused) -> bool:
    """Nothing that the request names is missing, so it is what the customer pays with."""
    return gone(refused) and not refused.parameter


async def _update(calls: Calls, subscription: Subscription, fields: Any, key: str, expected: Expected = never) -> None:
    await calls.ask(
        lambda stripe: stripe.v1.subscriptions.update_async(subscription.id, fields, {"idempotency_key": key}),
        expected,
    )


async def _release(calls: Calls, subscription: Subscription, key: str) -> None:
    schedule = subscription.schedule
    if schedule is None:
        return
    try:
        await calls.ask(
            lambda stripe: stripe.v1.subscription_schedules.release_async(
                schedule, {}, {"idempotency_key": f"{key}:release:{schedule}"}
            ),
            always,
        )
    except Refused as refused:
        await _check_over(calls, schedule, refused)


async def _check_over(calls: Calls, schedule: str, refused: Refused) -> None:
    """Raises: Refused: the refusal has another reason than that the schedule is over."""
    now = await calls.ask(lambda stripe: stripe.v1.subscription_schedules.retrieve_async(schedule))
    if now.get("status") not in OVER:
        refused.tell()
        raise refused


def phases_after(running: Json, price: str, seats: int) -> Any:
    """The phase that runs as it is, then one period of the other price; after that the schedule lets go."""
    item = running["items"][0]
    both = _both(running)
    now = {
        "items": [{"price": item["price"], "quantity": item["quantity"]}],
        "start_date": running["start_date"],
        "end_date": running["end_date"],
    }
    then = {
        "items": [{"price": price, "quantity": seats}],
        "duration": {"interval": "month", "interval_count": 1},
    }
    return {
        "end_behavior": "release",
        "proration_behavior": "none",
        "phases": [{**now, **both}, {**then, **both}],
    }


def _both(running: Json) -> Json:
    """What a phase loses unless it is said again: how it is paid, and what was taken off its price."""
    off = [one for one in map(_discount, running.get("discounts") or []) if one]
    pays = id_of(running.get("default_payment_method"))
    return {
        "proration_behavior": "none",
        **({"discounts": off} if off else {}),
        **({"default_payment_method": pays} if pays else {}),
    }


def _discount(shown: Json) -> Json | None:
    """One discount of a phase, as Stripe takes it: by one of its names."""
    for kind in ("discount", "promotion_code", "coupon"):
        if name := id_of(shown.get(kind)):
            return {kind: name}
    return None
