"""JSON over HTTP to a vendor's management API: timeouts, retries, and messages that an operator can act on.

A request is repeated only when that cannot do harm: an idempotent one after a broken connection, 429 or 5xx; a POST
only when the vendor refused to look at it (429) or nobody listened, unless it has a key by which the vendor knows the
repetition. No redirects: they would carry the token elsewhere.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from infra.providers import forms
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
    """One vendor's API at `base`, with its bearer token. `setting` names the configuration, for messages.

    `headers` go with every request; with `form`, bodies are encoded as forms instead of JSON.
    """

    def __init__(
        self,
        vendor: str,
        base: str,
        token: str,
        *,
        setting: str,
        form: bool = False,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.vendor, self._base, self._token, self._setting = vendor, base.rstrip("/"), token, setting
        self._timeout, self.sleep = timeout, sleep
        self._encode = forms.encode if form else _json
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
            "Accept": "application/json",
            "User-Agent": "memorygraph-cloud",
            **(headers or {}),
        }
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler(_proxies(base)))

    def get(self, *path: str, **query: str) -> Any:
        return self._call("GET", path, query=query)

    def post(self, *path: str, body: Any, key: str = "") -> Any:
        """`key` is sent as Idempotency-Key: for vendors that carry out one request with it, however often it comes."""
        return self._call("POST", path, body, key=key)

    def patch(self, *path: str, body: Any) -> Any:
        return self._call("PATCH", path, body)

    def delete(self, *path: str) -> Any:
        return self._call("DELETE", path)

    def _call(
        self,
        method: str,
        path: tuple[str, ...],
        body: Any = None,
        query: dict[str, str] | None = None,
        key: str = "",
    ) -> Any:
        """The decoded JSON answer (None when it is empty).

        Raises:
            ApiError: the vendor refused, or failed at every attempt.
            Unreachable: it did not answer.
        """
        if not self._token:
            raise ProviderError(
                f"{self.vendor}'s token is not set: pulumi config set --secret memorygraph:{self._setting}Token"
            )
        harmless = method in _IDEMPOTENT or bool(key)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(method, path, body, query, key)
            except ApiError as error:
                retry = error.status == 429 or (error.status >= 500 and harmless)
                retry |= error.status == 409 and bool(key)  # the attempt before this one is still being carried out
                if not retry or attempt == ATTEMPTS:
                    raise
                self.sleep(min(error.retry_after or 0.5 * 2**attempt, LONGEST_PAUSE_SECONDS))
            except Unreachable as error:
                if attempt == ATTEMPTS or (error.sent and not harmless):
                    raise
                self.sleep(0.5 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _once(self, method: str, path: tuple[str, ...], body: Any, query: dict[str, str] | None, key: str) -> Any:
        # Every part of the path is quoted whole, so that no name can reach another address.
        target = "/".join(["/v1", *(urllib.parse.quote(part, safe="") for part in path)])
        url = self._base + target + (f"?{urllib.parse.urlencode(query)}" if query else "")
        request = urllib.request.Request(  # noqa: S310  the scheme was checked with the provider's configuration
            url,
            method=method,
            data=None if body is None else self._encode(body),
            headers={**self._headers, **({"Idempotency-Key": key} if key else {})},
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


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


def _message(text: str) -> str:
    """The vendor's own words, on one line."""
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if isinstance(body, dict):
        said = body.get("message") or body.get("error") or body.get("detail") or ""
        text = str(said.get("message") or "") if isinstance(said, dict) else str(said)
    return " ".join(text.split())[:300]
