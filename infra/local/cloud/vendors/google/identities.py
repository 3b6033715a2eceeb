"""Who is who at Google: access tokens and OpenID Connect tokens of service accounts, and the keys that prove them.

Access tokens are opaque to their holders; here they name the account under a MAC, so that they outlive a restart
without being kept. OpenID Connect tokens are signed with an RSA key of this local cloud and name Google's issuer.
Each function's metadata server is at an address of its own, which holds a MAC of the account: it cannot be guessed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.local.cloud.cloud import PROJECT, Cloud
from infra.local.cloud.ports import HOST
from infra.local.cloud.provider.wire import Json

SECTION = "google"
METADATA = "google_metadata"
"""The name under which the metadata server's port is kept."""
ISSUER = "https://accounts.google.com"
TOKEN_SECONDS = 3600
_PREFIX = "ya29.local."
_ACCOUNT = "gcp:serviceaccount/account:Account"


class Identities:
    """The service accounts of the local cloud; its keys are made when they are first needed, and kept."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._key: tuple[str, rsa.RSAPrivateKey] | None = None
        self._mac_key: bytes | None = None

    # access tokens

    def access_token(self, email: str) -> str:
        """An OAuth access token of an account, good for an hour."""
        claim = _encode(f"{int(time.time()) + TOKEN_SECONDS} {email}".encode())
        return f"{_PREFIX}{claim}.{self._mac('access', claim)}"

    def account_of(self, token: str) -> str | None:
        """The email of the account whose good access token this is, else None."""
        claim, _, mac = token.removeprefix(_PREFIX).partition(".")
        if not token.startswith(_PREFIX) or not hmac.compare_digest(mac.encode(), self._mac("access", claim).encode()):
            return None
        ends, _, email = _decode(claim).decode().partition(" ")
        return email if int(ends) > time.time() and self.exists(email) else None

    def exists(self, email: str) -> bool:
        """Whether an account of the program has this address. The default account needs no declaration."""
        from infra.local.cloud.provider.gcp.names import DEFAULT_COMPUTE  # the two know each other

        return email == DEFAULT_COMPUTE or any(
            record.state["email"] == email for record in self._cloud.store.of(_ACCOUNT)
        )

    # OpenID Connect

    def identity_token(self, email: str, audience: str) -> str:
        """A signed statement that its bearer is this account, for this audience; good for an hour."""
        kid, key = self._signing_key()
        now = int(time.time())
        subject = str(int(hashlib.sha256(email.encode()).hexdigest()[:17], 16))
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "azp": subject,
            "sub": subject,
            "email": email,
            "email_verified": True,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
        }
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid})

    def certificates(self) -> list[Json]:
        """The public keys, as JSON Web Keys."""
        kid, key = self._signing_key()
        public: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": public["n"], "e": public["e"]}]

    # the metadata server of each identity

    def metadata_path(self, email: str) -> str:
        """The first part of the path under which the metadata of this account, and of no other, is served."""
        name = _encode(email.encode())
        return f"{name}.{self._mac('metadata', name)}"

    def account_at(self, path: str) -> str | None:
        """The account whose `metadata_path` this is, else None."""
        name, _, mac = path.partition(".")
        good = hmac.compare_digest(mac.encode(), self._mac("metadata", name).encode())
        return _decode(name).decode() if good else None

    def environment(self, email: str) -> dict[str, str]:
        """What a process of this account gets, so that Google's own libraries find their metadata server."""
        host = f"{HOST}:{self._cloud.ports.of(METADATA)}/{self.metadata_path(email)}"
        # GCE_METADATA_IP is where google-auth looks whether there is one at all.
        return {"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host, "GOOGLE_CLOUD_PROJECT": PROJECT}

    # keys

    def _mac(self, purpose: str, text: str) -> str:
        if self._mac_key is None:
            self._mac_key = base64.b64decode(self._kept()["mac_key"])
        return hmac.new(self._mac_key, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()

    def _signing_key(self) -> tuple[str, rsa.RSAPrivateKey]:
        if self._key is None:
            kept = self._kept()
            key = serialization.load_pem_private_key(kept["signing_key"].encode(), None)
            assert isinstance(key, rsa.RSAPrivateKey)
            self._key = (kept["kid"], key)
        return self._key

    def _kept(self) -> Json:
        def make(section: Json) -> None:
            if "kid" in section:
                return
            pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            mac_key = base64.b64encode(secrets.token_bytes(32)).decode()
            section.update({"kid": secrets.token_hex(20), "signing_key": pem.decode(), "mac_key": mac_key})

        return self._cloud.store.edit(SECTION, make)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
