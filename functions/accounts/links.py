"""Links in mails, each with a token that works once. Only the token's SHA-256 is stored.

The token is the link's fragment: browsers keep that to themselves, so no server's log holds it. It ends in an HMAC tag,
as an API key does: an erasure is confirmed without signing in, and what is made up must not reach the control plane.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

TOKEN_BYTES = 32
TAG_BYTES = 9

INVITATION_PATH = "/invitation"
ERASURE_PATH = "/erasure"


@dataclass(frozen=True, slots=True)
class Ticket:
    """`link` goes into a mail, `token_hash` into the control plane."""

    link: str = field(repr=False)
    token_hash: str


class Links:
    """Args:
    site_url: of the site, without a trailing slash.
    tag_secrets: see `keys.is_genuine`; the first one tags new links.
    """

    def __init__(self, site_url: str, tag_secrets: Sequence[str]) -> None:
        self._site_url = site_url.rstrip("/")
        self._tag_secrets = tag_secrets

    def invitation(self) -> Ticket:
        return self._ticket(INVITATION_PATH)

    def erasure(self) -> Ticket:
        return self._ticket(ERASURE_PATH)

    def is_genuine(self, token: str) -> bool:
        """Whether it is one of ours; says nothing about whether it still works."""
        body, _, tag = token.rpartition(".")
        return any([hmac.compare_digest(_tag(body, secret), tag.encode()) for secret in self._tag_secrets])  # noqa: C419  every one, in constant time

    @staticmethod
    def hash(token: str) -> str:
        """How a token is stored. 256 random bits need no slow hash."""
        return hashlib.sha256(token.encode()).hexdigest()

    def _ticket(self, path: str) -> Ticket:
        body = secrets.token_urlsafe(TOKEN_BYTES)
        token = f"{body}.{_tag(body, self._tag_secrets[0]).decode()}"
        return Ticket(f"{self._site_url}{path}#token={token}", self.hash(token))


def _tag(body: str, secret: str) -> bytes:
    """Not that of an API key, whatever is in `body`."""
    return base64.urlsafe_b64encode(hmac.digest(secret.encode(), f"link {body}".encode(), "sha256")[:TAG_BYTES])
