"""Deliveries of webhooks as Stripe signs them: what is taken, and what is refused without a look."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import stripe

from billing.model import Event
from billing.stripe.payments import StripePayments
from core.problems import Invalid
from core.rotation import Fixed
from core.settings import Secret

SECRET, PREVIOUS = "whsec_current", "whsec_previous"
SECRETS = [Secret(SECRET), Secret(PREVIOUS)]
PAYMENTS = StripePayments(Fixed(Secret("none")))
INVOICE = {"id": "in_1", "object": "invoice", "customer": "cus_1"}


def event(about: Any, **more: Any) -> bytes:
    whole = {
        "id": "evt_1",
        "object": "event",
        "type": "invoice.paid",
        "created": 1_795_000_000,
        "data": {"object": about},
    }
    return orjson.dumps({**whole, **more})


def signed(body: bytes, secret: str = SECRET, age: int = 0) -> str:
    text = body.decode("utf-8", "replace")
    header: str = stripe.WebhookSignature.generate_signature_header(text, secret, int(time.time()) - age)
    return header


def test_an_event_names_what_to_look_at() -> None:
    body = event(INVOICE)
    for secret in (SECRET, PREVIOUS):
        assert PAYMENTS.event(body, signed(body, secret), SECRETS) == Event(
            id="evt_1",
            kind="invoice.paid",
            subject="in_1",
            customer="cus_1",
            created=datetime.fromtimestamp(1_795_000_000, UTC),
        )
    assert PAYMENTS.event(body, signed(body, age=290), SECRETS).id == "evt_1"
    both = f"{signed(body, 'whsec_other')},{signed(body).partition(',')[2]}"  # as while Stripe rolls its secret
    assert PAYMENTS.event(body, both, SECRETS).id == "evt_1"


@pytest.mark.parametrize(
    ("about", "customer"),
    [
        ({"id": "cus_2", "object": "customer", "deleted": True}, "cus_2"),
        ({"id": "sub_1", "object": "subscription", "customer": {"id": "cus_3", "object": "customer"}}, "cus_3"),
        ({"id": "du_1", "object": "dispute", "charge": "ch_1"}, None),
        ({"id": "cs_1", "object": "checkout.session", "customer": None}, None),
        ({"id": "x_1", "object": "something.of.the.future", "customer": 7}, None),
    ],
)
def test_whose_an_event_is(about: dict[str, Any], customer: str | None) -> None:
    body = event(about)
    found = PAYMENTS.event(body, signed(body), SECRETS)
    assert (found.subject, found.customer) == (about["id"], customer)


BODY = event(INVOICE)
MOMENT = int(time.time())


@pytest.mark.parametrize(
    ("body", "signature", "secrets"),
    [
        pytest.param(BODY, signed(BODY, "whsec_forged"), SECRETS, id="forged"),
        pytest.param(BODY, signed(BODY, age=310), SECRETS, id="replayed"),
        pytest.param(BODY + b" ", signed(BODY), SECRETS, id="changed"),
        pytest.param(BODY, "", SECRETS, id="unsigned"),
        pytest.param(BODY, "nonsense", SECRETS, id="nonsense"),
        pytest.param(BODY, f"t={MOMENT}", SECRETS, id="without a signature"),
        pytest.param(BODY, f"t=now,v1={'0' * 64}", SECRETS, id="without a time"),
        pytest.param(BODY, f"t={MOMENT},v1=\xe9", SECRETS, id="a signature that is not ASCII"),
        pytest.param(BODY, f"t={MOMENT},v0={signed(BODY).partition('v1=')[2]}", SECRETS, id="another scheme"),
        pytest.param(b"\xff\xfe", signed(b"\xff\xfe"), SECRETS, id="a body that is no text"),
        pytest.param(BODY, signed(BODY), [], id="no secret"),
        pytest.param(BODY, signed(BODY, " "), [Secret(""), Secret(" ")], id="an empty secret"),
    ],
)
def test_what_is_not_signed_is_refused(body: bytes, signature: str, secrets: list[Secret]) -> None:
    with pytest.raises(Invalid, match="not signed by Stripe"):
        PAYMENTS.event(body, signature, secrets)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        event(None),
        event([]),
        event({}),
        event({"id": 7}),
        event(INVOICE, id=None),
        event(INVOICE, type=7),
        event(INVOICE, created="yesterday"),
        event(INVOICE, created=10**17),
        event(INVOICE, object="v2.core.event"),
        event(INVOICE, data=None),
    ],
)
def test_what_is_signed_and_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid, match="no event of Stripe's"):
        PAYMENTS.event(body, signed(body), SECRETS)
