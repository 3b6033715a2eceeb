"""memorygraph:stripe:PortalConfiguration: what customers may do on the billing pages that Stripe hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.providers.kind import Log
from infra.providers.properties import Properties
from infra.providers.stripe import ACTIVE, METADATA, Checked, Object, StripeObject, metadata_change, url_faults
from infra.providers.urls import url_fault

FEATURES = (
    "customer_update",
    "invoice_history",
    "payment_method_update",
    "subscription_cancel",
    "subscription_pause",
    "subscription_update",
)
PROFILE = ("headline", "privacy_policy_url", "terms_of_service_url")


def _feature_faults(value: Mapping[str, Any]) -> list[str]:
    found = [f"{name} is none of {', '.join(FEATURES)}" for name in value if name not in FEATURES]
    for name, feature in value.items():
        if not isinstance(feature, dict) or not isinstance(feature.get("enabled"), bool):
            found.append(f"{name} must say `enabled`, true or false")
    return found


def _profile_faults(value: Mapping[str, Any]) -> list[str]:
    found = [f"{name} is none of {', '.join(PROFILE)}" for name in value if name not in PROFILE]
    urls = {name: item for name, item in value.items() if name.endswith("_url")}
    return found + [f"{name}: {fault}" for name, item in urls.items() if (fault := url_fault(item))]


class PortalConfiguration(StripeObject):
    """`features` and `businessProfile` go by Stripe's names. Deleting it archives it: Stripe deletes none."""

    token = "memorygraph:stripe:PortalConfiguration"  # noqa: S105  the type's name
    path = ("billing_portal", "configurations")
    noun = "portal configuration"
    inputs = (
        Checked(name="features", kind=dict, faults=_feature_faults),
        Checked(name="defaultReturnUrl", required=False, faults=url_faults),
        Checked(name="businessProfile", kind=dict, required=False, faults=_profile_faults),
        METADATA,
        ACTIVE,
    )
    outputs = ()

    def create(self, inputs: Properties, log: Log) -> tuple[str, Properties]:
        known = self.ours(inputs)
        if known is None:
            return str(self.make(_body({}, inputs))["id"]), {}
        return self.take_up(known, _body({}, inputs), log), {}

    def update(self, id: str, old: Properties, inputs: Properties, log: Log) -> Properties:  # noqa: ARG002  the interface
        self.change(id, {**_body(old, inputs), "active": inputs.get("active", True)})
        return {}

    def delete(self, id: str, old: Properties, log: Log) -> None:  # noqa: ARG002  the interface
        now = self.find(id)
        if now is None:
            return
        if now.get("is_default"):  # which Stripe does not let go
            log("left as it is: it is the account's default configuration. Choose another in Stripe's dashboard")
            return
        self.archive(id)

    def seen(self, now: Object) -> Properties:
        return {
            "features": now.get("features"),
            "defaultReturnUrl": now.get("default_return_url"),
            "businessProfile": now.get("business_profile"),
        }


def _body(old: Properties, inputs: Properties) -> Properties:
    body = {
        "features": inputs["features"],
        "default_return_url": inputs.get("defaultReturnUrl"),
        "business_profile": inputs.get("businessProfile"),
        "metadata": metadata_change(old, inputs),
    }
    return {name: value for name, value in body.items() if value}
