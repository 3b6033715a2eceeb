"""PKCE (RFC 7636): what a client left behind when it began, and the code that it trades for a session."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
import uuid
from collections.abc import Callable

from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth.database import Database, Row
from infra.local.cloud.vendors.auth.errors import AuthError

CHALLENGE = re.compile(r"[a-zA-Z._~0-9-]+")
SHORTEST, LONGEST = 43, 128
METHODS = ("s256", "plain")
SECONDS = 300.0
"""How long a flow may take, from its beginning to the trade: a link in a mail that is opened later gives no session."""

KEPT_SECONDS = 24 * 3600.0


class Flows:
    """The flows of one project."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def begin(
        self,
        challenge: tuple[str, str],
        *,
        provider: str,
        method: str,
        user_id: str | None = None,
        referrer: str = "",
    ) -> str:
        """Remember a flow; `challenge` is empty for one without PKCE. Gives its id."""
        code, how = challenge
        flow = {
            "id": str(uuid.uuid4()),
            "auth_code": str(uuid.uuid4()) if code else None,
            "challenge": code,
            "challenge_method": how.lower(),
            "provider": provider,
            "method": method,
            "user_id": user_id,
            "referrer": referrer,
            "created_at": self._clock(),
        }
        self._database.run("delete from flows where created_at < ?", self._clock() - KEPT_SECONDS)
        self._database.insert("flows", flow)
        return str(flow["id"])

    def find(self, id_: str) -> Row | None:
        """A flow that is not over yet."""
        return self._database.one("select * from flows where id = ? and created_at > ?", id_, self._clock() - SECONDS)

    def arrive(self, id_: str, user_id: str) -> None:
        """The user has signed in at the provider."""
        self._database.update("flows", id_, user_id=user_id)

    def code_for(self, user_id: str, method: str) -> str:
        """The code of the newest flow of this user: it goes back in the link of a mail."""
        flow = self._database.one(
            "select * from flows where user_id = ? and method = ? and auth_code is not null order by rowid desc",
            user_id,
            method,
        )
        if flow is None:
            raise AuthError(422, "flow_state_not_found", "No valid flow state found for user.")
        return str(flow["auth_code"])

    def take(self, auth_code: str, verifier: str) -> Row:
        """Use a code up, for the client that knows what the challenge was made from."""
        flow = self._database.one("select * from flows where auth_code = ?", auth_code)
        if flow is None or flow["user_id"] is None:
            raise AuthError(404, "flow_state_not_found", "invalid flow state, no valid flow state found")
        if self._clock() > flow["created_at"] + SECONDS:
            raise AuthError(422, "flow_state_expired", "invalid flow state, flow state has expired")
        if not _fits(verifier, flow["challenge"], flow["challenge_method"]):
            raise AuthError(400, "bad_code_verifier", "code challenge does not match previously saved code verifier")
        self.drop(flow["id"])
        return flow

    def drop(self, id_: str) -> None:
        self._database.run("delete from flows where id = ?", id_)


def challenge(asked: Json) -> tuple[str, str]:
    """`code_challenge` and its method from a request; two empty strings without PKCE.

    Raises:
        AuthError: one of them is missing or wrong.
    """
    code, how = str(asked.get("code_challenge") or ""), str(asked.get("code_challenge_method") or "")
    if bool(code) != bool(how):
        raise _invalid("PKCE flow requires code_challenge_method and code_challenge")
    if code and not SHORTEST <= len(code) <= LONGEST:
        raise _invalid(f"code challenge has to be between {SHORTEST} and {LONGEST} characters")
    if code and not CHALLENGE.fullmatch(code):
        raise _invalid(
            "code challenge can only contain alphanumeric characters, hyphens, periods, underscores and tildes"
        )
    if how and how.lower() not in METHODS:
        raise _invalid(f"unsupported code_challenge method {how!r}")
    return code, how


def _fits(verifier: str, expected: str, how: str) -> bool:
    made = verifier
    if how == "s256":
        made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return hmac.compare_digest(made.encode(), expected.encode())


def _invalid(message: str) -> AuthError:
    return AuthError(400, "validation_failed", message)
