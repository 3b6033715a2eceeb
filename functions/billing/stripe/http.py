"""How the library's calls travel: httpx, told its timeouts. (The library's own client of httpx sends bodies in a way
that httpx is about to drop.) This module is imported when Stripe is first asked: it brings both libraries along."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
import stripe

_failed: Any = stripe.APIConnectionError  # which says no types


@cache
def _tls() -> ssl.SSLContext:
    """Reading the authorities takes a quarter of a second."""
    return httpx.create_ssl_context()


class Http(stripe.HTTPClient):
    """Args: timeout_seconds: to connect, and between two parts of an answer; for each try."""

    name = "httpx"

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__()
        self._client = httpx.AsyncClient(timeout=timeout_seconds, verify=_tls())

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            answer = await self._client.request(method, url, headers=dict(headers), content=post_data)
        except httpx.HTTPError as error:
            may_pass = isinstance(error, httpx.TransportError)
            raise _failed(type(error).__name__, should_retry=may_pass) from error
        return answer.content, answer.status_code, answer.headers

    async def sleep_async(self, secs: float) -> None:
        await asyncio.sleep(secs)

    async def close_async(self) -> None:
        await self._client.aclose()
