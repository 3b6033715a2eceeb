"""A bounded in-process cache whose entries end by themselves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Leases(Generic[V]):
    """At most `limit` values by name, each until its time; the least recently used goes first.

    Args:
        monotonic: seconds of a clock that never goes back.
    """

    def __init__(self, limit: int, monotonic: Callable[[], float]) -> None:
        self._limit = limit
        self._monotonic = monotonic
        self._values: OrderedDict[str, tuple[V, float]] = OrderedDict()

    def get(self, name: str) -> V | None:
        found = self._values.get(name)
        if found is None:
            return None
        value, ends = found
        if self._monotonic() >= ends:
            del self._values[name]
            return None
        self._values.move_to_end(name)
        return value

    def put(self, name: str, value: V, ends: float) -> None:
        """Keep `value` until the monotonic time `ends`; one that has passed already is not kept."""
        self._values.pop(name, None)
        if ends <= self._monotonic():
            return
        self._values[name] = (value, ends)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)
