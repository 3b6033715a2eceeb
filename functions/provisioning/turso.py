"""Turso's Platform API: one database for each workspace, and the token that opens it. Names are the caller's, so that
everything can be run again."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from core.adapters.http1 import HttpClient, HttpError
from core.problems import Internal, Unavailable
from core.rotation import SecretSource
from core.settings import Secret

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 20.0
"""Making a database takes Turso a second or two."""
TOKEN_WEEKS = 4
"""How long a token opens its database. There is no taking one back but by `rotate`, which ends all of them."""


class TursoRefused(Internal):
    """Turso answers, but does not do what it is asked; the detail says what and what to look at."""


class Turso:
    """The databases of one organization's group.

    Args:
        api_url: without a trailing slash.
    """

    def __init__(self, client: HttpClient, api_url: str, token: SecretSource, organization: str, group: str) -> None:
        self._client = client
        self._base = f"{api_url.rstrip('/')}/v1/organizations/{quote(organization, safe='')}/databases"
        self._token = token
        self._group = group

    async def open_database(self, name: str, size_mb: int) -> str:
        """Create a database of at most `size_mb`, unless there is one of this name; its host name.

        Raises:
            TursoRefused: a limit was reached, the token is not accepted, the group is missing.
            Unavailable: no answer in time.
        """
        wanted = {"name": name, "group": self._group, "size_limit": f"{size_mb}mb"}
        status, answer = await self._ask("POST", self._base, wanted)
        if status == 409:
            return await self.find_database(name)
        hostname = _member(answer, "database", "Hostname")
        if status != 200 or not isinstance(hostname, str) or not hostname:
            raise _refused(f"create the database {name}", status, answer)
        return hostname

    async def find_database(self, name: str) -> str:
        """The host name of a database that is there. Raises as `open_database` does."""
        status, answer = await self._ask("GET", self._database(name))
        hostname = _member(answer, "database", "Hostname")
        if status != 200 or not isinstance(hostname, str) or not hostname:
            raise _refused(f"find the database {name}", status, answer)
        return hostname

    async def make_token(self, name: str) -> Secret:
        """A token for reading and writing one database, for `TOKEN_WEEKS`. Raises as `open_database` does."""
        url = f"{self._database(name)}/auth/tokens?expiration={TOKEN_WEEKS}w&authorization=full-access"
        status, answer = await self._ask("POST", url)
        token = _member(answer, "jwt")
        if status != 200 or not isinstance(token, str) or not token:
            raise _refused(f"make a token for the database {name}", status, answer)
        return Secret(token)

    async def block_database(self, name: str, *, reads: bool, writes: bool) -> None:
        """Refuse reads or writes, or take them again. Raises as `open_database` does."""
        wanted = {"block_reads": reads, "block_writes": writes}
        status, answer = await self._ask("PATCH", f"{self._database(name)}/configuration", wanted)
        if status != 200:
            raise _refused(f"block the database {name}", status, answer)

    async def protect_database(self, name: str, *, protected: bool) -> bool:
        """Refuse to delete a database, or take that again. False: there is none. Raises as `open_database` does."""
        status, answer = await self._ask(
            "PATCH", f"{self._database(name)}/configuration", {"delete_protection": protected}
        )
        if status not in (200, 404):
            raise _refused(f"protect the database {name}", status, answer)
        return status == 200

    async def delete_database(self, name: str) -> None:
        """Delete a database with all that it holds; one that is not there is deleted. Raises as `open_database`."""
        status, answer = await self._ask("DELETE", self._database(name))
        if status not in (200, 404):
            raise _refused(f"delete the database {name}", status, answer)

    async def has_database(self, name: str) -> bool:
        """Whether there is one of this name. Raises as `open_database` does."""
        status, answer = await self._ask("GET", self._database(name))
        if status not in (200, 404):
            raise _refused(f"look for the database {name}", status, answer)
        return status == 200

    def _database(self, name: str) -> str:
        return f"{self._base}/{quote(name, safe='')}"

    async def _ask(self, method: str, url: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        token = await self._token.read()
        try:
            answer = await self._client.request(
                method,
                url,
                orjson.dumps(body) if body else b"",
                {"Authorization": f"Bearer {token.reveal()}", "Content-Type": "application/json"},
                timeout=ANSWER_SECONDS,
                connect_timeout=CONNECT_SECONDS,
            )
        except HttpError as error:
            raise Unavailable(
                f"Turso's Platform API does not answer: {error}. Run this again; what was begun is taken up.",
                part="turso",
            ) from None
        if answer.status >= 500:
            raise Unavailable(
                f"Turso's Platform API answers {answer.status}. Run this again in a while; what was begun is taken up.",
                part="turso",
            )
        try:
            return answer.status, orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            return answer.status, None


def _member(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _refused(what: str, status: int, answer: Any) -> TursoRefused:
    reason = _member(answer, "error")
    hint = {
        401: " The API token is not accepted: set a new one.",
        403: " The API token may not do this, or the plan's number of databases is reached.",
        404: " The organization or the group is missing: run `pulumi up`.",
    }.get(status, "")
    return TursoRefused(f"Turso refused to {what} ({status}: {reason}).{hint}")
