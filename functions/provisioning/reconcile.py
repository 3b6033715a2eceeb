"""The nightly look: every customer at Stripe against every workspace that one pays for.

    what differs                                         what becomes of it
    the plan, the grace, what is planned                 settled: the workspace has what is paid for
    the customer is gone from Stripe                     settled: the free plan, and no customer
    a customer whose workspace has none                  it is the workspace's from now on, and settled
    a customer of a workspace that was deleted, erased   deleted
    another customer of a workspace, without a plan      deleted
    another customer of a workspace, with a plan         told: somebody pays twice
    a customer of no workspace that is known             told once: other programs may sell with the same account

A paid plan without a customer was given by the operator (`make key`), and is left alone. Each difference is a line in
the log, and all of them are one mail to the operator. What fails for one customer stops no other, and is in the mail,
too. A thousand customers take a few minutes, so a run that was cut off is begun anew by the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from billing.model import Customer
from billing.ports import Payments
from billing.settling import Settler
from core import logs
from core.problems import Problem
from provisioning.billing import ENDED, delete_at_stripe
from provisioning.parts import Parts

RUN_SECONDS = 1500.0
"""The platform ends it after 1800."""
PAGE = 100
AT_ONCE = 4
"""As many connections as the process has to the control plane."""
FAILURES_MOST = 20
"""So many customers that cannot be looked at, one after the other, mean that nothing can."""
LINES_MOST = 50
ENDING = timedelta(hours=1)
"""How long the job takes that deletes the customer of a deleted workspace, at most."""


@dataclass(slots=True)
class Report:
    """`lines` are the differences and failures, in words. `stopped`: why not everybody was looked at; `in_a_row`: how
    many failed since one did not. `strangers` are customers of nobody here that are in `lines`, for the first time."""

    customers: int = 0
    settled: int = 0
    failed: int = 0
    in_a_row: int = 0
    stopped: str | None = None
    lines: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def note(self, line: str, workspace: str | None = None) -> None:
        self.lines.append(line)
        logs.LOGGER.warning("Reconcile: %s", line, extra={"fields": {"workspace": workspace}})

    def told(self) -> dict[str, Any]:
        return {
            "customers": self.customers,
            "settled": self.settled,
            "failed": self.failed,
            "complete": self.stopped is None,
            "lines": len(self.lines),
        }


async def reconcile(parts: Parts, seconds: float = RUN_SECONDS) -> dict[str, Any]:
    """Look at everything, mend what can be mended, and tell the operator; what was found, in numbers.

    Raises:
        Unavailable: Stripe or the control plane does not answer at all. Nothing is lost by trying again.
        Internal: Stripe refuses to list its customers.
    """
    report = Report()
    kept = await _kept(parts)
    try:
        if parts.payments is None or parts.settler is None:
            report.stopped = "there is no STRIPE_API_KEY"
            if not kept:
                return report.told()
        else:
            run = _Run(parts, parts.payments, parts.settler, report, time.monotonic() + seconds)
            await run.settle(kept)  # first: strangers, of whom there may be many, keep nobody from what they paid for
            await run.meet_strangers(kept)
        if report.stopped and report.settled + report.failed < len(kept):
            report.note(f"Only {report.settled} of {len(kept)} customers were looked at: {report.stopped}.")
        elif report.stopped:
            report.note(f"Not every customer at Stripe that is nobody's here was looked at: {report.stopped}.")
    finally:
        if report.lines:
            await _mail(parts, report.lines)
        if report.strangers:  # after the mail: rather told twice than never
            await parts.billing.note_strangers(report.strangers)
    return report.told()


@dataclass(frozen=True, slots=True)
class _Run:
    parts: Parts
    payments: Payments
    settler: Settler
    report: Report
    ends: float

    async def meet_strangers(self, kept: dict[str, str]) -> None:
        """Look at the customers at Stripe that are nobody's here, and at those of workspaces that are gone."""
        for known, workspace in await self.parts.watch.list_ended_payers(self.parts.clock.now() - ENDING):
            await self.parts.outbox.enqueue("delete_customer", workspace, {"customer": known}, dedupe=known)
            self.report.note(f"Customer {known} of the deleted workspace {workspace} was left. It will go.", workspace)
        strangers: list[Customer] = []
        after = None
        while self._goes_on() and (page := await self.payments.list_customers(after, PAGE)):
            self.report.customers += len(page)
            strangers += [customer for customer in page if customer.id not in kept]
            after = page[-1].id
        told = await self.parts.billing.list_strangers() if strangers else set()
        for customer in strangers:  # not before: Stripe goes on behind no customer that was deleted
            if self._goes_on():
                await self._attempt(customer.id, self._meet(customer, told=customer.id in told))

    async def settle(self, kept: dict[str, str]) -> None:
        """Settle everybody."""
        pairs = iter(kept.items())  # shared, so that each is taken by one

        async def some() -> None:
            while self._goes_on() and (pair := next(pairs, None)):
                await self._attempt(pair[0], self._settle(*pair))

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(some())

    async def _settle(self, customer: str, workspace: str) -> None:
        settled = await self.settler.settle(customer)
        self.report.settled += 1
        if settled.changes:
            self.report.note(f"Workspace {workspace}, customer {customer}: {'; '.join(settled.changes)}", workspace)

    async def _meet(self, customer: Customer, *, told: bool) -> None:
        workspace = customer.workspace
        standing = await self.parts.watch.standing(workspace) if workspace else None
        if workspace is None or standing is None:
            if told:
                return
            self.report.strangers.append(customer.id)
            whose = f"the workspace {workspace}, which is not known here" if workspace else "no workspace"
            self._note(customer, f"is of {whose}. If it is not another stack's, end and delete it at Stripe.")
        elif standing != "open":
            await delete_at_stripe(self.payments, customer.id)
            self._note(customer, f"was of the workspace {workspace}, which is {standing}. It was deleted.")
        else:
            await self._meet_another(customer, workspace)

    async def _meet_another(self, customer: Customer, workspace: str) -> None:
        """One that says it is of a workspace that is there."""
        payer = await self.parts.billing.payer_of(workspace)
        if payer is not None and payer.customer == customer.id:
            return  # it was made since this look began
        holds = await self.parts.billing.attach_customer(workspace, customer.id)
        if holds == customer.id:
            self._note(customer, f"was made for the workspace {workspace}, which did not know it. It does now.")
            await self._settle(customer.id, workspace)
        elif all(one.status in ENDED for one in (await self.payments.customer(customer.id)).subscriptions):
            await delete_at_stripe(self.payments, customer.id)
            self._note(customer, f"was a second one of the workspace {workspace}, without a plan. It was deleted.")
        else:
            self._note(
                customer, f"has a plan for the workspace {workspace}, as {holds} has: end and refund one at Stripe."
            )

    async def _attempt(self, customer: str, work: Awaitable[None]) -> None:
        try:
            await work
            self.report.in_a_row = 0
        except Exception as error:
            self.report.failed += 1
            self.report.in_a_row += 1
            foreseen = isinstance(error, Problem)
            if not foreseen:
                logs.LOGGER.error("Reconcile: a customer cannot be looked at.", exc_info=error)
            reason = error.detail if isinstance(error, Problem) else f"{type(error).__name__}; see the log."
            self.report.note(f"Customer {customer} could not be looked at: {reason}")

    def _goes_on(self) -> bool:
        if self.report.in_a_row >= FAILURES_MOST:
            self.report.stopped = f"{self.report.in_a_row} in a row failed"
        elif time.monotonic() >= self.ends:
            self.report.stopped = "the time was over"
        return self.report.stopped is None

    def _note(self, customer: Customer, what: str) -> None:
        self.report.note(f"Customer {customer.id} {what}", customer.workspace)


async def _kept(parts: Parts) -> dict[str, str]:
    """Every customer that the control plane knows, and its workspace."""
    kept: dict[str, str] = {}
    after = None
    while page := await parts.billing.list_customers(after, PAGE):
        kept.update(page)
        after = page[-1][0]
    return kept


async def _mail(parts: Parts, lines: list[str]) -> None:
    told = lines if len(lines) <= LINES_MOST else [*lines[: LINES_MOST - 1], _more(len(lines) - LINES_MOST + 1)]
    data = {"headline": f"The nightly look at Stripe has {_count(len(lines))} to tell", "lines": told}
    mail = {"template": "operator", "to": parts.settings.operator_email, "data": data}
    await parts.outbox.enqueue("send_mail", None, mail, dedupe=f"reconcile {parts.clock.now().isoformat()}")


def _more(count: int) -> str:
    return f"... and {count} more, in the log."


def _count(lines: int) -> str:
    return "one thing" if lines == 1 else f"{lines} things"
