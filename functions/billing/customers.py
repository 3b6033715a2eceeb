"""One customer at Stripe for each workspace, made when it first buys something."""

from __future__ import annotations

import hashlib

from billing.ports import Ledger, Payer, Payments
from core.problems import NotFound


async def customer_of(payer: Payer, ledger: Ledger, payments: Payments) -> str:
    """The workspace's customer, made now if it has none. Of two that were made at once, the first one stays.

    Raises:
        NotFound: the workspace was deleted meanwhile.
    """
    if payer.customer is not None:
        return payer.customer
    # The same for two who ask at once; another when who pays, or what they are called, has changed since.
    who = hashlib.sha256(f"{payer.email}\n{payer.name}".encode()).hexdigest()[:16]
    key = f"customer:{payer.workspace}:{payer.customers}:{who}"
    made = await payments.create_customer(payer.workspace, payer.email, payer.name, key)
    try:
        kept = await ledger.attach_customer(payer.workspace, made)
    except NotFound:
        await payments.delete_customer(made)
        raise
    if kept != made:
        await payments.delete_customer(made)
    return kept
