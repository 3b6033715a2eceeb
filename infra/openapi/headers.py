"""Headers that requests bring and answers have, as components of the document."""

from __future__ import annotations

from typing import Any

from core import once
from core.credentials import WORKSPACE
from infra.openapi.examples import accounts as examples

Json = dict[str, Any]

REQUEST_ID = "0f8c2b6d9a714e53b1c7d2e4f6a8091b"
_TAG = r'(?:W/)?"[!#-~]*"'
IF_MATCH = rf"^(?:\*|{_TAG}(?:, *{_TAG})*)$"
_UUID = "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
ALWAYS = ("X-Request-Id", "Server-Timing")
LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")

PARAMETERS: Json = {
    "IdempotencyKey": {
        "name": once.HEADER,
        "in": "header",
        "description": "Made up by you, new for each request that shall happen: the same one again is answered as the "
        "first time. Forgotten after a day.",
        "schema": {"type": "string", "pattern": rf"^[!-~]{{1,{once.KEY_MOST}}}$"},
        "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "`ETag` of the state that it must be in; several are separated by commas. `*`: any.",
        "schema": {"type": "string", "pattern": IF_MATCH},
        "example": '"3-62cfd0e1a7c40"',
    },
    "Agent": {
        "name": "X-Agent",
        "in": "header",
        "description": "What the client calls itself, kept beside what it wrote. Without it: `User-Agent`.",
        "schema": {"type": "string"},
        "example": "my-agent/2.1",
    },
    "StripeSignature": {
        "name": "Stripe-Signature",
        "in": "header",
        "required": True,
        "description": "When it was signed, and the signatures, as Stripe makes them.",
        "schema": {"type": "string"},
        "example": "t=1738314927,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
    },
    "Workspace": {
        "name": WORKSPACE,
        "in": "header",
        "description": "Id of the workspace that a signed-in person means. Without it: their own. "
        "An API key has one workspace, and does not look at this.",
        "schema": {"type": "string", "pattern": f"^(?:{_UUID})?$"},
        "example": examples.WORKSPACE_ID,
    },
}


def references(names: tuple[str, ...]) -> Json:
    """Headers of an answer, by reference."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _number(text: str, least: int, example: int, *, required: bool) -> Json:
    schema = {"type": "integer", "minimum": least}
    return {"description": text, "required": required, "schema": schema, "example": example}


def _text(text: str, example: str, **schema: str) -> Json:
    return {"description": text, "required": True, "schema": {"type": "string", **schema}, "example": example}


# Those of limits are on every answer to a good credential: OpenAPI has no word for that.
HEADERS: Json = {
    "ETag": _text("Names the state that is shown.", '"3-62cfd0e1a7c40"', pattern=r'^"\d+-[0-9a-f]+"$'),
    "Retry-After": _number("Seconds to wait.", 1, 2, required=True),
    "Server-Timing": _text("Where the time went, in milliseconds.", "admit;dur=0.1, store;dur=3.2, total;dur=3.9"),
    "WWW-Authenticate": _text("How to send a key.", 'Bearer realm="memorygraph"'),
    "X-RateLimit-Limit": _number(
        "Calls that the workspace (or the key, if it has a cap of its own) may make in a day.", 0, 1000, required=False
    ),
    "X-RateLimit-Remaining": _number(
        "How many of them are left; at the end, those of the credit of a new workspace.", 0, 874, required=False
    ),
    "X-RateLimit-Reset": _number("Seconds until the day ends, at 00:00 UTC.", 0, 53_217, required=False),
    "X-Request-Id": _text("Id of the request: name it when you ask for help.", REQUEST_ID),
}
