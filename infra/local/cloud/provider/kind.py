"""What a resource type must know how to do. One subclass per type token, in the module of its vendor.

A kind works on plain values. What it computes is laid over the inputs by the servicer, which also keeps the record.
"""

# ruff: noqa: ARG002  a kind is given more than each one needs

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.provider.wire import UNKNOWN, Json, has_unknown
from infra.local.cloud.store import Record


class Checks:
    """Gathers refusals for one resource. Properties are dotted paths into the inputs.

    A value that is missing or not yet known (only in a preview) passes every rule but `required`.
    """

    def __init__(self, inputs: Json) -> None:
        self.inputs = inputs
        self.failures: dict[str, str] = {}

    def get(self, path: str) -> Any:
        """The value at a path; None if it is missing or holds something unknown."""
        value = self._at(path)
        return None if value is None or has_unknown(value) else value

    def refuse(self, path: str, reason: str) -> None:
        self.failures.setdefault(path, reason)

    def required(self, *paths: str) -> None:
        for path in paths:
            if self._at(path) in (None, ""):
                self.refuse(path, f"Missing required argument: {path} is required, but was not set.")

    def text(self, path: str, pattern: str, reason: str) -> None:
        value = self.get(path)
        if value is not None and not re.fullmatch(pattern, str(value)):
            self.refuse(path, f"{value!r}: {reason}")

    def one_of(self, path: str, allowed: Iterable[str], reason: str = "") -> None:
        value, allowed = self.get(path), tuple(allowed)
        if value is not None and value not in allowed:
            self.refuse(path, f"{value!r}: {reason or 'expected one of ' + ', '.join(allowed)}")

    def whole(self, path: str, least: int, most: int, reason: str) -> None:
        value = self.get(path)
        if value is not None and not (isinstance(value, int) and least <= value <= most):
            self.refuse(path, f"{value!r}: {reason}")

    def _at(self, path: str) -> Any:
        value: Any = self.inputs
        for key in path.split("."):
            if value == UNKNOWN:
                return UNKNOWN
            value = value.get(key) if isinstance(value, dict) else None
        return value


@dataclass(frozen=True, kw_only=True)
class Made:
    """A resource that now exists: its id, what the vendor computed, and what only the local cloud needs to know."""

    id: str
    outputs: Json = field(default_factory=dict)
    data: Json = field(default_factory=dict)


class Kind:
    """One resource type.

    `replaces`: inputs that the vendor cannot change in place. `name_input`: the input that names the resource; when the
    program does not set it, a name is made from the resource's own. `defaults` are the vendor's, filled into outputs.
    `computed`: paths inside of inputs that only the vendor knows; a preview shows them as unknown, or as they were.
    """

    token: ClassVar[str]
    replaces: ClassVar[frozenset[str]] = frozenset()
    name_input: ClassVar[str | None] = None
    defaults: ClassVar[Json] = {}
    computed: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def check(self, checks: Checks) -> None:
        """Refuse what the vendor would refuse."""

    def create(self, args: Json) -> Made:
        """Make it.

        Raises:
            CloudError: in the vendor's words, with our fix.
        """
        raise NotImplementedError

    def identify(self, args: Json) -> str | None:
        """The id that `create` would give, when it follows from the inputs; used to see that a name is taken."""
        return None

    def taken(self, args: Json) -> str:
        """The refusal when another resource has this identity, in the vendor's words."""
        return (
            f"Error 409: {self.identify(args)} already exists. Another resource of the program, or another stack, has "
            "this name: choose another one, or import the existing one."
        )

    def read(self, record: Record) -> Json | None:
        """What the vendor computes now, or None when the resource is gone."""
        return {}

    def update(self, record: Record, args: Json) -> Made:
        """Change it in place; gives the same id. A kind whose every input replaces is never asked."""
        return Made(id=record.id, data=record.data)

    def delete(self, record: Record) -> None:
        """Remove it and its data; what is already gone is done.

        Raises:
            CloudError: the vendor would refuse.
        """

    async def bring_back(self, record: Record) -> None:
        """Start again what belongs to it, when the daemon starts."""


KindFactory = Callable[[Cloud], Kind]
