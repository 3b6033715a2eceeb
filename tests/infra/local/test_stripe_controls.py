"""What the stand-in of Stripe has beyond Stripe: its controls, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from tests.infra.local.stripe_bed import KEY, StripeBed
from tests.infra.local.stripe_shop import DAY, Shop


@pytest.fixture
def shop() -> Iterator[Shop]:
    with StripeBed() as bed:
        yield Shop(bed)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("advance", {"seconds": -1}, "forward only"),
        ("advance", {"seconds": 400 * 366 * DAY}, "ten years at most"),
        ("advance", {}, "to is missing"),
        ("advance", {"seconds": "soon"}, "a whole number"),
        ("settings", {"colour": "red"}, "no setting colour"),
        ("settings", {"after_retries": "pray"}, "cancel, unpaid or past_due"),
        ("customers/cus_none/card", {"card": "gold"}, "no card gold"),
        ("customers/cus_none/card", {}, "No such customer"),
        ("deliveries/mode", {"hold": "yes"}, "none of hold"),
        ("deliveries/resend", {}, "event is missing"),
        ("refunds", {"customer": "cus_none"}, "No such charge"),
        ("faults", {"method": "GET"}, "A fault has a path"),
        ("faults", {"path": "/v1/x", "colour": "red"}, "A fault has a path"),
    ],
)
def test_a_control_says_what_is_wrong(shop: Shop, path: str, body: dict[str, Any], words: str) -> None:
    answer = shop.bed.web.post(f"{shop.bed.url}/_local/{path}", json=body, headers={"Authorization": f"Bearer {KEY}"})
    assert 400 <= answer.status_code < 500, answer.text
    assert words in answer.json()["error"]["message"]


def test_a_body_that_is_no_json_is_refused(shop: Shop) -> None:
    for content in (b"seconds=1", b"[1]"):
        url, headers = f"{shop.bed.url}/_local/advance", {"Authorization": f"Bearer {KEY}"}
        answer = shop.bed.web.post(url, content=content, headers=headers)
        assert (answer.status_code, "JSON object" in answer.text) == (400, True)


def test_a_customer_is_deleted_in_the_dashboard(shop: Shop) -> None:
    made = shop.subscribe()
    assert shop.bed.local("DELETE", f"customers/{made.customer}")["deleted"]
    assert shop.subscription(made.id).status == "canceled"
    assert shop.events(made.customer)[-1] == "customer.deleted"


def test_everything_can_be_forgotten(shop: Shop) -> None:
    shop.advance(10)
    shop.bed.local("DELETE", "state")
    assert shop.stripe.v1.products.list().data == []
    assert shop.bed.local("GET", "state")["offset_seconds"] == 0


@pytest.mark.parametrize(
    ("behaviour", "invoice"), [("void", "void"), ("keep_as_draft", "draft"), ("mark_uncollectible", "uncollectible")]
)
def test_collection_is_paused_without_touching_the_status(shop: Shop, behaviour: str, invoice: str) -> None:
    made = shop.subscribe()
    params: Any = {"pause_collection": {"behavior": behaviour}}
    shop.stripe.v1.subscriptions.update(made.id, params)
    shop.renew(made.id)
    found = shop.subscription(made.id)
    assert (found.status, found.pause_collection.behavior) == ("active", behaviour)
    assert shop.stripe.v1.invoices.retrieve(found.latest_invoice).status == invoice
    assert shop.stripe.v1.subscriptions.update(made.id, {"pause_collection": ""}).pause_collection is None


def test_an_invoice_is_finalized_voided_or_given_up(shop: Shop) -> None:
    made = shop.subscribe(shop.customer("pm_card_failsLater"))
    shop.renew(made.id)
    id = shop.subscription(made.id).latest_invoice
    with pytest.raises(stripe.CardError):
        shop.stripe.v1.invoices.pay(id)
    assert shop.stripe.v1.invoices.mark_uncollectible(id).status == "uncollectible"
    assert shop.stripe.v1.invoices.void_invoice(id).status == "void"
    with pytest.raises(stripe.InvalidRequestError, match="its status is void"):
        shop.stripe.v1.invoices.pay(id)
    assert shop.stripe.v1.invoices.list({"customer": made.customer, "status": "void"}).data[0].id == id
