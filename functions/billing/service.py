"""What people do about what their workspace pays: buy, change, take back, and see what they bought.

Stripe says what is true. So every change looks at the customer first, under the customer's lease, and ends with a
settlement, which gives the workspace what it pays for now. When something fails on the way, asking again goes on from
there: what is done is not done twice. Coming back from Stripe's page grants nothing; its webhook does.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from accounts.asker import Asker
from billing import plans
from billing.customers import customer_of
from billing.model import Checkout, Customer, Subscription
from billing.plans import Step
from billing.ports import Body, Ledger, Payer, Payments
from billing.projecting import project
from billing.selling import sells
from billing.settling import Settler
from core.ports import Clock
from core.problems import Conflict, Forbidden, Unavailable
from core.rotation import SecretSource
from declarations import Plan

ALONE_SECONDS = 45.0
"""Less than a lease of a customer lasts, and less than a request may take."""
RETRY_SECONDS = 5


class BillingService:
    """One for the process; each call says who asks. `wish` names what they want: the same again is done once.

    Args:
        api_key: without one of Stripe's, nothing is sold.
        portal: the id of the portal's configuration.
    """

    def __init__(
        self,
        ledger: Ledger,
        payments: Payments,
        settler: Settler,
        clock: Clock,
        *,
        api_key: SecretSource,
        site_url: str,
        portal: str,
    ) -> None:
        self._ledger = ledger
        self._payments = payments
        self._settler = settler
        self._clock = clock
        self._api_key = api_key
        self._site_url = site_url.rstrip("/")
        self._portal = portal

    async def read(self, asker: Asker) -> Body:
        """What the workspace has and pays for."""
        return await self._ledger.read(asker)

    async def open_checkout(self, asker: Asker, plan: Plan, seats: int | None, wish: str) -> Checkout:
        """A page where the plan is paid for; the workspace's other pages end.

        Args:
            seats: how many people they think are in the workspace, each of whom is paid for.

        Raises:
            Forbidden: who asks does not own the workspace, or nothing is sold.
            Invalid: there are more or fewer people, or the plan has no seats.
            Conflict: the workspace pays for a plan already.
            TooManyRequests: too many pages were opened within the hour.
        """
        await self._check_sold()
        payer = await self._ledger.payer(asker)
        quantity = plans.quantity(plan, seats, payer.seats)
        customer = await customer_of(payer, self._ledger, self._payments)
        page = await self._open(asker, payer, customer, plan, quantity, wish)
        if page is None:  # deleted at Stripe: the workspace is told, and gets another
            await self._settler.settle(customer)
            payer = await self._ledger.payer(asker)
            page = await self._open(
                asker, payer, await customer_of(payer, self._ledger, self._payments), plan, quantity, wish
            )
        if page is None:
            raise Unavailable("Stripe has just deleted who pays for this workspace. Please try again.", part="stripe")
        return page

    async def open_portal(self, asker: Asker) -> str:
        """The address of the page where they change how they pay, and see their invoices.

        Raises:
            Forbidden: who asks does not own the workspace, or nothing is sold.
            Conflict: the workspace never paid for anything.
        """
        await self._check_sold()
        payer = await self._ledger.payer(asker)
        if payer.customer is None:
            raise Conflict(
                "This workspace has never paid for anything, so there is nothing to show. Choose a plan on the billing "
                "page of your dashboard."
            )
        return await self._payments.open_portal(payer.customer, self._portal, f"{self._site_url}/dashboard/billing")

    async def change_plan(self, asker: Asker, plan: Plan, wish: str) -> Body:
        """Up at once; down, or to the free plan, when the period ends. What is so already is not done again.

        Returns:
            What the workspace has and pays for now; `note`: what it means for others in it.

        Raises:
            Forbidden: who asks does not own the workspace, or nothing is sold.
            Conflict: the workspace pays for no plan, or a payment is due first.
            PaymentRequired: the payment failed; nothing was changed.
        """
        payer, customer = await self._payer(asker)
        async with self._alone(customer):
            now = project(await self._payments.customer(customer), self._clock.now())
            what, subscription = plans.step(now, plan)
            if what is not Step.NOTHING:
                detail = {"plan": plan.name, "subscription": subscription.id}
                await self._ledger.note(asker, "change_asked", detail)
            await self._take(what, subscription, plan, payer, _key("plan", payer, wish))
        held = plans.paid_for(now)[0]
        body = await self._settled(asker, customer, plans.note(held, plan, payer.seats, subscription.period_end))
        ends = body["cancel_at"] is not None
        plans.check_done(what, ends=ends, planned=ends or body["next_at"] is not None)
        return body

    async def keep_plan(self, asker: Asker) -> Body:
        """Take back what was planned for the end of the period.

        Raises:
            Forbidden: who asks does not own the workspace, or nothing is sold.
            Conflict: the workspace pays for no plan.
        """
        payer, customer = await self._payer(asker)
        async with self._alone(customer):
            now = project(await self._payments.customer(customer), self._clock.now())
            _, subscription = plans.paid_for(now)
            if plans.is_planned(subscription):
                await self._ledger.note(asker, "keep_asked", {"subscription": subscription.id})
                await self._payments.keep(subscription, _key("keep", payer, uuid.uuid4().hex))
        return await self._settled(asker, customer, None)

    async def _take(self, what: Step, subscription: Subscription, plan: Plan, payer: Payer, key: str) -> None:
        seats = plans.seats_of(plan, payer.seats)
        match what:
            case Step.CHANGE:
                await self._payments.change_plan(subscription, plan, seats, key)
            case Step.SCHEDULE:
                await self._payments.schedule_change(subscription, plan, seats, key)
            case Step.END:
                await self._payments.schedule_end(subscription, key)
            case Step.KEEP:
                await self._payments.keep(subscription, key)
            case Step.NOTHING:
                pass

    async def _settled(self, asker: Asker, customer: str, note: str | None) -> Body:
        """Give the workspace what it pays for, without waiting for the webhook; what that is."""
        await self._settler.settle(customer)
        body = await self._ledger.read(asker)
        return {**body, "note": note} if note else body

    async def _open(
        self, asker: Asker, payer: Payer, customer: str, plan: Plan, seats: int, wish: str
    ) -> Checkout | None:
        """None: Stripe has deleted the customer."""
        async with self._alone(customer):
            found: Customer = await self._payments.customer(customer)
            if found.deleted:
                return None
            plans.check_unpaid(project(found, self._clock.now()), found)
            await self._ledger.note(asker, "checkout_asked", {"plan": plan.name, "seats": seats})
            return await self._payments.open_checkout(
                customer, payer.workspace, plan, seats, self._site_url, _key("checkout", payer, wish)
            )

    @asynccontextmanager
    async def _alone(self, customer: str) -> AsyncIterator[None]:
        """Be the only one who works at a customer, for less time than that lasts.

        Raises:
            Unavailable: another one is at it, or Stripe is too slow.
        """
        async with self._settler.holding(customer):
            try:
                async with asyncio.timeout(ALONE_SECONDS):
                    yield
            except TimeoutError as error:
                detail = "Stripe, where payments are made, is slow. Please try again in a few seconds."
                raise Unavailable(detail, part="stripe", retry_after_seconds=RETRY_SECONDS) from error

    async def _payer(self, asker: Asker) -> tuple[Payer, str]:
        """Who pays, and their customer at Stripe."""
        await self._check_sold()
        payer = await self._ledger.payer(asker)
        if payer.customer is None:
            raise plans.no_plan()
        return payer, payer.customer

    async def _check_sold(self) -> None:
        if not sells(await self._api_key.read()):
            raise Forbidden("No plans are sold here: whoever runs this service has not set up payments.")


def _key(what: str, payer: Payer, wish: str) -> str:
    """An idempotency key of Stripe's, which all workspaces share."""
    return f"{what}:{payer.workspace}:{hashlib.sha256(wish.encode()).hexdigest()[:32]}"
