"""People's tokens: JWTs of Supabase Auth, proven here with the issuer's public keys, without a call for each.

    ES256 only; `kid` names a key of the issuer; `iss`, `aud`, `exp`, `nbf`, `iat`, `sub`, `email`, `role` must hold.

PyJWT proves the signature and the names; times are read here, by our clock. It is imported with the first token.
How the issuer's keys are kept (`core.issuer_keys`): 5 minutes without a question, 10 at most, an hour while it is down.

Only people whose address is confirmed get tokens from an issuer that asks for confirmation, as ours is declared to; the
claim `user_metadata.email_verified` proves nothing, because users may write it. Source: reference/services.md,
section 1.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from core.adapters.http1 import HttpClient
from core.issuer_keys import IssuerKeys, Policy
from core.ports import Claims, Clock
from core.problems import Unauthorized

if TYPE_CHECKING:
    from jwt import PyJWK

PATH = "/.well-known/jwks.json"
ALGORITHM = "ES256"
AUDIENCE = "authenticated"
ROLE = "authenticated"
REQUIRED = ("exp", "iat", "sub", "aud", "iss")
TOKEN_MOST = 8 << 10
"""Characters of a token: Supabase's are about 1,000, more with a large `user_metadata`."""
EMAIL_MOST = 320
NAME_MOST = 100
LEEWAY_SECONDS = 10.0
"""How far the issuer's clock may be ahead of ours."""


def _signs(key: Mapping[str, Any]) -> bool:
    """Only P-256 keys are used. An issuer that signs with a shared secret publishes none."""
    return key.get("kty") == "EC" and key.get("crv") == "P-256" and key.get("alg", ALGORITHM) == ALGORITHM


KEYS = Policy(
    algorithm=ALGORITHM,
    is_ours=_signs,
    answer_seconds=5.0,
    fresh_seconds=300.0,
    keep_seconds=600.0,  # Auth's own edge caches as long: a key that was withdrawn is trusted twice that at most
    outage_seconds=3600.0,
    cooldown_seconds=30.0,
    first_cooldown_seconds=2.0,  # nobody can be served meanwhile
    whose="sign-ins",
    unknown="Sign-ins cannot be checked right now. Please try again in a moment.",
    part="auth",
)

_BAD = "Your sign-in is not valid. Sign in again."
_ENDED = "Your sign-in has ended. Sign in again, or refresh the session."
_ANONYMOUS = "Guests have no account here. Sign up with an e-mail address, or with GitHub or Google."


class JwtVerifier:
    """Implements `ports.TokenVerifier`. Belongs to one event loop; connects to nothing until it is asked.

    Args:
        auth_url: the issuer, as tokens name it, without a trailing slash: `https://REF.supabase.co/auth/v1`.
    """

    def __init__(
        self, http: HttpClient, auth_url: str, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = auth_url
        self._clock = clock
        self._keys = IssuerKeys(http, auth_url + PATH, KEYS, monotonic=monotonic)

    async def verify(self, token: str) -> Claims:
        """What the token says. Never quotes it.

        Raises:
            Unauthorized: it is malformed, not signed by the issuer, for another audience, outside its time, or of a
                guest.
            Unavailable: the issuer's keys are not known and cannot be had.
        """
        import jwt

        if len(token) > TOKEN_MOST:
            raise Unauthorized(_BAD)
        try:
            kid = _kid(jwt.get_unverified_header(token))
            key = await self._keys.find(kid)
            if key is None:
                raise Unauthorized(_BAD)
            claims = self._decode(token, key)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):  # all of them: what came, came from anywhere
            raise Unauthorized(_BAD) from None
        return self._read(claims)

    def _decode(self, token: str, key: PyJWK) -> Mapping[str, Any]:
        import jwt

        return jwt.decode(
            token,
            key.key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=self._issuer,
            options={"require": list(REQUIRED), "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )

    def _read(self, claims: Mapping[str, Any]) -> Claims:
        now = self._clock.now().timestamp()
        expires = _moment(claims, "exp")
        if expires <= now:
            raise Unauthorized(_ENDED)
        if _moment(claims, "iat") > now + LEEWAY_SECONDS:
            raise Unauthorized(_BAD)
        if "nbf" in claims and _moment(claims, "nbf") > now + LEEWAY_SECONDS:
            raise Unauthorized(_BAD)
        if claims.get("is_anonymous"):
            raise Unauthorized(_ANONYMOUS)
        if claims.get("role") != ROLE:
            raise Unauthorized(_BAD)
        email = claims.get("email")
        if not isinstance(email, str) or not 0 < len(email.strip()) <= EMAIL_MOST or "\0" in email:
            raise Unauthorized(_ANONYMOUS)
        return Claims(account_id=_account(claims["sub"]), email=email.strip(), name=_name(claims), expires_at=expires)


def _kid(header: Mapping[str, Any]) -> str:
    """Raises: Unauthorized: another algorithm, no key is named, or it asks for what we do not do (`crit`)."""
    kid = header.get("kid")
    if header.get("alg") != ALGORITHM or not isinstance(kid, str) or not kid or "crit" in header or "b64" in header:
        raise Unauthorized(_BAD)
    return kid


def _moment(claims: Mapping[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unauthorized(_BAD)
    return float(value)


def _account(subject: object) -> str:
    try:
        return str(uuid.UUID(str(subject)))
    except ValueError:
        raise Unauthorized(_BAD) from None


def _name(claims: Mapping[str, Any]) -> str:
    """What the user calls themselves; they write it, so it is only shown."""
    metadata = claims.get("user_metadata")
    if not isinstance(metadata, dict):
        return ""
    for field in ("full_name", "name", "user_name"):
        text = metadata.get(field)
        if isinstance(text, str):
            shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
            if shown:
                return shown[:NAME_MOST].strip()
    return ""
