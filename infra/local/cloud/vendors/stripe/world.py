"""What every call works on: the objects, the clock, the address, the settings, and the news of what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from infra.local.cloud.vendors.stripe import objects
from infra.local.cloud.vendors.stripe.clock import Clock
from infra.local.cloud.vendors.stripe.errors import missing
from infra.local.cloud.vendors.stripe.ids import new_id
from infra.local.cloud.vendors.stripe.store import Store

Json = dict[str, Any]
VERSION = "2026-10-28.endive"
"""The version of the API that is imitated; the default of the account."""
SETTINGS: Json = {
    "retry_days": [3, 5, 7],  # after the first failure of a renewal
    "after_retries": "cancel",  # or "unpaid", or "past_due"
}
SETTINGS_KIND, SETTINGS_ID = "_settings", "_settings"
DELIVERY = "_delivery"
NAMES = {"billing_portal.configuration": "configuration", "checkout.session": "checkout.session"}


class World:
    """One account of Stripe. `woken` is called when deliveries may be due."""

    def __init__(self, store: Store, url: str, woken: Callable[[], None] = lambda: None) -> None:
        self.store = store
        self.clock = Clock(store)
        self.url = url
        self.request: Json = {"id": None, "idempotency_key": None}  # the call that is being answered
        self._woken = woken
        self._said = False

    def now(self) -> int:
        return self.clock.now()

    @contextmanager
    def step(self) -> Iterator[None]:
        """All of it or nothing; deliveries are looked at afterwards."""
        self._said = False
        with self.store.transaction():
            yield
        if self._said:
            self._woken()

    @property
    def settings(self) -> Json:
        return {**SETTINGS, **(self.store.get(SETTINGS_ID) or {})}

    def set(self, changes: Json) -> None:
        self.store.put(SETTINGS_KIND, SETTINGS_ID, {**(self.store.get(SETTINGS_ID) or {}), **changes})

    def add(self, kind: str, **fields: Any) -> Json:
        """A new object with its id, `created` and `livemode`."""
        id = fields.pop("id", None) or new_id(kind)
        body = {"id": id, "object": kind, "created": self.now(), "livemode": False, **fields}
        return self.store.put(kind, id, body)

    def named(self, kind: str, id: str) -> Json:
        """What a path names. Raises StripeError (404)."""
        found = self.find(kind, id)
        if found is None:
            raise missing(NAMES.get(kind, kind), id)
        return found

    def referred(self, kind: str, id: str, param: str) -> Json:
        """What a parameter names, and is not deleted. Raises StripeError (400)."""
        found = self.find(kind, id)
        if found is None or found.get("deleted"):
            raise missing(NAMES.get(kind, kind), id, param, 400)
        return found

    def known(self, id: str) -> Json:
        """What one of our own objects refers to."""
        found = self.store.get(id)
        assert found is not None, id
        return found

    def find(self, kind: str, id: str) -> Json | None:
        return self.store.get(id) if self.store.kind_of(id) == kind else None

    def show(self, body: Json) -> Json:
        """The object as the API gives it."""
        return objects.show(self.store, body)

    def emit(self, type: str, body: Json) -> None:
        """Tell of what happened to an object, as it is now; of an update, what was before this step."""
        shown = self.show(body)
        data: Json = {"object": shown}
        if type.endswith(".updated"):
            before = self.store.original(body["id"])
            data["previous_attributes"] = objects.differences(self.show(before), shown) if before is not None else {}
        endpoints = [
            endpoint
            for endpoint in self.store.all("webhook_endpoint")
            if endpoint["status"] == "enabled" and {"*", type} & set(endpoint["enabled_events"])
        ]
        event = self.add(
            "event",
            api_version=VERSION,
            data=data,
            pending_webhooks=len(endpoints),
            request=dict(self.request),
            type=type,
        )
        for endpoint in endpoints:
            id = f"{event['id']}:{endpoint['id']}"
            self.store.put(DELIVERY, id, {"id": id, "event": event["id"], "endpoint": endpoint["id"], **FRESH})
        self._said = True


FRESH: Json = {"state": "pending", "attempts": 0, "next_at": 0.0, "first_at": 0.0, "status": 0, "reason": ""}
"""A delivery that was not tried yet; its times are of the wall's clock."""
