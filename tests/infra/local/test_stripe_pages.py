"""The pages of the stand-in of Stripe, as a browser without JavaScript uses them; and Checkout around them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe

from tests.infra.local.stripe_bed import StripeBed
from tests.infra.local.stripe_shop import DAY, Shop, item


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with StripeBed() as bed:
        yield Shop(bed)


def press(shop: Shop, url: str | None, action: str, **fields: str) -> httpx.Response:
    """Press a button of a page."""
    return shop.bed.web.post(str(url), data={"action": action, **fields})


def portal(shop: Shop, customer: str, **features: Any) -> stripe.billing_portal.Session:
    asked: Any = {"subscription_cancel": {"enabled": True}, "payment_method_update": {"enabled": True}, **features}
    made = shop.stripe.v1.billing_portal.configurations.create({"features": asked})
    return shop.stripe.v1.billing_portal.sessions.create(
        {"customer": customer, "configuration": made.id, "return_url": "https://app.test/billing"}
    )


# Checkout


def test_a_session_is_paid_on_its_page(shop: Shop) -> None:
    customer = shop.customer(card=None)
    session = shop.checkout(
        customer.id,
        client_reference_id="workspace",
        allow_promotion_codes=True,
        line_items=[{"price": shop.small.id, "quantity": 3}],
        subscription_data={"metadata": {"workspace_id": "w"}},
    )
    assert (session.status, session.payment_status, session.subscription) == ("open", "unpaid", None)
    assert session.expires_at - session.created == DAY
    page = shop.bed.web.get(str(session.url))
    for words in ("Stand-in of Stripe Checkout", "Plan: 8.00 USD a month", "24.00 USD", "<td>3</td>"):
        assert words in page.text
    assert "<script" not in page.text
    refused = press(shop, session.url, "fail")
    assert (refused.status_code, "Your card was declined." in refused.text) == (402, True)
    assert shop.stripe.v1.subscriptions.list({"customer": customer.id, "status": "all"}).data == []
    paid = press(shop, session.url, "pay")
    assert paid.status_code == 303
    assert paid.headers["location"] == f"https://app.test/done?session={session.id}"
    done = shop.stripe.v1.checkout.sessions.retrieve(session.id)
    assert (done.status, done.payment_status, done.client_reference_id, done.url) == (
        "complete",
        "paid",
        "workspace",
        None,
    )
    subscription = shop.subscription(str(done.subscription))
    assert (subscription.status, subscription.metadata.to_dict()) == ("active", {"workspace_id": "w"})
    assert (item(subscription).quantity, subscription.latest_invoice) == (3, done.invoice)
    assert shop.events(session.id) == ["checkout.session.completed"]
    assert "was paid" in press(shop, session.url, "pay").text
    assert len(shop.stripe.v1.subscriptions.list({"customer": customer.id, "status": "all"}).data) == 1


def test_who_goes_back_has_bought_nothing(shop: Shop) -> None:
    session = shop.checkout(shop.customer(card=None).id)
    assert press(shop, session.url, "cancel").headers["location"] == "https://app.test/cancelled"
    assert press(shop, session.url, "steal").status_code == 400
    assert shop.stripe.v1.checkout.sessions.retrieve(session.id).status == "open"


def test_a_card_can_fail_later(shop: Shop) -> None:
    session = shop.checkout(shop.customer(card=None).id)
    assert press(shop, session.url, "fail_later").status_code == 303
    id = str(shop.stripe.v1.checkout.sessions.retrieve(session.id).subscription)
    assert shop.subscription(id).status == "active"
    shop.renew(id)
    assert shop.subscription(id).status == "past_due"


@pytest.mark.parametrize(
    ("good", "paid", "status", "told"),
    [
        (True, "paid", "active", "checkout.session.async_payment_succeeded"),
        (False, "unpaid", "past_due", "checkout.session.async_payment_failed"),
    ],
)
def test_a_payment_can_be_decided_later(shop: Shop, good: bool, paid: str, status: str, told: str) -> None:  # noqa: FBT001
    session = shop.checkout(shop.customer(card=None).id)
    assert press(shop, session.url, "settle_later").status_code == 303
    done = shop.stripe.v1.checkout.sessions.retrieve(session.id)
    assert (done.status, done.payment_status) == ("complete", "unpaid")
    assert shop.subscription(str(done.subscription)).status == "active"
    shop.bed.local("POST", f"sessions/{session.id}/settle", good=good)
    assert shop.stripe.v1.checkout.sessions.retrieve(session.id).payment_status == paid
    assert shop.subscription(str(done.subscription)).status == status
    assert shop.events(session.id) == ["checkout.session.completed", told]
    if not good:
        shop.advance(7.1)
        assert shop.subscription(str(done.subscription)).status == "canceled"


def test_without_a_customer_one_is_made(shop: Shop) -> None:
    session = shop.stripe.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer_email": "new@example.com",
            "line_items": [{"price": shop.small.id, "quantity": 1}],
            "success_url": "https://app.test/done",
        }
    )
    press(shop, session.url, "pay")
    made = str(shop.stripe.v1.checkout.sessions.retrieve(session.id).customer)
    assert shop.stripe.v1.customers.retrieve(made).email == "new@example.com"


def test_a_session_expires_by_itself_or_when_told(shop: Shop) -> None:
    customer = shop.customer(card=None).id
    first, second = shop.checkout(customer), shop.checkout(customer)
    sessions = shop.stripe.v1.checkout.sessions
    assert sessions.expire(first.id).status == "expired"
    with pytest.raises(stripe.InvalidRequestError, match="can be expired"):
        sessions.expire(first.id)
    assert press(shop, first.url, "pay").status_code == 410
    assert [one.id for one in sessions.list({"customer": customer, "status": "open"}).data] == [second.id]
    shop.advance(1.1)
    assert (sessions.retrieve(second.id).status, sessions.list({"customer": customer, "status": "open"}).data) == (
        "expired",
        [],
    )
    assert shop.events(second.id) == ["checkout.session.expired"]
    with pytest.raises(stripe.InvalidRequestError, match="between 30 minutes and 24 hours"):
        shop.checkout(customer, expires_at=shop.bed.local("GET", "state")["now"] + 60)


def test_only_active_recurring_prices_are_sold(shop: Shop) -> None:
    customer = shop.customer(card=None).id
    archived = shop.price(100, active=False)
    once = shop.stripe.v1.prices.create({"product": shop.product.id, "currency": "usd", "unit_amount": 1})
    for price in (archived, once):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            shop.checkout(customer, price)
        assert caught.value.param == "line_items[0][price]"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.checkout(customer, mode="payment")
    assert caught.value.code == "standin_unsupported"


# The portal


def test_the_portal_ends_a_subscription_and_keeps_it_after_all(shop: Shop) -> None:
    made = shop.subscribe()
    session = portal(shop, made.customer, invoice_history={"enabled": True})
    page = shop.bed.web.get(session.url).text
    for words in ("Stripe&#x27;s customer portal", "https://app.test/billing", "Cancel it", "Invoices"):
        assert words in page
    assert "Change to" not in page
    assert press(shop, session.url, "cancel", subscription=made.id).status_code == 303
    assert shop.subscription(made.id).cancel_at_period_end
    assert "Keep it after all" in shop.bed.web.get(session.url).text
    press(shop, session.url, "resume", subscription=made.id)
    assert not shop.subscription(made.id).cancel_at_period_end


def test_the_portal_replaces_the_card(shop: Shop) -> None:
    customer = shop.customer("pm_card_failsLater")
    made = shop.subscribe(customer)
    press(shop, portal(shop, customer.id).url, "card", card="visa")
    shop.renew(made.id)
    assert shop.subscription(made.id).status == "active"


def test_the_portal_changes_plans_as_its_configuration_allows(shop: Shop) -> None:
    made = shop.subscribe()
    closed = press(shop, portal(shop, made.customer).url, "change", subscription=made.id, price=shop.large.id)
    assert (closed.status_code, item(shop.subscription(made.id)).price.id) == (400, shop.small.id)
    feature = {
        "enabled": True,
        "default_allowed_updates": ["price"],
        "products": [{"product": shop.product.id, "prices": [shop.small.id, shop.large.id]}],
        "proration_behavior": "always_invoice",
        "schedule_at_period_end": {"conditions": [{"type": "decreasing_item_amount"}]},
    }
    session = portal(shop, made.customer, subscription_update=feature)
    assert "Change to Plan: 12.00 USD a month" in shop.bed.web.get(session.url).text
    press(shop, session.url, "change", subscription=made.id, price=shop.large.id)
    assert item(shop.subscription(made.id)).price.id == shop.large.id
    press(shop, session.url, "change", subscription=made.id, price=shop.small.id)
    found = shop.subscription(made.id)
    assert (item(found).price.id, found.schedule is None) == (shop.large.id, False)
    shop.renew(made.id)
    assert item(shop.subscription(made.id)).price.id == shop.small.id


def test_the_portal_is_for_its_own_customer(shop: Shop) -> None:
    mine, theirs = shop.subscribe(), shop.subscribe()
    refused = press(shop, portal(shop, mine.customer).url, "cancel", subscription=theirs.id)
    assert (refused.status_code, "no such subscription" in refused.text) == (400, True)
    assert not shop.subscription(theirs.id).cancel_at_period_end
    for path in ("/p/session/none", "/c/pay/none", "/i/none"):
        assert shop.bed.web.get(shop.bed.url + path).status_code == 404


# Invoices


def test_an_open_invoice_is_paid_on_its_page(shop: Shop) -> None:
    made = shop.subscribe(shop.customer("pm_card_failsLater"))
    shop.renew(made.id)
    invoice = shop.stripe.v1.invoices.retrieve(shop.subscription(made.id).latest_invoice)
    assert "Pay with a good card" in shop.bed.web.get(str(invoice.hosted_invoice_url)).text
    assert press(shop, invoice.hosted_invoice_url, "fail").status_code == 402
    assert press(shop, invoice.hosted_invoice_url, "pay").status_code == 303
    assert shop.subscription(made.id).status == "active"
    assert shop.stripe.v1.invoices.retrieve(invoice.id).status == "paid"


def test_what_a_page_shows_is_escaped(shop: Shop) -> None:
    product = shop.stripe.v1.products.create({"name": "<script>alert(1)</script>"})
    session = shop.checkout(shop.customer(card=None).id, shop.price(100, product=product.id))
    page = shop.bed.web.get(str(session.url))
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
