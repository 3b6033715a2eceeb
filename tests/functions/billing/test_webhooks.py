"""Deliveries of webhooks: which are believed, which change something, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from billing.model import Dispute, Status
from core.problems import Internal, Invalid, NotFound, Problem, Unavailable
from core.settings import Secret
from declarations import PRO, TEAM
from tests.functions.billing.payments import DOWN
from tests.functions.billing.world import SECRET, World

CREATED = "customer.subscription.created"


def handled(world: World) -> dict[str, bool]:
    return dict(world.run("SELECT id, handled_at IS NOT NULL FROM app.stripe_events ORDER BY id"))


async def test_an_event_is_written_down_and_handled_once(world: World) -> None:
    ada, customer = await world.payer()
    paid = world.stripe.subscribe(customer, PRO)
    event = world.event(CREATED, paid.id, customer)
    await world.deliver(event)
    assert world.workspace(ada.workspace)[0] == "pro"
    written = world.run("SELECT id, kind, subject, customer, workspace_id::text, error FROM app.stripe_events")
    assert written == [(event.id, CREATED, paid.id, customer, ada.workspace, None)]
    asked, rows = len(world.stripe.asked), world.rows()
    await world.deliver(event)
    assert (len(world.stripe.asked), world.rows()) == (asked, rows)


async def test_what_is_true_is_asked_for_and_not_believed(world: World) -> None:
    """The event says that it began; by now it has ended."""
    ada, customer = await world.payer()
    paid = world.stripe.subscribe(customer, PRO)
    event = world.event(CREATED, paid.id, customer)
    world.stripe.change(paid, status=Status.CANCELED)
    await world.deliver(event)
    assert world.workspace(ada.workspace)[0] == "free"
    assert world.jobs("move_store") == []


async def test_what_is_not_signed_by_stripe_does_nothing(world: World) -> None:
    _, customer = await world.payer()
    world.stripe.subscribe(customer, PRO)
    body, _ = world.stripe.sign(world.event(CREATED, "sub", customer), SECRET)
    rows = world.rows()
    for signature in ("", "by whsec_other", "by ", "\x00"):
        with pytest.raises(Invalid):
            await world.webhooks.receive(body, signature)
    for malformed in (b"", b"{}", b"\xff\xfe", b"[1]", b"null"):
        with pytest.raises(Invalid):
            await world.webhooks.receive(malformed, f"by {SECRET}")
    assert world.rows() == rows
    assert world.stripe.asked == []


async def test_two_secrets_while_one_is_rotated_and_none_receives_nothing(world: World) -> None:
    _, customer = await world.payer()
    for number, secret in enumerate(("whsec_new", "whsec_old")):
        world.secrets = [Secret("whsec_new"), Secret("whsec_old")]
        body, signature = world.stripe.sign(world.event(CREATED, f"sub_{number}", customer), secret)
        await world.webhooks.receive(body, signature)
    rows = world.rows()
    empty: list[list[Secret]] = [[], [Secret("")], [Secret(""), Secret("")]]
    for world.secrets in empty:
        for signed in ("whsec_new", ""):
            body, signature = world.stripe.sign(world.event(CREATED, "sub", customer), signed)
            with pytest.raises(NotFound):
                await world.webhooks.receive(body, signature)
    assert world.rows() == rows


@pytest.mark.parametrize("method", ["customer", "dispute"])
@pytest.mark.parametrize("error", [DOWN, Internal("Stripe refuses it.")])
async def test_what_fails_at_stripe_is_handled_when_it_comes_again(world: World, method: str, error: Problem) -> None:
    ada, customer = await world.payer()
    world.stripe.subscribe(customer, PRO)
    world.stripe.disputes["dp_1"] = Dispute(id="dp_1", customer=customer, status="needs_response", amount_cents=800)
    event = world.event("charge.dispute.created", "dp_1")
    world.stripe.fail(method, error)
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            await world.deliver(event)
        assert refused.value.headers == {"Retry-After": "30"}
        assert error.detail not in refused.value.detail
    assert world.run("SELECT id, handled_at, error FROM app.stripe_events") == [(event.id, None, error.detail)]
    world.stripe.mend()
    await world.deliver(event)
    assert handled(world) == {event.id: True}
    assert world.run("SELECT error FROM app.stripe_events") == [(None,)]
    assert world.workspace(ada.workspace)[0] == "pro"
    assert world.jobs("move_store") == [{"to": "postgres"}]
    assert [mail for mail in world.mails() if mail[0] == "operator"] == [("operator", None)]


async def test_a_process_that_ends_midway_leaves_the_event_to_the_next(world: World) -> None:
    ada, customer = await world.payer()
    paid = world.stripe.subscribe(customer, PRO)
    event = world.event(CREATED, paid.id, customer)
    world.stripe.fail("customer", asyncio.CancelledError(), once=True)
    with pytest.raises(asyncio.CancelledError):
        await world.deliver(event)
    assert handled(world) == {event.id: False}
    await world.deliver(event)
    assert handled(world) == {event.id: True}
    assert world.workspace(ada.workspace)[0] == "pro"


async def test_the_control_plane_failing_is_told_as_a_failure(world: World) -> None:
    _, customer = await world.payer()
    event = world.event(CREATED, "sub", customer)
    await world.shut()
    await world.billing_postgres.close()
    with pytest.raises(Unavailable):
        await world.deliver(event)


async def test_two_webhooks_of_one_customer_at_once(world: World) -> None:
    ada, customer = await world.payer()
    paid = world.stripe.subscribe(customer, TEAM, seats=1)
    events = [world.event(CREATED, paid.id, customer), world.event("invoice.paid", "in_1", customer)]
    await asyncio.gather(*(world.deliver(event) for event in (*events, *events)))
    assert set(handled(world).values()) == {True}
    assert world.workspace(ada.workspace)[0] == "team"
    assert world.jobs("move_store") == [{"to": "postgres"}]
    assert world.mails() == [("plan_begun", ada.email)]


async def test_while_somebody_else_looks_for_long_the_event_waits_for_its_next_delivery(world: World) -> None:
    _, customer = await world.payer()
    world.webhooks = world.new_webhooks(world.new_settler(wait_seconds=0.3))
    event = world.event(CREATED, "sub", customer)
    assert await world.ledger.hold(customer, "another", 60.0)
    with pytest.raises(Unavailable):
        await world.deliver(event)
    assert handled(world) == {event.id: False}
    await world.ledger.release(customer, "another")
    await world.deliver(event)
    assert handled(world) == {event.id: True}


async def test_a_webhook_before_anybody_knows_the_customer(world: World) -> None:
    """The customer is made, and nobody came to write it down: the event is left alone, and the next look finds it."""
    ada = await world.sign_in("ada@example.com", store=False)
    customer = world.stripe.add_customer(ada.workspace)
    paid = world.stripe.subscribe(customer, PRO)
    event = world.event(CREATED, paid.id, customer)
    await world.deliver(event)
    assert handled(world) == {event.id: True}
    assert world.workspace(ada.workspace)[0] == "free"
    await world.ledger.attach_customer(ada.workspace, customer)
    await world.settler.settle(customer)
    assert world.workspace(ada.workspace)[0] == "pro"


async def test_a_webhook_that_comes_before_the_buyer_is_back(world: World) -> None:
    """Both look, and one of them changes something: the other finds it done."""
    ada, customer = await world.payer()
    page = await world.stripe.open_checkout(customer, ada.workspace, PRO, 1, "https://site.example", "key")
    paid = world.stripe.complete(page.id)
    event = world.event("checkout.session.completed", page.id, customer)
    both = await asyncio.gather(world.deliver(event), world.settler.settle(customer))
    assert both[0] is None
    assert (await world.settler.settle(customer)).changes == ()
    held = world.subscription(ada.workspace)
    assert held is not None
    assert held["id"] == paid.id
    assert world.jobs("move_store") == [{"to": "postgres"}]
    assert world.mails() == [("plan_begun", ada.email)]


async def test_a_dispute_is_told_and_shown_until_it_ends(world: World) -> None:
    ada, customer = await world.payer()
    world.stripe.subscribe(customer, PRO)

    async def dispute(status: str, amount: int = 800) -> None:
        world.stripe.disputes["dp_1"] = Dispute(id="dp_1", customer=customer, status=status, amount_cents=amount)
        await world.deliver(world.event("charge.dispute.created", "dp_1"))

    def told() -> int:
        return len([mail for mail in world.mails() if mail[0] == "operator"])

    await dispute("needs_response")
    await dispute("needs_response")
    assert ((await world.body(ada))["disputed"], told()) == (True, 1)
    assert "8.00 USD" in " ".join(world.jobs("send_mail")[0]["data"]["lines"])
    await dispute("under_review")
    assert ((await world.body(ada))["disputed"], told()) == (True, 2)
    await dispute("lost")
    assert ((await world.body(ada))["disputed"], told()) == (False, 3)
    await dispute("under_review")  # one that ended stays so
    assert ((await world.body(ada))["disputed"], told()) == (False, 3)
    assert (await world.body(ada))["plan"] == "pro"


async def test_a_dispute_of_a_customer_that_was_deleted_is_its_workspaces(world: World) -> None:
    ada, customer = await world.payer()
    world.stripe.disputes["dp_1"] = Dispute(id="dp_1", customer=customer, status="needs_response", amount_cents=800)
    world.stripe.customers[customer].deleted = True
    await world.deliver(world.event("customer.deleted", customer, customer))
    assert world.workspace(ada.workspace)[2] is None
    await world.deliver(world.event("charge.dispute.created", "dp_1"))
    assert (await world.body(ada))["disputed"] is True


async def test_a_refund_is_told_once_for_each_event(world: World) -> None:
    _, customer = await world.payer()
    event = world.event("charge.refunded", "ch_1", customer)
    world.stripe.fail("customer", DOWN, after=True, once=True)
    with pytest.raises(Unavailable):
        await world.deliver(event)
    await world.deliver(event)
    await world.deliver(event)
    assert world.mails() == [("operator", None)]
    await world.deliver(world.event("charge.refunded", "ch_1", customer))
    assert len(world.mails()) == 2


async def test_events_of_nobody_are_handled_and_change_nothing(world: World) -> None:
    await world.payer()
    stranger = world.stripe.add_customer(None)
    world.stripe.subscribe(stranger, TEAM)
    gone = world.stripe.add_customer(None)
    await world.stripe.delete_customer(gone)
    rows = world.rows()
    world.stripe.disputes["dp_9"] = Dispute(id="dp_9", customer=stranger, status="needs_response", amount_cents=800)
    world.stripe.disputes["dp_8"] = Dispute(id="dp_8", customer=None, status="lost", amount_cents=800)
    world.stripe.asked.clear()
    disputes = ("dp_9", "dp_8", "dp_gone")  # the last two: its charge is gone from Stripe, or it is itself
    kinds: list[tuple[str, str, Any]] = [
        *(("charge.dispute.created", dispute, None) for dispute in disputes),
        ("charge.dispute.closed", "dp_9", stranger),
        (CREATED, "sub", stranger),
        ("charge.refunded", "ch_9", stranger),
        ("checkout.session.expired", "cs_1", None),
        ("customer.deleted", gone, gone),
    ]
    for kind, subject, whose in kinds:
        await world.deliver(world.event(kind, subject, whose))
    assert set(handled(world).values()) == {True}
    assert world.rows() == {**rows, "stripe_events": len(kinds)}
    assert world.stripe.asked == [("dispute", dispute) for dispute in disputes], "nobody is asked about strangers"


async def test_a_dispute_that_does_not_say_its_charge_any_more_is_whose_it_was(world: World) -> None:
    ada, customer = await world.payer()
    for whose, status in ((customer, "needs_response"), (None, "lost")):
        world.stripe.disputes["dp_1"] = Dispute(id="dp_1", customer=whose, status=status, amount_cents=800)
        await world.deliver(world.event("charge.dispute.created", "dp_1"))
        assert (await world.body(ada))["disputed"] is (status == "needs_response")
    assert set(handled(world).values()) == {True}


async def test_deliveries_are_forgotten_in_time(world: World) -> None:
    _, customer = await world.payer()
    for _ in range(2):
        await world.deliver(world.event(CREATED, "sub", customer))
    world.run("UPDATE app.stripe_events SET received_at = now() - interval '61 days' WHERE id = 'evt_0001'")
    [(forgotten,)] = await world.provisioning.fetch("SELECT app.forget_events(%s::interval)", [timedelta(days=60)])
    assert (forgotten, handled(world)) == (1, {"evt_0002": True})
