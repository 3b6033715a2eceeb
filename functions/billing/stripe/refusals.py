"""What Stripe refuses, in words: the errors of its library, and the problems that callers get.

StripeError (the library's)
├── CardError                             PaymentRequired, with the bank's words
├── RateLimitError, APIConnectionError    Unavailable
├── APIError: 409, 5xx, no JSON           Unavailable
├── AuthenticationError, PermissionError  Internal; the operator is told what to do
├── IdempotencyError                      Conflict: the key was used for something else
└── InvalidRequestError                   Refused, which is Internal unless somebody expects it

Messages of the library are not logged: they quote keys (masked), addresses and bodies. The request's id finds them in
Stripe's dashboard.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from core.lazy import lazy
from core.logs import LOGGER
from core.problems import Conflict, Internal, PaymentRequired, Problem, Unavailable

if TYPE_CHECKING:
    import stripe
else:
    stripe = lazy("stripe")

PART = "stripe"
RETRY_SECONDS = 5
RETRY_MOST_SECONDS = 60
GONE = "resource_missing"
REFUNDED = "charge_already_refunded"
NO_ADDRESS = "email_invalid"

_CONFIRM = frozenset({"authentication_required", "subscription_payment_intent_requires_action"})
_PERMISSION = re.compile(r"\brak_\w{1,80}")


class Refused(Internal):
    """Stripe will not do what it was asked. `code` is its reason, when it names one (docs.stripe.com/error-codes), and
    `parameter` what is wrong."""

    def __init__(self, code: str, parameter: str, request: str) -> None:
        super().__init__("Something went wrong between us and Stripe, so nothing was done. Please try again later.")
        self.code = code
        self.parameter = parameter
        self.request = request

    def tell(self) -> None:
        """Log it for the operator: nobody knew what to do about it."""
        LOGGER.error(
            "Stripe refuses a request of ours (request %s, code %s, parameter %s).",
            self.request,
            self.code or "none",
            self.parameter or "none",
        )


def no_address(refused: Refused) -> bool:
    """Stripe takes fewer addresses than mail does."""
    return refused.code == NO_ADDRESS


def unavailable(retry_after_seconds: int = RETRY_SECONDS) -> Unavailable:
    """No answer, or none that can be understood: nothing is known of what happened."""
    detail = "Stripe, where payments are made, does not answer. Please try again in a few seconds."
    return Unavailable(detail, part=PART, retry_after_seconds=retry_after_seconds)


def nonsense() -> Unavailable:
    """An answer, but none of Stripe's: a proxy's, perhaps."""
    LOGGER.error("Stripe answered what is no object of its own.")
    return unavailable()


def problem(error: stripe.StripeError) -> Problem:
    """What a caller gets for an error of the library."""
    if isinstance(error, stripe.CardError):
        return PaymentRequired(_declined(error))
    if isinstance(error, stripe.IdempotencyError):
        return Conflict("This Idempotency-Key was used for another request. Use a new one.")
    if isinstance(error, stripe.InvalidRequestError):
        return Refused(_plain(error.code), _plain(error.param), error.request_id or "none")
    if isinstance(error, (stripe.AuthenticationError, stripe.PermissionError)):
        return Internal("Payments are not set up well on our side. We are told; please try again later.")
    return unavailable(_retry_after(error))


def tell(error: stripe.StripeError) -> None:
    """Log what the operator has to know, or to do. A refusal tells itself, see `Refused.tell`."""
    request = error.request_id or "none"
    if isinstance(error, (stripe.CardError, stripe.IdempotencyError, stripe.InvalidRequestError)):
        return  # the caller's affair, who is told
    if isinstance(error, stripe.AuthenticationError):
        LOGGER.critical(
            "Stripe does not accept STRIPE_API_KEY (request %s): make a restricted key in its dashboard, and put that "
            "into the secret.",
            request,
        )
    elif isinstance(error, stripe.PermissionError):
        lacks = ", ".join(sorted(set(_PERMISSION.findall(str(error))))) or "see the request in Stripe's dashboard"
        LOGGER.critical("STRIPE_API_KEY lacks a permission (request %s): give the restricted key %s.", request, lacks)
    else:
        LOGGER.warning(
            "Stripe did not answer as it should (%s, status %s, request %s).",
            type(error).__name__,
            error.http_status or "none",
            request,
        )


def _declined(error: stripe.CardError) -> str:
    if error.code in _CONFIRM:
        return (
            "Your bank wants you to confirm this payment, which cannot be done here; nothing was changed. Choose "
            "another way to pay on the billing page of your dashboard, then try again."
        )
    said = (error.user_message or "The payment was declined.").strip()
    return f"{said} Nothing was changed. Choose another way to pay on the billing page of your dashboard."


def _retry_after(error: stripe.StripeError) -> int:
    sent = (error.headers or {}).get("retry-after", "")
    return min(max(int(sent), 1), RETRY_MOST_SECONDS) if sent.isascii() and sent.isdigit() else RETRY_SECONDS


def _plain(text: object) -> str:
    """A code or the name of a parameter, which Stripe makes; nothing longer."""
    return str(text or "")[:100]
