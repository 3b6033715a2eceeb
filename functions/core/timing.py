"""Where the time of a request went, for the header `Server-Timing` of its answer (W3C Server Timing).

    Server-Timing: admit;dur=0.1, store;dur=3.2, total;dur=4.0

Milliseconds until the head of the answer was ready. `store` sums the waits for the memory store, which may overlap in a
streamed answer. Measuring costs about a microsecond a request.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Spent:
    """Seconds of one request."""

    __slots__ = ("admit", "started", "store")

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.admit = 0.0
        self.store = 0.0

    def total(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.started

    def header(self) -> str:
        return f"admit;dur={self.admit * 1e3:.1f}, store;dur={self.store * 1e3:.1f}, total;dur={self.total() * 1e3:.1f}"


_current: ContextVar[Spent | None] = ContextVar("spent", default=None)


def begin() -> Spent:
    """Measure the request of this context from now on."""
    spent = Spent()
    _current.set(spent)
    return spent


@contextmanager
def storing() -> Iterator[None]:
    """Time that is spent here is the store's. Outside a request nothing is measured."""
    spent = _current.get()
    started = time.perf_counter()
    try:
        yield
    finally:
        if spent is not None:
            spent.store += time.perf_counter() - started
