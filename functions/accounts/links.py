"""Links in mails, each with a token that works once. Only the token's SHA-256 is stored.

The token is the link's fragment: browsers keep that to themselves, so no server's log holds it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

TOKEN_BYTES = 32

INVITATION_PATH = "/invitation"
ERASURE_PATH = "/erasure"


@dataclass(frozen=True, slots=True)
class Ticket:
    """`link` goes into a mail, `token_hash` into the control plane."""

    link: str = field(repr=False)
    token_hash: str


class Links:
    """Args: site_url: of the site, without a trailing slash."""

    def __init__(self, site_url: str) -> None:
        self._site_url = site_url.rstrip("/")

    def invitation(self) -> Ticket:
        return self._ticket(INVITATION_PATH)

    def erasure(self) -> Ticket:
        return self._ticket(ERASURE_PATH)

    @staticmethod
    def hash(token: str) -> str:
        """How a token is stored. 256 random bits need no slow hash."""
        return hashlib.sha256(token.encode()).hexdigest()

    def _ticket(self, path: str) -> Ticket:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        return Ticket(f"{self._site_url}{path}#token={token}", self.hash(token))
