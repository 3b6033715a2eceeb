"""Calls of Stripe's API: the library's client, made at the first use, and bounded in time.

The library tries again by itself: connections that break, timeouts, 409 and 5xx. Each POST carries an idempotency key,
so that the second try does nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from billing.stripe.refusals import GONE, Refused, nonsense, problem, tell, unavailable
from core.lazy import lazy
from core.logs import LOGGER
from core.rotation import SecretSource
from declarations import STRIPE_API_VERSION

if TYPE_CHECKING:
    import stripe

    from billing.stripe import http
else:
    stripe = lazy("stripe")
    http = lazy("billing.stripe.http")

ANSWER_SECONDS = 5.0
"""To connect, and between two parts of an answer; for each try."""
RETRIES = 2
WHOLE_SECONDS = 18.0
"""One call with all its tries and the waits between them, however slowly an answer trickles."""

Json = dict[str, Any]
Ask = Callable[["stripe.StripeClient"], Awaitable["stripe.StripeObject"]]
Expected = Callable[[Refused], bool]


def never(_refused: Refused) -> bool:
    return False


def always(_refused: Refused) -> bool:
    return True


def gone(refused: Refused) -> bool:
    """What the request names is not there."""
    return refused.code == GONE


class Calls:
    """One for the process and its event loop.

    Args:
        key: read for each call; a new one takes a new client over the same connections.
        api_url: where Stripe is; empty: its own address.
    """

    def __init__(self, key: SecretSource, api_url: str = "") -> None:
        self._key = key
        self._api_url = api_url.rstrip("/")
        self._http: http.Http | None = None
        self._held: tuple[str, stripe.StripeClient] | None = None

    async def ask(self, call: Ask, expected: Expected = never) -> Json:
        """What Stripe answers.

        Args:
            expected: which refusals the caller may know what to do with; of the others the operator is told here.

        Raises:
            PaymentRequired, Conflict, Unavailable, Refused: see `refusals`.
        """
        client = self._client((await self._key.read()).reveal())
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                found = await call(client)
        except TimeoutError as error:
            LOGGER.warning("Stripe took longer than %s seconds for a call.", WHOLE_SECONDS)
            raise unavailable() from error
        except stripe.StripeError as error:
            tell(error)
            refusal = problem(error)
            if isinstance(refusal, Refused) and not expected(refusal):
                refusal.tell()
            raise refusal from error
        except (AttributeError, UnicodeDecodeError) as error:  # the library's, for an error that is none, or no text
            raise nonsense() from error
        if not isinstance(found, stripe.StripeObject):  # JSON, but no object
            raise nonsense()
        return found.to_dict()

    async def find(self, call: Ask) -> Json | None:
        """The same for something that may be gone: then None."""
        try:
            return await self.ask(call, gone)
        except Refused as refused:
            if not gone(refused):
                raise
            return None

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close_async()
            self._http = None
            self._held = None
        await self._key.close()

    def _client(self, key: str) -> stripe.StripeClient:
        if self._http is None:
            stripe.enable_telemetry = False
            self._http = http.Http(ANSWER_SECONDS)
        if self._held is None or self._held[0] != key:
            client = stripe.StripeClient(
                key,
                http_client=self._http,
                max_network_retries=RETRIES,
                stripe_version=STRIPE_API_VERSION,
                base_addresses={"api": self._api_url} if self._api_url else {},
            )
            self._held = key, client
        return self._held[1]
