"""The keys with which one project signs its tokens: ES256 ones that rotate, or the old shared secret (HS256).

As on Supabase, a new key stands by (its public half is in the JWKS already), is put in use by PATCH, and the one before
it stays trusted until it is revoked. A project without keys signs with HS256, and its JWKS is empty.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from infra.local.cloud.errors import CloudError, NotFound
from infra.local.cloud.provider.wire import Json

ES256, HS256 = "ES256", "HS256"
STATUSES = ("standby", "in_use", "previously_used", "revoked")
TRUSTED = frozenset(STATUSES) - {"revoked"}
MOVES = {
    "standby": {"in_use", "revoked"},
    "in_use": set[str](),  # another one is put in use instead
    "previously_used": {"in_use", "standby", "revoked"},
    "revoked": {"standby", "previously_used"},
}


def add(keys: list[Json], asked: Json) -> Json:
    """Add a key; its status is `standby` unless `in_use` is asked for. Gives the key.

    Raises:
        CloudError: another algorithm, a key brought along, or one stands by already.
    """
    if asked.get("algorithm") != ES256:
        raise CloudError(f"algorithm: the local cloud makes {ES256} keys only")
    if "private_jwk" in asked:
        raise CloudError("private_jwk: the local cloud makes keys itself and takes none")
    status = asked.get("status", "standby")
    if status not in ("standby", "in_use"):
        raise CloudError("status: must be standby or in_use")
    if status == "standby" and any(key["status"] == "standby" for key in keys):
        raise CloudError("There is already a standby signing key: put it in use or revoke it first")
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key: Json = {"algorithm": ES256, "private_key": pem.decode(), **_made()}
    keys.append(key)
    key["status"] = "standby"
    if status == "in_use":
        move(keys, key["id"], "in_use")
    return key


def add_legacy(keys: list[Json]) -> Json:
    """List the shared secret as the key in use, which is what a migration to signing keys begins with."""
    if keys:
        raise CloudError("The project uses signing keys already")
    key: Json = {"algorithm": HS256, **_made(), "status": "in_use"}
    keys.append(key)
    return key


def move(keys: list[Json], id_: str, status: object) -> Json:
    """Give a key another status; the one in use becomes `previously_used` when another takes its place."""
    key = find(keys, id_)
    if status == key["status"]:
        return key
    if status not in MOVES[key["status"]]:
        raise CloudError(f"A signing key that is {key['status']} cannot become {status}")
    if status == "standby" and any(other["status"] == "standby" for other in keys):
        raise CloudError("There is already a standby signing key: put it in use or revoke it first")
    for other in keys:
        if status == "in_use" and other["status"] == "in_use":
            other["status"] = "previously_used"
            other["updated_at"] = _now()
    key["status"] = status
    key["updated_at"] = _now()
    return key


def remove(keys: list[Json], id_: str) -> Json:
    key = find(keys, id_)
    if key["status"] != "revoked":
        raise CloudError("Only a revoked signing key can be deleted")
    keys.remove(key)
    return key


def find(keys: list[Json], id_: str) -> Json:
    for key in keys:
        if key["id"] == id_:
            return key
    raise NotFound("Signing key not found")


def shown(key: Json) -> Json:
    """A key as the Management API shows it."""
    public = _public_jwk(key) if key["algorithm"] == ES256 else None
    return {
        **{name: key[name] for name in ("id", "algorithm", "status", "created_at", "updated_at")},
        "public_jwk": public,
    }


def jwks(keys: list[Json]) -> Json:
    """The public keys that a verifier trusts."""
    trusted = [key for key in keys if key["status"] in TRUSTED and key["algorithm"] == ES256]
    return {"keys": [_public_jwk(key) for key in trusted]}


def sign(keys: list[Json], secret: str, claims: Json) -> str:
    for key in keys:
        if key["status"] == "in_use" and key["algorithm"] == ES256:
            return jwt.encode(claims, key["private_key"], algorithm=ES256, headers={"kid": key["id"]})
    return jwt.encode(claims, secret, algorithm=HS256)


def verify(keys: list[Json], secret: str, token: str) -> Json:
    """The claims of a token of this project that is not over.

    Raises:
        jwt.InvalidTokenError: it is another's, altered, over, or signed with a revoked key.
    """
    kid = jwt.get_unverified_header(token).get("kid")
    options: Any = {"verify_aud": False}
    if kid is None:
        if any(key["algorithm"] == HS256 and key["status"] not in TRUSTED for key in keys):
            raise jwt.InvalidTokenError("the shared secret is revoked")
        return jwt.decode(token, secret, algorithms=[HS256], options=options)
    for key in keys:
        if key["id"] == kid and key["algorithm"] == ES256 and key["status"] in TRUSTED:
            return jwt.decode(token, _private(key).public_key(), algorithms=[ES256], options=options)
    raise jwt.InvalidTokenError(f"unrecognized JWT kid {kid}")


def _private(key: Json) -> ec.EllipticCurvePrivateKey:
    private = serialization.load_pem_private_key(key["private_key"].encode(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return private


def _public_jwk(key: Json) -> Json:
    jwk: Json = json.loads(ECAlgorithm.to_jwk(_private(key).public_key()))
    return {**jwk, "alg": ES256, "ext": True, "key_ops": ["verify"], "kid": key["id"], "use": "sig"}


def _made() -> Json:
    now = _now()
    return {"id": str(uuid.uuid4()), "created_at": now, "updated_at": now}


def _now() -> str:
    return datetime.now(UTC).isoformat()
