"""Secrets that change while a function runs: read from Secret Manager at use, by Google's own client library.

The library is imported in a thread at the first use (half a second of work), and spoken to over REST, which needs no
long-lived channel. Everything else gets its secrets as variables and rotates by a new revision.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.logs import LOGGER
from core.problems import Unavailable

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.cloud.secretmanager import SecretManagerServiceClient

ANSWER_SECONDS = 5.0
WHOLE_SECONDS = 12.0
"""Import, token and answer together; what is late goes on in its thread and is dropped."""
KEPT_SECONDS = 300.0
RETRY_SECONDS = 30.0
"""How long a value that could not be read again serves before the next try."""


class RotatingSecret:
    """One secret, as its newest version. A value that is being rotated holds the one before as well, after a space, as
    those in variables do; so an older version is never needed.

    Args:
        name: projects/PROJECT/secrets/NAME.
        endpoint: where Secret Manager is, with its scheme; Google's by default.
        credentials: those of the platform by default.
    """

    def __init__(
        self,
        name: str,
        endpoint: str = "",
        *,
        credentials: Credentials | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._endpoint = endpoint
        self._credentials = credentials
        self._monotonic = monotonic
        self._client: SecretManagerServiceClient | None = None
        self._value: str | None = None
        self._good_until = 0.0
        self._reading = asyncio.Lock()

    async def read(self) -> str:
        """The value. At most five minutes old, or older when it cannot be read.

        Raises:
            Unavailable: it cannot be read and never was.
        """
        async with self._reading:
            if self._value is not None and self._monotonic() < self._good_until:
                return self._value
            try:
                async with asyncio.timeout(WHOLE_SECONDS):
                    self._value = await asyncio.to_thread(self._fetch)
            except Exception as error:  # the library's own tree, its transport's, google-auth's, or the time is up
                # Types only: the library quotes addresses and bodies.
                LOGGER.error("The secret %s could not be read (%s).", self._name, type(error).__name__)
                if self._value is None:
                    detail = "A part of the service is not ready. Please try again in a few seconds."
                    raise Unavailable(detail, part="secret manager") from error
                self._good_until = self._monotonic() + RETRY_SECONDS
            else:
                self._good_until = self._monotonic() + KEPT_SECONDS
            return self._value

    async def close(self) -> None:
        """Close the library's connections."""
        if self._client is not None:
            await asyncio.to_thread(self._client.transport.close)
            self._client = None

    def _fetch(self) -> str:
        if self._client is None:
            self._client = self._connect()
        name = f"{self._name}/versions/latest"
        answer = self._client.access_secret_version(name=name, timeout=ANSWER_SECONDS, retry=None)
        return answer.payload.data.decode()

    def _connect(self) -> SecretManagerServiceClient:
        from google.auth import compute_engine
        from google.cloud import secretmanager

        options = {"api_endpoint": self._endpoint} if self._endpoint else None
        # Not `google.auth.default()`, which first looks for a metadata server that we know to be there.
        credentials = self._credentials or compute_engine.Credentials()  # type: ignore[no-untyped-call]
        return secretmanager.SecretManagerServiceClient(
            transport="rest", client_options=options, credentials=credentials
        )
