"""Stripe's own library against the local cloud's stand-in of Stripe: each method of the port, and what a purchase, a
change, an end look like from there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
import stripe

from billing.model import Customer, Status, Subscription
from billing.projecting import project
from billing.stripe import checkouts, payments
from billing.stripe.payments import StripePayments
from billing.stripe.plans import phases_after
from core.problems import Conflict, Internal, PaymentRequired, TooManyRequests
from core.rotation import Fixed
from core.settings import Secret
from declarations import FREE, GRACE_DAYS, PRO, TEAM, Plan
from tests.functions.billing.bed import Bed
from tests.infra.local.stripe_bed import KEY, StripeBed

SITE = "https://site.example"
WORKSPACE = "5f0c4b0e-0000-4000-8000-000000000001"

keys = (f"key-{number}" for number in count())


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """One for the module: its clock goes on, and tests make customers of their own."""
    with StripeBed() as running:
        yield Bed(running)


@pytest.fixture
async def paid(bed: Bed) -> AsyncIterator[StripePayments]:
    made = StripePayments(Fixed(Secret(KEY)), bed.running.url + "/")
    yield made
    await made.close()


async def new_customer(paid: StripePayments) -> str:
    return await paid.create_customer(WORKSPACE, "ada@example.com", "Ada", next(keys))


async def buy(bed: Bed, paid: StripePayments, plan: Plan, seats: int = 1, customer: str = "") -> Subscription:
    """Somebody new buys a plan."""
    who = customer or await new_customer(paid)
    page = await paid.open_checkout(who, WORKSPACE, plan, seats, SITE, next(keys))
    bed.pay(page.id)
    return await newest(paid, who)


async def newest(paid: StripePayments, customer: str) -> Subscription:
    return (await paid.customer(customer)).subscriptions[0]


def owner(bed: Bed, subscription: Subscription) -> str:
    return str(bed.admin.v1.subscriptions.retrieve(subscription.id).customer)


# Customers.


async def test_a_customer_is_made_once(bed: Bed, paid: StripePayments) -> None:
    made = await paid.create_customer(WORKSPACE, "ada@example.com", "Ada", "customer-key")
    assert await paid.create_customer(WORKSPACE, "ada@example.com", "Ada", "customer-key") == made
    with pytest.raises(Conflict, match="used for another request"):
        await paid.create_customer(WORKSPACE, "bo@example.com", "Bo", "customer-key")
    held = bed.admin.v1.customers.retrieve(made)
    assert (held.email, held.name, held.metadata.to_dict() if held.metadata else {}) == (
        "ada@example.com",
        "Ada",
        {"workspace_id": WORKSPACE},
    )
    assert await paid.customer(made) == Customer(id=made, workspace=WORKSPACE)
    nameless = await paid.create_customer(WORKSPACE, None, "A workspace", next(keys))
    assert bed.admin.v1.customers.retrieve(nameless).email is None


async def test_whoever_has_an_address_that_stripe_does_not_take_may_buy(bed: Bed, paid: StripePayments) -> None:
    """One with an umlaut, say: Stripe's page asks them for another."""
    key, made = next(keys), set()
    for _ in range(2):
        bed.running.local("POST", "faults", path="/v1/customers", status=400, code="email_invalid")
        made.add(await paid.create_customer(WORKSPACE, "ada@exämple.com", "Ada", key))
    assert [bed.admin.v1.customers.retrieve(one).email for one in made] == [None]
    bed.fail("/v1/customers", 400)
    with pytest.raises(Internal):
        await paid.create_customer(WORKSPACE, "ada@example.com", "Ada", next(keys))


async def test_a_deleted_customer_is_deleted_and_one_of_another_account_is_a_fault(
    bed: Bed, paid: StripePayments
) -> None:
    subscription = await buy(bed, paid, PRO)
    customer = owner(bed, subscription)
    for _ in range(2):  # one that is gone is deleted
        await paid.delete_customer(customer)
    assert await paid.customer(customer) == Customer(id=customer, deleted=True)
    assert bed.admin.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    with pytest.raises(Internal):
        await paid.customer("cus_of_somebody_else")
    await paid.delete_customer("cus_of_somebody_else")


async def test_customers_are_listed_page_by_page(paid: StripePayments) -> None:
    first, second, third = [await new_customer(paid) for _ in range(3)]
    page = await paid.list_customers(None, 2)
    assert [one.id for one in page] == [third, second]
    assert {one.workspace for one in page} == {WORKSPACE}
    assert (await paid.list_customers(second, 1))[0].id == first
    await paid.delete_customer(third)
    assert [one.id for one in await paid.list_customers(None, 1)] == [second]


async def test_every_subscription_is_read(bed: Bed, paid: StripePayments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments, "PAGE", 1)
    customer = await new_customer(paid)
    made = []
    for _ in range(3):
        subscription = await buy(bed, paid, PRO, customer=customer)
        made.append(subscription.id)
        await paid.cancel(subscription.id, refund=False, key=next(keys))
    found = (await paid.customer(customer)).subscriptions
    assert [one.id for one in found] == made[::-1]
    assert {one.status for one in found} == {Status.CANCELED}


# Buying.


async def test_a_purchase(bed: Bed, paid: StripePayments) -> None:
    before = bed.now()
    customer = await new_customer(paid)
    page = await paid.open_checkout(customer, WORKSPACE, TEAM, 3, SITE, next(keys))
    assert page.url.startswith(bed.running.url)
    assert timedelta(hours=23) < page.expires_at - before < timedelta(hours=25)
    session = bed.admin.v1.checkout.sessions.retrieve(page.id)
    assert (session.client_reference_id, session.customer, session.allow_promotion_codes) == (WORKSPACE, customer, True)
    assert session.success_url == f"{SITE}/dashboard/billing?checkout=done"
    assert session.cancel_url == f"{SITE}/dashboard/billing?checkout=cancelled"
    assert (await paid.customer(customer)).subscriptions == ()
    bed.pay(page.id)
    (held,) = (await paid.customer(customer)).subscriptions
    assert (held.status, held.lookup_key, held.seats) == (Status.ACTIVE, TEAM.lookup_key, 3)
    assert timedelta(days=27) < held.period_end - held.created < timedelta(days=32)
    assert (held.cancel_at, held.schedule, held.next_lookup_key, held.unpaid_since) == (None, None, None, None)
    at_stripe = bed.admin.v1.subscriptions.retrieve(held.id)
    assert at_stripe.metadata.to_dict() == {"workspace_id": WORKSPACE}
    assert held.latest_invoice == at_stripe.latest_invoice
    assert held.item == at_stripe.items.data[0].id


async def test_one_page_of_a_customer_is_open(bed: Bed, paid: StripePayments) -> None:
    customer = await new_customer(paid)

    async def page(key: str, plan: Plan = PRO) -> str:
        return (await paid.open_checkout(customer, WORKSPACE, plan, 1, SITE, key)).id

    def states() -> dict[str, str | None]:
        listed = bed.admin.v1.checkout.sessions.list({"customer": customer})
        return {one.id: one.status for one in listed.data}

    first = await page("open-1")
    assert await page("open-1") == first
    assert states() == {first: "open"}
    with pytest.raises(Conflict, match="used for another request"):
        await page("open-1", TEAM)
    second = await page("open-2", TEAM)
    assert states() == {first: "expired", second: "open"}
    with pytest.raises(Conflict, match="is over"):
        await page("open-1")
    assert states()[second] == "open", "a page that is asked for again ends no other"
    await paid.expire_checkouts(customer)
    assert states() == {first: "expired", second: "expired"}


async def test_a_page_that_is_paid_on_meanwhile_is_not_overlooked(
    bed: Bed, paid: StripePayments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the pages and their end somebody pays."""
    customer = await new_customer(paid)
    first = await paid.open_checkout(customer, WORKSPACE, PRO, 1, SITE, next(keys))
    looked = checkouts.pages

    async def pages(*args: Any) -> Any:
        found = await looked(*args)
        bed.pay(first.id)
        return found

    monkeypatch.setattr(checkouts, "pages", pages)
    with pytest.raises(Conflict, match="has just paid"):
        await paid.open_checkout(customer, WORKSPACE, TEAM, 1, SITE, next(keys))
    assert len((await paid.customer(customer)).subscriptions) == 1


async def test_a_page_that_ended_meanwhile_is_no_trouble(
    bed: Bed, paid: StripePayments, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = await new_customer(paid)
    first = await paid.open_checkout(customer, WORKSPACE, PRO, 1, SITE, next(keys))
    looked = checkouts.pages

    async def pages(*args: Any) -> Any:
        found = await looked(*args)
        bed.admin.v1.checkout.sessions.expire(first.id)
        return found

    monkeypatch.setattr(checkouts, "pages", pages)
    second = await paid.open_checkout(customer, WORKSPACE, PRO, 1, SITE, next(keys))
    assert bed.admin.v1.checkout.sessions.retrieve(second.id).status == "open"


async def test_so_many_pages_an_hour(bed: Bed, paid: StripePayments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkouts, "PAGES_MOST", 2)
    customer, other = await new_customer(paid), await new_customer(paid)
    last = [await paid.open_checkout(customer, WORKSPACE, PRO, 1, SITE, next(keys)) for _ in range(2)][-1]
    with pytest.raises(TooManyRequests, match="2 pages for payment"):
        await paid.open_checkout(customer, WORKSPACE, PRO, 1, SITE, next(keys))
    assert bed.admin.v1.checkout.sessions.retrieve(last.id).status == "open"
    await paid.open_checkout(other, WORKSPACE, PRO, 1, SITE, next(keys))


async def test_a_price_that_is_not_there_is_told_to_the_operator(
    paid: StripePayments, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Plan(**{**{name: getattr(PRO, name) for name in PRO.__dataclass_fields__}, "name": "gone"})
    with pytest.raises(Internal, match="cannot be bought"):
        await paid.open_checkout(await new_customer(paid), WORKSPACE, gone, 1, SITE, next(keys))
    assert f"no active price with the lookup key {gone.lookup_key}: run `pulumi up`" in caplog.text


async def test_the_portal(bed: Bed, paid: StripePayments) -> None:
    customer = await new_customer(paid)
    configuration = bed.admin.v1.billing_portal.configurations.create(
        {"features": {"invoice_history": {"enabled": True}}}
    )
    address = await paid.open_portal(customer, configuration.id, SITE)
    assert address.startswith(bed.running.url)
    await paid.delete_customer(customer)
    with pytest.raises(Conflict, match="does not know who paid"):
        await paid.open_portal(customer, configuration.id, SITE)


async def test_a_portal_that_is_not_set_up_is_our_fault(paid: StripePayments, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Internal):
        await paid.open_portal(await new_customer(paid), "bpc_none", SITE)
    assert "parameter configuration" in caplog.text


# Changing.


async def test_up_at_once_is_paid_at_once(bed: Bed, paid: StripePayments) -> None:
    held = await buy(bed, paid, PRO)
    customer, key = owner(bed, held), next(keys)
    for _ in range(2):  # once, however often it is asked
        await paid.change_plan(held, TEAM, 2, key)
    now = await newest(paid, customer)
    assert (now.id, now.item, now.lookup_key, now.seats) == (held.id, held.item, TEAM.lookup_key, 2)
    assert now.latest_invoice != held.latest_invoice
    invoices = bed.admin.v1.invoices.list({"customer": customer}).data
    assert [invoice.status for invoice in invoices] == ["paid", "paid"]
    assert 0 < invoices[0].amount_paid <= (2 * TEAM.price_usd - PRO.price_usd) * 100


async def test_a_declined_card_changes_nothing(bed: Bed, paid: StripePayments) -> None:
    held = await buy(bed, paid, PRO)
    customer = owner(bed, held)
    bed.card(customer, "chargeCustomerFail")
    with pytest.raises(PaymentRequired, match=r"^Your card was declined\. Nothing was changed\."):
        await paid.change_plan(held, TEAM, 1, next(keys))
    now = await newest(paid, customer)
    assert (now.lookup_key, now.status, now.unpaid_since) == (PRO.lookup_key, Status.ACTIVE, None)
    bed.card(customer, "visa")
    await paid.change_plan(held, TEAM, 1, next(keys))
    assert (await newest(paid, customer)).lookup_key == TEAM.lookup_key


async def test_without_a_card_nothing_is_changed(bed: Bed, paid: StripePayments) -> None:
    held = await buy(bed, paid, PRO)
    customer = owner(bed, held)
    for method in bed.admin.v1.payment_methods.list({"customer": customer}).data:
        bed.admin.v1.payment_methods.detach(method.id)
    with pytest.raises(PaymentRequired, match="no card"):
        await paid.change_plan(held, TEAM, 1, next(keys))
    assert (await newest(paid, customer)).lookup_key == PRO.lookup_key


async def test_down_comes_with_the_next_period(bed: Bed, paid: StripePayments) -> None:
    held = await buy(bed, paid, TEAM, 3)
    customer = owner(bed, held)
    await paid.schedule_change(held, PRO, 1, next(keys))
    planned = await newest(paid, customer)
    assert (planned.lookup_key, planned.seats) == (TEAM.lookup_key, 3)
    assert (planned.next_lookup_key, planned.next_at) == (PRO.lookup_key, held.period_end)
    await paid.set_seats(planned, 4, next(keys))
    bed.wait(seconds=(held.period_end - bed.now()).total_seconds() + 7200)
    now = await newest(paid, customer)
    assert (now.id, now.lookup_key, now.seats, now.next_lookup_key) == (held.id, PRO.lookup_key, 1, None)
    await paid.change_plan(now, TEAM, 2, next(keys))
    assert (await newest(paid, customer)).seats == 2, "the schedule that goes on does not stand in the way"
    bed.wait(days=70)
    now = await newest(paid, customer)
    assert (now.lookup_key, now.status, now.schedule) == (TEAM.lookup_key, Status.ACTIVE, None)


async def test_what_is_planned_is_planned_anew_and_taken_back(bed: Bed, paid: StripePayments) -> None:
    held = await buy(bed, paid, TEAM, 2)
    customer = owner(bed, held)

    async def now() -> tuple[str | None, datetime | None]:
        one = await newest(paid, customer)
        return one.next_lookup_key, one.cancel_at

    await paid.schedule_end(held, next(keys))
    assert await now() == (None, held.period_end)
    await paid.schedule_change(await newest(paid, customer), PRO, 1, next(keys))
    assert await now() == (PRO.lookup_key, None)
    await paid.schedule_change(await newest(paid, customer), PRO, 1, next(keys))
    assert await now() == (PRO.lookup_key, None)
    await paid.schedule_end(await newest(paid, customer), next(keys))
    assert await now() == (None, held.period_end)
    await paid.keep(await newest(paid, customer), next(keys))
    assert await now() == (None, None)
    await paid.schedule_change(await newest(paid, customer), PRO, 1, next(keys))
    planned = await newest(paid, customer)
    await paid.keep(planned, next(keys))
    await paid.keep(planned, next(keys))  # what was seen before is out of date, and no trouble
    assert await now() == (None, None)


async def test_a_plan_that_was_made_by_half_is_made(bed: Bed, paid: StripePayments) -> None:
    """Stripe made the schedule, and did not answer what it was to hold."""
    held = await buy(bed, paid, TEAM)
    customer = owner(bed, held)
    bed.fail("/v1/subscription_schedules/*", 403)
    with pytest.raises(Internal):
        await paid.schedule_change(held, PRO, 1, "by-half")
    half = await newest(paid, customer)
    assert half.schedule is not None
    assert half.next_lookup_key is None
    await paid.schedule_change(half, PRO, 1, "by-half")
    assert (await newest(paid, customer)).next_lookup_key == PRO.lookup_key


async def test_a_plan_that_was_made_by_half_and_taken_back_is_not_made(bed: Bed, paid: StripePayments) -> None:
    held = await buy(bed, paid, TEAM)
    bed.fail("/v1/subscription_schedules/*", 403)
    with pytest.raises(Internal):
        await paid.schedule_change(held, PRO, 1, "half-and-back")
    await paid.keep(await newest(paid, owner(bed, held)), next(keys))
    with pytest.raises(Conflict, match="taken back since"):
        await paid.schedule_change(held, PRO, 1, "half-and-back")
    await paid.schedule_change(held, PRO, 1, next(keys))
    assert (await newest(paid, owner(bed, held))).next_lookup_key == PRO.lookup_key


def test_a_discount_outlives_a_planned_change() -> None:
    """What a phase does not say again is lost; the stand-in has no coupons, so it is seen in what is sent."""
    running = {
        "items": [{"price": "price_1", "quantity": 2}],
        "start_date": 1,
        "end_date": 2,
        "default_payment_method": "pm_1",
        "discounts": [{"coupon": None, "discount": "di_1", "promotion_code": None}],
    }
    sent = phases_after(running, "price_2", 1)
    assert [phase["discounts"] for phase in sent["phases"]] == [[{"discount": "di_1"}]] * 2
    assert [phase["default_payment_method"] for phase in sent["phases"]] == ["pm_1"] * 2


async def test_seats_follow(bed: Bed, paid: StripePayments) -> None:
    held = await buy(bed, paid, TEAM, 2)
    customer = owner(bed, held)
    await paid.set_seats(held, 5, next(keys))
    now = await newest(paid, customer)
    assert (now.seats, now.lookup_key) == (5, TEAM.lookup_key)
    assert now.latest_invoice != held.latest_invoice, "they are charged at once"
    charged = bed.admin.v1.invoices.retrieve(str(now.latest_invoice))
    assert (charged.status, charged.billing_reason) == ("paid", "subscription_update")
    assert 3 * TEAM.price_usd * 100 * 0.99 < charged.amount_paid <= 3 * TEAM.price_usd * 100
    await paid.set_seats(now, 1, next(keys))
    fewer = await newest(paid, customer)
    assert (fewer.seats, fewer.latest_invoice) == (1, now.latest_invoice), "what that gives back is on the next invoice"


async def test_seats_that_cannot_be_charged_are_due(bed: Bed, paid: StripePayments) -> None:
    held = await buy(bed, paid, TEAM)
    customer = owner(bed, held)
    bed.card(customer, "chargeCustomerFail")
    await paid.set_seats(held, 51, next(keys))
    found = await paid.customer(customer)
    assert (found.subscriptions[0].status, found.subscriptions[0].seats) == (Status.PAST_DUE, 51)
    until = project(found, bed.now()).grace_until
    assert until is not None
    assert timedelta(days=GRACE_DAYS, minutes=-1) < until - bed.now() <= timedelta(days=GRACE_DAYS)
    bed.card(customer, "visa")
    await paid.set_seats(found.subscriptions[0], 52, next(keys))
    again = await newest(paid, customer)
    assert (again.status, again.seats, again.latest_invoice) == (
        Status.PAST_DUE,
        52,
        found.subscriptions[0].latest_invoice,
    ), "one seat that is paid does not pay for fifty"


# Ending.


async def test_an_end_with_the_money_back(bed: Bed, paid: StripePayments) -> None:
    held = await buy(bed, paid, TEAM, 2)
    whole = 2 * TEAM.price_usd * 100
    key = next(keys)
    assert await paid.cancel(held.id, refund=True, key=key) == whole
    assert bed.admin.v1.subscriptions.retrieve(held.id).status == "canceled"
    assert await paid.cancel(held.id, refund=True, key=key) == whole
    assert await paid.cancel(held.id, refund=True, key=next(keys)) == whole, "given back before"
    charges = bed.admin.v1.charges.list({"customer": owner(bed, held)}).data
    assert [charge.amount_refunded for charge in charges] == [whole]


async def test_an_end_without(bed: Bed, paid: StripePayments) -> None:
    held = await buy(bed, paid, PRO)
    assert await paid.cancel(held.id, refund=False, key=next(keys)) == 0
    assert await paid.cancel(held.id, refund=False, key=next(keys)) == 0
    assert await paid.cancel("sub_none", refund=True, key=next(keys)) == 0
    charges = bed.admin.v1.charges.list({"customer": owner(bed, held)}).data
    assert [charge.amount_refunded for charge in charges] == [0]


async def test_a_refund_that_failed_is_made_up_for(bed: Bed, paid: StripePayments) -> None:
    held = await buy(bed, paid, PRO)
    bed.fail("/v1/refunds", 403)
    key = next(keys)
    with pytest.raises(Internal):
        await paid.cancel(held.id, refund=True, key=key)
    assert bed.admin.v1.subscriptions.retrieve(held.id).status == "canceled"
    assert await paid.cancel(held.id, refund=True, key=key) == PRO.price_usd * 100


async def test_a_payment_that_fails_is_seen(bed: Bed, paid: StripePayments) -> None:
    held = await buy(bed, paid, PRO)
    customer = owner(bed, held)
    bed.card(customer, "failsLater")
    bed.wait(seconds=(held.period_end - bed.now()).total_seconds() + 7200)
    due = await newest(paid, customer)
    assert due.status is Status.PAST_DUE
    assert due.unpaid_since is not None
    assert timedelta() <= due.unpaid_since - held.period_end < timedelta(hours=2)
    assert due.latest_invoice not in (None, held.latest_invoice)
    assert await paid.cancel(held.id, refund=True, key=next(keys)) == 0, "nothing was taken"
    ended = await newest(paid, customer)
    assert ended.status is Status.CANCELED


async def test_a_bank_debit_that_bounces_was_never_paid(bed: Bed, paid: StripePayments) -> None:
    customer = await new_customer(paid)
    page = await paid.open_checkout(customer, WORKSPACE, TEAM, 1, SITE, next(keys))
    bed.pay(page.id, "settlesLater")
    assert project(await paid.customer(customer), bed.now()).plan is FREE, "nothing was paid yet"
    bed.wait(days=5)
    bed.running.local("POST", f"sessions/{page.id}/settle", good=False)
    bounced = await newest(paid, customer)
    assert (bounced.status, bounced.ever_paid) == (Status.PAST_DUE, False)
    assert project(await paid.customer(customer), bed.now()).overdue == (bounced,)
    assert await paid.cancel(bounced.id, refund=True, key=next(keys)) == 0


async def test_a_bank_debit_grants_its_plan_when_it_is_paid(bed: Bed, paid: StripePayments) -> None:
    customer = await new_customer(paid)
    page = await paid.open_checkout(customer, WORKSPACE, TEAM, 1, SITE, next(keys))
    bed.pay(page.id, "settlesLater")
    bed.running.local("POST", f"sessions/{page.id}/settle", good=True)
    assert project(await paid.customer(customer), bed.now()).plan is TEAM


async def test_what_is_due_is_due_since_the_first_invoice(bed: Bed, paid: StripePayments) -> None:
    """Also when it renews meanwhile."""
    bed.running.local("POST", "settings", after_retries="past_due")
    held = await buy(bed, paid, PRO)
    customer = owner(bed, held)
    bed.card(customer, "failsLater")
    bed.wait(seconds=(held.period_end - bed.now()).total_seconds() + 7200)
    first = await newest(paid, customer)
    bed.wait(days=40)
    second = await newest(paid, customer)
    assert second.latest_invoice != first.latest_invoice
    assert second.unpaid_since == first.unpaid_since is not None
    bed.card(customer, "visa")
    for invoice in bed.admin.v1.invoices.list({"subscription": held.id, "status": "open"}).data:
        bed.running.local("POST", f"invoices/{invoice.id}/pay")
    now = await newest(paid, customer)
    assert (now.status, now.unpaid_since) == (Status.ACTIVE, None)


async def test_a_dispute_is_somebodys(bed: Bed, paid: StripePayments) -> None:
    held = await buy(bed, paid, PRO)
    customer = owner(bed, held)
    opened = bed.running.local("POST", "disputes", subscription=held.id)
    assert await paid.dispute("du_none") is None
    dispute = await paid.dispute(opened["id"])
    assert dispute is not None
    assert (dispute.id, dispute.customer, dispute.amount_cents) == (opened["id"], customer, PRO.price_usd * 100)
    bed.running.local("POST", f"disputes/{dispute.id}/close", won=False)
    closed = await paid.dispute(dispute.id)
    assert closed is not None
    assert closed.status == "lost"


async def test_what_is_new_at_stripe_breaks_nothing(
    bed: Bed, paid: StripePayments, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A status and a price that are not known here: they grant nothing, and are told."""
    held = await buy(bed, paid, PRO)
    asked = stripe.SubscriptionService.list_async

    async def newer(*args: Any, **kwargs: Any) -> Any:
        page = await asked(*args, **kwargs)
        for one in page.data:
            one._data["status"] = "hibernating"
            one._data["items"]._data["data"][0]._data["price"] = None
        return page

    monkeypatch.setattr(stripe.SubscriptionService, "list_async", newer)
    now = await newest(paid, owner(bed, held))
    assert (now.status, now.lookup_key) == (Status.INCOMPLETE, None)
    assert "'hibernating', which is not known here" in caplog.text
