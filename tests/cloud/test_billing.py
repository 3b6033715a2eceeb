"""Plans are paid for, changed, not paid and left, by the API and the payment page, with Stripe's events through the
Worker; limits, store and mails follow each step."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from declarations import STRIPE_EVENTS
from tests.cloud.inside import environment, run_schedule, sql
from tests.cloud.paying import DAY, SITE, Payer, Till, browser_page, is_local
from tests.cloud.people import Person, token
from tests.cloud.stack import Answer, Stack, wait_until


@pytest.fixture(scope="module")
def till(stack: Stack) -> Till:
    return Till(stack)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser_page() as page:
        yield page


def pay(page: Page, url: str, button: str = "Pay with a good card") -> None:
    """Press a button of the payment page."""
    assert is_local(url)
    page.goto(url)
    assert "Stand-in of Stripe Checkout" in page.content()
    page.get_by_role("button", name=button, exact=True).click()


def remember(stack: Stack, key: str, title: str) -> None:
    answer = stack.call("POST", "/memories", {"type": "general", "title": title, "content": title}, key=key)
    assert answer.status == 201, answer


def titles(stack: Stack, key: str) -> set[str]:
    return {one["title"] for one in stack.call("GET", "/memories", key=key).body["memories"]}


def limit_of(stack: Stack, key: str) -> int:
    return int(stack.call("GET", "/memories/recent", key=key).headers["x-ratelimit-limit"])


def store_of(stack: Stack, workspace: str) -> str:
    [(kind,)] = sql(stack, "SELECT store_kind FROM app.workspaces WHERE id = %s", workspace)
    return str(kind)


def test_free_pro_team_failed_card_grace_recovery_and_free_again(stack: Stack, till: Till, page: Page) -> None:
    ada, ben = Payer(stack, "Ada"), Person(stack, "Ben")
    ada.ready()
    workspace, key = ada.workspace(), ada.key()
    remember(stack, key, "On Free")
    assert ada.billing()["plan"] == "free"
    assert (limit_of(stack, key), store_of(stack, workspace)) == (1_000, "sqlite")

    # A card that is refused buys nothing.
    pay(page, ada.checkout("pro"), "Pay with a card that fails now")
    assert "declined" in page.content()
    assert ada.billing()["plan"] == "free"

    # Pro.
    with page.expect_request(f"{SITE}/**") as back:
        pay(page, ada.checkout("pro"))
    assert back.value.url.startswith(f"{SITE}/dashboard/billing?checkout=done")
    paid = ada.wait_for(plan="pro", move__state="none", status="active")
    assert (paid["seats"], paid["price_usd"], paid["subscription"]) == (1, 8, True)
    assert store_of(stack, workspace) == "postgres"
    wait_until(lambda: limit_of(stack, key) == 100_000, 6, "the limit of Pro")
    remember(stack, key, "On Pro")
    assert titles(stack, key) == {"On Free", "On Pro"}
    again = ada.call("POST", "/billing/checkout", {"plan": "team"})
    assert again.status == 409, again
    alone = ada.call("POST", f"/workspaces/{workspace}/invitations", {"email": ben.email, "role": "member"})
    assert alone.status == 403, alone

    # Team, and a second seat for whoever comes.
    assert ada.change("team")["plan"] == "team"
    wait_until(lambda: limit_of(stack, key) == 1_000_000, 6, "the limit of Team")
    assert (
        ada.call("POST", f"/workspaces/{workspace}/invitations", {"email": ben.email, "role": "member"}).status == 201
    )
    accepted = ben.call("POST", "/invitations/accept", {"token": token(stack.mail(ben.email, "invited"))})
    assert accepted.status == 200, accepted
    ada.wait_for(seats=2, members=2)
    customer = till.customer(workspace)
    [subscription] = till.subscriptions(customer)
    assert subscription["items"]["data"][0]["quantity"] == 2

    def as_ben() -> Answer:
        return ben.call("GET", "/auth/verify", X_Workspace=workspace)

    assert as_ben().status == 200

    # The card fails at renewal: nothing is lost, and she is told.
    till.local("POST", f"customers/{customer}/fail_next", times=1)
    till.local("POST", "advance", seconds=31 * DAY)
    grace = ada.wait_for(status="past_due")
    assert (grace["plan"], limit_of(stack, key)) == ("team", 1_000_000)
    assert grace["grace_until"]
    stack.mail(ada.email, "payment")
    refused = ada.call("POST", "/billing/plan", {"plan": "pro"})
    assert refused.status == 409, refused

    # She pays, and is told that all is well.
    [open_invoice] = [one for one in till.get(f"invoices?customer={customer}")["data"] if one["status"] == "open"]
    till.local("POST", f"invoices/{open_invoice['id']}/pay")
    assert ada.wait_for(status="active")["grace_until"] is None

    # Down to Free when the period ends: Ben is not let in any more, and the store moves back.
    left = ada.change("free")
    assert (left["plan"], left["next_plan"]) == ("team", "free")
    assert ada.call("DELETE", "/billing/plan").body["next_plan"] is None
    ada.change("free")
    till.local("POST", "advance", seconds=31 * DAY)
    ended = ada.wait_for(plan="free", move__state="none")
    assert not ended["subscription"]
    assert store_of(stack, workspace) == "sqlite"
    wait_until(lambda: limit_of(stack, key) == 1_000, 6, "the limit of Free")
    assert titles(stack, key) == {"On Free", "On Pro"}
    wait_until(lambda: as_ben().status == 403, 6, "Ben is not let in any more")
    assert "room for its owner" in as_ben().body["detail"]
    subjects = {mail["subject"] for mail in stack.mails(ada.email)}
    assert len(subjects) >= 5, subjects


def test_events_in_any_order_twice_and_late_change_nothing(stack: Stack, till: Till) -> None:
    """Shuffled, doubled, and held back until all is over, a whole history ends where Stripe is."""
    ada = Payer(stack)
    ada.ready()
    with till.disturbed(hold=True, shuffle=True, duplicate=2):
        session = ada.checkout("pro").rsplit("/", 1)[-1]
        till.local("POST", f"sessions/{session}/pay", card="visa")
        assert ada.billing()["plan"] == "free", "the way back from the page grants nothing"
        ada.wait_for(plan="free")
    till.settle()
    ada.wait_for(plan="pro", status="active")
    [(count,)] = sql(
        stack,
        "SELECT count(*) FROM app.stripe_events e JOIN app.workspaces w ON w.id = e.workspace_id"
        " WHERE w.id = %s AND e.handled_at IS NULL",
        ada.workspace(),
    )
    assert count == 0


def test_a_second_subscription_is_ended_refunded_and_reported(stack: Stack, till: Till) -> None:
    ada = Payer(stack)
    ada.ready()
    session = ada.checkout("pro").rsplit("/", 1)[-1]
    till.local("POST", f"sessions/{session}/pay", card="visa")
    ada.wait_for(plan="pro")
    customer = till.customer(ada.workspace())
    [first] = till.subscriptions(customer)
    price = first["items"]["data"][0]["price"]["id"]
    card = first["default_payment_method"]
    till.post("subscriptions", {"customer": customer, "items[0][price]": price, "default_payment_method": card})
    # The older one stays; which one that is, Stripe's seconds may not tell here.
    wait_until(lambda: len(till.subscriptions(customer)) == 1, 30, "one is left")
    wait_until(lambda: till.get("refunds?limit=100")["data"], 10, "what the second one took is given back")
    assert stack.mail("operator@memorygraph.localhost", "twice")


def test_a_lost_webhook_is_mended_at_night(stack: Stack, till: Till) -> None:
    ada = Payer(stack)
    ada.ready()
    with till.disturbed(drop=list(STRIPE_EVENTS)):
        session = ada.checkout("pro").rsplit("/", 1)[-1]
        till.local("POST", f"sessions/{session}/pay", card="visa")
        till.settle()
    assert ada.billing()["plan"] == "free"
    run_schedule(stack, "reconcile")
    ada.wait_for(plan="pro", status="active")


def deliver(stack: Stack, body: bytes, signature: str | None) -> tuple[int, Any]:
    target = urlsplit(f"{stack.api_url}/webhooks/stripe")
    connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30)
    try:
        headers = {"Content-Type": "application/json"} | ({"Stripe-Signature": signature} if signature else {})
        connection.request("POST", target.path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def signed(secret: str, body: bytes, at: float) -> str:
    return f"t={int(at)},v1={hmac.new(secret.encode(), f'{int(at)}.'.encode() + body, hashlib.sha256).hexdigest()}"


def test_what_stripe_did_not_send_is_refused_and_leaves_nothing(stack: Stack) -> None:
    secret = environment(stack, "billing")["STRIPE_WEBHOOK_SECRET"].split()[0]
    event = {
        "id": f"evt_{secrets.token_hex(8)}",
        "object": "event",
        "type": "customer.deleted",
        "created": int(time.time()),
    }
    body = json.dumps(event | {"data": {"object": {"id": "cus_x", "object": "customer"}}}).encode()
    before = sql(stack, "SELECT count(*) FROM app.stripe_events")
    now = time.time()
    for what, sent, signature, status in (
        ("no signature", body, None, 400),
        ("a forged one", body, signed("whsec_" + "0" * 32, body, now), 400),
        ("another body", body + b" ", signed(secret, body, now), 400),
        ("an old one, replayed", body, signed(secret, body, now - 600), 400),
        ("no event", b"[]", signed(secret, b"[]", now), 400),
        ("no JSON", b"{", signed(secret, b"{", now), 400),
        ("too large", b" " * (600 << 10), signed(secret, b"", now), 413),
    ):
        answer = deliver(stack, sent, signature)
        assert answer[0] == status, (what, answer)
    assert sql(stack, "SELECT count(*) FROM app.stripe_events") == before


def test_an_erased_account_has_no_customer_at_stripe(stack: Stack, till: Till) -> None:
    ada = Payer(stack)
    ada.ready()
    session = ada.checkout("pro").rsplit("/", 1)[-1]
    till.local("POST", f"sessions/{session}/pay", card="visa")
    ada.wait_for(plan="pro")
    customer = till.customer(ada.workspace())
    assert ada.call("POST", "/account/erasure").status == 202
    proof = token(stack.mail(ada.email, "shall be erased"))
    confirmed = stack.call("POST", "/account/erasure/confirm", {"token": proof})
    assert confirmed.status == 202, confirmed
    wait_until(lambda: till.get(f"customers/{customer}").get("deleted") is True, 40, "the customer is deleted")
    assert {one["status"] for one in till.subscriptions(customer, "all")} <= {"canceled"}
