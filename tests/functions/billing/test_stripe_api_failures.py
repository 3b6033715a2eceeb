"""What callers and the operator are told when Stripe fails, refuses, or answers nonsense; and how often it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest

from billing.model import Customer, Dispute
from billing.stripe import calls, http
from billing.stripe.payments import StripePayments
from core.problems import Conflict, Internal, PaymentRequired, Problem, Unavailable
from core.rotation import Fixed
from core.settings import Secret
from declarations import STRIPE_API_VERSION, TEAM
from tests.functions.billing.scripted import DROP, HANG, TRICKLE, Answer, Script

KEY = "rk_test_abcdefghijklmnopqrstuvwxyz"
GOOD = Answer(body={"id": "cus_1", "object": "customer", "metadata": {}})
BROKEN = Answer(500, {"error": {"type": "api_error", "message": "broken"}})


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which are not waited."""
    waited: list[float] = []

    async def sleep(_self: http.Http, secs: float) -> None:
        waited.append(secs)

    monkeypatch.setattr(http.Http, "sleep_async", sleep)
    return waited


@asynccontextmanager
async def asking(*answers: Answer | str) -> AsyncIterator[tuple[StripePayments, Script]]:
    async with Script(*answers).running() as script:
        payments = StripePayments(Fixed(Secret(KEY)), script.url)
        try:
            yield payments, script
        finally:
            await payments.close()


async def create(payments: StripePayments) -> str:
    return await payments.create_customer("a-workspace", "ada@example.com", "Ada", "the-key")


def refused(status: int, **error: Any) -> Answer:
    return Answer(status, {"error": {"type": "invalid_request_error", **error}})


async def test_what_is_sent() -> None:
    async with asking(GOOD) as (payments, script):
        for _ in range(2):
            assert await create(payments) == "cus_1"
        first, second = script.seen
        assert (first.method, first.target) == ("POST", "/v1/customers")
        assert parse_qs(first.body.decode()) == {
            "name": ["Ada"],
            "email": ["ada@example.com"],
            "metadata[workspace_id]": ["a-workspace"],
        }
        assert first.headers["authorization"] == f"Bearer {KEY}"
        assert first.headers["stripe-version"] == STRIPE_API_VERSION
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == "the-key"
        assert "x-stripe-client-telemetry" not in second.headers
        assert "platform" not in second.headers["x-stripe-client-user-agent"]


async def test_a_new_key_is_used_at_once() -> None:
    class Changing:
        value = "rk_test_first"

        async def read(self) -> Secret:
            return Secret(self.value)

        async def close(self) -> None:
            return None

    source = Changing()
    async with Script(GOOD).running() as script:
        payments = StripePayments(source, script.url)
        await create(payments)
        source.value = "rk_test_second"
        await create(payments)
        await payments.close()
    assert [seen.headers["authorization"] for seen in script.seen] == ["Bearer rk_test_first", "Bearer rk_test_second"]


@pytest.mark.parametrize(
    "failure", [BROKEN, Answer(503, b"<html>"), Answer(409, {"error": {"code": "lock_timeout"}}), DROP]
)
async def test_what_may_pass_is_tried_three_times(failure: Answer | str, waits: list[float]) -> None:
    async with asking(failure, failure, GOOD) as (payments, script):
        assert await create(payments) == "cus_1"
        assert [seen.headers["idempotency-key"] for seen in script.seen] == ["the-key"] * 3
        assert len(waits) == 2
    async with asking(failure) as (payments, script):
        with pytest.raises(Unavailable, match="does not answer") as raised:
            await create(payments)
        assert len(script.seen) == 3
    assert (raised.value.part, raised.value.headers["Retry-After"]) == ("stripe", "5")


async def test_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    monkeypatch.setattr(calls, "ANSWER_SECONDS", 0.05)
    async with asking(HANG) as (payments, _):
        with pytest.raises(Unavailable):
            await create(payments)
        assert len(waits) == calls.RETRIES


async def test_a_server_that_answers_bit_by_bit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, waits: list[float]
) -> None:
    """Each bit comes in time, the whole does not."""
    monkeypatch.setattr(calls, "WHOLE_SECONDS", 0.2)
    async with asking(TRICKLE) as (payments, _):
        with pytest.raises(Unavailable):
            await create(payments)
        assert waits == []
    assert "took longer than 0.2 seconds" in caplog.text


async def test_nobody_is_there() -> None:
    payments = StripePayments(Fixed(Secret(KEY)), "http://127.0.0.1:1")
    with pytest.raises(Unavailable):
        await create(payments)
    await payments.close()


@pytest.mark.parametrize(
    ("sent", "told"),
    [({"Retry-After": "17"}, "17"), ({}, "5"), ({"Retry-After": "9999"}, "60"), ({"Retry-After": "soon"}, "5")],
)
async def test_too_many_requests_are_not_made_more(sent: dict[str, str], told: str) -> None:
    limited = refused(429, code="rate_limit", message="Too many")
    limited.headers = sent
    async with asking(limited) as (payments, script):
        with pytest.raises(Unavailable) as raised:
            await create(payments)
        assert len(script.seen) == 1
    assert raised.value.headers["Retry-After"] == told


async def test_a_bad_key_is_told_to_the_operator_and_to_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    async with asking(refused(401, message=f"Invalid API Key provided: {KEY}")) as (payments, script):
        with pytest.raises(Internal) as raised:
            await create(payments)
        assert len(script.seen) == 1
    assert "Stripe does not accept STRIPE_API_KEY (request req_scripted): make a restricted key" in caplog.text
    assert KEY not in caplog.text + raised.value.detail
    assert "key" not in raised.value.detail.lower()


async def test_a_permission_that_lacks_is_named_to_the_operator(caplog: pytest.LogCaptureFixture) -> None:
    message = (
        f"The provided key '{KEY}' does not have the required permissions. Having the 'rak_customer_write' permission"
    )
    async with asking(refused(403, message=message)) as (payments, _):
        with pytest.raises(Internal) as raised:
            await create(payments)
    assert "give the restricted key rak_customer_write." in caplog.text
    assert KEY not in caplog.text
    assert "rak_" not in raised.value.detail


async def test_a_request_that_is_wrong_is_our_fault(caplog: pytest.LogCaptureFixture) -> None:
    wrong = refused(400, code="parameter_unknown", param="nickname", message="no: ada@example.com")
    async with asking(wrong) as (payments, script):
        with pytest.raises(Internal) as raised:
            await create(payments)
        assert len(script.seen) == 1
    assert "(request req_scripted, code parameter_unknown, parameter nickname)" in caplog.text
    assert "ada@example.com" not in caplog.text + raised.value.detail


async def test_keys_that_were_used_or_are_in_use() -> None:
    used = Answer(400, {"error": {"type": "idempotency_error", "message": "Keys for idempotent requests"}})
    async with asking(used) as (payments, script):
        with pytest.raises(Conflict, match="used for another request"):
            await create(payments)
        assert len(script.seen) == 1
    in_use = Answer(409, {"error": {"type": "idempotency_error", "code": "idempotency_key_in_use"}})
    async with asking(in_use) as (payments, script):
        with pytest.raises(Unavailable):
            await create(payments)
        assert len(script.seen) == 3


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            {"code": "card_declined", "message": "Your card has insufficient funds."},
            "Your card has insufficient funds. No",
        ),
        ({"code": "card_declined"}, "The payment was declined. Nothing was changed."),
        ({"code": "subscription_payment_intent_requires_action"}, "Your bank wants you to confirm"),
        ({"code": "authentication_required"}, "Your bank wants you to confirm"),
    ],
)
async def test_a_card_that_is_declined(error: dict[str, str], told: str, caplog: pytest.LogCaptureFixture) -> None:
    async with asking(Answer(402, {"error": {"type": "card_error", **error}})) as (payments, script):
        with pytest.raises(PaymentRequired) as raised:
            await create(payments)
        assert len(script.seen) == 1
    assert raised.value.detail.startswith(told)
    assert caplog.records == []


NONSENSE: list[Answer] = [
    Answer(body=b"<html>a proxy's</html>"),
    Answer(body=b""),
    Answer(body=b"\xff\xfe"),
    Answer(body=[]),
    Answer(body=None),
    Answer(body="text"),
    Answer(body={"object": "customer"}),
    Answer(302, b"", {"Location": "http://127.0.0.1:1"}),
    Answer(400, b"<html>"),
    Answer(400, {"error": []}),
    Answer(400, {"error": "text"}),
    Answer(400, []),
]


async def test_nonsense_is_no_answer() -> None:
    for answer in NONSENSE:
        async with asking(answer) as (payments, _):
            with pytest.raises(Unavailable):
                await create(payments)


CUSTOMER = Answer(body={"id": "cus_1", "object": "customer", "metadata": {"workspace_id": "w"}})


async def test_nonsense_in_a_list_is_no_answer() -> None:
    good = {"object": "list", "data": [], "has_more": False}
    async with asking(CUSTOMER, Answer(body=good)) as (payments, _):
        assert await payments.customer("cus_1") == Customer(id="cus_1", workspace="w")
    subscription = {"id": "sub_1", "object": "subscription", "status": "active", "created": 1, "items": {"data": []}}
    lacking: list[dict[str, Any]] = [
        {},
        {"data": None},
        {"data": [{}]},
        {"data": [7]},
        {"data": [{**subscription, "items": None}]},
        {"has_more": None},
    ]
    for data in lacking:
        lacks = {"object": "list", **data}
        async with asking(CUSTOMER, Answer(body=lacks)) as (payments, _):
            with pytest.raises(Unavailable):
                await payments.customer("cus_1")


async def test_a_subscription_of_nothing_grants_nothing() -> None:
    bare = {"id": "sub_1", "object": "subscription", "status": "active", "created": 60, "items": {"data": []}}
    page = {"object": "list", "data": [bare], "has_more": False}
    async with asking(CUSTOMER, Answer(body=page)) as (payments, _):
        (held,) = (await payments.customer("cus_1")).subscriptions
    assert (held.lookup_key, held.seats, held.period_end) == (None, 0, datetime.fromtimestamp(60, UTC))


async def test_everything_says_when_stripe_is_down() -> None:
    async with asking(BROKEN) as (payments, script):
        held = (await _held()).subscriptions[0]
        for ask in (
            payments.customer("cus_1"),
            payments.hand_over("cus_1", None, "w", "k"),
            payments.dispute("du_1"),
            payments.list_customers(None, 10),
            payments.delete_customer("cus_1"),
            payments.expire_checkouts("cus_1"),
            payments.open_checkout("cus_1", "w", TEAM, 1, "https://site.example", "k"),
            payments.open_portal("cus_1", "bpc_1", "https://site.example"),
            payments.change_plan(held, TEAM, 1, "k"),
            payments.schedule_change(held, TEAM, 1, "k"),
            payments.schedule_end(held, "k"),
            payments.keep(held, "k"),
            payments.set_seats(held, 2, "k"),
            payments.cancel("sub_1", refund=True, key="k"),
        ):
            asked = len(script.seen)
            with pytest.raises(Problem) as raised:
                await ask
            assert isinstance(raised.value, Unavailable)
            assert len(script.seen) == asked + 3


CHARGELESS = {"id": "du_1", "object": "dispute", "status": "lost", "amount": 800, "charge": "ch_gone"}
MISSING = Answer(
    404, {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such one"}}
)


async def test_a_dispute_whose_charge_is_gone_is_a_dispute() -> None:
    async with asking(MISSING, Answer(body=CHARGELESS)) as (payments, script):
        dispute = await payments.dispute("du_1")
    assert dispute == Dispute(id="du_1", customer=None, status="lost", amount_cents=800)
    assert "expand" not in script.seen[1].target
    async with asking(MISSING) as (payments, _):
        assert await payments.dispute("du_1") is None


async def _held() -> Customer:
    """Somebody with a subscription that ends and has a schedule."""
    bare = {
        **{"id": "sub_1", "object": "subscription", "status": "active", "created": 60, "items": {"data": []}},
        **{"cancel_at_period_end": True, "schedule": "sub_sched_1"},
    }
    page = {"object": "list", "data": [bare], "has_more": False}
    schedule = {"id": "sub_sched_1", "object": "subscription_schedule", "status": "released", "phases": []}
    async with asking(CUSTOMER, Answer(body=page), Answer(body=schedule)) as (payments, _):
        return await payments.customer("cus_1")
