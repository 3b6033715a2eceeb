"""The billing function through its pipeline: who may do what, what is taken, what is answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from billing import answers, schemas
from billing.stripe.payments import StripePayments
from core.rotation import SecretSource
from core.settings import Secret
from declarations import PAID, PLANS, PRO, TEAM, WEBHOOK_BYTES
from tests.functions.accounts.test_answers import faults
from tests.functions.accounts.world import Person
from tests.functions.asgi import Answer
from tests.functions.billing.bed import Bed
from tests.functions.billing.serving import SETTINGS, Serving
from tests.functions.billing.world import SECRET, World
from tests.infra.local.stripe_bed import KEY, Hook, StripeBed

CHANGES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/billing/checkout", {"plan": "pro"}),
    ("POST", "/billing/portal", b""),
    ("POST", "/billing/plan", {"plan": "free"}),
    ("DELETE", "/billing/plan", b""),
)


@pytest.fixture
def billing(world: World) -> Serving:
    return Serving(world)


def check(name: str, answer: Answer, status: int = 200) -> Any:
    assert answer.status == status, answer.body
    body = answer.json()
    assert faults(body, getattr(answers, name), name) == []
    return body


async def deliver(billing: Serving, kind: str, subject: str, customer: str | None) -> Answer:
    world = billing.world
    body, signature = world.stripe.sign(world.event(kind, subject, customer), SECRET)
    return await billing.ask("POST", "/webhooks/stripe", None, body, headers={"Stripe-Signature": signature})


async def test_from_free_to_paid_and_back(billing: Serving) -> None:
    world = billing.world
    ada = await world.sign_in("ada@example.com")
    free = check("BillingBody", await billing.ask("GET", "/billing", ada))
    assert (free["plan"], free["price_usd"], free["customer"], free["subscription"]) == ("free", 0, False, False)

    answer = await billing.ask("POST", "/billing/checkout", ada, {"plan": "Pro", "seats": None})
    page = check("CheckoutBody", answer, 201)
    subscription = world.stripe.complete(page["id"])
    customer = world.stripe.pages[page["id"]].customer
    assert check("BillingBody", await billing.ask("GET", "/billing", ada))["plan"] == "free", (
        "coming back grants nothing"
    )
    check("ReceivedBody", await deliver(billing, "checkout.session.completed", page["id"], customer))
    world.forget()
    paid = check("BillingBody", await billing.ask("GET", "/billing", ada))
    assert (paid["plan"], paid["status"], paid["price_usd"], paid["seats"]) == ("pro", "active", PRO.price_usd, 1)
    assert paid["move"] == {"state": "none", "to": None, "note": None}, "it is in PostgreSQL already"

    again = await billing.ask("POST", "/billing/checkout", ada, {"plan": "team"})
    assert (again.status, "already" in again.json()["detail"]) == (409, True)
    team = check("BillingBody", await billing.ask("POST", "/billing/plan", ada, {"plan": "team"}))
    assert (team["plan"], team["price_usd"]) == ("team", TEAM.price_usd)
    portal = check("PortalBody", await billing.ask("POST", "/billing/portal", ada), 201)
    assert portal["url"] == f"https://portal.stripe.test/{customer}"

    ending = check("BillingBody", await billing.ask("POST", "/billing/plan", ada, {"plan": "free"}))
    assert (ending["plan"], ending["next_plan"]) == ("team", "free")
    kept = check("BillingBody", await billing.ask("DELETE", "/billing/plan", ada))
    assert (kept["plan"], kept["next_plan"]) == ("team", None)
    check("BillingBody", await billing.ask("POST", "/billing/plan", ada, {"plan": "free"}))
    world.stripe.end_period(subscription)
    await deliver(billing, "customer.subscription.deleted", subscription.id, customer)
    world.forget()
    assert check("BillingBody", await billing.ask("GET", "/billing", ada))["plan"] == "free"


async def test_who_may_read_and_who_may_change(billing: Serving) -> None:
    world = billing.world
    owner, workspace = await world.team()
    admin, member, other = [await world.sign_in(f"{name}@example.com") for name in ("bo", "cy", "eve")]
    await world.join(owner, workspace, admin, "admin")
    await world.join(owner, workspace, member)
    account_key, _ = await world.key(owner, workspace, scopes=["account"])
    memory_key, _ = await world.key(owner, workspace, scopes=["memories:read", "memories:write"])
    member_key, _ = await world.key(member, workspace, scopes=["account"])

    def told(answer: Answer) -> int:
        assert answer.status == 200 or answer.json()["detail"]
        return answer.status

    readers: list[tuple[Person | str | None, int]] = [
        *((owner, 200), (admin, 200), (account_key, 200)),
        *((member, 403), (member_key, 403), (memory_key, 403)),
        *((other, 403), (None, 401), ("mg_forged", 401)),
    ]
    for by, status in readers:
        # A key has its workspace; a person says which.
        there = workspace if isinstance(by, Person) else None
        answer = await billing.ask("GET", "/billing", by, workspace=there)
        assert told(answer) == status, (by, answer.body)
    asked = len(world.stripe.asked)
    for method, path, body in CHANGES:
        for by in (admin, member, account_key, member_key, memory_key, other):
            there = workspace if isinstance(by, Person) else None
            answer = await billing.ask(method, path, by, body, workspace=there)
            assert told(answer) == 403, (method, path, by, answer.body)
        assert (await billing.ask(method, path, None, body)).status == 401
    assert len(world.stripe.asked) == asked, "nobody asked Stripe for them"
    mine = await billing.ask("POST", "/billing/checkout", owner, {"plan": "team"}, workspace=workspace)
    assert mine.status == 201
    assert world.stripe.pages[mine.json()["id"]].seats == 3
    assert world.workspace(owner.workspace)[2] is None, "their own workspace pays for itself"


async def test_what_is_taken(billing: Serving) -> None:
    ada = await billing.world.sign_in("ada@example.com", store=False)

    async def faulty(path: str, body: Any, headers: dict[str, str] | None = None) -> list[str]:
        answer = await billing.ask("POST", path, ada, body, headers=headers)
        assert answer.status == 400, answer.body
        return [fault["field"] for fault in answer.json()["errors"]]

    for plan in ("free", "gold", None, 7, ""):
        assert await faulty("/billing/checkout", {"plan": plan}) == ["plan"]
    assert await faulty("/billing/checkout", {}) == ["plan"]
    for seats in (0, -1, 1.5, schemas.SEATS_MOST + 1, "2", True, 2):
        assert await faulty("/billing/checkout", {"plan": "team", "seats": seats}) == ["seats"]
    assert await faulty("/billing/checkout", {"plan": "pro", "seats": 1}) == ["seats"]
    assert await faulty("/billing/plan", {"plan": "gold"}) == ["plan"]
    bodies: tuple[Any, ...] = ([], "text", None)
    for body in bodies:
        assert await faulty("/billing/plan", body) == ["body"]
    for path in ("/billing/checkout", "/billing/plan"):
        assert await faulty(path, {"plan": "team"}, {"Idempotency-Key": "two words"}) == ["Idempotency-Key"]
    assert billing.world.stripe.asked == []


def test_plans_that_are_sold_are_taken() -> None:
    assert [one.value for one in schemas.PaidPlan] == [plan.name for plan in PAID]
    assert [one.value for one in schemas.PlanName] == list(PLANS)


async def test_what_is_sent_twice_is_done_once(billing: Serving) -> None:
    world = billing.world
    ada = await world.sign_in("ada@example.com", store=False)
    bo = await world.sign_in("bo@example.com", store=False)
    key = {"Idempotency-Key": "one"}

    async def page(by: Person, headers: dict[str, str] | None = None) -> str:
        answer = await billing.ask("POST", "/billing/checkout", by, {"plan": "pro"}, headers=headers)
        assert answer.status == 201, answer.body
        return str(answer.json()["id"])

    first = await page(ada, key)
    assert await page(ada, key) == first
    assert await page(bo, key) != first
    second = await page(ada)
    assert second != first
    assert await page(ada) != second


async def test_nothing_is_sold_without_a_key(world: World) -> None:
    billing = Serving(world, replace(SETTINGS, stripe_api_key=Secret(""), stripe_webhook_secret=Secret("")))
    ada = await world.sign_in("ada@example.com", store=False)
    for method, path, body in CHANGES:
        answer = await billing.ask(method, path, ada, body)
        assert (answer.status, "No plans are sold here" in answer.json()["detail"]) == (403, True)
    assert (await billing.ask("GET", "/billing", ada)).status == 200
    assert (await deliver(billing, "invoice.paid", "in_1", "cus_1")).status == 404
    assert world.run("SELECT count(*) FROM app.stripe_events") == [(0,)]


async def test_deliveries(billing: Serving) -> None:
    world = billing.world
    ada = await world.sign_in("ada@example.com", store=False)
    customer = await world.customer(ada.workspace)
    world.stripe.subscribe(customer, PRO)
    body, signature = world.stripe.sign(world.event("invoice.paid", "in_1", customer), "whsec_before")

    async def send(body: bytes, signature: str | None) -> int:
        headers = {} if signature is None else {"Stripe-Signature": signature}
        return (await billing.ask("POST", "/webhooks/stripe", None, body, headers=headers)).status

    rows = world.rows()
    for refused in ("by whsec_forged", "by", "", None):
        assert await send(body, refused) == 400
    assert await send(b"{", signature) == 400
    assert await send(b" " * (WEBHOOK_BYTES + 1), signature) == 413
    assert world.rows() == rows, "no trace of what was refused"
    assert world.workspace(ada.workspace)[0] == "free"

    world.stripe.fail("customer", once=True)
    failed = await billing.ask("POST", "/webhooks/stripe", None, body, headers={"Stripe-Signature": signature})
    assert (failed.status, int(failed.headers["retry-after"]) > 0) == (503, True)
    assert world.workspace(ada.workspace)[0] == "free"
    for _ in range(2):
        assert await send(body, signature) == 200
    assert world.workspace(ada.workspace)[0] == "pro"
    assert world.stripe.asked.count(("customer", customer)) == 2, "what was handled is not looked at again"


async def test_a_secret_that_everybody_knows_signs_nothing(world: World) -> None:
    billing = Serving(world, replace(SETTINGS, stripe_webhook_secret=Secret("local none")))
    body, _ = world.stripe.sign(world.event("invoice.paid", "in_1", "cus_1"), "local")
    answer = await billing.ask("POST", "/webhooks/stripe", None, body, headers={"Stripe-Signature": "by local"})
    assert answer.status == 404


async def test_stripe_is_down(billing: Serving) -> None:
    world = billing.world
    ada = await world.sign_in("ada@example.com", store=False)
    customer = await world.customer(ada.workspace)
    for method in ("customer", "open_portal"):
        world.stripe.fail(method)
    for method, path, body in CHANGES:
        answer = await billing.ask(method, path, ada, body)
        assert (answer.status, int(answer.headers["retry-after"]) > 0) == (503, True), path
    assert check("BillingBody", await billing.ask("GET", "/billing", ada))["customer"] is True
    world.stripe.mend()
    assert (await billing.ask("POST", "/billing/portal", ada)).status == 201
    assert await world.ledger.hold(customer, "another", 1.0), "no lease is left"


async def test_a_declined_card_is_402(billing: Serving) -> None:
    world = billing.world
    ada = await world.sign_in("ada@example.com", store=False)
    customer = await world.customer(ada.workspace)
    world.stripe.subscribe(customer, PRO)
    await world.settler.settle(customer)
    world.stripe.decline = True
    answer = await billing.ask("POST", "/billing/plan", ada, {"plan": "team"})
    assert (answer.status, answer.json()["title"]) == (402, "Payment required")
    assert "declined" in answer.json()["detail"]


async def test_with_stripes_own_library(world: World) -> None:
    """The function as it is deployed, over the local cloud's stand-in of Stripe, whose webhooks are handed on."""
    made: list[StripePayments] = []

    def make(key: SecretSource, url: str) -> StripePayments:
        made.append(StripePayments(key, url))
        return made[0]

    with StripeBed() as running, Hook() as hook:
        bed = Bed(running)
        endpoint = bed.admin.v1.webhook_endpoints.create({"url": hook.url, "enabled_events": ["*"]})
        portal = bed.admin.v1.billing_portal.configurations.create({"features": {"invoice_history": {"enabled": True}}})
        secrets = {"stripe_api_key": Secret(KEY), "stripe_webhook_secret": Secret(f"whsec_new {endpoint.secret}")}
        own = {"stripe_api_url": running.url, "stripe_portal": portal.id, **secrets}
        billing = Serving(world, replace(SETTINGS, **own), make)  # type: ignore[arg-type]
        ada = await world.sign_in("ada@example.com")

        async def body(method: str, path: str, sent: Any = b"", status: int = 200) -> Any:
            answer = await billing.ask(method, path, ada, sent)
            assert answer.status == status, answer.body
            return answer.json()

        async def tell() -> None:
            running.settle()
            for event, signature in reversed(hook.received):  # in whatever order
                answer = await billing.ask(
                    "POST", "/webhooks/stripe", None, event, headers={"Stripe-Signature": signature}
                )
                assert answer.status == 200, answer.body
            world.forget()

        page = await body("POST", "/billing/checkout", {"plan": "pro"}, 201)
        bed.pay(page["id"])
        await tell()
        assert (await body("GET", "/billing"))["plan"] == "pro"
        assert (await body("POST", "/billing/plan", {"plan": "team"}))["plan"] == "team"
        assert (await body("POST", "/billing/plan", {"plan": "pro"}))["next_plan"] == "pro"
        assert (await body("POST", "/billing/plan", {"plan": "free"}))["next_plan"] == "free"
        assert (await body("DELETE", "/billing/plan"))["next_plan"] is None
        assert (await body("POST", "/billing/portal", status=201))["url"].startswith(running.url)
        customer = world.workspace(ada.workspace)[2]
        assert customer is not None
        bed.running.local("DELETE", f"customers/{customer}")
        await tell()
        assert world.workspace(ada.workspace)[0::2] == ("free", None)
    for payments in made:
        await payments.close()
