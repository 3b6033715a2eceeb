"""Failures on request: the next calls of a path fail, hang, or lose their answer (POST /_local/faults)."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from infra.local.cloud.vendors.stripe.errors import StripeError

Json = dict[str, Any]
MESSAGES = {
    429: "Request rate limit exceeded. You can learn more about rate limits here https://stripe.com/docs/rate-limits.",
    401: "Invalid API Key provided: *****",
}


@dataclass(kw_only=True)
class Fault:
    """`path` may hold `*`; `method` empty is any. `times` calls are hit. `after`: the call is done before it fails or
    hangs, so that only its answer is lost. `status` 0: it goes on after the pause of `hang_seconds`."""

    path: str
    method: str = ""
    times: int = 1
    status: int = 0
    code: str = ""
    type: str = ""
    message: str = ""
    hang_seconds: float = 0.0
    after: bool = False

    async def strike(self, released: asyncio.Event) -> None:
        """Hang (until `released` at most), then fail. Raises StripeError."""
        if self.hang_seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(released.wait(), self.hang_seconds)
        if self.status:
            default = "api_error" if self.status >= 500 else "invalid_request_error"
            message = self.message or MESSAGES.get(self.status, "An error occurred, as somebody asked for.")
            code = self.code or ("rate_limit" if self.status == 429 else "")
            raise StripeError(self.status, message, type=self.type or default, code=code, kept=self.status >= 500)


class Faults:
    """Those that wait for their calls."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self.released = asyncio.Event()

    def clear(self) -> None:
        """Nothing fails any more, and what hangs goes on."""
        self.waiting.clear()
        self.released.set()
        self.released = asyncio.Event()

    def next(self, method: str, path: str) -> Fault | None:
        """The fault that hits a call, if any; it has hit once more then."""
        for fault in self.waiting:
            if fault.method in ("", method) and fnmatchcase(path, fault.path):
                fault.times -= 1
                if fault.times <= 0:
                    self.waiting.remove(fault)
                return fault
        return None
