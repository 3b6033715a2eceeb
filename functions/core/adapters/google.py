"""What a function asks of Google Cloud around it: its own access token, and a task that wakes another function."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import orjson

from core.adapters.http1 import HttpClient, HttpError
from core.logs import LOGGER
from core.problems import Unavailable

METADATA_HOST = "metadata.google.internal"
METADATA_SECONDS = 1.0
TASK_CONNECT_SECONDS = 1.0
TASK_SECONDS = 2.0
MARGIN_SECONDS = 60.0
"""A token is not used in its last minute: it may be on its way for a while."""

_TOKEN_PATH = "computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105  a path


class Metadata:
    """The metadata server of the platform, which knows the identity of this process.

    Args:
        host: by default what the platform's variable GCE_METADATA_HOST says, else the well-known name.
    """

    def __init__(self, client: HttpClient, host: str = "", *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._url = f"http://{host or os.environ.get('GCE_METADATA_HOST') or METADATA_HOST}/{_TOKEN_PATH}"
        self._monotonic = monotonic
        self._token = ""
        self._good_until = 0.0
        self._asking = asyncio.Lock()

    async def access_token(self) -> str:
        """An OAuth token of this function's identity, asked for once and kept until shortly before it ends.

        Raises:
            Unavailable: the metadata server does not answer, and the last token is used up.
        """
        async with self._asking:
            if self._monotonic() < self._good_until - MARGIN_SECONDS:
                return self._token
            try:
                token, seconds = await self._ask()
            except Unavailable:
                if self._monotonic() < self._good_until:
                    return self._token
                raise
            self._token, self._good_until = token, self._monotonic() + seconds
            return token

    def forget(self) -> None:
        """Ask anew next time: the token was refused."""
        self._good_until = 0.0

    async def _ask(self) -> tuple[str, float]:
        try:
            answer = await self._client.request(
                "GET",
                self._url,
                headers={"Metadata-Flavor": "Google"},
                timeout=METADATA_SECONDS,
                connect_timeout=METADATA_SECONDS,
            )
            if answer.status != 200:
                raise _unavailable() from RuntimeError(f"the metadata server answered {answer.status}")
            body = orjson.loads(answer.body)
            token, seconds = body["access_token"], float(body["expires_in"])
        except HttpError as error:
            raise _unavailable() from error
        except (orjson.JSONDecodeError, LookupError, TypeError, ValueError) as error:
            raise _unavailable() from error
        if not isinstance(token, str) or not token:
            raise _unavailable()
        return token, seconds


class Wake:
    """Wakes the function behind a queue by a task without content; the queue says where to and as whom.

    A wake that is lost costs time only: what was to be done is in the outbox, and a sweep finds it.

    Args:
        tasks_url: the queue, such as https://cloudtasks.googleapis.com/v2/projects/P/locations/L/queues/Q.
    """

    def __init__(self, client: HttpClient, tasks_url: str, metadata: Metadata) -> None:
        self._client = client
        self._url = f"{tasks_url.rstrip('/')}/tasks:buffer"
        self._metadata = metadata
        self._down = False

    async def wake(self) -> bool:
        """Add a task. False when it could not be; never raises. The first failure of a row is logged."""
        trouble = await self._add()
        if trouble and not self._down:
            LOGGER.error("A job could not be announced (%s). It waits for the next sweep.", trouble)
        if self._down and not trouble:
            LOGGER.warning("Jobs can be announced again.")
        self._down = bool(trouble)
        return not trouble

    async def _add(self) -> str:
        """Why it did not work; empty when it did."""
        try:
            token = await self._metadata.access_token()
            answer = await self._client.post(
                self._url,
                b"",
                {"Authorization": f"Bearer {token}"},
                timeout=TASK_SECONDS,
                connect_timeout=TASK_CONNECT_SECONDS,
            )
        except Unavailable:
            return "the metadata server gives no token"
        except HttpError as error:
            return str(error)
        except ValueError:  # its message may quote the token
            return "the queue's address or the token cannot be sent"
        if answer.status == 401:
            self._metadata.forget()
        return "" if answer.status == 200 else f"Cloud Tasks answered {answer.status}"


def _unavailable() -> Unavailable:
    return Unavailable("A part of the service does not answer. Please try again in a few seconds.", part="metadata")
