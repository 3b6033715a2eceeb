"""Somebody else pays from now on: a workspace was handed over, and whoever owned it is charged no more.

    pages     that are open end: who pays on one would pay for what is no longer theirs
    who       name and e-mail are the new owner's; address and telephone go, so that Stripe asks for theirs
    cards     each is detached, and so is no default of the customer or of a subscription either
    planned   a schedule names the card that it began with: it is made anew
    done      by a mark on the customer, since the next card that comes is the new owner's and has to stay

The first of these writes down what is planned, so that being killed between loses nothing.
"""

from __future__ import annotations

from typing import Any

from billing.model import Customer, Subscription
from billing.plans import seats_of
from billing.stripe import checkouts, plans
from billing.stripe.calls import Calls, Json, always
from billing.stripe.reading import ENDED, id_of, understood
from billing.stripe.refusals import Refused, no_address
from declarations import PLANS_BY_PRICE

PAGE = 100
DONE = "handed_over"
AFTER = "after_"
"""Before a subscription's id: the lookup key of what comes after its period."""


async def hand_over(calls: Calls, customer: Customer, email: str | None, name: str, key: str) -> None:
    """See `ports.Payments.hand_over`."""
    found = await calls.ask(lambda stripe: stripe.v1.customers.retrieve_async(customer.id))
    with understood():
        if found.get("deleted") or found["metadata"].get(DONE) == key:
            return
        marks: dict[str, str] = dict(found["metadata"])
    await checkouts.expire(calls, await checkouts.pages(calls, customer.id))
    planned = [(one, after) for one in customer.subscriptions if (after := _after(one, marks))]
    notes = {f"{AFTER}{one.id}": after for one, after in planned}
    await _name(calls, customer.id, email, name, notes)
    await _detach(calls, customer.id)
    for one, after in planned:
        plan = PLANS_BY_PRICE[after]
        await plans.schedule_change(calls, one, plan, seats_of(plan, one.seats), key)
    cleared = {mark: "" for mark in (*marks, *notes) if mark.startswith(AFTER)}
    await _change(calls, customer.id, {"metadata": {**cleared, DONE: key}})


def _after(subscription: Subscription, marks: dict[str, str]) -> str | None:
    """The lookup key of what is planned, or was when this began."""
    planned = subscription.next_lookup_key or marks.get(f"{AFTER}{subscription.id}")
    return planned if subscription.status not in ENDED and planned in PLANS_BY_PRICE else None


async def _name(calls: Calls, customer: str, email: str | None, name: str, notes: dict[str, str]) -> None:
    params = {"name": name, "email": email or "", "address": "", "phone": "", "metadata": notes}
    try:
        await _change(calls, customer, params)
    except Refused as refused:
        if not no_address(refused):
            raise
        await _change(calls, customer, {**params, "email": ""})


async def _detach(calls: Calls, customer: str) -> None:
    """Every way to pay, of any kind, until none is left."""
    params: Any = {"customer": customer, "limit": PAGE}
    while True:
        page = await calls.ask(lambda stripe: stripe.v1.payment_methods.list_async(params))
        with understood():
            cards = [str(one["id"]) for one in page["data"]]
        for card in cards:
            await _detach_one(calls, card)
        if not cards:
            return


async def _detach_one(calls: Calls, card: str) -> None:
    try:
        await calls.ask(lambda stripe: stripe.v1.payment_methods.detach_async(card), always)
    except Refused as refused:  # somebody removed it in this moment
        now: Json = await calls.ask(lambda stripe: stripe.v1.payment_methods.retrieve_async(card))
        if id_of(now.get("customer")) is not None:
            refused.tell()
            raise


async def _change(calls: Calls, customer: str, params: Any) -> None:
    """Without a key of ours: what is done twice is as if it were done once."""
    await calls.ask(lambda stripe: stripe.v1.customers.update_async(customer, params), no_address)
