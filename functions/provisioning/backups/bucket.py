"""Where backups are kept: objects that are written once, and never changed or removed by us.

The identity that runs `provisioning` may create and read objects, not delete or overwrite them
(infra/components/backups.py). Every name has a random part, so writing never meets an object that is there; where it
does, because an answer was lost and the request sent again, it is the same object.

    no token, no connection, no answer in time, 408, 429, 5xx  -> Unavailable
    401                                                        -> once more with a new token, then Unavailable
    404 of a read                                              -> NotFound
    anything else                                              -> Internal, which says what Google said
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import orjson

from core.adapters.http1 import HttpAnswer, HttpClient, HttpError
from core.problems import Internal, NotFound, Unavailable

GOOGLE = "https://storage.googleapis.com"
CONNECT_SECONDS = 2.0
SECONDS = 60.0
"""For one object, which has 8 MB or little more (archive.PART_BYTES)."""
PAGE = 1000


class Tokens(Protocol):
    """Who we are to Google: `core.adapters.google.Metadata` is one."""

    async def access_token(self) -> str:
        """Raises: Unavailable."""
        ...

    def forget(self) -> None:
        """Ask anew next time: the token was refused."""
        ...


class Bucket(Protocol):
    """Every method may be repeated, and raises `Unavailable` and `Internal`."""

    async def write(self, name: str, content: bytes) -> None:
        """Write an object that is not there yet."""
        ...

    async def read(self, name: str) -> bytes:
        """Raises: NotFound: there is none of that name; it may have ended, after 30 days."""
        ...

    async def names(self, prefix: str) -> list[str]:
        """The names that begin so, in order."""
        ...


class GoogleBucket:
    """`Bucket` at Cloud Storage, by its JSON API.

    Args:
        url: its address without a trailing slash; empty: Google's own.
    """

    def __init__(self, client: HttpClient, tokens: Tokens, bucket: str, url: str = "") -> None:
        self._client, self._tokens = client, tokens
        self._url, self._bucket = url.rstrip("/") or GOOGLE, quote(bucket, safe="")

    async def write(self, name: str, content: bytes) -> None:
        query = urlencode({"uploadType": "media", "name": name, "ifGenerationMatch": "0"})
        answer = await self._ask("POST", f"/upload/storage/v1/b/{self._bucket}/o?{query}", content)
        if answer.status == 412:  # our own request, sent again: nobody else knows the name
            return
        if answer.status != 200:
            raise _refused("write", name, answer)
        written = _json(answer).get("md5Hash")
        if written != base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode():
            raise Internal(f"Cloud Storage has something else than was sent as {name}. The backup is made anew.")

    async def read(self, name: str) -> bytes:
        answer = await self._ask("GET", f"/storage/v1/b/{self._bucket}/o/{quote(name, safe='')}?alt=media")
        if answer.status == 404:
            raise NotFound(f"There is no object {name} in the bucket of backups. Objects end after 30 days.")
        if answer.status != 200:
            raise _refused("read", name, answer)
        return answer.body

    async def names(self, prefix: str) -> list[str]:
        found: list[str] = []
        page: str | None = ""
        while page is not None:
            asked = {"prefix": prefix, "fields": "items(name),nextPageToken", "maxResults": str(PAGE)}
            query = urlencode({**asked, **({"pageToken": page} if page else {})})
            answer = await self._ask("GET", f"/storage/v1/b/{self._bucket}/o?{query}")
            if answer.status != 200:
                raise _refused("list", prefix, answer)
            body = _json(answer)
            found += [str(item["name"]) for item in body.get("items", [])]
            page = body.get("nextPageToken")
        return found

    async def _ask(self, method: str, path: str, content: bytes = b"") -> HttpAnswer:
        for last in (False, True):
            token = await self._tokens.access_token()
            headers = {"Authorization": f"Bearer {token}"}
            if method == "POST":
                headers["Content-Type"] = "application/octet-stream"
            try:
                answer = await self._client.request(
                    method, self._url + path, content, headers, timeout=SECONDS, connect_timeout=CONNECT_SECONDS
                )
            except HttpError as error:
                raise Unavailable("Cloud Storage does not answer.", part="storage") from error
            if answer.status != 401:
                break
            self._tokens.forget()
            if last:
                raise Unavailable("Cloud Storage takes no token of ours.", part="storage")
        if answer.status in (408, 429) or answer.status >= 500:
            raise Unavailable(f"Cloud Storage answers {answer.status}.", part="storage")
        return answer


def _json(answer: HttpAnswer) -> dict[str, Any]:
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise Unavailable("Cloud Storage answers nonsense.", part="storage")
    return body


def _refused(what: str, name: str, answer: HttpAnswer) -> Internal:
    try:
        said = str(orjson.loads(answer.body)["error"]["message"])[:300]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        said = "nothing that can be read"
    return Internal(f"Cloud Storage refuses to {what} {name} ({answer.status}): {said}")
