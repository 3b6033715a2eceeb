"""memorygraph:stripe:Product and memorygraph:stripe:Price: what is sold, and for how much.

A price's amount never changes: another amount is another price, and the old one is archived. Who subscribed at it goes
on paying it, so an archived price keeps its lookup key, by which functions know the plan (functions/declarations.py).
"""

from __future__ import annotations

import re
from typing import Any

from infra.providers.api import ApiError
from infra.providers.kind import Input, Log, ProviderError
from infra.providers.properties import Properties
from infra.providers.stripe import ACTIVE, METADATA, Checked, Object, StripeObject, metadata_change

INTERVALS = ("day", "week", "month", "year")
LARGEST_AMOUNT = 99_999_999
STATEMENT, LOOKUP_KEY = 22, 200


def _statement_faults(value: str) -> list[str]:
    found = [] if len(value) <= STATEMENT else [f"Stripe takes {STATEMENT} characters at most"]
    if re.search(r"[<>\\'\"*]", value):
        found.append("none of < > \\ ' \" * may be in it")
    if not re.search(r"[A-Za-z]", value):
        found.append("it needs a letter")
    return found


def _amount_faults(value: float) -> list[str]:
    sound = value == int(value) and 1 <= value <= LARGEST_AMOUNT
    return [] if sound else [f"it must be a whole number of cents from 1 to {LARGEST_AMOUNT}"]


def _currency_faults(value: str) -> list[str]:
    return [] if re.fullmatch(r"[a-z]{3}", value) else [f"{value!r} is no currency: three small letters, e.g. usd"]


def _interval_faults(value: str) -> list[str]:
    return [] if value in INTERVALS else [f"{value!r} is none of {', '.join(INTERVALS)}"]


def _lookup_key_faults(value: str) -> list[str]:
    return [] if len(value) <= LOOKUP_KEY else [f"Stripe takes {LOOKUP_KEY} characters at most"]


class Product(StripeObject):
    """Deleting it archives it once it has had a price, since Stripe keeps the prices of what was sold.

    One that has the declared metadata is taken up again: what an `up` that was cut off made, and what a `destroy`
    archived, so that its subscribers keep their plan.
    """

    token = "memorygraph:stripe:Product"  # noqa: S105  the type's name
    path = ("products",)
    noun = "product"
    inputs = (
        Input(name="name"),
        Input(name="description"),
        Checked(name="statementDescriptor", required=False, faults=_statement_faults),
        METADATA,
        ACTIVE,
    )
    outputs = ()

    def create(self, inputs: Properties, log: Log) -> tuple[str, Properties]:
        known = self.ours(inputs)
        if known is None:
            return str(self.make(self._body({}, inputs))["id"]), {}
        id = str(known["id"])
        if known.get("active") and self._has_prices(id):
            raise ProviderError(
                f"Stripe already sells a product with this metadata, {id} ({known.get('name')!r}). Take it over with: "
                f"pulumi import {self.token} NAME {id}"
            )
        return self.take_up(known, self._body({}, inputs), log), {}

    def update(self, id: str, old: Properties, inputs: Properties, log: Log) -> Properties:  # noqa: ARG002  the interface
        self.change(id, {**self._body(old, inputs), "active": inputs.get("active", True)})
        return {}

    def delete(self, id: str, old: Properties, log: Log) -> None:  # noqa: ARG002  the interface
        try:
            self._api.delete(*self.path, id)
        except ApiError as error:
            if error.status == 404:
                return
            if error.status != 400:
                raise
            self.archive(id)
            log("archived: Stripe deletes no product that has had a price")

    def seen(self, now: Object) -> Properties:
        return {
            "name": now.get("name"),
            "description": now.get("description"),
            "statementDescriptor": now.get("statement_descriptor"),
        }

    def _body(self, old: Properties, inputs: Properties) -> Properties:
        body = {
            "name": inputs["name"],
            "description": inputs["description"],
            "statement_descriptor": inputs.get("statementDescriptor"),
            "metadata": metadata_change(old, inputs),
        }
        return {name: value for name, value in body.items() if value}

    def _has_prices(self, id: str) -> bool:
        return bool(self._api.get("prices", product=id, limit="1")["data"])


class Price(StripeObject):
    """A price of so much for each unit and interval. Deleting it archives it; `lookupKey` is unique in the account.

    Stripe takes the key away from the price that had it, whose subscribers would not be known by it any more. So a
    price that says the same in every respect is taken up again, and one that another product sells is left alone.
    """

    token = "memorygraph:stripe:Price"  # noqa: S105  the type's name
    path = ("prices",)
    noun = "price"
    inputs = (
        Input(name="product", replaces=True),
        Checked(name="currency", replaces=True, faults=_currency_faults),
        Checked(name="unitAmount", kind=float, replaces=True, faults=_amount_faults),
        Checked(name="interval", replaces=True, faults=_interval_faults),
        Checked(name="lookupKey", faults=_lookup_key_faults),
        Input(name="nickname", required=False),
        METADATA,
        ACTIVE,
    )
    outputs = ()

    def create(self, inputs: Properties, log: Log) -> tuple[str, Properties]:
        holder = self._holder(inputs["lookupKey"])
        if holder is not None and all(self.seen(holder)[spec.name] == inputs[spec.name] for spec in _TERMS):
            return self.take_up(holder, self._body({}, inputs), log), {}
        self._see_that_it_may_go(holder, inputs, log)
        terms = {
            "product": inputs["product"],
            "currency": inputs["currency"],
            "unit_amount": inputs["unitAmount"],
            "recurring": {"interval": inputs["interval"]},
        }
        return str(self.make({**terms, **self._body({}, inputs)})["id"]), {}

    def update(self, id: str, old: Properties, inputs: Properties, log: Log) -> Properties:
        holder = self._holder(inputs["lookupKey"])
        if holder is not None and holder["id"] != id:
            self._see_that_it_may_go(holder, inputs, log)
        self.change(id, {**self._body(old, inputs), "active": inputs.get("active", True)})
        return {}

    def delete(self, id: str, old: Properties, log: Log) -> None:  # noqa: ARG002  the interface
        self.archive(id)
        log("archived: Stripe deletes no price, and who subscribed at it goes on")

    def seen(self, now: Object) -> Properties:
        product = now.get("product")
        return {
            "product": product.get("id") if isinstance(product, dict) else product,
            "currency": now.get("currency"),
            "unitAmount": now.get("unit_amount"),
            "interval": (now.get("recurring") or {}).get("interval"),
            "lookupKey": now.get("lookup_key"),
            "nickname": now.get("nickname"),
        }

    def _body(self, old: Properties, inputs: Properties) -> Properties:
        body: dict[str, Any] = {
            "lookup_key": inputs["lookupKey"],
            "transfer_lookup_key": True,
            "nickname": inputs.get("nickname"),
            "metadata": metadata_change(old, inputs),
        }
        return {name: value for name, value in body.items() if value}

    def _holder(self, lookup_key: str) -> Object | None:
        """The price that has this key now, archived or not."""
        return next(iter(self.all(**{"lookup_keys[]": lookup_key})), None)

    def _see_that_it_may_go(self, holder: Object | None, inputs: Properties, log: Log) -> None:
        """The key may go from its holder to another price. Raises ProviderError when that would hurt a stranger."""
        if holder is None:
            return
        id, key = str(holder["id"]), inputs["lookupKey"]
        product = self.seen(holder)["product"]
        if holder.get("active") and product != inputs["product"]:
            raise ProviderError(
                f"The lookup key {key!r} belongs to {id}, which Stripe's product {product} sells. Archive that price "
                f"in the dashboard, or take it over: pulumi import {self.token} NAME {id}"
            )
        log(f"the lookup key {key} goes over from {id}: whoever still subscribes at that price is not known by it")


_TERMS = tuple(spec for spec in Price.inputs if spec.replaces)
