"""Secrets that change while a function runs: read from Secret Manager at use, by Google's own client library.

The library is imported in a thread at the first use (half a second of work), and spoken to over REST, which needs no
long-lived channel. Everything else gets its secrets as variables and rotates by a new revision.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.logs import LOGGER
from core.problems import Unavailable

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.cloud.secretmanager import SecretManagerServiceClient

ANSWER_SECONDS = 5.0
WHOLE_SECONDS = 12.0
"""Import, token and two versions together; what is late goes on in its thread and is dropped."""
KEPT_SECONDS = 300.0
RETRY_SECONDS = 30.0
"""How long a value that could not be read again serves before the next try."""


class RotatingSecret:
    """One secret, as its newest version and the one before: what was signed with the old value is still known.

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
        self._values: tuple[str, ...] = ()
        self._good_until = 0.0
        self._reading = asyncio.Lock()

    async def read(self) -> tuple[str, ...]:
        """The values, newest first: one or two. At most five minutes old, or older when they cannot be read.

        Raises:
            Unavailable: they cannot be read and never were.
        """
        async with self._reading:
            if self._values and self._monotonic() < self._good_until:
                return self._values
            try:
                async with asyncio.timeout(WHOLE_SECONDS):
                    self._values = await asyncio.to_thread(self._fetch)
            except Exception as error:  # the library's own tree, its transport's, google-auth's, or the time is up
                # Types only: the library quotes addresses and bodies.
                LOGGER.error("The secret %s could not be read (%s).", self._name, type(error).__name__)
                if not self._values:
                    detail = "A part of the service is not ready. Please try again in a few seconds."
                    raise Unavailable(detail, part="secret manager") from error
                self._good_until = self._monotonic() + RETRY_SECONDS
            else:
                self._good_until = self._monotonic() + KEPT_SECONDS
            return self._values

    async def close(self) -> None:
        """Close the library's connections."""
        if self._client is not None:
            await asyncio.to_thread(self._client.transport.close)
            self._client = None

    def _fetch(self) -> tuple[str, ...]:
        from google.api_core import exceptions

        if self._client is None:
            self._client = self._connect()
        newest = self._access("latest")
        number = int(newest.name.rpartition("/")[2])
        values = [newest.payload.data.decode()]
        if number > 1:
            # It may be disabled or destroyed: then the rotation is over.
            with contextlib.suppress(exceptions.NotFound, exceptions.FailedPrecondition, exceptions.BadRequest):
                values.append(self._access(str(number - 1)).payload.data.decode())
        return tuple(values)

    def _access(self, version: str) -> Any:
        assert self._client is not None
        name = f"{self._name}/versions/{version}"
        return self._client.access_secret_version(name=name, timeout=ANSWER_SECONDS, retry=None)

    def _connect(self) -> SecretManagerServiceClient:
        from google.auth import compute_engine
        from google.cloud import secretmanager

        options = {"api_endpoint": self._endpoint} if self._endpoint else None
        # Not `google.auth.default()`, which first looks for a metadata server that we know to be there.
        credentials = self._credentials or compute_engine.Credentials()  # type: ignore[no-untyped-call]
        return secretmanager.SecretManagerServiceClient(
            transport="rest", client_options=options, credentials=credentials
        )
