"""Proof that a request comes from our own queue or scheduler: Google's OpenID Connect token of one service account.

On Cloud Run a private function gets tokens that the platform has checked (signature, audience, and that the account may
call), and without their signature. That is what `behind_iam` is for. It is as good as the list of invokers: never set
it for a function that everybody may call, and make the one caller its only invoker, since another one could bring a
token of its own in X-Serverless-Authorization and anything in Authorization.
Source: https://cloud.google.com/run/docs/troubleshooting (signature removed).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from core.adapters.http1 import HttpClient
from core.issuer_keys import IssuerKeys, Policy
from core.lazy import lazy
from core.problems import Forbidden, Unauthorized

if TYPE_CHECKING:
    import jwt
else:
    jwt = lazy("jwt")

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
LEEWAY_SECONDS = 10.0
ALGORITHM = "RS256"
SIGNATURE_REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"


def _signs(key: Mapping[str, Any]) -> bool:
    return key.get("kty") == "RSA" and key.get("alg", ALGORITHM) == ALGORITHM


KEYS = Policy(
    algorithm=ALGORITHM,
    is_ours=_signs,
    answer_seconds=2.0,
    fresh_seconds=3600.0,
    keep_seconds=3600.0,
    age_most_seconds=86_400.0,
    outage_seconds=math.inf,  # Google keeps its keys for days, and only our own queue is proven by them
    cooldown_seconds=30.0,
    first_cooldown_seconds=30.0,  # tasks come again
    whose="Google",
    unknown="Who calls cannot be verified at the moment. Please try again.",
    part="certificates",
)


class OidcVerifier:
    """Verifies the tokens of one caller.

    Args:
        certs_url: the issuer's keys as a JSON Web Key Set.
        audience: for whom tokens must be. With `behind_iam` it may be empty: the platform has checked it.
        caller_email: the only service account that may call.
        behind_iam: see the module.
    """

    def __init__(
        self,
        http: HttpClient,
        certs_url: str,
        audience: str,
        caller_email: str,
        *,
        behind_iam: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not audience and not behind_iam:
            raise ValueError("without an audience a token for any other service would do")
        self._keys = IssuerKeys(http, certs_url, KEYS, monotonic=monotonic)
        self._audience = audience
        self._caller_email = caller_email
        self._behind_iam = behind_iam

    async def verify(self, authorization: str | None) -> None:
        """Let the one caller pass.

        Args:
            authorization: the request's header.

        Raises:
            Unauthorized: there is no good token.
            Forbidden: it is another account's.
            Unavailable: the issuer's keys are not known and cannot be had.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("This route is for our own services: it needs an OpenID Connect token.")
        try:
            claims = await self._claims(token)
        except jwt.PyJWTError as error:
            raise Unauthorized("The OpenID Connect token is not valid, has expired, or is for others.") from error
        if claims.get("iss") not in ISSUERS or claims.get("email_verified") is not True:
            raise Unauthorized("The OpenID Connect token is not one of a verified account of Google.")
        if claims.get("email") != self._caller_email:
            raise Forbidden("This service account may not call this route.")

    async def _claims(self, token: str) -> dict[str, Any]:
        options: Any = {"require": ["exp", "iat", "aud", "iss"], "verify_aud": bool(self._audience)}
        audience = self._audience or None
        head, _, signature = token.rpartition(".")
        if self._behind_iam and signature == SIGNATURE_REMOVED:
            options |= {"verify_signature": False, "verify_exp": True}
            return jwt.decode(f"{head}.", audience=audience, leeway=LEEWAY_SECONDS, options=options)
        header = jwt.get_unverified_header(token)
        if header.get("alg") != ALGORITHM:
            raise jwt.InvalidAlgorithmError
        key = await self._keys.find(str(header.get("kid")))
        if key is None:
            raise jwt.InvalidKeyError
        return jwt.decode(
            token, key.key, algorithms=[ALGORITHM], audience=audience, leeway=LEEWAY_SECONDS, options=options
        )
