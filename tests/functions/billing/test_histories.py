"""Whatever order events come in, how often, and which of them are lost at first: the end is that of their own order.

A history of what people, their banks and time do to a customer at Stripe is made up. Its events are delivered

    while it happens        each when it is made, in order
    afterwards              in order
    in disorder             shuffled, some twice, some lost, or failing at Stripe or in the middle; then delivered again

and the control plane must say the same in the end. The two that come afterwards must even have left the same jobs and
mails; while it happens there are more, of what was true for a while.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing.model import Dispute, Event, Status, Subscription
from core.problems import Unavailable
from declarations import FREE, PAID, PRO, TEAM
from tests.functions.accounts.world import Person
from tests.functions.billing.conftest import empty
from tests.functions.billing.payments import DOWN, ENDED
from tests.functions.billing.world import World

ADA = Person("6b0f1d3e-0000-4000-8000-00000000000a", "ada@example.com", "", "6b0f1d3e-0000-4000-8000-00000000000b")


@dataclass
class Story:
    """What happens to one customer, and the events of it."""

    world: World
    customer: str
    over: bool = False

    def play(self, act: str, argument: int) -> list[Event]:
        if self.over:
            return []
        told: list[tuple[str, str]] = getattr(self, act)(argument)
        return [self.world.event(kind, subject, self.customer) for kind, subject in told]

    def _held(self, argument: int, *statuses: Status) -> Subscription | None:
        account = self.world.stripe.customers[self.customer]
        found = [one for one in account.subscriptions.values() if one.status in (statuses or (Status.ACTIVE,))]
        return found[argument % len(found)] if found else None

    def _changed(
        self, argument: int, change: Callable[[Subscription], Any], *statuses: Status
    ) -> list[tuple[str, str]]:
        held = self._held(argument, *statuses)
        if held is None:
            return []
        change(held)
        return [("customer.subscription.updated", held.id)]

    def buy(self, argument: int) -> list[tuple[str, str]]:
        made = self.world.stripe.subscribe(self.customer, PAID[argument % len(PAID)], 1 + argument % 3)
        return [
            ("customer.subscription.created", made.id),
            ("checkout.session.completed", f"cs_{made.id}"),
            ("invoice.paid", f"in_{made.id}"),
        ]

    def fail(self, argument: int) -> list[tuple[str, str]]:
        return [*self._changed(argument, self.world.stripe.fail_payment), ("invoice.payment_failed", "in_1")]

    def pay(self, argument: int) -> list[tuple[str, str]]:
        return self._changed(argument, self.world.stripe.pay, Status.PAST_DUE, Status.UNPAID)

    def give_up(self, argument: int) -> list[tuple[str, str]]:
        def unpaid(held: Subscription) -> None:
            self.world.stripe.change(held, status=Status.UNPAID)

        return self._changed(argument, unpaid, Status.PAST_DUE)

    def switch(self, argument: int) -> list[tuple[str, str]]:
        def switched(held: Subscription) -> None:
            key = (TEAM if held.lookup_key == PRO.lookup_key else PRO).lookup_key
            self.world.stripe.change(held, lookup_key=key, seats=1 + argument % 3)

        return self._changed(argument, switched)

    def plan(self, argument: int) -> list[tuple[str, str]]:
        def planned(held: Subscription) -> None:
            self.world.stripe.change(held, next_lookup_key=PRO.lookup_key, next_at=held.period_end)

        return [*self._changed(argument, planned), ("subscription_schedule.updated", "sub_sched_1")]

    def stop(self, argument: int) -> list[tuple[str, str]]:
        def stopped(held: Subscription) -> None:
            self.world.stripe.change(held, cancel_at=held.period_end)

        return self._changed(argument, stopped)

    def resume(self, argument: int) -> list[tuple[str, str]]:
        def resumed(held: Subscription) -> None:
            self.world.stripe.change(held, cancel_at=None, next_lookup_key=None, next_at=None)

        return self._changed(argument, resumed)

    def renew(self, argument: int) -> list[tuple[str, str]]:
        return self._changed(argument, self.world.stripe.end_period)

    def cancel(self, argument: int) -> list[tuple[str, str]]:
        def canceled(held: Subscription) -> None:
            self.world.stripe.change(held, status=Status.CANCELED)

        running = [status for status in Status if status not in ENDED]
        return self._changed(argument, canceled, *running)

    def wait(self, argument: int) -> list[tuple[str, str]]:
        self.world.wait(days=1 + argument)
        return []

    def dispute(self, argument: int) -> list[tuple[str, str]]:
        held = self.world.stripe.disputes.get("dp_1")
        status = ("needs_response", "under_review", "won", "lost")[argument % 4]
        if held is None or held.status not in ("won", "lost"):
            self.world.stripe.disputes["dp_1"] = Dispute(
                id="dp_1", customer=self.customer, status=status, amount_cents=800
            )
        return [("charge.dispute.created", "dp_1")]

    def refund(self, argument: int) -> list[tuple[str, str]]:
        return [("charge.refunded", f"ch_{argument}")]

    def leave(self, argument: int) -> list[tuple[str, str]]:
        """Seldom, because then it is over."""
        if argument % 4:
            return []
        account = self.world.stripe.customers[self.customer]
        for held in account.subscriptions.values():
            account.subscriptions[held.id] = replace(held, status=Status.CANCELED)
        account.deleted = self.over = True
        return [("customer.subscription.deleted", one) for one in account.subscriptions] + [
            ("customer.deleted", self.customer)
        ]


ACTS = [
    "buy", "buy", "fail", "pay", "give_up", "switch", "plan", "stop", "resume", "renew", "cancel", "wait", "wait",
    "dispute", "refund", "leave",
]  # fmt: skip


async def begin(world: World, customer: str) -> None:
    """Nothing but a workspace, which the customer pays for."""
    empty(world.urls["owner"])
    world.run("INSERT INTO app.accounts (id, name, email) VALUES (%s::uuid, 'Ada', %s)", ADA.account, ADA.email)
    world.run("INSERT INTO app.workspaces (id, name, plan) VALUES (%s::uuid, 'Notes', 'free')", ADA.workspace)
    world.run(
        "INSERT INTO app.members (workspace_id, account_id, role) VALUES (%s::uuid, %s::uuid, 'owner')",
        ADA.workspace,
        ADA.account,
    )
    await world.ledger.attach_customer(ADA.workspace, customer)


async def sweep(world: World) -> None:
    for customer in await world.jobs_ledger.list_due(world.time.now(), 10):
        await world.settler.settle(customer)


async def disorder(world: World, events: list[Event], chance: random.Random) -> None:
    """Deliver some of them never, some twice, some while Stripe is down; and then all that were not taken, again."""
    sent = [event for event in events for _ in range(chance.choice((0, 1, 1, 2)))]
    chance.shuffle(sent)
    for event in sent:
        if chance.random() < 0.3:
            world.stripe.fail(chance.choice(("customer", "dispute")), DOWN, after=chance.random() < 0.5, once=True)
        with suppress(Unavailable):
            await world.deliver(event)
    world.stripe.mend()
    again = list(events)
    chance.shuffle(again)
    for event in again:
        await world.deliver(event)


async def end(world: World) -> dict[str, Any]:
    """What the control plane says, once the sweep has looked at what is due by time."""
    await sweep(world)
    told = world.run("SELECT id, status FROM app.disputes ORDER BY id")
    unhandled = world.run("SELECT id FROM app.stripe_events WHERE handled_at IS NULL")
    held = world.subscription(ADA.workspace)
    [(kind, newest)] = world.run(
        "SELECT w.store_kind, (SELECT j.payload ->> 'to' FROM app.jobs j WHERE j.kind = 'move_store'"
        " AND j.state = 'waiting' ORDER BY j.number DESC LIMIT 1) FROM app.workspaces w"
    )
    return {
        "workspace": world.workspace(ADA.workspace),
        "subscription": held and {name: value for name, value in held.items() if name != "settled_at"},
        "disputes": told,
        "ends in": newest or kind,
        "unhandled": unhandled,
        "leases": world.run("SELECT count(*) FROM app.billing_leases"),
        "ends": sorted(world.run("SELECT DISTINCT kind, dedupe FROM app.jobs WHERE kind LIKE 'end_%%'"))
        if held
        else [],
    }


def jobs(world: World) -> list[tuple[str, str, str]]:
    rows = world.run(
        "SELECT kind, coalesce(subject::text, ''), payload::text FROM app.jobs"
        " WHERE kind <> 'void_keys' ORDER BY 1, 2, 3"
    )
    return [(kind, subject, payload) for kind, subject, payload in rows]


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes minutes, and they are short
)
@given(
    acts=st.lists(st.tuples(st.sampled_from(ACTS), st.integers(min_value=0, max_value=15)), min_size=4, max_size=9),
    chance=st.randoms(use_true_random=False),
)
async def test_any_order_ends_alike(world: World, acts: list[tuple[str, int]], chance: random.Random) -> None:
    world.stripe.__init__(world.time)  # type: ignore[misc]  # another account
    story = Story(world, world.stripe.add_customer(ADA.workspace))
    await begin(world, story.customer)
    events: list[Event] = []
    for act, argument in acts:
        made = story.play(act, argument)
        for event in made:
            await world.deliver(event)
        events += made
    live = await end(world)

    await begin(world, story.customer)
    for event in events:
        await world.deliver(event)
    ordered, left = await end(world), jobs(world)
    assert {**live, "ends": None} == {**ordered, "ends": None}
    assert set(live["ends"]) >= set(ordered["ends"]), "and what was to be ended for a while"

    await begin(world, story.customer)
    await disorder(world, events, chance)
    assert await end(world) == ordered
    assert jobs(world) == left

    plan = world.workspace(ADA.workspace)[0]
    assert ordered["ends in"] == ("sqlite" if plan == FREE.name else "postgres")
