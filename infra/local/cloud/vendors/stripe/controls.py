"""What only the local cloud has, under /_local and with the same key: time, failures, what a bank or a dashboard does.

Bodies and answers are JSON. Nothing of it is Stripe's.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from infra.local.cloud.vendors.stripe import (
    buying,
    changes,
    customers,
    disputes,
    due,
    invoices,
    lifecycle,
    payment_methods,
    refunds,
)
from infra.local.cloud.vendors.stripe.calls import Route, whole
from infra.local.cloud.vendors.stripe.errors import invalid, missing
from infra.local.cloud.vendors.stripe.faults import Faults
from infra.local.cloud.vendors.stripe.world import SETTINGS, World

Json = dict[str, Any]
YEARS_SECONDS = 10 * 366 * 86_400


class Controls:
    """The routes, by method and path."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults

    def routes(self) -> list[Route]:
        base = "/_local"
        return [
            ("GET", f"{base}/state", self._read_state),
            ("DELETE", f"{base}/state", self._clear),
            ("POST", f"{base}/advance", self._advance),
            ("POST", f"{base}/settings", self._set),
            ("POST", f"{base}/customers/{{id}}/fail_next", self._fail_next),
            ("POST", f"{base}/customers/{{id}}/card", self._replace_card),
            ("DELETE", f"{base}/customers/{{id}}", self._delete_customer),
            ("POST", f"{base}/sessions/{{id}}/pay", self._pay_session),
            ("POST", f"{base}/sessions/{{id}}/settle", self._settle_session),
            ("POST", f"{base}/invoices/{{id}}/pay", self._pay_invoice),
            ("POST", f"{base}/refunds", self._refund),
            ("POST", f"{base}/disputes", self._open_dispute),
            ("POST", f"{base}/disputes/{{id}}/close", self._close_dispute),
        ]

    async def _read_state(self, _request: Request, _asked: Json) -> Json:
        clock = self._world.clock
        return {"now": clock.limit(), "offset_seconds": clock.offset, "settings": self._world.settings}

    async def _clear(self, _request: Request, _asked: Json) -> Json:
        """Forget everything, as a new account."""
        self._faults.clear()
        with self._world.step():
            self._world.store.clear()
        return {}

    async def _advance(self, _request: Request, asked: Json) -> Json:
        """{seconds} or {to: unix seconds}: what is due until then is done, each thing at its time."""
        clock = self._world.clock
        seconds = whole(asked, "seconds") if "seconds" in asked else whole(asked, "to") - clock.limit()
        if not 0 <= seconds <= YEARS_SECONDS:
            raise invalid("The clock goes forward only, and by ten years at most.")
        done = due.advance(self._world, seconds)
        return {"now": clock.limit(), "done": done}

    async def _set(self, _request: Request, asked: Json) -> Json:
        """{retry_days: [..], after_retries: cancel | unpaid | past_due}."""
        for name in asked:
            if name not in SETTINGS:
                raise invalid(f"There is no setting {name}; there are {', '.join(SETTINGS)}.")
        if asked.get("after_retries", "cancel") not in ("cancel", "unpaid", "past_due"):
            raise invalid("after_retries is cancel, unpaid or past_due.")
        with self._world.step():
            self._world.set(asked)
        return self._world.settings

    async def _fail_next(self, request: Request, asked: Json) -> Json:
        """{times: 1}: so many charges of the customer are refused, whatever the card."""
        with self._world.step():
            customer = self._world.named("customer", request.path_params["id"])
            customer["_fail_next"] = whole(asked, "times", 1)
        return {"times": customer["_fail_next"]}

    async def _replace_card(self, request: Request, asked: Json) -> Json:
        """{card: visa | failsLater | chargeCustomerFail | ...}: the customer's default card, as in the portal."""
        name = asked.get("card", "visa")
        if name not in payment_methods.CARDS:
            raise invalid(f"There is no card {name}; there are {', '.join(payment_methods.CARDS)}.")
        with self._world.step():
            customer = self._world.named("customer", request.path_params["id"])
            return self._world.show(payment_methods.replace_default(self._world, customer, name))

    async def _delete_customer(self, request: Request, _asked: Json) -> Json:
        with self._world.step():
            customer = self._world.referred("customer", request.path_params["id"], "id")
            return self._world.show(customers.erase(self._world, customer))

    async def _pay_session(self, request: Request, asked: Json) -> Json:
        """{card: visa}: what the payment page does."""
        name = asked.get("card", "visa")
        if name not in payment_methods.CARDS:
            raise invalid(f"There is no card {name}; there are {', '.join(payment_methods.CARDS)}.")
        with self._world.step():
            session = self._world.named("checkout.session", request.path_params["id"])
            return self._world.show(buying.complete(self._world, session, name))

    async def _settle_session(self, request: Request, asked: Json) -> Json:
        """{good: true}: decide the payment of a session that was paid by the card settlesLater."""
        with self._world.step():
            session = self._world.named("checkout.session", request.path_params["id"])
            return self._world.show(buying.settle(self._world, session, good=bool(asked.get("good", True))))

    async def _pay_invoice(self, request: Request, _asked: Json) -> Json:
        """With the card that the customer has."""
        world = self._world
        with world.step():
            invoice = world.named("invoice", request.path_params["id"])
            subscription = invoices.subscription_of(world, invoice)
            if invoice["status"] != "open" or subscription is None:
                raise invalid(f"The invoice is {invoice['status']}.")
            failure = lifecycle.pay(world, subscription, invoice)
            shown = world.show(invoice)
        if failure is not None:
            raise changes.refusal(world, failure)
        return shown

    async def _refund(self, _request: Request, asked: Json) -> Json:
        """{charge | invoice | subscription | customer, amount?}: of the last good charge."""
        with self._world.step():
            return self._world.show(refunds.give_back(self._world, self._charge(asked), asked.get("amount")))

    async def _open_dispute(self, _request: Request, asked: Json) -> Json:
        """{charge | invoice | subscription | customer, reason?}."""
        with self._world.step():
            reason = asked.get("reason", "fraudulent")
            return self._world.show(disputes.open_(self._world, self._charge(asked), reason))

    async def _close_dispute(self, request: Request, asked: Json) -> Json:
        """{won: false}."""
        with self._world.step():
            dispute = self._world.named("dispute", request.path_params["id"])
            return self._world.show(disputes.close(self._world, dispute, won=bool(asked.get("won", False))))

    def _charge(self, asked: Json) -> Json:
        world = self._world
        if "charge" in asked:
            return world.named("charge", asked["charge"])
        good = [charge for charge in world.store.find("charge", status="succeeded") if self._is_of(charge, asked)]
        if not good:
            raise missing("charge", str(asked))
        return good[-1]

    def _is_of(self, charge: Json, asked: Json) -> bool:
        invoice = self._world.known(charge["_invoice"])
        subscription = invoices.subscription_of(self._world, invoice) or {"id": None}
        held = {"invoice": invoice["id"], "customer": charge["customer"], "subscription": subscription["id"]}
        wanted = {name: value for name, value in asked.items() if name in held}
        return bool(wanted) and all(held[name] == value for name, value in wanted.items())
