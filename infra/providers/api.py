"""JSON over HTTP to a vendor's management API: timeouts, retries, and messages that an operator can act on.

A request is repeated only when that cannot do harm: an idempotent one after a broken connection, 429 or 5xx; a POST
only when the vendor refused to look at it (429) or nobody listened. No redirects: they would carry the token elsewhere.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from infra.providers.kind import ProviderError

TIMEOUT_SECONDS = 30.0
ATTEMPTS = 5
LONGEST_PAUSE_SECONDS = 30.0
_IDEMPOTENT = frozenset({"GET", "PUT", "PATCH", "DELETE"})


class ApiError(ProviderError):
    """The vendor answered with a failure; `status` is its HTTP status."""

    def __init__(self, message: str, status: int, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Unreachable(ProviderError):
    """No answer at all. `sent`: the request may have been carried out all the same."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Api:
    """One vendor's API at `base`, with its bearer token. `setting` names the configuration, for messages."""

    def __init__(
        self,
        vendor: str,
        base: str,
        token: str,
        *,
        setting: str,
        timeout: float = TIMEOUT_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.vendor, self._base, self._token, self._setting = vendor, base.rstrip("/"), token, setting
        self._timeout, self.sleep = timeout, sleep
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler(_proxies(base)))

    def get(self, *path: str, **query: str) -> Any:
        return self._call("GET", path, query=query)

    def post(self, *path: str, body: Any) -> Any:
        return self._call("POST", path, body)

    def patch(self, *path: str, body: Any) -> Any:
        return self._call("PATCH", path, body)

    def delete(self, *path: str) -> Any:
        return self._call("DELETE", path)

    def _call(self, method: str, path: tuple[str, ...], body: Any = None, query: dict[str, str] | None = None) -> Any:
        """The decoded JSON answer (None when it is empty).

        Raises:
            ApiError: the vendor refused, or failed at every attempt.
            Unreachable: it did not answer.
        """
        if not self._token:
            raise ProviderError(
                f"{self.vendor}'s token is not set: pulumi config set --secret memorygraph:{self._setting}Token"
            )
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(method, path, body, query)
            except ApiError as error:
                retry = error.status == 429 or (error.status >= 500 and method in _IDEMPOTENT)
                if not retry or attempt == ATTEMPTS:
                    raise
                self.sleep(min(error.retry_after or 0.5 * 2**attempt, LONGEST_PAUSE_SECONDS))
            except Unreachable as error:
                if attempt == ATTEMPTS or (error.sent and method not in _IDEMPOTENT):
                    raise
                self.sleep(0.5 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _once(self, method: str, path: tuple[str, ...], body: Any, query: dict[str, str] | None) -> Any:
        # Every part of the path is quoted whole, so that no name can reach another address.
        target = "/".join(["/v1", *(urllib.parse.quote(part, safe="") for part in path)])
        url = self._base + target + (f"?{urllib.parse.urlencode(query)}" if query else "")
        request = urllib.request.Request(  # noqa: S310  the scheme was checked with the provider's configuration
            url,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "Accept": "application/json",
                "User-Agent": "memorygraph-cloud",
            },
        )
        what = f"{self.vendor}: {method} {target}"
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                data = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(what, error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(
                f"{what}: no answer from {self._base} ({reason or type(reason).__name__}). Check the network and "
                f"memorygraph:{self._setting}Api, then run the command again.",
                sent=not isinstance(reason, ConnectionRefusedError),
            ) from None
        try:
            return json.loads(data) if data.strip() else None
        except ValueError:
            raise ApiError(f"{what} answered no JSON: is memorygraph:{self._setting}Api right?", 502) from None

    def _refusal(self, what: str, error: urllib.error.HTTPError) -> ApiError:
        try:
            said = _message(error.read(10_000).decode(errors="replace"))
        except (OSError, http.client.HTTPException):
            said = ""
        advice = {
            401: f" The token is wrong or expired: pulumi config set --secret memorygraph:{self._setting}Token",
            403: " The token may not do this: give it the right in the vendor's dashboard.",
        }.get(error.code, "")
        after = error.headers.get("Retry-After", "")
        return ApiError(
            f"{what} answered {error.code}{f' ({said})' if said else ''}.{advice}",
            error.code,
            retry_after=float(after) if after.isdigit() else None,
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _proxies(base: str) -> dict[str, str]:
    """No proxy for this machine, whatever the environment says."""
    host = urllib.parse.urlsplit(base).hostname or ""
    return {} if host == "localhost" or host.startswith("127.") or host == "::1" else urllib.request.getproxies()


def _message(text: str) -> str:
    """The vendor's own words, on one line."""
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if isinstance(body, dict):
        text = str(body.get("message") or body.get("error") or body.get("detail") or "")
    return " ".join(text.split())[:300]
