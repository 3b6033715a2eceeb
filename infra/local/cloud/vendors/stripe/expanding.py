"""`expand[]`: objects in place of their ids, and lists that are shown on request only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.local.cloud.vendors.stripe import objects
from infra.local.cloud.vendors.stripe.errors import malformed
from infra.local.cloud.vendors.stripe.store import Store

Json = dict[str, Any]
LEVELS = 4
PLAIN = frozenset({"id", "object", "url", "status", "type"})


def expand(store: Store, shown: Json, paths: list[str]) -> Json:
    """The shown object with what was asked for put in.

    Raises:
        StripeError: a path is too deep, or leads to what cannot be expanded.
    """
    for path in paths:
        parts = path.split(".")
        if len(parts) > LEVELS:
            raise malformed(f"You cannot expand more than {LEVELS} levels of a property. Property: {path}", "expand")
        _expand(store, shown, parts, path)
    return shown


def _expand(store: Store, node: Any, parts: list[str], path: str) -> None:
    if isinstance(node, list):
        for item in node:
            _expand(store, item, parts, path)
        return
    if not isinstance(node, dict) or not parts:
        return
    name, rest = parts[0], parts[1:]
    include = INCLUDED.get((str(node.get("object")), name))
    if name not in node and include is not None:
        node[name] = include(store, node)
    if name not in node or name in PLAIN:
        raise malformed(f"This property cannot be expanded ({path}).", "expand")
    value = node[name]
    if isinstance(value, str):
        found = store.get(value)
        if found is None or "object" not in found:
            raise malformed(f"This property cannot be expanded ({path}).", "expand")
        node[name] = value = objects.show(store, found)
    elif not rest and not (isinstance(value, dict) or value is None or isinstance(value, list)):
        raise malformed(f"This property cannot be expanded ({path}).", "expand")
    _expand(store, value, rest, path)


def _of(kind: str, field: str, url: str, *, newest: bool = True) -> Callable[[Store, Json], Json]:
    def include(store: Store, node: Json) -> Json:
        found = store.find(kind, **{field: node["id"]})
        if kind == "subscription":
            found = [item for item in found if item["status"] not in ("canceled", "incomplete_expired")]
        data = [objects.show(store, item) for item in (reversed(found) if newest else found)]
        return objects.listed(data[:10], url.format(id=node["id"]), has_more=len(data) > 10)

    return include


INCLUDED: dict[tuple[str, str], Callable[[Store, Json], Json]] = {
    ("customer", "subscriptions"): _of("subscription", "customer", "/v1/customers/{id}/subscriptions"),
    ("invoice", "payments"): _of("invoice_payment", "invoice", "/v1/invoice_payments?invoice={id}"),
    ("charge", "refunds"): _of("refund", "charge", "/v1/charges/{id}/refunds"),
    ("checkout.session", "line_items"): _of("item", "_session", "/v1/checkout/sessions/{id}/line_items", newest=False),
}
