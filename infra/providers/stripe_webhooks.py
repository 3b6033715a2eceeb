"""memorygraph:stripe:WebhookEndpoint: where Stripe sends its events, and the secret that signs them.

Stripe tells the secret once, in its answer to the create. It is kept in the stack's encrypted state and nowhere else:
an endpoint whose secret nobody knows is of no use, and is made anew.
"""

from __future__ import annotations

import re
from typing import Any

from infra.providers.api import ApiError
from infra.providers.kind import Found, Input, Log, Output, ProviderError
from infra.providers.properties import Properties
from infra.providers.stripe import ACTIVE, METADATA, Checked, Object, StripeObject, metadata_change, url_faults

VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(?:\.[a-z]+)?")
EVENT = re.compile(r"\*|[a-z0-9_]+(?:\.[a-z0-9_]+)+")


def _event_faults(value: list[Any]) -> list[str]:
    found = [
        f"{item!r} is no event, e.g. invoice.paid"
        for item in value
        if not isinstance(item, str) or not EVENT.fullmatch(item)
    ]
    twice = sorted({str(item) for item in value if value.count(item) > 1})
    return found + [f"{item} is listed twice" for item in twice]


def _version_faults(value: str) -> list[str]:
    return [] if VERSION.fullmatch(value) else [f"{value!r} is no version of Stripe's API, e.g. 2026-10-28.endive"]


class WebhookEndpoint(StripeObject):
    """It cannot be imported. Another API version replaces it: Stripe keeps the one of its creation."""

    token = "memorygraph:stripe:WebhookEndpoint"  # noqa: S105  the type's name
    path = ("webhook_endpoints",)
    noun = "webhook endpoint"
    inputs = (
        Checked(name="url", faults=url_faults),
        Checked(name="events", kind=list, faults=_event_faults),
        Checked(name="apiVersion", replaces=True, faults=_version_faults),
        Input(name="description", required=False),
        METADATA,
        ACTIVE,
    )
    outputs = (Output(name="secret", secret=True),)

    def create(self, inputs: Properties, log: Log) -> tuple[str, Properties]:
        for left in [item for item in self.all() if self._same(item, inputs)]:
            self._remove(str(left["id"]))
            log(f"removed {left['id']}, which an update that was cut off had made: nobody knows its secret")
        made = self.make({"api_version": inputs["apiVersion"], **self._body({}, inputs)})
        secret = made.get("secret")
        if not secret:
            self._remove(str(made["id"]))
            raise ProviderError(
                "Stripe made the webhook endpoint but told no secret, so it was removed again: run `pulumi up` again."
            )
        return str(made["id"]), {"secret": secret}

    def read(self, id: str, inputs: Properties, outputs: Properties, log: Log) -> Found | None:
        if not outputs.get("secret"):
            raise ProviderError(
                f"A webhook endpoint cannot be imported: Stripe told its secret once, when {id} was made. Delete it in "
                "Stripe's dashboard (Developers, Webhooks), then `pulumi up` makes one whose secret is known."
            )
        return super().read(id, inputs, outputs, log)

    def update(self, id: str, old: Properties, inputs: Properties, log: Log) -> Properties:  # noqa: ARG002  the interface
        self.change(id, {**self._body(old, inputs), "disabled": not inputs.get("active", True)})
        return {"secret": old["secret"]}

    def delete(self, id: str, old: Properties, log: Log) -> None:  # noqa: ARG002  the interface
        self._remove(id)

    def seen(self, now: Object) -> Properties:
        return {
            "url": now.get("url"),
            "events": now.get("enabled_events"),
            "apiVersion": now.get("api_version"),
            "description": now.get("description"),
        }

    def is_active(self, now: Object) -> bool:
        return now.get("status") != "disabled"  # by hand, or by Stripe after days of failed deliveries

    def _body(self, old: Properties, inputs: Properties) -> Properties:
        body = {
            "url": inputs["url"],
            "enabled_events": inputs["events"],
            "description": inputs.get("description"),
            "metadata": metadata_change(old, inputs),
        }
        return {name: value for name, value in body.items() if value}

    def _same(self, item: Object, inputs: Properties) -> bool:
        """Whether it is what is about to be made. Generations of the secret differ by metadata, at one URL."""
        marks = (item.get("url"), item.get("api_version"), item.get("metadata") or {})
        return marks == (inputs["url"], inputs["apiVersion"], inputs.get("metadata") or {})

    def _remove(self, id: str) -> None:
        try:
            self._api.delete(*self.path, id)
        except ApiError as error:
            if error.status != 404:
                raise
