"""Billing's functions of the control plane: who pays, who may look, how it ends with a workspace, who may do what."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import orjson
import psycopg
import pytest

from accounts.asker import Asker
from billing.model import Dispute, Status
from core.problems import Forbidden, NotFound
from declarations import PRO, TEAM
from tests.functions.accounts.world import Person
from tests.functions.billing.world import World


async def owner_of_a_team(world: World) -> tuple[Person, str, str]:
    """An owner, their workspace on Team, and its customer."""
    ada, workspace = await world.team()
    customer = await world.customer(workspace)
    world.stripe.subscribe(customer, TEAM, seats=1)
    await world.settler.settle(customer)
    return ada, workspace, customer


def disputed(name: str, customer: str) -> Dispute:
    return Dispute(id=name, customer=customer, status="needs_response", amount_cents=800)


# Who pays.


async def test_a_workspace_has_one_customer(world: World) -> None:
    ada, customer = await world.payer()
    assert await world.ledger.attach_customer(ada.workspace, "cus_late") == customer
    payer = await world.ledger.payer(world.asker(ada))
    assert (payer.workspace, payer.customer, payer.customers, payer.plan) == (ada.workspace, customer, 0, "free")
    assert (payer.email, payer.name, payer.seats) == (ada.email, "Personal", 1)
    assert await world.jobs_ledger.payer_of(ada.workspace) == payer


async def test_only_the_owner_pays_and_admins_look(world: World) -> None:
    ada, workspace, customer = await owner_of_a_team(world)
    people = {role: await world.sign_in(f"{role}@example.com") for role in ("admin", "member")}
    for role, person in people.items():
        await world.join(ada, workspace, person, role)
        with pytest.raises(Forbidden):
            await world.ledger.payer(world.asker(person, workspace))
    stranger = await world.sign_in("eve@example.com")
    for refused in (world.ledger.payer(world.asker(stranger, workspace)), world.body(stranger, workspace)):
        with pytest.raises(NotFound):
            await refused
    assert (await world.body(people["admin"], workspace))["members"] == 3
    with pytest.raises(Forbidden):
        await world.body(people["member"], workspace)
    assert (await world.ledger.payer(world.asker(ada, workspace))).customer == customer


async def test_a_key_with_the_scope_looks_and_does_not_pay(world: World) -> None:
    ada, workspace, _ = await owner_of_a_team(world)
    _, full = await world.key(ada, workspace, scopes=["account"])
    _, small = await world.key(ada, workspace, scopes=["memories:read"])
    looks = Asker(ada.account, full, workspace)
    assert (await world.ledger.read(looks))["plan"] == "team"
    with pytest.raises(NotFound):
        await world.ledger.read(Asker(ada.account, small, workspace))
    with pytest.raises(Forbidden):
        await world.ledger.payer(looks)


async def test_who_pays_for_nothing_is_nobody(world: World) -> None:
    assert await world.jobs_ledger.payer_of("6b0f1d3e-0000-4000-8000-000000000009") is None
    with pytest.raises(NotFound):
        await world.ledger.attach_customer("6b0f1d3e-0000-4000-8000-000000000009", "cus_1")


async def test_customers_in_pages(world: World) -> None:
    pairs = []
    for name in ("ada", "eve", "joe"):
        person, customer = await world.payer(f"{name}@example.com")
        pairs.append((customer, person.workspace))
    await world.sign_in("kim@example.com", store=False)
    assert await world.jobs_ledger.list_customers(None, 2) == pairs[:2]
    assert await world.jobs_ledger.list_customers(pairs[1][0], 2) == pairs[2:]


async def test_what_somebody_did_is_written_down_as_theirs(world: World) -> None:
    ada, _ = await world.payer()
    eve = await world.sign_in("eve@example.com", store=False)
    await world.ledger.note(world.asker(ada), "plan.changed", {"plan": "pro"})
    await world.ledger.note(Asker(eve.account, None, ada.workspace), "plan.changed", {"plan": "team"})
    rows = world.run("SELECT account_id::text, action, detail FROM app.audit_log WHERE action LIKE 'billing.%%'")
    assert rows == [(ada.account, "billing.plan.changed", {"plan": "pro"})]


# What the page shows.


async def test_the_page_of_whoever_pays_nothing(world: World) -> None:
    ada = await world.sign_in("ada@example.com", store=False)
    assert await world.body(ada) == {
        "plan": "free",
        "status": None,
        "seats": 1,
        "members": 1,
        "price_usd": 0,
        "period_end": None,
        "cancel_at": None,
        "next_plan": None,
        "next_at": None,
        "grace_until": None,
        "disputed": False,
        "move": {"state": "none", "to": None, "note": None},
        "customer": False,
        "subscription": False,
    }


async def test_the_page_of_whoever_pays(world: World) -> None:
    ada, workspace, customer = await owner_of_a_team(world)
    [paid] = (await world.stripe.customer(customer)).subscriptions
    await world.stripe.schedule_change(paid, PRO, 1, "key")
    await world.settler.settle(customer)
    end = paid.period_end.isoformat(timespec="microseconds")
    assert await world.body(ada, workspace) == {
        "plan": "team",
        "status": "active",
        "seats": 1,
        "members": 1,
        "price_usd": 12,
        "period_end": end,
        "cancel_at": None,
        "next_plan": "pro",
        "next_at": end,
        "grace_until": None,
        "disputed": False,
        "move": {"state": "waiting", "to": "postgres", "note": None} | (await world.body(ada, workspace))["move"],
        "customer": True,
        "subscription": True,
    }


# The end.


async def test_a_deleted_workspace_takes_its_customer_with_it(world: World) -> None:
    ada, workspace, customer = await owner_of_a_team(world)
    assert (await world.ask("DELETE", f"/workspaces/{workspace}", ada)).status in (200, 204)
    assert world.jobs("delete_customer") == [{"customer": customer}]
    payer = await world.jobs_ledger.payer_of(workspace)
    assert payer is not None
    assert payer.customer == customer
    with pytest.raises(NotFound):
        await world.ledger.payer(world.asker(ada, workspace))
    with pytest.raises(NotFound):
        await world.ledger.attach_customer(workspace, "cus_2")
    await world.stripe.delete_customer(customer)
    before = world.kinds("void_keys")
    await world.settler.settle(customer)
    assert world.kinds("void_keys") == before
    assert world.workspace(workspace)[2:] == (None, 1)


async def test_a_workspace_that_nobody_pays_for_has_no_customer_to_delete(world: World) -> None:
    ada, workspace = await world.team()
    assert (await world.ask("DELETE", f"/workspaces/{workspace}", ada)).status in (200, 204)
    assert world.jobs("delete_customer") == []


async def test_an_erasure_names_its_customers_and_leaves_no_row(world: World) -> None:
    ada, customer = await world.payer()
    eve, other = await world.payer("eve@example.com")
    for whose in (customer, other):
        paid = world.stripe.subscribe(whose, PRO)
        await world.deliver(world.event("customer.subscription.created", paid.id, whose))
        world.stripe.disputes[f"dp_{whose}"] = disputed(f"dp_{whose}", whose)
        await world.deliver(world.event("charge.dispute.created", f"dp_{whose}", whose))
    await world.ask("POST", "/account/erasure", ada)
    token = world.mailed_token(ada.email)
    assert (await world.ask("POST", "/account/erasure/confirm", None, {"token": token})).status in (200, 202)
    own = world.jobs("erase_account")[0]["workspaces"]
    listed = "SELECT customer, workspace_id FROM app.list_customers_of(%s::uuid[])"
    assert await world.provisioning.fetch(listed, [own]) == [(customer, ada.workspace)]
    await world.provisioning.fetch("SELECT app.forget_account(%s::uuid)", [ada.account])
    assert await world.provisioning.fetch(listed, [own]) == []
    for table in ("subscriptions", "disputes", "stripe_events", "workspaces"):
        named = world.run(f"SELECT count(*) FROM app.{table} t WHERE t::text LIKE '%%' || %s || '%%'", customer)
        assert (table, named) == (table, [(0,)])
    assert (await world.body(eve))["plan"] == "pro"
    assert world.run("SELECT workspace_id::text FROM app.disputes") == [(eve.workspace,)]


async def test_an_erasure_leaves_a_team_with_another_owner_its_customer(world: World) -> None:
    ada, workspace, _ = await owner_of_a_team(world)
    eve = await world.sign_in("eve@example.com")
    await world.join(ada, workspace, eve)
    await world.ask("POST", "/account/erasure", eve)
    await world.ask("POST", "/account/erasure/confirm", None, {"token": world.mailed_token(eve.email)})
    own = world.jobs("erase_account")[0]["workspaces"]
    rows = await world.provisioning.fetch("SELECT customer FROM app.list_customers_of(%s::uuid[])", [own])
    assert rows == []
    await world.provisioning.fetch("SELECT app.forget_account(%s::uuid)", [eve.account])
    assert (await world.body(ada, workspace))["subscription"] is True
    assert world.jobs("sync_seats") != []  # there is one seat less to pay for


async def test_what_is_held_of_a_person_names_what_they_pay_for(world: World) -> None:
    ada, workspace, customer = await owner_of_a_team(world)
    eve = await world.sign_in("eve@example.com")
    await world.join(ada, workspace, eve, "admin")

    async def held(person: Person) -> Any:
        statement = "SELECT app.export_account(%s::uuid, NULL) -> 'subscriptions'"
        return (await world.postgres.fetch(statement, [person.account]))[0][0]

    [told] = await held(ada)
    assert (told["workspace_id"], told["customer"], told["plan"], told["seats"]) == (workspace, customer, "team", 1)
    assert await held(eve) == []
    archive = await world.ask("GET", "/account/export", eve)
    with zipfile.ZipFile(io.BytesIO(archive.body)) as files:
        assert orjson.loads(files.read("account.json"))["subscriptions"] == []


# Nobody has a seat for nothing, or pays for what is another's.


async def test_nobody_new_comes_in_while_a_payment_is_due(world: World) -> None:
    ada, workspace, customer = await owner_of_a_team(world)
    bob, eve = [await world.sign_in(f"{name}@example.com", store=False) for name in ("bob", "eve")]
    path = f"/workspaces/{workspace}/invitations"

    async def invite(person: Person) -> tuple[int, str]:
        answer = await world.ask("POST", path, ada, {"email": person.email, "role": "member"})
        return answer.status, answer.json().get("detail", "")

    async def accept(person: Person) -> tuple[int, str]:
        answer = await world.ask("POST", "/invitations/accept", person, {"token": world.mailed_token(person.email)})
        return answer.status, answer.json().get("detail", "")

    assert (await invite(bob))[0] == 201
    (held,) = world.stripe.customers[customer].subscriptions.values()
    world.stripe.fail_payment(held)
    await world.settler.settle(customer)
    for refused in (await invite(eve), await accept(bob)):
        assert refused[0] == 409
        assert refused[1].startswith("A payment for this workspace is due, so nobody new can join.")
    assert (await world.body(ada, workspace))["members"] == 1
    assert not [mail for mail in world.mails() if mail[1] == eve.email]
    world.stripe.pay(held)
    await world.settler.settle(customer)
    assert ((await accept(bob))[0], (await invite(eve))[0]) == (200, 201)


@pytest.mark.parametrize("pays", [True, False])
async def test_a_hand_over_makes_a_job_for_who_pays(world: World, *, pays: bool) -> None:
    ada, workspace = await world.team()
    bob = await world.sign_in("bob@example.com", store=False)
    await world.join(ada, workspace, bob)
    customer = await world.customer(workspace) if pays else None
    for role in ("admin", "owner", "owner"):  # the last one changes nothing
        path = f"/workspaces/{workspace}/members/{bob.account}"
        await world.ask("PATCH", path, ada, {"role": role})
    assert world.jobs("hand_over_customer") == ([{"customer": customer}] if pays else [])
    payer = await world.jobs_ledger.payer_of(workspace)
    assert payer is not None
    assert (payer.email, payer.owners) == (bob.email, 1)


# Rights in the database.

REFUSED = [
    "SELECT 1 FROM app.subscriptions",
    "SELECT 1 FROM app.accounts",
    "UPDATE app.workspaces SET plan = 'team'",
    "INSERT INTO app.billing_leases VALUES ('cus', 'me', now())",
    "SELECT app.enqueue('erase_account', gen_random_uuid())",
    "SELECT app.enqueue_next('sync_seats', gen_random_uuid())",
    "SELECT app.mail_operator('what', 'headline', '{}')",
    "SELECT app.mail_owner(gen_random_uuid(), 'plan_begun', '{}')",
    "SELECT app.ask_move(gen_random_uuid(), 'postgres')",
    "SELECT app.owes(gen_random_uuid())",
    "SELECT app.workspace_of('cus')",
    "SELECT app.note_strangers('{}')",
    "SELECT app.move_misplaced(gen_random_uuid(), 'free', 'sqlite')",
    "SELECT app.list_customers(NULL, 1)",
    "SELECT app.payer_of(gen_random_uuid())",
    "SELECT app.forget_events('1 day')",
    "SELECT app.forget_account(gen_random_uuid())",
    "SELECT app.outdate(gen_random_uuid(), NULL, NULL, true)",
    "SELECT app.create_key(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    "SELECT 1 FROM memory.memories",
    "SELECT memory.totals('x')",
    "SET ROLE app_owner",
    "CREATE TABLE app.mine (a int)",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_the_login_role_may_not(billing_urls: dict[str, str], statement: str) -> None:
    refused = pytest.raises(psycopg.errors.InsufficientPrivilege)
    with psycopg.connect(billing_urls["billing"]) as connection, refused:
        connection.execute(statement.encode())


def test_nobody_else_runs_what_is_for_billing(billing_urls: dict[str, str]) -> None:
    shared = {"hold_customer", "release_customer", "settle_billing", "attach_customer"}
    own = {
        "begin_event",
        "end_event",
        "knows_customer",
        "record_dispute",
        "record_refund",
        "read_billing",
        "payer",
        "note_billing",
    }
    theirs = {"payer_of", "list_customers", "list_customers_of", "list_due", "move_misplaced", "forget_events"}
    theirs |= {"list_strangers", "note_strangers"}
    with psycopg.connect(billing_urls["owner"]) as connection:
        rows = connection.execute(
            """
            SELECT p.proname, r.rolname FROM pg_proc p, pg_roles r
            WHERE p.pronamespace = 'app'::regnamespace AND p.proname = ANY (%s)
                AND r.rolname IN
                    ('memories', 'accounts', 'billing', 'provisioning', 'anon', 'authenticated', 'service_role')
                AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
            """,
            [sorted(shared | own | theirs)],
        ).fetchall()
    expected = {(name, "billing") for name in shared | own} | {(name, "provisioning") for name in shared | theirs}
    assert set(rows) == expected


def test_the_login_role_is_powerless(billing_urls: dict[str, str]) -> None:
    with psycopg.connect(billing_urls["owner"]) as connection:
        [found] = connection.execute(
            """
            SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolinherit OR rolreplication,
                EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid), rolconfig
            FROM pg_roles r WHERE rolname = 'billing'
            """
        ).fetchall()
    assert found == (False, False, ["statement_timeout=5s", "idle_in_transaction_session_timeout=5s"])


async def test_a_statement_that_came_twice_is_told_as_a_change(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first one changed is not known, so provisioning is woken."""
    ada, customer = await world.payer()
    world.stripe.subscribe(customer, PRO)
    await world.settler.settle(customer)
    ask = world.billing_postgres.ask

    async def repeated(statement: str, args: Any = ()) -> Any:
        answer = await ask(statement, args)
        return type(answer)(answer.rows, repeated=True)

    monkeypatch.setattr(world.billing_postgres, "ask", repeated)
    woken = world.queue.woken
    assert len((await world.settler.settle(customer)).changes) == 1
    assert world.queue.woken == woken + 1
    assert world.workspace(ada.workspace)[0] == "pro"


async def test_a_dispute_of_an_ended_subscription_is_still_the_workspaces(world: World) -> None:
    ada, customer = await world.payer()
    paid = world.stripe.subscribe(customer, PRO)
    world.stripe.change(paid, status=Status.CANCELED)
    assert await world.ledger.record_dispute(disputed("dp_1", customer))
    assert not await world.ledger.record_dispute(disputed("dp_1", customer))
    assert (await world.body(ada))["disputed"] is True
