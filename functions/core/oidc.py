"""Proof that a request comes from our own queue or scheduler: Google's OpenID Connect token of one service account.

On Cloud Run a private function gets tokens that the platform has checked (signature, audience, and that the account may
call), and without their signature. That is what `behind_iam` is for. It is as good as the list of invokers: never set
it for a function that everybody may call, and make the one caller its only invoker, since another one could bring a
token of its own in X-Serverless-Authorization and anything in Authorization.
Source: https://cloud.google.com/run/docs/troubleshooting (signature removed).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from core.adapters.http1 import HttpClient, HttpError
from core.lazy import lazy
from core.logs import LOGGER
from core.problems import Forbidden, Unauthorized, Unavailable

if TYPE_CHECKING:
    import jwt
else:
    jwt = lazy("jwt")

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
CERTS_SECONDS = 2.0
CERTS_CONNECT_SECONDS = 1.0
KEPT_SECONDS = 3600.0
"""How long certificates are kept when their answer does not say."""
KEPT_MOST_SECONDS = 86_400.0
REFETCH_SECONDS = 30.0
"""At most so often a key that is not known, or a failure, leads to another fetch."""
LEEWAY_SECONDS = 10.0
SIGNATURE_REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"

_MAX_AGE = re.compile(r"max-age=(\d+)")


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
        self._certificates = _Certificates(http, certs_url, monotonic)
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
        if header.get("alg") != "RS256":
            raise jwt.InvalidAlgorithmError
        key = await self._certificates.key(str(header.get("kid")))
        if key is None:
            raise jwt.InvalidKeyError
        return jwt.decode(token, key, algorithms=["RS256"], audience=audience, leeway=LEEWAY_SECONDS, options=options)


class _Certificates:
    """The issuer's public keys, by their ids."""

    def __init__(self, http: HttpClient, url: str, monotonic: Callable[[], float]) -> None:
        self._http = http
        self._url = url
        self._monotonic = monotonic
        self._keys: dict[str, Any] = {}
        self._good_until = 0.0
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    async def key(self, kid: str) -> Any | None:
        """The key of this id, None when the issuer has none.

        Raises:
            Unavailable: no keys at all are known.
        """
        async with self._asking:
            now = self._monotonic()
            asked_lately = self._asked_at is not None and now - self._asked_at < REFETCH_SECONDS
            if (now >= self._good_until or kid not in self._keys) and not asked_lately:
                self._asked_at = now
                await self._fetch()
        if not self._keys:
            raise Unavailable("Who calls cannot be verified at the moment. Please try again.", part="certificates")
        return self._keys.get(kid)

    async def _fetch(self) -> None:
        try:
            answer = await self._http.request(
                "GET", self._url, timeout=CERTS_SECONDS, connect_timeout=CERTS_CONNECT_SECONDS
            )
            if answer.status != 200:
                raise ValueError(f"status {answer.status}")
            keys = {str(item["kid"]): jwt.PyJWK(item, "RS256").key for item in orjson.loads(answer.body)["keys"]}
            if not keys:
                raise ValueError("no keys")
        except (HttpError, LookupError, TypeError, ValueError, jwt.PyJWTError) as error:
            # What was known stays good: the issuer keeps its keys for days.
            LOGGER.error("The issuer's keys could not be fetched (%s).", type(error).__name__)
            return
        self._keys = keys
        found = _MAX_AGE.search(answer.headers.get("cache-control", ""))
        self._good_until = self._monotonic() + min(float(found[1]) if found else KEPT_SECONDS, KEPT_MOST_SECONDS)
