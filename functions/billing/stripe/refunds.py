"""The end of a subscription at once, and what is given back of it."""

from __future__ import annotations

from typing import Any

from billing.stripe.calls import Calls, Json
from billing.stripe.reading import ENDED, id_of, status_of, understood
from billing.stripe.refusals import REFUNDED, Refused
from core.logs import LOGGER

PAGE = 100


async def cancel(calls: Calls, subscription: str, *, refund: bool, key: str) -> int:
    """See `ports.Payments.cancel`. Tried again after half of it was done, it does the other half."""
    found = await calls.find(lambda stripe: stripe.v1.subscriptions.retrieve_async(subscription))
    if found is None:
        return 0
    with understood():
        ended = status_of(found["status"]) in ENDED
    if not ended:
        await calls.find(
            lambda stripe: stripe.v1.subscriptions.cancel_async(
                subscription, {"invoice_now": False, "prorate": False}, {"idempotency_key": f"{key}:cancel"}
            )
        )
    invoice = id_of(found.get("latest_invoice"))
    return await _give_back(calls, invoice, key) if refund and invoice else 0


async def _give_back(calls: Calls, invoice: str, key: str) -> int:
    """What an invoice took, in cents, whether it was given back now or before."""
    params: Any = {"invoice": invoice, "status": "paid", "limit": PAGE}
    found = await calls.ask(lambda stripe: stripe.v1.invoice_payments.list_async(params))
    with understood():
        payments: list[Json] = found["data"]
    return sum([await _refund(calls, payment, invoice, key) for payment in payments])


async def _refund(calls: Calls, paid: Json, invoice: str, key: str) -> int:
    with understood():
        taken = int(paid["amount_paid"] or 0)
        way = paid["payment"]
    target = next((kind for kind in ("payment_intent", "charge") if id_of(way.get(kind))), None)
    if target is None:
        LOGGER.error("The payment of invoice %s is of a kind that has no refund: give it back by hand.", invoice)
        return 0
    identity = id_of(way[target])
    params: Any = {target: identity}
    try:
        made = await calls.ask(
            lambda stripe: stripe.v1.refunds.create_async(params, {"idempotency_key": f"{key}:{identity}"}),
            _refunded,
        )
    except Refused as refused:
        if not _refunded(refused):
            raise
        return taken
    with understood():
        return int(made["amount"])


def _refunded(refused: Refused) -> bool:
    return refused.code == REFUNDED
