"""Billing in the control plane: one function of schema `app` for each operation (0019_billing.sql)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from accounts.asker import Asker
from billing.model import Customer, Dispute, Event, Projection, Subscription
from billing.ports import Body, Payer, Settled
from billing.projecting import plan_of
from billing.refusals import refusal
from core.adapters.postgres import Answer, Postgres, StatementRefused
from core.outdated import voids_of
from core.problems import Forbidden, Internal
from declarations import FREE, PLANS, PLANS_BY_PRICE

SEAT_PLANS = [plan.name for plan in PLANS.values() if plan.by_seat]
REPEATED = "asked twice: the first time may have changed something"

_STAYS = (
    "Your memories are more than this plan holds, so they stay where they are: they can be read, exported and deleted, "
    "and nothing is added. When they fit, they are moved by themselves."
)
_NOTES = {
    "too large for its plan": _STAYS,
    "turso refused": "Your memories are in another place than your plan says, with the same limits and no difference.",
}
"""What `store_note` says, for people."""


class ControlBilling:
    """Implements `ports.Ledger`. Every method is one round trip and may be sent twice."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def hold(self, customer: str, holder: str, seconds: float) -> bool:
        call = "hold_customer(%s, %s, make_interval(secs => %s::float8))"
        held: bool = await self._ask(call, customer, holder, seconds)
        return held

    async def release(self, customer: str, holder: str) -> None:
        await self._ask("release_customer(%s, %s)", customer, holder)

    async def settle(
        self, customer: Customer, projection: Projection, holder: str, store_kind: str | None, now: datetime
    ) -> Settled:
        facts = orjson.dumps(_facts(customer, projection, store_kind)).decode()
        call = "settle_billing(%s, %s, %s::jsonb, %s::timestamptz)"
        answer = await self._send(f"SELECT app.{call}", customer.id, holder, facts, now)
        said = answer.rows[0][0]
        changes = tuple(str(change) for change in said["changes"])
        if answer.repeated and not changes:
            changes = (REPEATED,)
        return Settled(workspace=said["workspace"], changes=changes, voids=voids_of(said["voids"]))

    async def begin_event(self, event: Event) -> bool:
        call = "begin_event(%s, %s, %s, %s, %s::timestamptz)"
        open_: bool = await self._ask(call, event.id, event.kind, event.subject, event.customer, event.created)
        return open_

    async def knows(self, customer: str) -> bool:
        known: bool = await self._ask("knows_customer(%s)", customer)
        return known

    async def end_event(self, event: str, error: str | None) -> None:
        await self._ask("end_event(%s, %s)", event, error)

    async def record_dispute(self, dispute: Dispute) -> bool:
        call = "record_dispute(%s, %s, %s, %s::bigint)"
        news: bool = await self._ask(call, dispute.id, dispute.customer, dispute.status, dispute.amount_cents)
        return news

    async def record_refund(self, event: Event) -> None:
        await self._ask("record_refund(%s, %s, %s)", event.id, event.subject, event.customer)

    async def read(self, asker: Asker) -> Body:
        call = "read_billing(%s::uuid, %s::uuid, %s::uuid)"
        body: Body = await self._ask(call, asker.account, asker.via, asker.workspace)
        body["price_usd"] = _price(body["plan"], body.pop("lookup_key"))
        body["move"]["note"] = _NOTES.get(body["move"]["note"])
        return body

    async def payer(self, asker: Asker) -> Payer:
        if asker.via is not None:
            raise Forbidden("An API key cannot do this. Sign in on the site.")
        answer = await self._send(f"{_PAYER} app.payer(%s::uuid, %s::uuid)", asker.account, asker.workspace)
        return _payer(answer.rows[0])

    async def payer_of(self, workspace: str) -> Payer | None:
        answer = await self._send(f"{_PAYER} app.payer_of(%s::uuid)", workspace)
        return _payer(answer.rows[0]) if answer.rows else None

    async def attach_customer(self, workspace: str, customer: str) -> str:
        attached: str = await self._ask("attach_customer(%s::uuid, %s)", workspace, customer)
        return attached

    async def note(self, asker: Asker, action: str, detail: Body) -> None:
        call = "note_billing(%s::uuid, %s::uuid, %s::uuid, %s, %s::jsonb)"
        await self._ask(call, asker.account, asker.via, asker.workspace, action, orjson.dumps(detail).decode())

    async def list_customers(self, after: str | None, most: int) -> list[tuple[str, str]]:
        statement = "SELECT customer, workspace_id FROM app.list_customers(%s, %s::integer)"
        return [(row[0], row[1]) for row in (await self._send(statement, after, most)).rows]

    async def list_strangers(self) -> set[str]:
        return {row[0] for row in (await self._send("SELECT customer FROM app.list_strangers()")).rows}

    async def note_strangers(self, customers: Sequence[str]) -> None:
        await self._ask("note_strangers(%s::text[])", list(customers))

    async def list_due(self, now: datetime, most: int) -> list[str]:
        statement = "SELECT customer FROM app.list_due(%s::timestamptz, %s::integer)"
        return [row[0] for row in (await self._send(statement, now, most)).rows]

    async def _ask(self, call: str, *args: object) -> Any:
        return (await self._send(f"SELECT app.{call}", *args)).rows[0][0]

    async def _send(self, statement: str, *args: object) -> Answer:
        """Raises: Problem, see `refusals`; Internal: the control plane refuses it otherwise."""
        try:
            return await self._postgres.ask(statement, args)
        except StatementRefused as error:
            problem = refusal(error.sqlstate)
            if problem is None:
                raise
            raise problem from None


_PAYER = "SELECT workspace_id, plan, seats, customer, customers, email, name, owners FROM"


def _payer(row: tuple[Any, ...]) -> Payer:
    workspace, plan, seats, customer, customers, email, name, owners = row
    return Payer(
        workspace=workspace,
        plan=plan,
        seats=seats,
        customer=customer,
        customers=customers,
        email=email,
        name=name,
        owners=owners,
    )


def _facts(customer: Customer, projection: Projection, store_kind: str | None) -> Body:
    """What app.settle_billing takes."""
    counts = projection.subscription
    return {
        "deleted": customer.deleted,
        "plan": projection.plan.name if projection.plan else None,
        "paid": projection.paid is not None,
        "seat_plans": SEAT_PLANS,
        "store": store_kind,
        "subscription": _row(counts, projection) if counts else None,
        "duplicates": [one.id for one in projection.duplicates],
        "overdue": [one.id for one in projection.overdue],
        "unknown_prices": list(projection.unknown_prices),
    }


def _row(subscription: Subscription, projection: Projection) -> Body:
    """A row of app.subscriptions."""
    plan = plan_of(subscription)
    if plan is None:
        raise Internal("A subscription whose price is not ours was taken for one that counts.")
    return {
        "id": subscription.id,
        "item": subscription.item,
        "status": subscription.status.value,
        "plan": plan.name,
        "by_seat": plan.by_seat,
        "live": projection.paid is not None,
        "lookup_key": subscription.lookup_key,
        "seats": subscription.seats,
        "began": subscription.created,
        "period_end": subscription.period_end,
        "cancel_at": subscription.cancel_at,
        "next_plan": projection.next_plan.name if projection.next_plan else None,
        "next_at": projection.next_at,
        "grace_until": projection.grace_until,
    }


def _price(plan_name: str, lookup_key: str | None) -> int:
    """Dollars a month (of a plan by seat: for each) at which they pay; of a plan that is not paid for, 0."""
    plan = PLANS_BY_PRICE.get(lookup_key or "")
    if plan is None:
        return 0 if lookup_key is None else PLANS.get(plan_name, FREE).price_usd
    return next(
        price
        for price in (plan.price_usd, *plan.former_prices_usd)
        if replace(plan, price_usd=price, former_prices_usd=()).lookup_key == lookup_key
    )
