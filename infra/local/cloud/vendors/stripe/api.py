"""The calls under /v1: who asks, with which key, what for; and the answer in Stripe's form."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import re
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud.vendors.stripe import expanding, forms
from infra.local.cloud.vendors.stripe.calls import Call, Endpoint
from infra.local.cloud.vendors.stripe.errors import StripeError, malformed
from infra.local.cloud.vendors.stripe.faults import Fault, Faults
from infra.local.cloud.vendors.stripe.idempotency import Answer, Keys
from infra.local.cloud.vendors.stripe.ids import token
from infra.local.cloud.vendors.stripe.params import EXPAND, read
from infra.local.cloud.vendors.stripe.world import VERSION, World

Json = dict[str, Any]
TOKEN = "local"  # noqa: S105  a public word: who may call is decided by `peers`
KNOWN: dict[str, list[str]] = json.loads((Path(__file__).parent / "known.json").read_text())["parameters"]
"""`METHOD path` -> what Stripe knows there and the stand-in does not do."""
DATED = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z_]+)?")
log = logging.getLogger(__name__)


class Api:
    """Answers one endpoint's calls."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults
        self._keys = Keys(world)

    async def answer(self, endpoint: Endpoint, request: Request) -> Response:
        """The response to a call; never raises."""
        request_id = f"req_{token(14)}"
        key = request.headers.get("idempotency-key", "") if endpoint.method == "POST" else ""
        headers = {"Request-Id": request_id, "Stripe-Version": _asked_version(request)}
        if key:
            headers["Idempotency-Key"] = key
        try:
            check_key(request)
            _check_version(request)
            answer, replayed = await self._answered(endpoint, request, key, request_id)
        except StripeError as error:
            return JSONResponse(error.body(request_id), error.status, headers)
        if replayed:
            headers["Idempotent-Replayed"] = "true"
            headers["Original-Request"] = answer.request_id
        elif endpoint.method == "POST":
            headers["Original-Request"] = request_id
        return JSONResponse(answer.body, answer.status, headers)

    async def _answered(self, endpoint: Endpoint, request: Request, key: str, request_id: str) -> tuple[Answer, bool]:
        body = (await request.body()).decode("utf-8", "replace")
        raw = forms.decode(body if endpoint.method == "POST" else request.url.query)
        if endpoint.method == "DELETE" and body:
            raw.update(forms.decode(body))
        what = {"method": request.method, "path": request.url.path, "params": raw}
        if key:
            kept = self._keys.begin(key, what)
            if kept is not None:
                return kept, True
        try:
            fault = self._faults.next(request.method, request.url.path)
            if fault is not None and not fault.after:
                await self._strike(fault, key, what, request_id)
            answer = self._done(endpoint, request, raw, key, what, request_id)
        finally:
            if key:
                self._keys.end(key)
        if fault is not None and fault.after:
            await fault.strike(self._faults.released)
        return answer, False

    async def _strike(self, fault: Fault, key: str, what: Json, request_id: str) -> None:
        try:
            await fault.strike(self._faults.released)
        except StripeError as error:
            self._remember(error, key, what, request_id)
            raise

    def _remember(self, error: StripeError, key: str, what: Json, request_id: str) -> None:
        if key and error.kept:
            answer = Answer(status=error.status, body=error.body(request_id), request_id=request_id)
            with self._world.store.transaction():
                self._keys.keep(key, what, answer)

    def _done(self, endpoint: Endpoint, request: Request, raw: Json, key: str, what: Json, request_id: str) -> Answer:
        """Do it, and keep its answer for the key, as one step. No await inside."""
        world = self._world
        world.request = {"id": request_id, "idempotency_key": key or None}
        known = frozenset(KNOWN.get(f"{endpoint.method} {endpoint.path}", ()))
        try:
            with world.step():
                params = read({**endpoint.params, "expand": EXPAND}, raw, known)
                expand = params.pop("expand", [])
                call = Call(world=world, ids=dict(request.path_params), params=params)
                found = endpoint.handler(call)
                shown = expanding.expand(world.store, world.show(found), expand)
                answer = Answer(status=200, body=shown, request_id=request_id)
                if key:
                    self._keys.keep(key, what, answer)
                return answer
        except StripeError as error:
            self._remember(error, key, what, request_id)
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.url.path)
            raise StripeError(500, "The stand-in of Stripe has a defect: see `make logs`.", type="api_error") from None
        finally:
            world.request = {"id": None, "idempotency_key": None}


def check_key(request: Request) -> None:
    """Raises StripeError (401) without the right key, as a bearer token or as the user of Basic."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value).decode().partition(":")[0]
        except ValueError:
            value = ""
    if not value:
        raise StripeError(
            401,
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            kept=False,
        )
    if not hmac.compare_digest(value.encode(), TOKEN.encode()):
        shown = "*" * max(len(value) - 4, 1) + value[-4:] if len(value) > 8 else "*" * len(value)
        raise StripeError(401, f"Invalid API Key provided: {shown}", kept=False)


def _asked_version(request: Request) -> str:
    return request.headers.get("stripe-version", VERSION)


def _check_version(request: Request) -> None:
    asked = _asked_version(request)
    if not DATED.fullmatch(asked):
        raise malformed(f"Invalid Stripe API version: {asked}", "")
    if asked != VERSION:
        raise malformed(
            f"Invalid Stripe API version: {asked}. The local stand-in of Stripe answers in {VERSION} only.", ""
        )
