"""Every failure that a caller can see, as one tree, and the one place that renders it (RFC 9457).

Problem
├── Invalid            400  bad input; names each field
├── Unauthorized       401
├── PaymentRequired    402  the card was declined; nothing was changed
├── Forbidden          403  `detail` is the only text that an MCP user ever sees (client contract 4.1)
├── NotFound           404
├── MethodNotAllowed   405
├── Conflict           409  it contradicts something that was done before
├── PreconditionFailed 412  If-Match names another state; says the current one
├── TooLarge           413
├── TooManyRequests    429  Retry-After in whole seconds
├── Internal           500  our fault; says nothing of the cause
└── Unavailable        503  Retry-After in whole seconds
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class Problem(Exception):
    """A failure with a status. `detail` says what happened, why, and what to do, in one or two sentences."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers: dict[str, str] = dict(headers or {})

    def members(self) -> dict[str, Any]:
        """Further members of the body, beside `type`, `title`, `status`, `detail` and `request_id`."""
        return {}


class Invalid(Problem):
    """Bad input. `errors` maps the name of a field to what is wrong with it."""

    status = 400
    title = "Bad request"

    def __init__(self, detail: str, *, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.errors = dict(errors or {})

    @classmethod
    def naming(cls, errors: Mapping[str, str], what: str = "request") -> Invalid:
        """`what` is not valid because of these fields: names to what is wrong with each."""
        return cls(f"The {what} is not valid: {told(errors)}.", errors=errors)

    def members(self) -> dict[str, Any]:
        return {"errors": listed(self.errors)}


class Unauthorized(Problem):
    status = 401
    title = "Unauthorized"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="memorygraph"'})


class PaymentRequired(Problem):
    status = 402
    title = "Payment required"


class Forbidden(Problem):
    status = 403
    title = "Forbidden"


class NotFound(Problem):
    status = 404
    title = "Not found"


class MethodNotAllowed(Problem):
    status = 405
    title = "Method not allowed"


class Conflict(Problem):
    status = 409
    title = "Conflict"


class PreconditionFailed(Problem):
    """`etag` is that of the current state, which is at `version`."""

    status = 412
    title = "Precondition failed"

    def __init__(self, detail: str, *, etag: str, version: int) -> None:
        super().__init__(detail, headers={"ETag": etag})
        self.etag = etag
        self.version = version

    def members(self) -> dict[str, Any]:
        return {"current": {"version": self.version, "etag": self.etag}}


class TooLarge(Problem):
    status = 413
    title = "Request too large"


class _Later(Problem):
    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_seconds)})


class TooManyRequests(_Later):
    status = 429
    title = "Too many requests"


class Internal(Problem):
    pass


class Unavailable(_Later):
    """A part that the request needs does not answer. `part` names it for the log, not for the caller.

    `stale_address`: the store refused our address or token, so what is remembered of the principal may be out of date.
    `passing`: as while a workspace moves, it is over in seconds, which a request may wait for.
    """

    status = 503
    title = "Service unavailable"
    stale_address: ClassVar[bool] = False
    passing: ClassVar[bool] = False

    def __init__(self, detail: str, *, part: str, retry_after_seconds: int = 2) -> None:
        super().__init__(detail, retry_after_seconds=retry_after_seconds)
        self.part = part


def listed(errors: Mapping[str, str]) -> list[dict[str, str]]:
    """Faults by field, as bodies hold them."""
    return [{"field": name, "message": message} for name, message in errors.items()]


def told(errors: Mapping[str, str]) -> str:
    """Faults by field, as a sentence holds them."""
    return "; ".join(f"{name} {message}" for name, message in errors.items())


def render(problem: Problem, request_id: str) -> dict[str, Any]:
    """The body of an error answer, served as `application/problem+json`."""
    return {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "request_id": request_id,
        **problem.members(),
    }
