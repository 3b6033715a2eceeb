"""Where events are sent. The secret is shown once, in the answer to the creation."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, delete, get, post
from infra.local.cloud.vendors.stripe.errors import invalid, malformed
from infra.local.cloud.vendors.stripe.ids import token
from infra.local.cloud.vendors.stripe.listing import page
from infra.local.cloud.vendors.stripe.params import FLAG, METADATA, PAGING, TEXT, many, merged
from infra.local.cloud.vendors.stripe.world import DELIVERY, VERSION

Json = dict[str, Any]
PATH = "/v1/webhook_endpoints"
MOST = 16
EVENT = re.compile(r"\*|[a-z_]+(\.[a-z_]+)+")


def create(call: Call) -> Json:
    world, params = call.world, call.params
    if len(world.store.all("webhook_endpoint")) >= MOST:
        raise invalid(f"You have reached the maximum of {MOST} test webhook endpoints.")
    version = params.get("api_version")
    if version is not None and version != VERSION:
        raise malformed(f"Invalid Stripe API version: {version} (the stand-in knows {VERSION})", "api_version")
    endpoint = world.add(
        "webhook_endpoint",
        api_version=version,
        application=None,
        description=params.get("description"),
        enabled_events=_events(params["enabled_events"]),
        metadata=merged({}, params.get("metadata", {})),
        status="enabled",
        url=_url(params["url"]),
        _secret=f"whsec_{token(32)}",
    )
    return {**endpoint, "secret": endpoint["_secret"]}


def read(call: Call) -> Json:
    return call.world.named("webhook_endpoint", call.id)


def update(call: Call) -> Json:
    params = call.params
    endpoint = read(call)
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    if "enabled_events" in params:
        endpoint["enabled_events"] = _events(params["enabled_events"])
    if "url" in params:
        endpoint["url"] = _url(params["url"])
    if "description" in params:
        endpoint["description"] = params["description"]
    if "metadata" in params:
        endpoint["metadata"] = merged(endpoint["metadata"], params["metadata"])
    return endpoint


def remove(call: Call) -> Json:
    store = call.world.store
    endpoint = read(call)
    store.remove(endpoint["id"])
    for delivery in store.find(DELIVERY, endpoint=endpoint["id"]):
        store.remove(delivery["id"])
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def list_(call: Call) -> Json:
    return page(call.world, "webhook_endpoint", PATH, call.params)


def _events(names: list[str]) -> list[str]:
    for name in names:
        if not EVENT.fullmatch(name):
            raise malformed(f"Invalid enabled_events: {name} is not a type of event", "enabled_events")
    if not names:
        raise malformed("Invalid enabled_events: at least one type of event is needed", "enabled_events")
    return names


def _url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        message = "Invalid URL: An explicit scheme (such as https) must be provided."
        raise malformed(message, "url", "url_invalid")
    return url


SHARED = {"description": TEXT.clearable, "metadata": METADATA}
ENDPOINTS: tuple[Endpoint, ...] = (
    post(PATH, create, {**SHARED, "api_version": TEXT, "enabled_events": many(TEXT).needed, "url": TEXT.needed}),
    get(PATH + "/{id}", read),
    post(PATH + "/{id}", update, {**SHARED, "disabled": FLAG, "enabled_events": many(TEXT), "url": TEXT}),
    delete(PATH + "/{id}", remove),
    get(PATH, list_, PAGING),
)
