"""Ids with Stripe's prefixes."""

from __future__ import annotations

import secrets
import string

LETTERS = string.ascii_letters + string.digits
PREFIXES = {
    "billing_portal.configuration": "bpc_",
    "billing_portal.session": "bps_",
    "charge": "ch_",
    "checkout.session": "cs_test_",
    "customer": "cus_",
    "dispute": "du_",
    "event": "evt_",
    "invoice": "in_",
    "invoice_payment": "inpay_",
    "invoiceitem": "ii_",
    "item": "li_",
    "line_item": "il_",
    "payment_intent": "pi_",
    "payment_method": "pm_",
    "price": "price_",
    "product": "prod_",
    "refund": "re_",
    "subscription": "sub_",
    "subscription_item": "si_",
    "subscription_schedule": "sub_sched_",
    "webhook_endpoint": "we_",
}
LENGTHS = {"customer": 14, "product": 14, "subscription_item": 14, "checkout.session": 58}


def token(length: int = 24) -> str:
    """Letters and digits that nobody can guess."""
    return "".join(secrets.choice(LETTERS) for _ in range(length))


def new_id(kind: str) -> str:
    """An id for an object whose `object` is `kind`."""
    return PREFIXES[kind] + token(LENGTHS.get(kind, 24))
