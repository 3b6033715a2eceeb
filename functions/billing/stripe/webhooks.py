"""Deliveries of webhooks: who signed them, and what they name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from billing.model import Event
from billing.stripe.reading import id_of, moment
from core.lazy import lazy
from core.problems import Invalid
from core.settings import Secret

if TYPE_CHECKING:
    import stripe
else:
    stripe = lazy("stripe")

TOLERANCE_SECONDS = 300


def read(body: bytes, signature: str, secrets: Sequence[Secret]) -> Event:
    """See `ports.Payments.event`."""
    if not any(_signed(body, signature, secret) for secret in secrets):
        raise Invalid(
            "This delivery is not signed by Stripe, or was signed more than five minutes ago, so nothing was done. "
            "Send it again from Stripe's dashboard."
        )
    try:
        return _event(orjson.loads(body))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise Invalid("The body is signed, but is no event of Stripe's, so nothing was done.") from None


def _signed(body: bytes, signature: str, secret: Secret) -> bool:
    try:
        return bool(
            stripe.WebhookSignature.verify_header(body, signature, secret.reveal(), tolerance=TOLERANCE_SECONDS)
        )
    except (stripe.SignatureVerificationError, TypeError, ValueError):
        # Or what the library does not foresee: a body that is no text, a signature that is not ASCII.
        return False


def _event(sent: dict[str, Any]) -> Event:
    if sent["object"] != "event":
        raise ValueError("something else")
    about: dict[str, Any] = sent["data"]["object"]
    subject = id_of(about)
    if subject is None:
        raise ValueError("about nothing")
    customer = subject if about.get("object") == "customer" else id_of(about.get("customer"))
    identity, kind = sent["id"], sent["type"]
    if not (isinstance(identity, str) and isinstance(kind, str)):
        raise TypeError("no names")
    return Event(id=identity, kind=kind, subject=subject, customer=customer, created=moment(sent["created"]))
