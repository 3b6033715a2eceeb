"""Workspaces that are paid for, in a world where Stripe is played."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from billing.model import Status, Subscription
from declarations import Plan
from provisioning import letters
from tests.functions.provisioning.world import World


@dataclass(frozen=True, slots=True)
class Paying:
    """A workspace and what is paid for it. `subscription` is as it was at first."""

    account: str
    workspace: str
    customer: str
    subscription: Subscription


async def paying(world: World, plan: Plan, seats: int = 1) -> Paying:
    """A settled one, with no job left."""
    account, workspace = world.new_workspace()
    customer = world.payments.add_customer(workspace)
    await world.parts.billing.attach_customer(workspace, customer)
    subscription = world.payments.subscribe(customer, plan, seats)
    for _ in range(seats - 1):
        join(world, workspace)
    await settle(world, customer)
    forget(world)
    return Paying(account, workspace, customer, subscription)


async def settle(world: World, customer: str) -> None:
    assert world.parts.settler is not None
    await world.parts.settler.settle(customer)


def forget(world: World) -> None:
    """What led here: jobs, and calls to Stripe."""
    world.owner.run("DELETE FROM app.jobs")
    world.payments.asked.clear()


def join(world: World, workspace: str) -> str:
    """Another member, as accounts lets them in; the account."""
    account = str(uuid.uuid4())
    world.owner.run("INSERT INTO app.accounts (id, name) VALUES (%s, 'Bob')", account)
    world.owner.run(
        "INSERT INTO app.members (workspace_id, account_id, role) VALUES (%s, %s, 'member')", workspace, account
    )
    world.owner.run("SELECT app.count_seats(%s)", workspace)
    return account


def leave(world: World, workspace: str, account: str) -> None:
    world.owner.run("DELETE FROM app.members WHERE workspace_id = %s AND account_id = %s", workspace, account)
    world.owner.run("SELECT app.count_seats(%s)", workspace)


def plan_of(world: World, workspace: str) -> str:
    plan: str = world.owner.run("SELECT plan FROM app.workspaces WHERE id = %s", workspace)[0][0]
    return plan


def held(world: World, customer: str) -> list[tuple[str, Status, int]]:
    """Subscriptions at Stripe: id, status, seats."""
    return [(one.id, one.status, one.seats) for one in world.payments.customers[customer].subscriptions.values()]


def told(world: World) -> list[str]:
    """Headlines of the operator's mails and templates of the others, as they wait. Each can be written."""
    mails = world.mails()
    for mail in mails:
        letters.write(mail["template"], mail["data"], "https://example.test")
    return [mail["data"]["headline"] if mail["template"] == "operator" else mail["template"] for mail in mails]
