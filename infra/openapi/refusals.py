"""What can go wrong: problems as components of the document, and which of them an operation can meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core import problems
from core.limits_pool import Pool
from core.problems import Problem
from declarations import BODY_LIMIT_BYTES, FREE, Access, Route
from infra.openapi import answers
from infra.openapi.components import Components
from infra.openapi.headers import ALWAYS, LIMITS, REQUEST_ID, references
from infra.openapi.operation import Operation
from memories import quotas

Json = dict[str, Any]

PROBLEM_JSON = "application/problem+json"
RESPONSES = "#/components/responses/"


@dataclass(frozen=True, kw_only=True)
class _Told:
    """One kind of problem. `more`: members of its example beyond those of every problem."""

    kind: type[Problem]
    text: str
    detail: str
    body: Any = answers.ProblemBody
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[str, ...] = LIMITS


_FULL = quotas.limits_of(FREE.name)
_USED_UP = Pool("", "", FREE, None, 0, day_ends=53_217.0, shut_by="day", used=FREE.calls_per_day)

_TOLD = (
    _Told(
        kind=problems.Invalid,
        text="Something in the request is wrong; `errors` names each field.",
        detail="The request is not valid: title is missing.",
        body=answers.InvalidProblemBody,
        more={"errors": [{"field": "title", "message": "is missing"}]},
    ),
    _Told(
        kind=problems.Unauthorized,
        text="No credential was sent, or it is not good.",
        detail="This API key was revoked. Make a new one in your dashboard.",
        headers=("WWW-Authenticate",),
    ),
    _Told(
        kind=problems.PaymentRequired,
        text="The payment failed, and nothing was changed: `detail` says why.",
        detail="Your card was declined. Nothing was changed. Choose another way to pay on the billing page of your "
        "dashboard.",
    ),
    _Told(
        kind=problems.Forbidden,
        text="The key lacks the scope, or the person is no member of the workspace.",
        detail="This API key lacks the scope memories:write. Use a key that has it.",
    ),
    _Told(
        kind=quotas.QuotaReached,
        text="The plan has no room for it, and nothing was done: `detail` names the limit, the use and the way up. Or "
        "the key lacks the scope, or is bound to another project, or the person is no member of the workspace.",
        detail=quotas.reached(
            _FULL, quotas.Usage(memories=FREE.memories or 0, relationships=80, bytes=91_000), quotas.Resource.MEMORIES
        ).detail,
    ),
    _Told(
        kind=problems.NotFound,
        text="There is no such thing in this workspace.",
        detail="There is no memory of that id in this workspace.",
    ),
    _Told(
        kind=problems.Conflict,
        text="The `Idempotency-Key` was used for another request.",
        detail="This Idempotency-Key was used for another request. Use a new one.",
    ),
    _Told(
        kind=problems.PreconditionFailed,
        text="It is in another state than `If-Match` says; `current` says in which.",
        detail="It was changed meanwhile: it is at version 4 now. Read it again, then change that.",
        body=answers.StaleProblemBody,
        more={"current": {"version": 4, "etag": '"4-62cfd0e1a7c40"'}},
        headers=("ETag", *LIMITS),
    ),
    _Told(
        kind=problems.TooLarge,
        text="The body is too large.",
        detail=f"The body is larger than {BODY_LIMIT_BYTES >> 10} KiB. Send less at once.",
    ),
    _Told(
        kind=problems.TooManyRequests,
        text="The calls of the day, of the minute or of the key's own cap are used up: `detail` says which, and the "
        "way up. Or too many bad credentials were sent. Wait as `Retry-After` says.",
        detail=_USED_UP.refusal(0.0).detail,
        headers=("Retry-After", *LIMITS),
    ),
    _Told(
        kind=problems.Unavailable,
        text="Something that the request needs does not answer. Where there is an `Idempotency-Key`, send the request "
        "again with the same one; elsewhere look first whether it was done.",
        detail="The memories of this workspace cannot be reached. Please try again in a few seconds.",
        headers=("Retry-After", *LIMITS),
    ),
)


def responses(components: Components) -> Json:
    """Every kind of problem, by name."""
    return {told.kind.__name__: _response(told, components) for told in _TOLD}


def refusals(route: Route, operation: Operation, *, can_be_wrong: bool) -> Json:
    """What an operation can meet, by status."""
    kinds: set[type[Problem]] = {problems.Unauthorized, problems.TooManyRequests, problems.Unavailable}
    kinds |= set(operation.problems)
    if can_be_wrong:
        kinds.add(problems.Invalid)
    if operation.grows:
        kinds.add(quotas.QuotaReached)
    elif route.access is not Access.OPEN:
        kinds.add(problems.Forbidden)
    if route.once:
        kinds.add(problems.Conflict)
    if operation.if_match:
        kinds.add(problems.PreconditionFailed)
    if route.method != "GET" and (operation.takes or operation.special_body):
        kinds.add(problems.TooLarge)
    found: Json = {}
    for kind in sorted(kinds, key=lambda kind: kind.status):
        found[str(kind.status)] = {"$ref": RESPONSES + kind.__name__}
        if kind in operation.problems:
            found[str(kind.status)]["description"] = operation.problems[kind]
    return found


def _response(told: _Told, components: Components) -> Json:
    kind = told.kind
    example = {
        "type": "about:blank",
        "title": kind.title,
        "status": kind.status,
        "detail": told.detail,
        "request_id": REQUEST_ID,
        **told.more,
    }
    return {
        "description": told.text,
        "headers": references((*ALWAYS, *told.headers)),
        "content": {PROBLEM_JSON: {"schema": components.answer(told.body), "example": example}},
    }
