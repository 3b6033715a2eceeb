"""How subscriptions live at the stand-in of Stripe: paid, renewed, changed, failed, ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from infra.local.cloud.vendors.stripe.periods import later
from tests.infra.local.stripe_bed import StripeBed
from tests.infra.local.stripe_shop import DAY, Shop, item


@pytest.fixture
def shop() -> Iterator[Shop]:
    """An account of its own: these tests move its clock."""
    with StripeBed() as bed:
        yield Shop(bed)


def invoices(shop: Shop, subscription: str) -> list[Any]:
    """Of a subscription, the newest first."""
    return shop.stripe.v1.invoices.list({"subscription": subscription}).data


def test_a_subscription_is_paid_at_once_and_renewed_every_month(shop: Shop) -> None:
    made = shop.subscribe(quantity=3)
    assert (made.status, item(made).quantity) == ("active", 3)
    assert "current_period_end" not in made
    begin, end = item(made).current_period_start, item(made).current_period_end
    assert 28 * DAY <= end - begin <= 31 * DAY
    (first,) = invoices(shop, made.id)
    assert (first.status, first.billing_reason, first.amount_paid) == ("paid", "subscription_create", 2400)
    assert first.parent.subscription_details.subscription == made.id
    shop.advance(32)
    found = shop.subscription(made.id)
    assert (found.status, item(found).current_period_start) == ("active", end)
    renewal = invoices(shop, made.id)[0]
    assert (renewal.billing_reason, renewal.status, renewal.id) == ("subscription_cycle", "paid", found.latest_invoice)
    assert shop.events(made.id) == ["customer.subscription.created", "customer.subscription.updated"]
    assert shop.events(renewal.id)[-2:] == ["invoice.paid", "invoice.payment_succeeded"]


def test_without_a_good_card_none_begins(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        shop.subscribe(shop.customer(card=None))
    customer = shop.customer("pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError) as caught:
        shop.subscribe(customer, payment_behavior="error_if_incomplete")
    error: Any = caught.value
    assert (error.http_status, error.code, error.error.decline_code) == (402, "card_declined", "generic_decline")
    assert shop.stripe.v1.subscriptions.list({"customer": customer.id, "status": "all"}).data == []
    with pytest.raises(stripe.CardError):
        shop.stripe.v1.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer.id})


def test_a_first_payment_that_fails_leaves_it_incomplete_until_it_is_paid(shop: Shop) -> None:
    customer = shop.customer("pm_card_chargeCustomerFail")
    made, other = shop.subscribe(customer), shop.subscribe(customer)
    assert made.status == "incomplete"
    good = shop.stripe.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    paid = shop.stripe.v1.invoices.pay(made.latest_invoice, {"payment_method": good.id})
    assert (paid.status, shop.subscription(made.id).status) == ("paid", "active")
    shop.advance(1)
    assert shop.subscription(other.id).status == "incomplete_expired"
    assert shop.stripe.v1.invoices.retrieve(other.latest_invoice).status == "void"


def test_a_failed_renewal_is_tried_again_and_ends_it_at_last(shop: Shop) -> None:
    made = shop.subscribe(shop.customer("pm_card_failsLater"))
    shop.renew(made.id)
    found = shop.subscription(made.id)
    invoice = shop.stripe.v1.invoices.retrieve(found.latest_invoice)
    assert (found.status, invoice.status, invoice.attempt_count) == ("past_due", "open", 1)
    assert shop.events(invoice.id)[-1] == "invoice.payment_failed"
    shop.advance(3)
    assert shop.stripe.v1.invoices.retrieve(invoice.id).attempt_count == 2
    assert shop.subscription(made.id).status == "past_due"
    shop.advance(4)
    ended = shop.subscription(made.id)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    assert ended.ended_at is not None
    assert shop.events(made.id)[-1] == "customer.subscription.deleted"
    assert shop.stripe.v1.invoices.retrieve(invoice.id).next_payment_attempt is None


def test_another_card_brings_a_past_due_one_back(shop: Shop) -> None:
    customer = shop.customer("pm_card_failsLater")
    made = shop.subscribe(customer)
    shop.renew(made.id)
    shop.bed.local("POST", f"customers/{customer.id}/card", card="visa")
    shop.advance(3)
    found = shop.subscription(made.id)
    assert (found.status, invoices(shop, made.id)[0].status) == ("active", "paid")
    shop.bed.local("POST", f"customers/{customer.id}/fail_next", times=1)
    shop.renew(made.id)
    assert shop.subscription(made.id).status == "past_due"
    shop.bed.local("POST", f"invoices/{shop.subscription(made.id).latest_invoice}/pay")
    assert shop.subscription(made.id).status == "active"


def test_what_happens_after_the_last_attempt_is_a_setting(shop: Shop) -> None:
    shop.bed.local("POST", "settings", after_retries="unpaid", retry_days=[1])
    made = shop.subscribe(shop.customer("pm_card_failsLater"))
    shop.advance(33)
    assert shop.subscription(made.id).status == "unpaid"
    shop.advance(31)
    assert [invoice.status for invoice in invoices(shop, made.id)] == ["draft", "open", "paid"]


def test_an_upgrade_is_prorated_and_paid_at_once(shop: Shop) -> None:
    made = shop.subscribe()
    begin, end = item(made).current_period_start, item(made).current_period_end
    half = (end - begin) / 2 / DAY
    shop.advance(half)
    change: Any = {
        "items": [{"id": item(made).id, "price": shop.large.id, "quantity": 1}],
        "proration_behavior": "always_invoice",
        "payment_behavior": "error_if_incomplete",
        "cancel_at_period_end": False,
    }
    found = shop.stripe.v1.subscriptions.update(made.id, change)
    assert (item(found).price.id, item(found).id, item(found).current_period_end) == (
        shop.large.id,
        item(made).id,
        end,
    )
    invoice = invoices(shop, made.id)[0]
    assert (invoice.billing_reason, invoice.status, invoice.id) == ("subscription_update", "paid", found.latest_invoice)
    assert [line.amount for line in invoice.lines.data] == [-400, 600]
    assert all(line.parent.subscription_item_details.proration for line in invoice.lines.data)


def test_an_upgrade_that_cannot_be_paid_changes_nothing(shop: Shop) -> None:
    customer = shop.customer()
    made = shop.subscribe(customer)
    before = len(shop.stripe.v1.events.list({"limit": 100}).data)
    shop.bed.local("POST", f"customers/{customer.id}/fail_next")
    change: Any = {
        "items": [{"id": item(made).id, "price": shop.large.id}],
        "proration_behavior": "always_invoice",
        "payment_behavior": "error_if_incomplete",
    }
    with pytest.raises(stripe.CardError) as caught:
        shop.stripe.v1.subscriptions.update(made.id, change, {"idempotency_key": "upgrade"})
    assert caught.value.http_status == 402
    found = shop.subscription(made.id)
    assert (found.status, item(found).price.id, len(invoices(shop, made.id))) == ("active", shop.small.id, 1)
    assert len(shop.stripe.v1.events.list({"limit": 100}).data) == before
    with pytest.raises(stripe.CardError):
        shop.stripe.v1.subscriptions.update(made.id, change, {"idempotency_key": "upgrade"})


def test_seats_are_added_to_the_next_invoice(shop: Shop) -> None:
    made = shop.subscribe(quantity=2)
    days = (item(made).current_period_end - item(made).current_period_start) / DAY
    shop.advance(days / 2)
    shop.stripe.v1.subscription_items.update(item(made).id, {"quantity": 4, "proration_behavior": "create_prorations"})
    assert len(invoices(shop, made.id)) == 1
    shop.advance(days / 2 + 1)
    renewal = invoices(shop, made.id)[0]
    assert [line.amount for line in renewal.lines.data] == [-800, 1600, 3200]
    assert (renewal.amount_paid, item(shop.subscription(made.id)).quantity) == (4000, 4)


def test_a_downgrade_at_once_becomes_a_credit(shop: Shop) -> None:
    customer = shop.customer()
    made = shop.subscribe(customer, quantity=3)
    change: Any = {"items": [{"id": item(made).id, "quantity": 1}], "proration_behavior": "always_invoice"}
    shop.stripe.v1.subscriptions.update(made.id, change)
    invoice = invoices(shop, made.id)[0]
    assert (invoice.total, invoice.amount_due, invoice.status) == (-1600, 0, "paid")
    assert shop.stripe.v1.customers.retrieve(customer.id).balance == -1600
    shop.advance(32)
    assert invoices(shop, made.id)[0].amount_due == 0
    assert shop.stripe.v1.customers.retrieve(customer.id).balance == -800


def test_an_item_without_its_id_is_another_item(shop: Shop) -> None:
    made = shop.subscribe()
    found = shop.stripe.v1.subscriptions.update(made.id, {"items": [{"price": shop.large.id, "quantity": 1}]})
    assert len(found["items"].data) == 2
    with pytest.raises(stripe.InvalidRequestError, match="No such subscription_item"):
        shop.stripe.v1.subscriptions.update(made.id, {"items": [{"id": "si_none", "price": shop.large.id}]})
    with pytest.raises(stripe.InvalidRequestError, match="multiple subscription items with the same"):
        shop.stripe.v1.subscriptions.update(made.id, {"items": [{"price": shop.large.id}]})


def test_an_end_that_is_planned_can_be_taken_back(shop: Shop) -> None:
    made = shop.subscribe()
    end = item(made).current_period_end
    found = shop.stripe.v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    assert (found.status, found.cancel_at, found.cancel_at_period_end) == ("active", end, True)
    assert found.canceled_at is not None
    found = shop.stripe.v1.subscriptions.update(made.id, {"cancel_at_period_end": False})
    assert (found.cancel_at, found.canceled_at, found.cancel_at_period_end) == (None, None, False)
    shop.stripe.v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    shop.advance(32)
    ended = shop.subscription(made.id)
    assert (ended.status, ended.ended_at, len(invoices(shop, made.id))) == ("canceled", end, 1)
    assert ended.cancellation_details.reason == "cancellation_requested"


def test_it_ends_at_a_date_or_at_once(shop: Shop) -> None:
    first, second = shop.subscribe(), shop.subscribe()
    now = shop.bed.local("GET", "state")["now"]
    shop.stripe.v1.subscriptions.update(first.id, {"cancel_at": now + 5 * DAY})
    shop.advance(6)
    assert shop.subscription(first.id).ended_at == now + 5 * DAY
    assert shop.stripe.v1.subscriptions.cancel(second.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError, match="No such subscription"):
        shop.stripe.v1.subscriptions.cancel(second.id)
    with pytest.raises(stripe.InvalidRequestError, match="canceled subscription"):
        shop.stripe.v1.subscriptions.update(second.id, {"cancel_at_period_end": True})
    customer = shop.stripe.v1.customers.retrieve(second.customer)
    assert shop.stripe.v1.subscriptions.list({"customer": customer.id}).data == []
    assert len(shop.stripe.v1.subscriptions.list({"customer": customer.id, "status": "canceled"}).data) == 1


def test_a_trial_asks_for_nothing_until_it_ends(shop: Shop) -> None:
    made = shop.subscribe(trial_period_days=14)
    assert (made.status, invoices(shop, made.id)[0].amount_due) == ("trialing", 0)
    assert item(made).current_period_end == made.trial_end
    shop.advance(15)
    assert (shop.subscription(made.id).status, invoices(shop, made.id)[0].amount_paid) == ("active", 800)


@pytest.mark.parametrize(
    ("behaviour", "status"), [("pause", "paused"), ("cancel", "canceled"), ("create_invoice", "past_due")]
)
def test_a_trial_without_a_card_ends_as_it_was_asked(shop: Shop, behaviour: str, status: str) -> None:
    settings = {"end_behavior": {"missing_payment_method": behaviour}}
    made = shop.subscribe(shop.customer(card=None), trial_period_days=1, trial_settings=settings)
    shop.advance(2)
    assert shop.subscription(made.id).status == status
    if behaviour == "pause":
        assert "customer.subscription.paused" in shop.events(made.id)
        shop.bed.local("POST", f"customers/{made.customer}/card")
        found = shop.stripe.v1.subscriptions.resume(made.id)
        assert found.status == "active"
        assert "customer.subscription.resumed" in shop.events(made.id)


def scheduled(shop: Shop) -> tuple[Any, Any]:
    """A subscription of the large price with a schedule to the small one at the end of its period."""
    made = shop.stripe.v1.subscriptions.create(
        {"customer": shop.customer().id, "items": [{"price": shop.large.id, "quantity": 2}]}
    )
    schedule = shop.stripe.v1.subscription_schedules.create({"from_subscription": made.id})
    now = schedule.phases[0]
    phases: Any = [
        {
            "items": [{"price": now["items"][0].price, "quantity": now["items"][0].quantity}],
            "start_date": now.start_date,
            "end_date": now.end_date,
            "proration_behavior": "none",
        },
        {"items": [{"price": shop.small.id, "quantity": 1}], "duration": {"interval": "month", "interval_count": 1}},
    ]
    schedule = shop.stripe.v1.subscription_schedules.update(
        schedule.id, {"phases": phases, "end_behavior": "release", "proration_behavior": "none"}
    )
    return made, schedule


def test_a_schedule_changes_the_price_at_the_end_of_the_period_and_lets_go(shop: Shop) -> None:
    made, schedule = scheduled(shop)
    end = item(made).current_period_end
    assert (schedule.status, schedule.phases[1].start_date, schedule.subscription) == ("active", end, made.id)
    assert shop.subscription(made.id).schedule == schedule.id
    assert (item(shop.subscription(made.id)).price.id, len(invoices(shop, made.id))) == (shop.large.id, 1)
    shop.advance(32)
    found = shop.subscription(made.id)
    assert (item(found).price.id, item(found).quantity, item(found).id) == (shop.small.id, 1, item(made).id)
    assert [[line.amount for line in one.lines.data] for one in invoices(shop, made.id)] == [[800], [2400]]
    running: Any = shop.stripe.v1.subscription_schedules.retrieve(schedule.id)
    assert running.current_phase.start_date == end
    shop.advance(31)
    found, schedule = shop.subscription(made.id), shop.stripe.v1.subscription_schedules.retrieve(schedule.id)
    assert (found.status, found.schedule, item(found).price.id) == ("active", None, shop.small.id)
    assert (schedule.status, schedule.released_subscription, schedule.subscription) == ("released", made.id, None)
    assert shop.events(schedule.id)[-1] == "subscription_schedule.released"


def test_a_schedule_that_is_released_changes_nothing(shop: Shop) -> None:
    made, schedule = scheduled(shop)
    with pytest.raises(stripe.InvalidRequestError, match="managed by the subscription schedule"):
        shop.stripe.v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    with pytest.raises(stripe.InvalidRequestError, match="already managed"):
        shop.stripe.v1.subscription_schedules.create({"from_subscription": made.id})
    shop.stripe.v1.subscription_schedules.release(schedule.id)
    with pytest.raises(stripe.InvalidRequestError, match="`released` status"):
        shop.stripe.v1.subscription_schedules.release(schedule.id)
    shop.advance(32)
    assert item(shop.subscription(made.id)).price.id == shop.large.id


def test_a_schedule_is_cancelled_with_its_subscription(shop: Shop) -> None:
    made, schedule = scheduled(shop)
    assert shop.stripe.v1.subscription_schedules.cancel(schedule.id).status == "canceled"
    assert shop.subscription(made.id).status == "canceled"
    made, schedule = scheduled(shop)
    shop.stripe.v1.subscriptions.cancel(made.id)
    assert shop.stripe.v1.subscription_schedules.retrieve(schedule.id).status == "canceled"
    assert shop.events(schedule.id)[-1] == "subscription_schedule.canceled"


def test_a_charge_is_given_back_in_part_and_then_in_full(shop: Shop) -> None:
    made = shop.subscribe()
    (paid,) = shop.stripe.v1.invoice_payments.list({"invoice": made.latest_invoice, "status": "paid"}).data
    intent = str(paid.payment.payment_intent)
    refund = shop.stripe.v1.refunds.create({"payment_intent": intent, "amount": 300})
    assert (refund.amount, refund.status) == (300, "succeeded")
    charge = shop.stripe.v1.charges.retrieve(str(refund.charge))
    assert (charge.amount_refunded, charge.refunded) == (300, False)
    assert shop.bed.local("POST", "refunds", subscription=made.id)["amount"] == 500
    assert shop.stripe.v1.charges.retrieve(charge.id).refunded
    assert shop.events(charge.id)[-2:] == ["charge.refunded", "charge.refunded"]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.stripe.v1.refunds.create({"charge": charge.id})
    assert caught.value.code == "charge_already_refunded"


def test_a_bank_opens_and_closes_a_dispute(shop: Shop) -> None:
    made = shop.subscribe()
    opened = shop.bed.local("POST", "disputes", subscription=made.id, reason="fraudulent")
    found: Any = shop.stripe.v1.disputes.retrieve(opened["id"], {"expand": ["charge"]})
    assert (found.status, found.charge.disputed, found.charge.customer) == ("needs_response", True, made.customer)
    with pytest.raises(stripe.InvalidRequestError, match="charged back"):
        shop.stripe.v1.refunds.create({"charge": found.charge.id})
    shop.bed.local("POST", f"disputes/{opened['id']}/close", won=False)
    assert shop.stripe.v1.disputes.retrieve(opened["id"]).status == "lost"
    assert shop.events(opened["id"]) == ["charge.dispute.created", "charge.dispute.closed"]


def test_the_31st_comes_back_after_a_short_month() -> None:
    january = 1_769_817_600  # 2026-01-31
    assert later(january, "month", 1) == 1_772_236_800  # 2026-02-28
    assert later(january, "month", 2) == 1_774_915_200  # 2026-03-31
    assert later(january, "year", 1) - january == 365 * DAY
