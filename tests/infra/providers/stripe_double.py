"""A Stripe that keeps what it is told, as far as the provider uses it: for tests that break it in every way."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.infra.providers import vendor
from tests.infra.providers.vendor import LOST, Answer, Vendor

KINDS = {
    "products": ("prod", {"name", "description", "statement_descriptor", "metadata", "active"}),
    "prices": (
        "price",
        {
            "product",
            "currency",
            "unit_amount",
            "recurring",
            "lookup_key",
            "transfer_lookup_key",
            "nickname",
            "metadata",
            "active",
        },
    ),
    "billing_portal/configurations": (
        "bpc",
        {"features", "default_return_url", "business_profile", "metadata", "active"},
    ),
    "webhook_endpoints": ("we", {"url", "enabled_events", "api_version", "description", "metadata", "disabled"}),
}
FIXED = {"prices": {"product", "currency", "unit_amount", "recurring"}, "webhook_endpoints": {"api_version"}}
"""What Stripe takes at a creation only."""


class Stripe:
    """Objects by id, newest last. `secrets` are those of webhook endpoints; no answer but the first shows one."""

    def __init__(self, api: Vendor) -> None:
        self.api = api
        self.objects: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, str] = {}
        self._kept: dict[str, Answer] = {}
        self._numbers = itertools.count(1)
        self._lose = 0
        api.rest = self.answer

    def lose_answers(self, count: int) -> None:
        """Carry out the next creations or changes, but tell nobody."""
        self._lose = count

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [item for id, item in self.objects.items() if id.startswith(f"{kind}_")]

    def answer(self, call: str, body: Any) -> Answer:
        method, _, target = call.partition(" ")
        parts = urlsplit(target)
        path = parts.path.removeprefix("/v1/")
        kind = next((name for name in KINDS if path == name or path.startswith(f"{name}/")), None)
        if kind is None:
            return _refused(404, f"Unrecognized request URL {path}")
        id = path.removeprefix(kind).removeprefix("/")
        if method == "POST":
            key = self.api.headers[-1].get("Idempotency-Key", "")
            if not key:
                return _refused(400, "the test wants an Idempotency-Key with every POST")
            if key not in self._kept:
                self._kept[key] = self._post(kind, id, _nested(body or {}))
            if self._lose:
                self._lose -= 1
                return LOST
            return self._kept[key]
        if method == "DELETE":
            return self._delete(kind, id)
        if id:
            return (200, self.objects[id]) if id in self.objects else _refused(404, f"No such {kind}: {id}")
        return self._list(kind, dict(parse_qsl(parts.query)))

    def _post(self, kind: str, id: str, body: dict[str, Any]) -> Answer:
        prefix, known = KINDS[kind]
        if id and id not in self.objects:
            return _refused(404, f"No such {kind}: {id}")
        unknown = body.keys() - known | (body.keys() & FIXED.get(kind, set()) if id else set())
        if unknown:
            return _refused(400, f"Received unknown parameters: {', '.join(sorted(unknown))}")
        if kind == "prices" and (fault := self._take_lookup_key(id, body)):
            return fault
        values = {name: value if name == "metadata" else _typed(value) for name, value in body.items()}
        values.pop("transfer_lookup_key", None)
        if kind == "webhook_endpoints" and "disabled" in values:
            values["status"] = "disabled" if values.pop("disabled") else "enabled"
        if id:
            item = self.objects[id]
        else:
            id = f"{prefix}_{next(self._numbers)}"
            item = {"id": id, "metadata": {}}
            item |= {"status": "enabled"} if kind == "webhook_endpoints" else {"active": True}
            self.objects[id] = item
        metadata = {**item["metadata"], **(values.pop("metadata", None) or {})}
        item |= {name: None if value == "" else value for name, value in values.items()}
        item["metadata"] = {name: value for name, value in metadata.items() if value != ""}
        if kind == "webhook_endpoints" and id not in self.secrets:
            self.secrets[id] = f"whsec_hidden{id}"
            return 200, {**item, "secret": self.secrets[id]}
        return 200, dict(item)

    def _take_lookup_key(self, id: str, body: dict[str, Any]) -> Answer | None:
        for price in self.of("price"):
            if price["id"] != id and price.get("lookup_key") == body.get("lookup_key", ""):
                if body.get("transfer_lookup_key") != "true":
                    return _refused(400, "A price already uses that lookup key.")
                price["lookup_key"] = None
        return None

    def _delete(self, kind: str, id: str) -> Answer:
        if id not in self.objects:
            return _refused(404, f"No such {kind}: {id}")
        if kind == "products" and any(price["product"] == id for price in self.of("price")):
            return _refused(400, "This product cannot be deleted because it has one or more user-created prices.")
        if kind not in ("products", "webhook_endpoints"):
            return _refused(405, "not deletable")
        del self.objects[id]
        return 200, {"id": id, "deleted": True}

    def _list(self, kind: str, query: dict[str, str]) -> Answer:
        found = self.of(KINDS[kind][0])[::-1]
        if "product" in query:
            found = [item for item in found if item["product"] == query["product"]]
        if "lookup_keys[]" in query:
            found = [item for item in found if item.get("lookup_key") == query["lookup_keys[]"]]
        if "starting_after" in query:
            found = found[[item["id"] for item in found].index(query["starting_after"]) + 1 :]
        size = min(int(query["limit"]), 2)  # so that what is on a second page is found, too
        return 200, {"data": found[:size], "has_more": len(found) > size}


@contextmanager
def serving() -> Iterator[Stripe]:
    with vendor.serving() as api:
        yield Stripe(api)


def _refused(status: int, message: str) -> Answer:
    return status, {"error": {"message": message, "type": "invalid_request_error"}}


def _nested(form: dict[str, str]) -> dict[str, Any]:
    """`a[b][0]=x` as `{"a": {"b": {"0": "x"}}}`."""
    found: dict[str, Any] = {}
    for name, value in form.items():
        *parts, last = name.replace("]", "").split("[")
        place = found
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = value
    return found


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {str(number) for number in range(len(value))}:
            return [_typed(item) for item in value.values()]
        return {name: _typed(item) for name, item in value.items()}
    if value in ("true", "false"):
        return value == "true"
    return int(value) if str(value).isdecimal() else value
