"""The API as `make export` and `make import` call it: patient with what passes, plain about what does not.

The key is taken from the environment or LOCAL_ROOT/env, never from a command line, and never follows a redirect.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from infra.local import result
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.trouble import Trouble

TIMEOUT_SECONDS = 90.0  # longer than the function's own
TRIES = 8
LONGEST_PAUSE_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 300
"""A server that wants to be left alone for longer (a daily limit) is told about instead."""
PASSING = frozenset({408, 429, 500, 502, 503, 504})
T = TypeVar("T")

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Broken(Exception):
    """A connection or an answer broke off, or the server asked to come again; `wait`: after so many seconds."""

    def __init__(self, reason: str, wait: int | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class Api:
    """One workspace at one address."""

    def __init__(self, url: str, key: str, progress: Progress, *, pause: Callable[[float], None] = time.sleep) -> None:
        self.url = url.rstrip("/")
        self._key = key
        self._progress = progress
        self._pause = pause
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if urlsplit(url).hostname in LOOPBACK:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def json(self, method: str, path: str, body: bytes | None = None, media_type: str = "") -> Any:
        """The JSON of a good answer.

        Raises:
            Trouble: the server refuses, or did not answer in `TRIES` tries.
        """

        def once() -> Any:
            with self.opened(method, path, body, media_type) as answer:
                text = answer.read()
            try:
                return json.loads(text)
            except ValueError:
                raise Broken(f"What {self.url} answers is not JSON.") from None

        return self.patiently(once)

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Call `attempt` until it does not raise `Broken`, at most `TRIES` times.

        Raises:
            Trouble: it stayed broken.
        """
        for tries in range(1, TRIES + 1):
            try:
                return attempt()
            except Broken as broken:
                if (broken.wait or 0) > LONGEST_WAIT_SECONDS:
                    raise Trouble(
                        f"{broken} Run the same command again in {broken.wait} seconds to carry on."
                    ) from None
                if tries == TRIES:
                    raise Trouble(f"{broken} Tried {TRIES} times; run the same command again to carry on.") from None
                wait = broken.wait if broken.wait is not None else min(2.0 ** (tries - 1), LONGEST_PAUSE_SECONDS)
                self._progress.line(f"{broken} Trying again in {wait:g} s.")
                self._pause(wait)
        raise AssertionError("the last try returned or raised")

    @contextmanager
    def opened(self, method: str, path: str, body: bytes | None = None, media_type: str = "") -> Iterator[Answer]:
        """A good answer, to read from.

        Raises:
            Broken: there was none.
            Trouble: the server refuses.
        """
        headers = {"X-API-Key": self._key, "User-Agent": "memorygraph-cloud-transfer"}
        if media_type:
            headers["Content-Type"] = media_type
        request = urllib.request.Request(self.url + path, data=body, headers=headers, method=method)  # noqa: S310  see `of`
        try:
            response = self._opener.open(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from None
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            raise _broken(self.url, error) from None
        with response:
            yield Answer(response, self.url)


class Answer:
    """The body of an answer."""

    def __init__(self, response: http.client.HTTPResponse, url: str) -> None:
        self._response = response
        self._url = url

    def read(self, most: int | None = None) -> bytes:
        """The next bytes, or all of them; empty at the end.

        Raises:
            Broken: the end did not come.
        """
        try:
            return self._response.read(most)
        except (OSError, http.client.HTTPException) as error:
            raise _broken(self._url, error) from None


def of(places: Places, progress: Progress, environ: Mapping[str, str] = os.environ) -> Api:
    """The API that the environment names, else the local cloud.

    Raises:
        Trouble: neither is there, or the environment names half of it.
    """
    names = (result.API_URL, result.API_KEY)
    # Both from one place: a key must not reach another address than its own.
    known = environ if any(environ.get(name) for name in names) else result.read(places)
    url, key = (known.get(name, "") for name in names)
    if not url or not key:
        raise Trouble(f"Set {result.API_URL} and {result.API_KEY}, or `make up` for a local cloud.")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise Trouble(f"{result.API_URL} must be a URL such as https://api.example.com/api/v1.")
    return Api(url, key, progress)


def _refusal(error: urllib.error.HTTPError) -> Exception:
    try:
        detail = str(json.loads(error.read())["detail"])
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        detail = str(error.reason)
    sentence = f"The API answers {error.code}: {detail.rstrip('.')}."
    if error.code not in PASSING:
        return Trouble(sentence)
    wait = error.headers.get("Retry-After", "")
    return Broken(sentence, int(wait) if wait.isdecimal() else None)


def _broken(url: str, error: Exception) -> Broken:
    reason = getattr(error, "reason", None) or error
    return Broken(f"The connection to {url} broke ({type(reason).__name__}: {reason}).")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        """None: the redirect is an error like others."""
