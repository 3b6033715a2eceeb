"""One call of the API, and how the modules of resources say which ones they answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from infra.local.cloud.vendors.stripe.errors import invalid
from infra.local.cloud.vendors.stripe.params import PAGING, RANGE, Fields
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Call:
    """`ids` are the parameters of the path, `params` the decoded ones of the body or query."""

    world: World
    ids: dict[str, str] = field(default_factory=dict)
    params: Json = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.ids["id"]


Handler = Callable[[Call], Json]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A method and path (`{id}` is one segment), what may be sent, and who answers: with a stored object or a list."""

    method: str
    path: str
    handler: Handler
    params: Fields = field(default_factory=dict)


def get(path: str, handler: Handler, params: Fields | None = None) -> Endpoint:
    return Endpoint(method="GET", path=path, handler=handler, params=params or {})


def get_list(path: str, handler: Handler, params: Fields | None = None) -> Endpoint:
    return get(path, handler, {**PAGING, "created": RANGE, **(params or {})})


def post(path: str, handler: Handler, params: Fields | None = None) -> Endpoint:
    return Endpoint(method="POST", path=path, handler=handler, params=params or {})


def delete(path: str, handler: Handler, params: Fields | None = None) -> Endpoint:
    return Endpoint(method="DELETE", path=path, handler=handler, params=params or {})


Act = Callable[[Request, Json], Awaitable[Json]]
Route = tuple[str, str, Act]
"""A control of our own: method, path, who answers to a JSON object with another."""


def needed(asked: Json, name: str) -> Any:
    """A value that a control cannot do without. Raises StripeError (400)."""
    if name not in asked:
        raise invalid(f"{name} is missing.", name)
    return asked[name]


def whole(asked: Json, name: str, default: int | None = None) -> int:
    """A whole number; without a default it is needed. Raises StripeError (400)."""
    value = needed(asked, name) if default is None else asked.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(f"{name} is {value!r}: it must be a whole number.", name)
    return value
