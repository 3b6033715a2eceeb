"""Reading events. At Stripe they go after 30 days; here they stay."""

from __future__ import annotations

from typing import Any

from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, get, get_list
from infra.local.cloud.vendors.stripe.listing import page
from infra.local.cloud.vendors.stripe.params import TEXT, many

Json = dict[str, Any]
PATH = "/v1/events"


def read(call: Call) -> Json:
    return call.world.named("event", call.id)


def list_(call: Call) -> Json:
    params = call.params
    types = params.get("types", [params["type"]] if "type" in params else [])

    def wanted(event: Json) -> bool:
        return not types or any(_fits(event["type"], type) for type in types)

    return page(call.world, "event", PATH, params, wanted)


def _fits(type: str, wanted: str) -> bool:
    return type == wanted or (wanted.endswith(".*") and type.startswith(wanted[:-1]))


ENDPOINTS: tuple[Endpoint, ...] = (
    get(PATH + "/{id}", read),
    get_list(PATH, list_, {"type": TEXT, "types": many(TEXT)}),
)
