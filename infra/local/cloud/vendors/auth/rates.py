"""How often one address of a client may ask: a bucket for each route, which fills up again at the number of a setting
in five minutes. Source: supabase/auth, internal/api/apilimiter."""

from __future__ import annotations

import time
from collections.abc import Callable

from infra.local.cloud.vendors.auth.errors import AuthError

BURST = 30
"""What a bucket holds, whatever the setting is."""
PERIOD_SECONDS = 300.0


class Rates:
    """What each address has left, by route."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def spend(self, path: str, address: str, in_period: int) -> None:
        """Raises: AuthError: nothing is left."""
        now = self._clock()
        left, since = self._buckets.get((path, address), (float(BURST), now))
        left = min(float(BURST), left + (now - since) * in_period / PERIOD_SECONDS)
        if left < 1:
            self._buckets[path, address] = left, now
            raise AuthError(429, "over_request_rate_limit", "Request rate limit reached")
        self._buckets[path, address] = left - 1, now
