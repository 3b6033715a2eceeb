"""What a customer's state means: tables of cases, and what holds of any state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.model import Customer, Status, Subscription
from billing.projecting import project
from declarations import FREE, GRACE_DAYS, PRO, TEAM, Plan

NOW = datetime(2026, 11, 28, tzinfo=UTC)
GRACE = timedelta(days=GRACE_DAYS)
MOMENT = timedelta(microseconds=1)
OTHER = "somebody_elses_price"


def subscription(
    name: str = "sub_1",
    plan: Plan | str | None = PRO,
    status: Status = Status.ACTIVE,
    *,
    age: float = 10.0,
    unpaid: timedelta | None = None,
    seats: int = 1,
) -> Subscription:
    """`age` in days; `unpaid`: for how long."""
    return Subscription(
        id=name,
        item=f"si_{name}",
        status=status,
        lookup_key=plan.lookup_key if isinstance(plan, Plan) else plan,
        seats=seats,
        created=NOW - timedelta(days=age),
        period_end=NOW + timedelta(days=20),
        unpaid_since=None if unpaid is None else NOW - unpaid,
    )


def customer(*subscriptions: Subscription, deleted: bool = False) -> Customer:
    return Customer(id="cus_1", workspace="w", deleted=deleted, subscriptions=subscriptions)


@pytest.mark.parametrize(
    ("status", "plan"),
    [
        (Status.TRIALING, PRO),
        (Status.ACTIVE, PRO),
        (Status.PAST_DUE, PRO),
        (Status.INCOMPLETE, FREE),
        (Status.INCOMPLETE_EXPIRED, FREE),
        (Status.CANCELED, FREE),
        (Status.UNPAID, FREE),
        (Status.PAUSED, FREE),
    ],
)
def test_what_each_status_grants(status: Status, plan: Plan) -> None:
    projection = project(customer(subscription(status=status)), NOW)
    assert projection.plan is plan
    assert (projection.paid is not None) == (plan is PRO)
    assert (projection.duplicates, projection.overdue, projection.unknown_prices) == ((), (), ())
    assert projection.grace_until is None


@pytest.mark.parametrize(("plan", "seats"), [(PRO, 1), (TEAM, 7)])
def test_the_plan_is_that_of_the_price(plan: Plan, seats: int) -> None:
    projection = project(customer(subscription(plan=plan, seats=seats)), NOW)
    assert projection.plan is plan
    assert projection.paid is not None
    assert projection.paid.seats == seats


def test_nobody_and_whoever_was_deleted_have_the_free_plan() -> None:
    assert project(customer(), NOW).plan is FREE
    deleted = project(customer(subscription(), deleted=True), NOW)
    assert (deleted.plan, deleted.subscription, deleted.duplicates) == (FREE, None, ())


@pytest.mark.parametrize(
    ("unpaid", "plan"),
    [(timedelta(0), PRO), (GRACE - MOMENT, PRO), (GRACE, FREE), (GRACE + timedelta(days=400), FREE)],
)
def test_the_grace_ends_to_the_moment(unpaid: timedelta, plan: Plan) -> None:
    one = subscription(status=Status.PAST_DUE, unpaid=unpaid)
    projection = project(customer(one), NOW)
    assert projection.plan is plan
    assert projection.subscription == one
    assert projection.grace_until == NOW - unpaid + GRACE
    assert projection.overdue == (() if plan is PRO else (one,))
    assert (projection.paid is None) == (plan is FREE)


def test_what_was_never_paid_for_has_no_grace() -> None:
    """A bank debit that bounces: Stripe has the subscription run from the first day on."""
    bounced = replace(subscription(status=Status.PAST_DUE, unpaid=timedelta()), ever_paid=False)
    projection = project(customer(bounced), NOW)
    assert (projection.plan, projection.paid, projection.overdue) == (FREE, None, (bounced,))


def test_what_was_given_up_is_ended_when_the_grace_is_over() -> None:
    within, over = (subscription(status=Status.UNPAID, unpaid=unpaid) for unpaid in (GRACE - MOMENT, GRACE))
    assert project(customer(within), NOW).overdue == ()
    assert project(customer(over), NOW).overdue == (over,)


def test_an_open_invoice_of_one_that_runs_is_no_grace() -> None:
    """One for seats that were added, say: Stripe calls it past due when it is."""
    projection = project(customer(subscription(unpaid=GRACE)), NOW)
    assert (projection.plan, projection.grace_until, projection.overdue) == (PRO, None, ())


def test_the_oldest_counts_and_the_others_are_duplicates() -> None:
    old = subscription("sub_9", PRO, age=9)
    twin, young = subscription("sub_8", TEAM, age=8), subscription("sub_1", TEAM, Status.TRIALING, age=1)
    ended = subscription("sub_0", TEAM, Status.CANCELED, age=99)
    projection = project(customer(young, ended, old, twin), NOW)
    assert (projection.plan, projection.subscription) == (PRO, old)
    assert projection.duplicates == (twin, young)


def test_one_that_runs_comes_before_an_older_one_that_is_due() -> None:
    """Whoever buys anew while a payment is due keeps what is paid."""
    due = subscription("sub_1", TEAM, Status.PAST_DUE, age=60, unpaid=GRACE - MOMENT)
    older, runs = subscription("sub_3", PRO, Status.TRIALING, age=5), subscription("sub_2", TEAM, age=1)
    projection = project(customer(due, runs, older), NOW)
    assert (projection.plan, projection.subscription) == (PRO, older)
    assert projection.duplicates == (runs, due)
    assert projection.grace_until is None
    two = (due, subscription("sub_0", PRO, Status.PAST_DUE, age=1, unpaid=MOMENT))
    assert project(customer(*two), NOW).subscription == due


def test_of_two_of_one_moment_the_first_by_name_counts() -> None:
    one, other = subscription("sub_a", TEAM), subscription("sub_b", PRO)
    assert project(customer(other, one), NOW).subscription == one


def test_one_that_is_overdue_does_not_count_and_bars_no_other() -> None:
    over = subscription("sub_1", TEAM, Status.PAST_DUE, age=60, unpaid=GRACE)
    good = subscription("sub_2", PRO, age=1)
    projection = project(customer(over, good), NOW)
    assert (projection.plan, projection.subscription) == (PRO, good)
    assert (projection.duplicates, projection.overdue) == ((), (over,))
    assert projection.grace_until is None


@pytest.mark.parametrize("key", [None, "", OTHER, "memorygraph_team_monthly_1_usd", "team"])
def test_a_price_that_is_not_ours_grants_nothing(key: str | None) -> None:
    alone = project(customer(subscription(plan=key)), NOW)
    assert (alone.plan, alone.subscription) == (None, None)
    assert len(alone.unknown_prices) == 1
    assert "sub_1" in alone.unknown_prices[0]
    beside = project(customer(subscription(plan=key, age=50), subscription("sub_2", PRO)), NOW)
    assert (beside.plan, beside.duplicates) == (PRO, ())
    assert len(beside.unknown_prices) == 1
    ended = project(customer(subscription(plan=key, status=Status.CANCELED)), NOW)
    assert (ended.plan, ended.unknown_prices) == (FREE, ())
    due = project(customer(subscription(plan=key, status=Status.PAST_DUE, unpaid=GRACE)), NOW)
    assert (due.plan, due.overdue) == (FREE, ())


def test_what_comes_next() -> None:
    one = subscription(plan=TEAM)
    assert project(customer(one), NOW).next_plan is None
    smaller = replace(one, next_lookup_key=PRO.lookup_key, next_at=one.period_end)
    projection = project(customer(smaller), NOW)
    assert (projection.next_plan, projection.next_at) == (PRO, one.period_end)
    ends = project(customer(replace(smaller, cancel_at=one.period_end)), NOW)
    assert (ends.next_plan, ends.next_at) == (FREE, one.period_end)
    unknown = project(customer(replace(smaller, next_lookup_key=OTHER)), NOW)
    assert (unknown.next_plan, unknown.next_at) == (None, None)


SUBSCRIPTIONS = st.builds(
    subscription,
    name=st.sampled_from([f"sub_{number}" for number in range(9)]),
    plan=st.sampled_from([PRO, TEAM, OTHER, None]),
    status=st.sampled_from(list(Status)),
    age=st.integers(min_value=0, max_value=5),
    unpaid=st.one_of(st.none(), st.integers(min_value=0, max_value=30).map(lambda days: timedelta(days=days))),
)
STATES = st.lists(SUBSCRIPTIONS, max_size=5, unique_by=lambda one: one.id)


@settings(max_examples=150, deadline=None)
@given(state=STATES, order=st.randoms(use_true_random=False))
def test_the_order_in_which_stripe_lists_them_says_nothing(state: list[Subscription], order: object) -> None:
    shuffled = list(state)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert project(customer(*shuffled), NOW) == project(customer(*state), NOW)


@settings(max_examples=150, deadline=None)
@given(state=STATES)
def test_what_holds_of_any_state(state: list[Subscription]) -> None:
    projection = project(customer(*state), NOW)
    granting = (Status.TRIALING, Status.ACTIVE, Status.PAST_DUE)
    paid = projection.paid
    if projection.plan not in (None, FREE):
        assert paid is not None
        assert paid.status in granting
        assert projection.plan is not None
        assert paid.lookup_key in projection.plan.lookup_keys
        assert projection.grace_until is None or projection.grace_until > NOW
    else:
        assert paid is None
        assert projection.duplicates == ()
    for one in (*projection.duplicates, *projection.overdue):
        assert one != paid
        assert one.lookup_key in (PRO.lookup_key, TEAM.lookup_key)
        assert one.status not in (Status.CANCELED, Status.INCOMPLETE_EXPIRED, Status.INCOMPLETE)
    assert not set(projection.duplicates) & set(projection.overdue)
    if paid is not None:  # whatever is ended beside it, it goes on
        gone = [one for one in state if one not in projection.duplicates and one not in projection.overdue]
        after = project(customer(*gone), NOW)
        assert (after.plan, after.subscription) == (projection.plan, projection.subscription)
        assert (after.duplicates, after.overdue) == ((), ())
