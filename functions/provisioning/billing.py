"""Jobs of billing: what a change here means at Stripe, and what is true there means here.

    sync_seats                               as many seats are paid for as the workspace has members, or one
    end_duplicate {customer, subscription}   what is paid for beside another plan ends, and its money goes back
    end_grace {customer}                     what was due for longer than the grace ends
    settle_customer {customer}               the workspace has what its customer pays for
    hand_over_customer {customer}            whoever owned the workspace pays no more, and its new owner is told
    delete_customer {customer}               of a workspace that is gone: its subscriptions end with it

Each asks Stripe what is true now, does what is still to be done, and settles. So it comes to the same end when it is
done again, was killed anywhere, or when something else has happened since it was made.

A change that Stripe refuses is not tried again: the operator is told, and the nightly look at everything (reconcile.py)
makes such a job once more. When it refuses to say how things are, that is a matter of our key, and tried again. Without
a key nothing can be done: then a job gives up, unless nobody pays for its workspace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TypeVar

from billing.model import Customer, Status, Subscription
from billing.plans import seats_of
from billing.ports import Payments
from billing.projecting import project
from billing.settling import Settler
from billing.stripe.refusals import Refused
from core import logs
from core.problems import Internal, Unavailable
from declarations import GRACE_DAYS
from provisioning.jobs import GaveUp, subject
from provisioning.outbox import Job
from provisioning.parts import Parts

ENDED = (Status.CANCELED, Status.INCOMPLETE_EXPIRED)
ALONE_SECONDS = 45.0
"""Less than a lease of a customer lasts."""
NO_KEY = "Somebody pays through Stripe, and there is no STRIPE_API_KEY. Set it again, then revive this job."

_Answer = TypeVar("_Answer")


async def sync_seats(parts: Parts, job: Job) -> None:
    """A member who comes or goes while it runs makes another job (`app.count_seats`), which waits for the lease."""
    workspace = subject(job)
    payer = await parts.billing.payer_of(workspace)
    if payer is None or payer.customer is None:
        return  # nobody pays for it
    payments, settler = _stripe(parts)
    customer = payer.customer
    async with _alone(settler, customer):
        await _set_seats(parts, payments, job, customer)
    await settler.settle(customer)


async def _set_seats(parts: Parts, payments: Payments, job: Job, customer: str) -> None:
    payer = await parts.billing.payer_of(subject(job))
    projection = project(await payments.customer(customer), parts.clock.now())
    held = projection.paid
    seats = seats_of(projection.plan, payer.seats) if payer and projection.plan else 1
    if payer and held and held.seats != seats:
        # The job's id is in the key: from 3 seats to 4, back, and to 4 again within a day are three changes.
        key = f"seats {job.id} {held.item} {held.seats} {seats}"
        await _done(payments.set_seats(held, seats, key))


async def end_duplicate(parts: Parts, job: Job) -> None:
    customer, duplicate = _text(job, "customer"), _text(job, "subscription")
    payments, settler = _stripe(parts)
    held = await payments.customer(customer)
    projection = project(held, parts.clock.now())
    ended = any(one.id == duplicate and one.status in ENDED for one in held.subscriptions)
    # One that ended beside another may have been ended by an attempt that did not come to the refund.
    if any(one.id == duplicate for one in projection.duplicates) or (ended and projection.paid):
        cents = await _done(payments.cancel(duplicate, refund=True, key=f"duplicate {duplicate}"))
        await _report_duplicate(parts, held, duplicate, cents)
    await settler.settle(customer)


async def end_grace(parts: Parts, job: Job) -> None:
    customer = _text(job, "customer")
    payments, settler = _stripe(parts)
    refused: GaveUp | None = None
    for one in project(await payments.customer(customer), parts.clock.now()).overdue:
        try:
            # What arrived in this very moment is given back; of what did not, there is nothing to give.
            await _done(payments.cancel(one.id, refund=True, key=f"grace {one.id} {one.latest_invoice}"))
        except GaveUp as error:
            refused = error
    await settler.settle(customer)  # whatever Stripe refused: the grace is over
    if refused is not None:
        raise refused


async def settle_customer(parts: Parts, job: Job) -> None:
    _, settler = _stripe(parts)
    await settler.settle(_text(job, "customer"))


async def hand_over_customer(parts: Parts, job: Job) -> None:
    """The card of whoever owned it before is charged no more, and the new owner is told until when it is paid. Each
    hand-over is done once, and an older job after a newer one does nothing: a card that the new owner added stays."""
    workspace, customer = subject(job), _text(job, "customer")
    payments, settler = _stripe(parts)
    async with _alone(settler, customer):
        payer = await parts.billing.payer_of(workspace)
        if payer is None or payer.customer != customer:
            return  # the workspace is gone, or its customer is
        key = f"handed over {workspace} {payer.owners}"
        await _done(payments.hand_over(customer, payer.email, payer.name, key))
    await settler.settle(customer)
    held = project(await payments.customer(customer), parts.clock.now())
    if held.plan is not None and held.paid is not None:
        data = {"plan": held.plan.name.capitalize(), **_until(held.paid, held.grace_until)}
        await parts.watch.tell_owner(workspace, "handed over", payer.owners, "plan_handed_over", data)


def _until(paid: Subscription, grace_until: datetime | None) -> dict[str, str]:
    """Until when a plan is paid, and when it ends if nobody pays."""
    if grace_until is not None:
        day = _day(grace_until)
        return {"standing": f"A payment for it is due, and the plan goes on until {day}.", "until": day, "ends": day}
    day = _day(paid.period_end)
    ends = _day(paid.period_end + timedelta(days=GRACE_DAYS))
    return {"standing": f"It is paid until {day}.", "until": day, "ends": ends}


def _day(at: datetime) -> str:
    """As mails say it: 11 December 2026."""
    return f"{at.day} {at:%B %Y}"


async def delete_customer(parts: Parts, job: Job) -> None:
    customer = _text(job, "customer")
    payments, settler = _stripe(parts)
    if not (await payments.customer(customer)).deleted:
        await _done(delete_at_stripe(payments, customer))
    await settler.settle(customer)


async def erase_customers(parts: Parts, workspaces: Sequence[str]) -> None:
    """Delete who pays for these workspaces, at Stripe, and see that they are deleted.

    Raises:
        Unavailable, Internal: it is not done yet.
    """
    for customer in await parts.watch.list_customers_of(workspaces):
        if parts.payments is None:
            raise Unavailable(NO_KEY, part="stripe")
        if not (await parts.payments.customer(customer)).deleted:
            await delete_at_stripe(parts.payments, customer)


async def delete_at_stripe(payments: Payments, customer: str) -> None:
    """Delete a customer, with all that they pay for, and see that they are deleted.

    Raises:
        Unavailable, Internal: it is not done yet.
    """
    await payments.expire_checkouts(customer)  # nobody pays on a page for what is gone
    await payments.delete_customer(customer)
    if not (await payments.customer(customer)).deleted:
        raise Unavailable(f"Stripe still has the customer {customer} that it deleted.", part="stripe")


async def _report_duplicate(parts: Parts, customer: Customer, subscription: str, cents: int) -> None:
    day = parts.clock.now().date().isoformat()
    lines = [
        f"The customer {customer.id} of the workspace {customer.workspace} paid for two plans at once.",
        f"The subscription {subscription} was ended, and {cents / 100:.2f} USD of its newest invoice were given back.",
    ]
    logs.LOGGER.warning("A duplicate subscription was ended.", extra={"fields": {"customer": customer.id}})
    data = {"headline": "A plan was paid for twice", "lines": lines}
    await parts.ledger.tell_operator(f"duplicate {subscription} {day}", parts.settings.operator_email, data)


@asynccontextmanager
async def _alone(settler: Settler, customer: str) -> AsyncIterator[None]:
    """Be the only one who works at a customer, for less time than that lasts.

    Raises:
        Unavailable: another one is at it, or Stripe is too slow.
    """
    async with settler.holding(customer):
        try:
            async with asyncio.timeout(ALONE_SECONDS):
                yield
        except TimeoutError as error:
            raise Unavailable("Stripe is slow: it is done at another attempt.", part="stripe") from error


def _stripe(parts: Parts) -> tuple[Payments, Settler]:
    """Raises: GaveUp: there is no key."""
    if parts.payments is None or parts.settler is None:
        raise GaveUp(NO_KEY)
    return parts.payments, parts.settler


async def _done(change: Awaitable[_Answer]) -> _Answer:
    """Raises: GaveUp: Stripe refuses this change, as it would again."""
    try:
        return await change
    except Refused as error:
        about = f"code {error.code or 'none'}, parameter {error.parameter or 'none'}, request {error.request}"
        raise GaveUp(f"Stripe refuses it ({about}). Look at it in Stripe's dashboard.") from None
    except Internal as error:
        raise GaveUp(error.detail) from None


def _text(job: Job, name: str) -> str:
    value = job.payload.get(name)
    if not isinstance(value, str):
        raise GaveUp(f"It does not say its `{name}`.")
    return value
