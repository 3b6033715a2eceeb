"""What Stripe's objects have in common: how they are found, changed, archived, and recognised as ours.

Most of them cannot be deleted, only archived. One that was archived by hand is not gone: a refresh finds it with
`active: false`, and the next update makes it active again. What is not declared is neither looked at nor changed.

Each create and change carries an Idempotency-Key of its own, so that a repetition after a lost answer makes no second
object. What an `up` that was cut off has left is recognised by its metadata. Stripe's API, 2026-10-28.endive:
https://docs.stripe.com/api
"""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from infra.providers.api import Api, ApiError
from infra.providers.kind import Found, Input, Kind, Log, ProviderError
from infra.providers.properties import Properties
from infra.providers.urls import url_fault

PAGE = 100
METADATA_KEY, METADATA_VALUE, METADATA_MOST = 40, 500, 50  # https://docs.stripe.com/api/metadata

Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Checked(Input):
    """An input with rules of its own; `faults` names every way in which a value of the right type is wrong."""

    faults: Callable[[Any], list[str]]

    def fault(self, value: Any) -> str | None:
        fault = super().fault(value)
        if fault or value is None:
            return fault
        return "; ".join(f"{self.name}: {item}" for item in self.faults(value)) or None


def url_faults(value: str) -> list[str]:
    fault = url_fault(value)
    return [fault] if fault else []


def _metadata_faults(value: Mapping[str, Any]) -> list[str]:
    found = [] if len(value) <= METADATA_MOST else [f"Stripe keeps {METADATA_MOST} entries at most"]
    for name, item in value.items():
        if not 1 <= len(name) <= METADATA_KEY or set("[]").intersection(name):
            found.append(f"{name!r} must have 1 to {METADATA_KEY} characters and no brackets")
        if not isinstance(item, str) or not 1 <= len(item) <= METADATA_VALUE:
            found.append(f"the value of {name!r} must be a text of 1 to {METADATA_VALUE} characters")
    return found


METADATA = Checked(name="metadata", kind=dict, required=False, faults=_metadata_faults)
ACTIVE = Input(name="active", kind=bool, required=False)
"""Nothing declares it: what is declared is active. A refresh puts False there when the object is switched off."""


class StripeObject(Kind):
    """An object at `/v1/{path}`; `noun` is what people call it. Import id: Stripe's, which its dashboard shows."""

    path: ClassVar[tuple[str, ...]]
    noun: ClassVar[str]

    def __init__(self, api: Api) -> None:
        self._api = api

    @abstractmethod
    def seen(self, now: Object) -> Properties:
        """Inputs by name, as Stripe has them; None for what it has not. All but `metadata` and `active`."""

    def read(self, id: str, inputs: Properties, outputs: Properties, log: Log) -> Found | None:
        now = self.find(id)
        if now is None:
            return None
        seen = self.seen(now)
        if not inputs:  # an import
            found = {name: value for name, value in {**seen, "metadata": now.get("metadata")}.items() if value}
        else:
            # What is required is looked at even when an older state lacks it.
            asked = {spec.name for spec in self.inputs if spec.required} | inputs.keys()
            found = {name: alike(inputs.get(name), seen[name]) for name in asked if name in seen}
            if "metadata" in inputs:
                found["metadata"] = alike(inputs["metadata"], now.get("metadata"))
        if not self.is_active(now):
            log("somebody switched it off at Stripe: `pulumi up` switches it on again")
            found["active"] = False
        return Found(id, found, outputs)

    def is_active(self, now: Object) -> bool:
        return now.get("active") is not False

    def find(self, id: str) -> Object | None:
        """The object as Stripe has it; None when it is gone."""
        try:
            now: Object = self._api.get(*self.path, id)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return now

    def all(self, **query: str) -> Iterator[Object]:
        """Every object that there is, active or not, newest first."""
        after: dict[str, str] = {}
        while True:
            page = self._api.get(*self.path, limit=str(PAGE), **query, **after)
            yield from page["data"]
            if not page.get("has_more") or not page["data"]:
                return
            after = {"starting_after": page["data"][-1]["id"]}

    def ours(self, inputs: Properties) -> Object | None:
        """The object that has all of the declared metadata: an earlier `up` of this stack made it."""
        marks = inputs.get("metadata")
        if not marks:
            return None
        return next((item for item in self.all() if marks.items() <= (item.get("metadata") or {}).items()), None)

    def make(self, body: Properties) -> Object:
        made: Object = self._api.post(*self.path, body=body, key=_key())
        return made

    def change(self, id: str, body: Properties) -> Object:
        """Raises ProviderError when it is gone."""
        try:
            changed: Object = self._api.post(*self.path, id, body=body, key=_key())
        except ApiError as error:
            if error.status == 404:
                message = f"Stripe has no {self.noun} {id}: run `pulumi up --refresh`, which makes it anew."
                raise ProviderError(message) from None
            raise
        return changed

    def take_up(self, known: Object, body: Properties, log: Log) -> str:
        """Switch on what an earlier update or destroy had left, as it is declared now. Its id."""
        id = str(known["id"])
        self.change(id, {**body, "active": True})
        log(f"taken up again: {id}, which an earlier update or destroy had left")
        return id

    def archive(self, id: str) -> None:
        """One that is gone already is success."""
        try:
            self._api.post(*self.path, id, body={"active": False}, key=_key())
        except ApiError as error:
            if error.status != 404:
                raise


def metadata_change(old: Properties, new: Properties) -> Properties:
    """The metadata to send: what is declared, and an empty value for what no longer is."""
    before, after = old.get("metadata") or {}, new.get("metadata") or {}
    return {**dict.fromkeys(before.keys() - after.keys(), ""), **after}


def alike(declared: Any, seen: Any) -> Any:
    """`seen`, as far as it was declared, and as it was declared where it says the same: lists are in any order."""
    if isinstance(declared, dict) and isinstance(seen, dict):
        return {name: alike(item, seen.get(name)) for name, item in declared.items()}
    if isinstance(declared, list) and isinstance(seen, list):
        return declared if sorted(map(str, declared)) == sorted(map(str, seen)) else seen
    if seen is None and declared in ("", [], {}):
        return declared
    return seen


def _key() -> str:
    return f"memorygraph-{uuid.uuid4()}"
