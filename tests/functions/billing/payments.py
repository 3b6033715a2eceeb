# ruff: noqa: ARG002 - the port says which arguments there are
"""Stripe in memory, as `billing.ports.Payments` says it: customers, subscriptions, what is planned, refunds, pages.

What a test does to it stands in the first half (`add_customer`, `subscribe`, `fail_payment`, ...), the port in the
second. `fail` makes a method fail once or until `mend`, before it did its work or after (done, but nobody was told).
Asking twice with one key is asking once; one key for two different things is a fault of the caller, as at Stripe.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, TypeVar, cast

import orjson

from billing.model import Checkout, Customer, Dispute, Event, Status, Subscription
from core.ports import Clock
from core.problems import Internal, Invalid, PaymentRequired, Unavailable
from core.settings import Secret
from declarations import PLANS_BY_PRICE, Plan

PERIOD = timedelta(days=30)
ENDED = (Status.CANCELED, Status.INCOMPLETE_EXPIRED)
DOWN = Unavailable("Stripe does not answer.", part="stripe")
REFUSES = Internal("Stripe refuses it (400). STRIPE_API_KEY may lack a permission.")


@dataclass(slots=True)
class Fault:
    """What a method meets. `after`: when it has done its work. `once`: the next call only."""

    error: BaseException
    after: bool
    once: bool


@dataclass(slots=True)
class Page:
    """A checkout page. `state`: open, complete or expired."""

    checkout: Checkout
    customer: str
    plan: Plan
    seats: int
    state: str = "open"


@dataclass(slots=True)
class Account:
    """A customer, as kept here."""

    id: str
    workspace: str | None
    email: str | None = None
    name: str = ""
    deleted: bool = False
    cards: list[str] = field(default_factory=list)
    handed_over: str = ""
    subscriptions: dict[str, Subscription] = field(default_factory=dict)


_Method = TypeVar("_Method", bound=Callable[..., Awaitable[Any]])


def _called(method: _Method) -> _Method:
    """Logs the call, lets it fail as it is told, and does once what is asked twice with one key."""
    signature = inspect.signature(method)

    @wraps(method)
    async def call(self: MemoryPayments, *args: Any, **kwargs: Any) -> Any:
        bound = dict(signature.bind(self, *args, **kwargs).arguments)
        del bound["self"]
        first = next(iter(bound.values()), None)
        self.asked.append((method.__name__, str(getattr(first, "id", first))))
        self.reach(method.__name__)
        self._fault(method.__name__, after=False)
        key = bound.pop("key", None)
        answer = await self._once(key, (method.__name__, bound), lambda: method(self, *args, **kwargs))
        self._fault(method.__name__, after=True)
        return answer

    return cast(_Method, call)


class MemoryPayments:
    """Implements `Payments`.

    `asked` is every call, as (method, id of what it is about); `refunds` are (subscription, cents) that were given
    back. `reach` is told before each call: a test may kill there. `decline`: cards are declined.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.customers: dict[str, Account] = {}
        self.pages: dict[str, Page] = {}
        self.disputes: dict[str, Dispute] = {}
        self.refunds: list[tuple[str, int]] = []
        self.asked: list[tuple[str, str]] = []
        self.reach: Callable[[str], None] = lambda _method: None
        self.decline = False
        self._faults: dict[str, Fault] = {}
        self._answers: dict[str, tuple[Any, Any]] = {}
        self._planned_seats: dict[str, int] = {}
        self._number = 0

    # What tests do.

    def add_customer(self, workspace: str | None) -> str:
        """A customer that was made for this workspace; its id."""
        made = Account(self._new("cus"), workspace)
        self.customers[made.id] = made
        return made.id

    def subscribe(
        self,
        customer: str,
        plan: Plan | str,
        seats: int = 1,
        status: Status = Status.ACTIVE,
        created: datetime | None = None,
    ) -> Subscription:
        """A subscription that is paid for, from now on. `plan`: what is sold, or a lookup key."""
        made = created or self._now()
        subscription = Subscription(
            id=self._new("sub"),
            item=self._new("si"),
            status=status,
            lookup_key=plan if isinstance(plan, str) else plan.lookup_key,
            seats=seats,
            created=made,
            period_end=made + PERIOD,
            latest_invoice=self._new("in"),
        )
        self.customers[customer].subscriptions[subscription.id] = subscription
        return subscription

    def change(self, subscription: Subscription | str, **fields: Any) -> Subscription:
        """What happened to a subscription at Stripe."""
        account, held = self._find(subscription if isinstance(subscription, str) else subscription.id)
        account.subscriptions[held.id] = changed = replace(held, **fields)
        return changed

    def fail_payment(self, subscription: Subscription | str) -> Subscription:
        """The payment of a new period is tried, and fails."""
        now = self._now()
        return self.change(
            subscription,
            status=Status.PAST_DUE,
            unpaid_since=now,
            latest_invoice=self._new("in"),
            period_end=now + PERIOD,
        )

    def pay(self, subscription: Subscription | str) -> Subscription:
        """What was due is paid."""
        return self.change(subscription, status=Status.ACTIVE, unpaid_since=None)

    def end_period(self, subscription: Subscription | str) -> Subscription:
        """What was planned for the end of the period happens."""
        _, held = self._find(subscription if isinstance(subscription, str) else subscription.id)
        if held.cancel_at is not None:
            return self.change(held, status=Status.CANCELED, period_end=held.cancel_at)
        return self.change(
            held,
            lookup_key=held.next_lookup_key or held.lookup_key,
            seats=self._planned_seats.pop(held.id, held.seats) if held.next_lookup_key else held.seats,
            period_end=held.period_end + PERIOD,
            next_lookup_key=None,
            next_at=None,
            schedule=None,
        )

    def complete(self, checkout: str) -> Subscription:
        """Somebody pays on a page."""
        page = self.pages[checkout]
        assert page.state == "open"
        page.state = "complete"
        return self.subscribe(page.customer, page.plan, page.seats)

    def fail(self, method: str, error: BaseException = DOWN, *, after: bool = False, once: bool = False) -> None:
        self._faults[method] = Fault(error, after, once)

    def mend(self) -> None:
        self._faults.clear()
        self.decline = False

    def sign(self, event: Event, secret: str) -> tuple[bytes, str]:
        """A delivery of an event, and its signature."""
        return orjson.dumps(asdict(event)), f"by {secret}"

    # Payments.

    def event(self, body: bytes, signature: str, secrets: Sequence[Secret]) -> Event:
        if signature not in [f"by {secret.reveal()}" for secret in secrets]:
            raise Invalid("The delivery is not signed by Stripe.")
        try:
            told = orjson.loads(body)
            return Event(**{**told, "created": datetime.fromisoformat(told["created"])})
        except (ValueError, TypeError, KeyError):
            raise Invalid("The delivery holds no event.") from None

    @_called
    async def customer(self, customer: str) -> Customer:
        account = self.customers.get(customer)
        if account is None:
            raise Internal("Stripe never knew this customer, by this key.")
        if account.deleted:
            return Customer(id=customer, deleted=True)
        return Customer(id=customer, workspace=account.workspace, subscriptions=tuple(account.subscriptions.values()))

    @_called
    async def dispute(self, dispute: str) -> Dispute | None:
        return self.disputes.get(dispute)

    @_called
    async def list_customers(self, after: str | None, most: int) -> list[Customer]:
        if after is not None:
            self._known(after)  # nothing comes behind one that was deleted
        newest_first = [account for account in reversed(self.customers.values()) if not account.deleted]
        start = [account.id for account in newest_first].index(after) + 1 if after else 0
        return [Customer(id=one.id, workspace=one.workspace) for one in newest_first[start : start + most]]

    @_called
    async def create_customer(self, workspace: str, email: str | None, name: str, key: str) -> str:
        made = self.add_customer(workspace)
        self.customers[made].email, self.customers[made].name = email, name
        return made

    @_called
    async def hand_over(self, customer: str, email: str | None, name: str, key: str) -> None:
        account = self.customers[customer]
        if account.deleted or account.handed_over == key:
            return
        for page in self.pages.values():
            if page.customer == customer and page.state == "open":
                page.state = "expired"
        account.email, account.name, account.handed_over = email, name, key
        account.cards.clear()

    @_called
    async def delete_customer(self, customer: str) -> None:
        account = self.customers.get(customer)
        if account is not None:
            account.deleted = True
            for subscription in account.subscriptions:
                self.change(subscription, status=Status.CANCELED)

    @_called
    async def expire_checkouts(self, customer: str) -> None:
        for page in self.pages.values():
            if page.customer == customer and page.state == "open":
                page.state = "expired"

    @_called
    async def open_checkout(
        self, customer: str, workspace: str, plan: Plan, seats: int, site_url: str, key: str
    ) -> Checkout:
        self._known(customer)
        for page in self.pages.values():
            if page.customer == customer and page.state == "open":
                page.state = "expired"
        identity = self._new("cs")
        ends = self._now() + timedelta(days=1)
        checkout = Checkout(id=identity, url=f"https://checkout.stripe.test/{identity}", expires_at=ends)
        self.pages[identity] = Page(checkout, customer, plan, seats)
        return checkout

    @_called
    async def open_portal(self, customer: str, configuration: str, return_url: str) -> str:
        self._known(customer)
        return f"https://portal.stripe.test/{customer}"

    @_called
    async def change_plan(self, subscription: Subscription, plan: Plan, seats: int, key: str) -> None:
        held = self._running(subscription.id)
        if self.decline:
            raise PaymentRequired("Your card was declined. Nothing was changed.")
        self.change(held, lookup_key=plan.lookup_key, seats=seats, **_NOTHING_PLANNED)

    @_called
    async def schedule_change(self, subscription: Subscription, plan: Plan, seats: int, key: str) -> None:
        held = self._running(subscription.id)
        self._planned_seats[held.id] = seats
        planned = {"next_lookup_key": plan.lookup_key, "next_at": held.period_end, "schedule": self._new("sub_sched")}
        self.change(held, **{**_NOTHING_PLANNED, **planned})

    @_called
    async def schedule_end(self, subscription: Subscription, key: str) -> None:
        held = self._running(subscription.id)
        self.change(held, **{**_NOTHING_PLANNED, "cancel_at": held.period_end})

    @_called
    async def keep(self, subscription: Subscription, key: str) -> None:
        self.change(self._running(subscription.id), **_NOTHING_PLANNED)

    @_called
    async def set_seats(self, subscription: Subscription, seats: int, key: str) -> None:
        held = self.change(self._running(subscription.id), seats=seats)
        if self.decline and seats > subscription.seats:
            self.change(held, status=Status.PAST_DUE, unpaid_since=self._now(), latest_invoice=self._new("in"))

    @_called
    async def cancel(self, subscription: str, *, refund: bool, key: str) -> int:
        _, held = self._find(subscription)
        if held.status not in ENDED:
            self.change(held, status=Status.CANCELED)
        plan = PLANS_BY_PRICE.get(held.lookup_key or "")
        if not refund or plan is None or held.unpaid_since:
            return 0
        taken = (held.id, plan.price_usd * 100 * held.seats)
        if taken not in self.refunds:
            self.refunds.append(taken)
        return taken[1]

    # Inside.

    async def _once(self, key: object, what: Any, work: Callable[[], Awaitable[Any]]) -> Any:
        if key is None:
            return await work()
        if str(key) not in self._answers:
            self._answers[str(key)] = (what, await work())
        before, answer = self._answers[str(key)]
        assert before == what, f"the key {key} was used for something else: {before}, now {what}"
        return answer

    def _fault(self, method: str, *, after: bool) -> None:
        fault = self._faults.get(method)
        if fault is None or fault.after is not after:
            return
        if fault.once:
            del self._faults[method]
        raise fault.error

    def _new(self, kind: str) -> str:
        self._number += 1
        return f"{kind}_{self._number:04}"

    def _now(self) -> datetime:
        return self.clock.now().astimezone(UTC).replace(microsecond=0)  # Stripe's times are whole seconds

    def _known(self, customer: str) -> Account:
        account = self.customers.get(customer)
        if account is None or account.deleted:
            raise Internal(f"Stripe refuses it (404): there is no customer {customer}.")
        return account

    def _find(self, subscription: str) -> tuple[Account, Subscription]:
        for account in self.customers.values():
            if subscription in account.subscriptions:
                return account, account.subscriptions[subscription]
        raise Internal(f"Stripe refuses it (404): there is no subscription {subscription}.")

    def _running(self, subscription: str) -> Subscription:
        _, held = self._find(subscription)
        if held.status in ENDED:
            raise Internal("Stripe refuses it (400): the subscription has ended.")
        return held


_NOTHING_PLANNED: dict[str, Any] = {"cancel_at": None, "schedule": None, "next_lookup_key": None, "next_at": None}
