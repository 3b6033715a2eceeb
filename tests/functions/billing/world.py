"""The world of the accounts, with somebody to pay: billing over the same real PostgreSQL, and Stripe in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import psycopg

from accounts.asker import Asker
from billing.control import ControlBilling
from billing.model import Event
from billing.ports import Payments
from billing.settling import Settler
from billing.webhooks import WebhookService
from core.adapters.postgres import Postgres
from core.outdated import Outdated
from core.settings import Secret
from tests.functions.accounts.world import Person
from tests.functions.accounts.world import World as AccountsWorld
from tests.functions.billing.payments import MemoryPayments
from tests.functions.twins import FakeClock

SECRET = "whsec_one"


class World(AccountsWorld):
    """One deployment. `time` is Stripe's and billing's; `stripe` is what the services ask."""

    def __init__(self, urls: dict[str, str]) -> None:
        super().__init__(urls)
        self.time = FakeClock()
        self.stripe = MemoryPayments(self.time)
        self.billing_postgres = Postgres(Secret(urls["billing"]))
        self.ledger = ControlBilling(self.billing_postgres)
        self.jobs_ledger = ControlBilling(self.provisioning)
        self.secrets = [Secret(SECRET)]
        self.settler = self.new_settler()
        self.webhooks = self.new_webhooks(self.settler)
        self._events = count(1)

    def new_settler(self, payments: Payments | None = None, **options: Any) -> Settler:
        """That of another process."""
        outdated = Outdated(self.cache, self.queue)
        return Settler(payments or self.stripe, self.ledger, outdated, self.time, **{"wait_seconds": 3.0, **options})

    def new_webhooks(self, settler: Settler, payments: Payments | None = None) -> WebhookService:
        async def secrets() -> list[Secret]:
            return self.secrets

        return WebhookService(payments or self.stripe, self.ledger, settler, secrets)

    async def close(self) -> None:
        await self.billing_postgres.close()
        await super().close()

    # Somebody pays.

    async def customer(self, workspace: str) -> str:
        """A customer at Stripe that is the workspace's."""
        customer = self.stripe.add_customer(workspace)
        return await self.ledger.attach_customer(workspace, customer)

    async def payer(self, email: str = "ada@example.com") -> tuple[Person, str]:
        """Somebody new, and the customer of their own workspace."""
        person = await self.sign_in(email, store=False)
        return person, await self.customer(person.workspace)

    def event(self, kind: str, subject: str, customer: str | None = None) -> Event:
        number = next(self._events)
        return Event(id=f"evt_{number:04}", kind=kind, subject=subject, customer=customer, created=self.time.now())

    async def deliver(self, event: Event) -> None:
        body, signature = self.stripe.sign(event, SECRET)
        await self.webhooks.receive(body, signature)

    def wait(self, **time: float) -> datetime:
        """Let time pass; what it is then."""
        self.time.advance(timedelta(**time).total_seconds())
        return self.time.now()

    def mailed_token(self, email: str) -> str:
        """See there. Mails to the operator name nobody."""
        link: str = [job for job in self.jobs("send_mail") if job.get("to") == email][-1]["data"]["link"]
        return link.partition("#token=")[2]

    # What came of it.

    def asker(self, person: Person, workspace: str | None = None) -> Asker:
        return Asker(person.account, None, workspace or person.workspace)

    async def body(self, person: Person, workspace: str | None = None) -> dict[str, Any]:
        return await self.ledger.read(self.asker(person, workspace))

    def workspace(self, workspace: str) -> tuple[str, bool, str | None, int]:
        """Plan, alone, customer, and how many it had before."""
        row = self.run(
            "SELECT plan, alone, stripe_customer, customers FROM app.workspaces WHERE id = %s::uuid", workspace
        )[0]
        return row[0], row[1], row[2], row[3]

    def subscription(self, workspace: str) -> dict[str, Any] | None:
        rows = self.run("SELECT to_jsonb(s) FROM app.subscriptions s WHERE workspace_id = %s::uuid", workspace)
        return rows[0][0] if rows else None

    def kinds(self, *but: str) -> list[str]:
        """The kinds of all open jobs, oldest first."""
        rows = self.run("SELECT kind FROM app.jobs WHERE state IN ('waiting', 'running') ORDER BY number")
        return [kind for (kind,) in rows if kind not in but]

    def mails(self) -> list[tuple[str, str | None]]:
        """Template and recipient of every mail, oldest first."""
        return [(job["template"], job.get("to")) for job in self.jobs("send_mail")]

    def rows(self) -> dict[str, int]:
        """How many rows every table of the control plane has."""
        with psycopg.connect(self.urls["owner"], autocommit=True) as connection:
            found = connection.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'app'::regnamespace AND relkind = 'r'"
            ).fetchall()
            counts = " UNION ALL ".join(f"SELECT '{table}', count(*) FROM app.{table}" for (table,) in found)
            return {str(table): int(number) for table, number in connection.execute(counts.encode()).fetchall()}
