"""Where the memories end when plans change faster than stores move: where the last plan says."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from declarations import FREE, PRO
from provisioning.moves import TOO_LARGE
from provisioning.openings import TURSO_REFUSED
from provisioning.stores import CLOSED
from tests.functions.billing.world import World

PLANS = {"free": "sqlite", "pro": "postgres"}


@pytest.fixture
def connection(world: World) -> Any:
    with psycopg.connect(world.urls["owner"], autocommit=True) as made:
        yield made


class Flipping:
    """One workspace whose plan changes, and a runner of its moves that may be slow, fail, or be killed."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._claim: str | None = None
        self.workspace = str(uuid.uuid4())
        self.run("INSERT INTO app.workspaces (id, name, plan) VALUES (%s::uuid, 'Notes', 'free')", self.workspace)

    def run(self, statement: str, *args: Any) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(statement.encode(), args)
        return cursor.fetchall() if cursor.description else []

    def change(self, plan: str) -> None:
        """As app.settle_billing does it."""
        with self._connection.transaction():
            before = self.run("SELECT plan FROM app.workspaces WHERE id = %s::uuid FOR UPDATE", self.workspace)
            self.run("UPDATE app.workspaces SET plan = %s WHERE id = %s::uuid", plan, self.workspace)
            if before != [(plan,)]:
                self.run("SELECT app.ask_move(%s::uuid, %s)", self.workspace, PLANS[plan])

    def claim(self) -> None:
        if self._claim is None:
            self.run("UPDATE app.jobs SET run_at = now() WHERE subject = %s::uuid", self.workspace)
            claim = str(uuid.uuid4())
            if self.run("SELECT id FROM app.claim_job(%s::uuid, interval '1 minute')", claim):
                self._claim = claim

    def copy(self) -> None:
        """The job at work does what it has to."""
        self.run(
            "UPDATE app.workspaces w SET store_kind = j.payload ->> 'to' FROM app.jobs j"
            " WHERE j.claim = %s::uuid AND j.state = 'running' AND w.id = j.subject",
            self._claim,
        )

    def finish(self) -> None:
        if self._claim is not None:
            self.copy()
            self.run("SELECT app.finish_job(id, claim) FROM app.jobs WHERE claim = %s::uuid", self._claim)
            self._claim = None

    def fail(self) -> None:
        """An attempt that had begun, and goes on later."""
        if self._claim is not None:
            self.run("SELECT app.fail_job(id, claim, 'x') FROM app.jobs WHERE claim = %s::uuid", self._claim)
            self._claim = None

    def end(self) -> tuple[str, str]:
        """Everything is run to its end; the plan, and where the memories are."""
        self.claim()
        while self._claim is not None:
            self.finish()
            self.claim()
        return self.run("SELECT plan, store_kind FROM app.workspaces WHERE id = %s::uuid", self.workspace)[0]


STEPS = st.sampled_from(["free", "pro", "claim", "copy", "finish", "fail"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=3, max_size=14))
def test_the_last_plan_wins(connection: psycopg.Connection[Any], steps: list[str]) -> None:
    flipping = Flipping(connection)
    for step in steps:
        if step in PLANS:
            flipping.change(step)
        else:
            getattr(flipping, step)()
    plan, kind = flipping.end()
    assert kind == PLANS[plan]
    assert flipping.run(
        "SELECT count(*) FROM app.jobs WHERE subject = %s::uuid AND state IN ('waiting', 'running')", flipping.workspace
    ) == [(0,)]


async def test_there_and_back_before_anything_began_moves_nothing(world: World) -> None:
    _, customer = await world.payer()
    for number in range(3):
        paid = world.stripe.subscribe(customer, PRO)
        await world.settler.settle(customer)
        await world.stripe.cancel(paid.id, refund=False, key=f"{number}")
        await world.settler.settle(customer)
    assert "move_store" not in world.kinds()
    states = world.run("SELECT state, last_error FROM app.jobs WHERE kind = 'move_store'")
    assert set(states) == {("done", "another plan came before it began")}


async def test_a_move_that_began_ends_and_another_leads_back(world: World) -> None:
    _, customer = await world.payer()
    paid = world.stripe.subscribe(customer, PRO)
    await world.settler.settle(customer)
    world.run("UPDATE app.jobs SET attempts = 1 WHERE kind = 'move_store'")  # it failed once
    await world.stripe.cancel(paid.id, refund=False, key="1")
    await world.settler.settle(customer)
    assert world.jobs("move_store") == [{"to": "postgres"}, {"to": "sqlite"}]


async def test_where_the_free_plan_is_the_stack_says(world: World) -> None:
    ada, customer = await world.payer()
    world.run("UPDATE app.workspaces SET store_kind = 'postgres' WHERE id = %s::uuid", ada.workspace)
    settler = world.new_settler(free=PRO.store)
    paid = world.stripe.subscribe(customer, PRO)
    await settler.settle(customer)
    await world.stripe.cancel(paid.id, refund=False, key="1")
    assert "workspace: plan pro -> free" in (await settler.settle(customer)).changes
    assert world.jobs("move_store") == []


async def test_a_note_of_the_plan_before_goes_and_one_that_is_closed_stays(world: World) -> None:
    ada, customer = await world.payer()
    world.run("UPDATE app.workspaces SET store_kind = 'postgres', store_note = %s", TOO_LARGE)
    assert (await world.body(ada))["move"]["state"] == "stays"
    paid = world.stripe.subscribe(customer, PRO)
    await world.settler.settle(customer)
    assert (await world.body(ada))["move"] == {"state": "none", "to": None, "note": None}
    world.run("UPDATE app.workspaces SET store_note = %s", CLOSED)
    await world.stripe.cancel(paid.id, refund=False, key="1")
    await world.settler.settle(customer)
    assert world.run("SELECT store_note FROM app.workspaces") == [(CLOSED,)]


async def test_the_page_says_how_the_move_goes(world: World) -> None:
    ada, customer = await world.payer()
    world.stripe.subscribe(customer, PRO)
    await world.settler.settle(customer)
    assert (await world.body(ada))["move"] == {"state": "waiting", "to": "postgres", "note": None}
    world.run("UPDATE app.jobs SET state = 'running' WHERE kind = 'move_store'")
    assert (await world.body(ada))["move"]["state"] == "moving"
    world.run("UPDATE app.jobs SET state = 'waiting', attempts = 1 WHERE kind = 'move_store'")
    assert (await world.body(ada))["move"]["state"] == "moving"
    world.run("UPDATE app.jobs SET state = 'done' WHERE kind = 'move_store'")
    assert (await world.body(ada))["move"]["state"] == "none"
    world.run("UPDATE app.workspaces SET store_note = %s", TOO_LARGE)
    stays = (await world.body(ada))["move"]
    assert stays["state"] == "stays"
    assert "nothing is added" in stays["note"]
    world.run("UPDATE app.workspaces SET store_note = %s", TURSO_REFUSED)
    elsewhere = (await world.body(ada))["move"]
    assert elsewhere["state"] == "none"
    assert "another place" in elsewhere["note"]


async def test_what_the_sweep_moves_is_where_the_plan_says_by_then(world: World) -> None:
    ada, _ = await world.payer()

    def moved(plan: str, store: str) -> bool:
        statement = "SELECT app.move_misplaced(%s::uuid, %s, %s)"
        answer: bool = world.run(statement, ada.workspace, plan, store)[0][0]
        return answer

    assert not moved(FREE.name, "sqlite")  # it is there
    world.run("UPDATE app.workspaces SET store_kind = 'postgres'")
    assert not moved(PRO.name, "sqlite")  # it has another plan
    assert moved(FREE.name, "sqlite")
    assert not moved(FREE.name, "sqlite")  # it waits already
    world.run("UPDATE app.jobs SET state = 'done'")
    world.run("UPDATE app.workspaces SET closed_at = now()")
    assert not moved(FREE.name, "sqlite")
    assert world.jobs("move_store") == [{"to": "sqlite"}]
