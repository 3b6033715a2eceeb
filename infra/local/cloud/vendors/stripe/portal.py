"""Configurations and sessions of the billing portal; `pages/portal.py` is the page at a session's URL."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from infra.local.cloud.vendors.stripe.calls import Call, Endpoint, get, post
from infra.local.cloud.vendors.stripe.errors import invalid, malformed
from infra.local.cloud.vendors.stripe.ids import token
from infra.local.cloud.vendors.stripe.listing import page
from infra.local.cloud.vendors.stripe.params import (
    ANYTHING,
    FLAG,
    METADATA,
    PAGING,
    TEXT,
    choice,
    group,
    integer,
    many,
    merged,
)
from infra.local.cloud.vendors.stripe.subscriptions import PRORATION
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
CONFIGURATIONS = "/v1/billing_portal/configurations"
SESSIONS = "/v1/billing_portal/sessions"
PAGE = "/p/session/"
REASONS = (
    "customer_service", "low_quality", "missing_features", "other", "switched_service", "too_complex", "too_expensive",
    "unused",
)  # fmt: skip
CONDITION = choice("decreasing_item_amount", "shortening_interval")
FEATURES = group(
    customer_update=group(
        allowed_updates=many(choice("address", "email", "name", "phone", "shipping", "tax_id")).clearable, enabled=FLAG
    ),
    invoice_history=group(enabled=FLAG.needed),
    payment_method_update=group(enabled=FLAG.needed, payment_method_configuration=TEXT.clearable),
    subscription_cancel=group(
        cancellation_reason=group(enabled=FLAG.needed, options=many(choice(*REASONS)).clearable),
        enabled=FLAG,
        mode=choice("at_period_end", "immediately"),
        proration_behavior=PRORATION,
    ),
    subscription_pause=group(enabled=FLAG),
    subscription_update=group(
        billing_cycle_anchor=choice("now", "unchanged"),
        default_allowed_updates=many(choice("price", "promotion_code", "quantity")).clearable,
        enabled=FLAG,
        products=many(
            group(
                adjustable_quantity=group(enabled=FLAG.needed, maximum=integer(1), minimum=integer(0)),
                prices=many(TEXT).needed,
                product=TEXT.needed,
            )
        ).clearable,
        proration_behavior=PRORATION,
        schedule_at_period_end=group(conditions=many(group(type=CONDITION.needed)).clearable),
        trial_update_behavior=choice("continue_trial", "end_trial"),
    ),
)
DEFAULTS: Json = {
    "customer_update": {"allowed_updates": [], "enabled": False},
    "invoice_history": {"enabled": False},
    "payment_method_update": {"enabled": False, "payment_method_configuration": None},
    "subscription_cancel": {
        "cancellation_reason": {"enabled": False, "options": []},
        "enabled": False,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
    "subscription_pause": {"duration": {"interval_options": [], "type": "indefinite"}, "enabled": False},
    "subscription_update": {
        "billing_cycle_anchor": None,
        "default_allowed_updates": [],
        "enabled": False,
        "products": [],
        "proration_behavior": "none",
        "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}
"""What a feature is that a configuration does not mention."""


def create(call: Call) -> Json:
    world, params = call.world, call.params
    configuration = world.add(
        "billing_portal.configuration",
        active=True,
        application=None,
        business_profile={
            **dict.fromkeys(("headline", "privacy_policy_url", "terms_of_service_url")),
            **params.get("business_profile", {}),
        },
        default_return_url=params.get("default_return_url"),
        features=deepcopy(DEFAULTS),
        is_default=False,
        login_page={"enabled": False, "url": None},
        metadata=merged({}, params.get("metadata", {})),
        name=params.get("name"),
        updated=world.now(),
    )
    _feature(world, configuration, params["features"])
    world.emit("billing_portal.configuration.created", configuration)
    return configuration


def read(call: Call) -> Json:
    return call.world.named("billing_portal.configuration", call.id)


def update(call: Call) -> Json:
    world, params = call.world, call.params
    configuration = read(call)
    if "metadata" in params:
        configuration["metadata"] = merged(configuration["metadata"] or {}, params["metadata"])
    if "business_profile" in params:
        configuration["business_profile"].update(params["business_profile"])
    for name in ("active", "default_return_url", "name"):
        if name in params:
            configuration[name] = params[name]
    _feature(world, configuration, params.get("features", {}))
    configuration["updated"] = world.now()
    world.emit("billing_portal.configuration.updated", configuration)
    return configuration


def list_(call: Call) -> Json:
    params = call.params

    def wanted(configuration: Json) -> bool:
        return all(configuration[name] == params[name] for name in ("active", "is_default") if name in params)

    return page(call.world, "billing_portal.configuration", CONFIGURATIONS, params, wanted)


def open_session(call: Call) -> Json:
    world, params = call.world, call.params
    customer = world.referred("customer", params["customer"], "customer")
    if "configuration" in params:
        configuration = world.referred("billing_portal.configuration", params["configuration"], "configuration")
        if not configuration["active"]:
            message = "The configuration you provided is inactive; make it active, or use another one."
            raise invalid(message, "configuration")
    else:
        known = [item for item in world.store.all("billing_portal.configuration") if item["is_default"]]
        if not known:
            raise invalid(
                "No configuration provided and your test mode default configuration has not been created. Provide a "
                "configuration or create your default by saving your customer portal settings in test mode."
            )
        configuration = known[0]
    key = token(40)
    return world.add(
        "billing_portal.session",
        configuration=configuration["id"],
        customer=customer["id"],
        customer_account=None,
        flow=None,
        locale=params.get("locale"),
        on_behalf_of=None,
        return_url=params.get("return_url", configuration["default_return_url"]),
        url=f"{world.url}{PAGE}{key}",
        _key=key,
    )


def _feature(world: World, configuration: Json, asked: Json) -> None:
    for name, feature in asked.items():
        held = configuration["features"][name]
        held.update({key: [] if value is None and key in LISTS else value for key, value in feature.items()})
    updating = configuration["features"]["subscription_update"]
    spot = "features[subscription_update]"
    if updating["enabled"] and not updating["products"]:
        message = f"Missing required param: {spot}[products]."
        raise malformed(message, f"{spot}[products]", "parameter_missing")
    for number, product in enumerate(updating["products"]):
        world.referred("product", product["product"], f"{spot}[products][{number}][product]")
        for place, id in enumerate(product["prices"]):
            price = world.referred("price", id, f"{spot}[products][{number}][prices][{place}]")
            if price["product"] != product["product"]:
                raise invalid(f"The price {id} does not belong to the product {product['product']}.", spot)
        product.setdefault("adjustable_quantity", {"enabled": False, "maximum": None, "minimum": 1})


LISTS = frozenset({"allowed_updates", "default_allowed_updates", "products"})
PROFILE = group(headline=TEXT.clearable, privacy_policy_url=TEXT, terms_of_service_url=TEXT)
SHARED = {"business_profile": PROFILE, "default_return_url": TEXT.clearable, "metadata": METADATA, "name": TEXT}
ENDPOINTS: tuple[Endpoint, ...] = (
    post(CONFIGURATIONS, create, {**SHARED, "features": FEATURES.needed}),
    get(CONFIGURATIONS + "/{id}", read),
    post(CONFIGURATIONS + "/{id}", update, {**SHARED, "active": FLAG, "features": FEATURES}),
    get(CONFIGURATIONS, list_, {**PAGING, "active": FLAG, "is_default": FLAG}),
    post(
        SESSIONS,
        open_session,
        {"configuration": TEXT, "customer": TEXT.needed, "locale": ANYTHING, "return_url": TEXT},
    ),
)
