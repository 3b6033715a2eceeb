"""The errors of Stripe's API: what is raised, and the JSON and status that it becomes."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
DOCUMENTED = frozenset(
    {
        "card_declined",
        "idempotency_key_in_use",
        "parameter_invalid_empty",
        "parameter_invalid_integer",
        "parameter_missing",
        "parameter_unknown",
        "rate_limit",
        "resource_already_exists",
        "resource_missing",
    }
)
"""Codes for which Stripe's errors carry a `doc_url`."""


class StripeError(Exception):
    """One refusal. `kept`: it is the answer to repeat for the same idempotency key."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str = "",
        param: str = "",
        kept: bool = True,
        extra: Json | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.kept = kept
        self.extra = extra or {}

    def body(self, request_id: str) -> Json:
        """`{"error": {...}}` as Stripe writes it."""
        error: Json = {"message": self.message, "type": self.type}
        if self.code:
            error["code"] = self.code
        if self.code in DOCUMENTED:
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        if self.param:
            error["param"] = self.param
        if self.status != 401:
            error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}"
        return {"error": {**error, **self.extra}}


def invalid(message: str, param: str = "", code: str = "") -> StripeError:
    """400: what was asked cannot be done."""
    return StripeError(400, message, code=code, param=param)


def malformed(message: str, param: str, code: str = "") -> StripeError:
    """400 for a parameter that is wrong in itself; nothing was begun, so no idempotency key remembers it."""
    return StripeError(400, message, code=code, param=param, kept=False)


def missing(what: str, id: str, param: str = "id", status: int = 404) -> StripeError:
    """404 for what a path names; 400 for what a parameter names."""
    return StripeError(status, f"No such {what}: '{id}'", code="resource_missing", param=param)


def unsupported(what: str, param: str = "") -> StripeError:
    """400 for what Stripe can do and its stand-in cannot: better said than passed over."""
    return StripeError(
        400,
        f"The local stand-in of Stripe does not do this: {what}. Stripe itself knows it; see the package's docstring.",
        code="standin_unsupported",
        param=param,
        kept=False,
    )


def declined(message: str, code: str, decline_code: str, charge: str = "", intent: Json | None = None) -> StripeError:
    """402: the card was refused."""
    extra: Json = {"decline_code": decline_code} if decline_code else {}
    if charge:
        extra["charge"] = charge
    if intent is not None:
        extra["payment_intent"] = intent
    return StripeError(402, message, type="card_error", code=code, extra=extra)
