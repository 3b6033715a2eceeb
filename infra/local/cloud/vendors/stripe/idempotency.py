"""Idempotency keys: the answer to a POST is given again for 24 hours, by the stand-in's clock."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from infra.local.cloud.vendors.stripe.clock import DAY
from infra.local.cloud.vendors.stripe.errors import StripeError
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
KIND = "_key"
MOST = 255


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a call was answered."""

    status: int
    body: Json
    request_id: str


class Keys:
    """The keys of one account."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._in_use: set[str] = set()

    def begin(self, key: str, what: Json) -> Answer | None:
        """Take a key into use for a call, which `what` describes; or give the answer that it had.

        Raises:
            StripeError: 400 for a key that was used for another call, 409 for one that is in use.
        """
        if len(key) > MOST:
            raise StripeError(
                400, f"Idempotency keys may be at most {MOST} characters.", type="idempotency_error", kept=False
            )
        id = _id(key)
        if id in self._in_use:
            raise StripeError(
                409,
                "There is currently another in-progress request using this Idempotent Key (that probably means you "
                f"submitted twice, and the other request is still going through): {key}. Please try again later.",
                type="idempotency_error",
                code="idempotency_key_in_use",
                kept=False,
            )
        held = self._world.store.get(id)
        if held is not None and held["at"] > self._world.clock.limit() - DAY:
            if held["what"] != _print(what):
                raise StripeError(
                    400,
                    "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                    f"Try using a key other than '{key}' if you meant to execute a different request.",
                    type="idempotency_error",
                    kept=False,
                )
            return Answer(status=held["status"], body=held["body"], request_id=held["request_id"])
        self._in_use.add(id)
        return None

    def keep(self, key: str, what: Json, answer: Answer) -> None:
        """Remember an answer; in a transaction."""
        record = {
            "at": self._world.clock.limit(),
            "what": _print(what),
            "status": answer.status,
            "body": answer.body,
            "request_id": answer.request_id,
        }
        self._world.store.put(KIND, _id(key), record)

    def end(self, key: str) -> None:
        """The call is over."""
        self._in_use.discard(_id(key))


def _id(key: str) -> str:
    return "_key:" + hashlib.sha256(key.encode()).hexdigest()


def _print(what: Json) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
