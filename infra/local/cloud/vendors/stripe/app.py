"""Everything that the stand-in answers: the API, the pages, the controls. Callers of other users are turned away."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.local.cloud.vendors.stripe import (
    checkout,
    customers,
    disputes,
    events,
    invoice_calls,
    payment_methods,
    portal,
    prices,
    products,
    refunds,
    schedules,
    subscription_items,
    subscriptions,
    webhook_endpoints,
)
from infra.local.cloud.vendors.stripe.api import Api, check_key
from infra.local.cloud.vendors.stripe.calls import Act, Endpoint
from infra.local.cloud.vendors.stripe.calls import Route as Control
from infra.local.cloud.vendors.stripe.errors import StripeError, invalid
from infra.local.cloud.vendors.stripe.ids import token
from infra.local.cloud.vendors.stripe.pages import checkout as checkout_page
from infra.local.cloud.vendors.stripe.pages import invoice as invoice_page
from infra.local.cloud.vendors.stripe.pages import portal as portal_page
from infra.local.cloud.vendors.stripe.world import World
from infra.local.cloud.web import OwnUser

Json = dict[str, Any]
Page = Callable[[World, Request], Awaitable[Response]]
ENDPOINTS: tuple[Endpoint, ...] = (
    *products.ENDPOINTS,
    *prices.ENDPOINTS,
    *customers.ENDPOINTS,
    *payment_methods.ENDPOINTS,
    *checkout.ENDPOINTS,
    *subscriptions.ENDPOINTS,
    *subscription_items.ENDPOINTS,
    *schedules.ENDPOINTS,
    *invoice_calls.ENDPOINTS,
    *refunds.ENDPOINTS,
    *disputes.ENDPOINTS,
    *portal.ENDPOINTS,
    *webhook_endpoints.ENDPOINTS,
    *events.ENDPOINTS,
)
PAGES: tuple[tuple[str, Page, Page], ...] = (
    (checkout.PAGE + "{id}", checkout_page.show, checkout_page.act),
    (portal.PAGE + "{key}", portal_page.show, portal_page.act),
    ("/i/{id}", invoice_page.show, invoice_page.act),
)
log = logging.getLogger(__name__)


def application(world: World, api: Api, controls: Sequence[Control]) -> Starlette:
    """The ASGI app."""
    routes = [_called(api, endpoint) for endpoint in ENDPOINTS]
    for path, show, act in PAGES:
        routes += [_paged(world, path, show, "GET"), _paged(world, path, act, "POST")]
    routes += [_controlled(*item) for item in controls]
    return Starlette(
        routes=routes,
        middleware=[Middleware(OwnUser, shape=lambda message: {"error": {"message": message}})],
        exception_handlers={StripeError: _refuse, HTTPException: _no_route, Exception: _fail},
    )


def _called(api: Api, endpoint: Endpoint) -> Route:
    async def answer(request: Request) -> Response:
        return await api.answer(endpoint, request)

    return Route(endpoint.path, answer, methods=[endpoint.method])


def _paged(world: World, path: str, page: Page, method: str) -> Route:
    async def answer(request: Request) -> Response:
        return await page(world, request)

    return Route(path, answer, methods=[method])


def _controlled(method: str, path: str, act: Act) -> Route:
    async def answer(request: Request) -> Response:
        check_key(request)
        return JSONResponse(await act(request, await _body(request)))

    return Route(path, answer, methods=[method])


async def _body(request: Request) -> Json:
    raw = await request.body()
    if not raw:
        return {}
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise invalid("The body must be a JSON object.")
    return found


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, StripeError)
    request_id = f"req_{token(14)}"
    return JSONResponse(error.body(request_id), error.status, {"Request-Id": request_id})


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    try:
        check_key(request)
    except StripeError as refusal:
        return await _refuse(request, refusal)
    message = (
        f"Unrecognized request URL ({request.method}: {request.url.path}). Either Stripe has none such, or its local "
        "stand-in does not answer it: see the package infra.local.cloud.vendors.stripe."
    )
    return await _refuse(request, StripeError(404, message))


async def _fail(request: Request, error: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    message = "The stand-in of Stripe has a defect: see `make logs`."
    return await _refuse(request, StripeError(500, message, type="api_error"))
