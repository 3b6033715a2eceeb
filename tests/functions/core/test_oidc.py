"""Only our own queue gets in: every way to make a token that is not its own, and the issuer's keys failing."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jwt
import orjson
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from core.adapters.http1 import HttpClient
from core.oidc import KEYS, SIGNATURE_REMOVED, OidcVerifier
from core.problems import Forbidden, Unauthorized, Unavailable
from tests.functions.core.answering import Answering, Reply, answering, json
from tests.functions.twins import FakeClock

AUDIENCE = "https://provisioning.example"
CALLER = "queue@p.iam.gserviceaccount.com"
GOOD: dict[str, Any] = {
    "iss": "https://accounts.google.com",
    "aud": AUDIENCE,
    "email": CALLER,
    "email_verified": True,
    "iat": 0,
    "exp": 3600,
}


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


KEY, OTHER_KEY = new_key(), new_key()


def token(key: Any = KEY, kid: str = "one", algorithm: str = "RS256", **changed: Any) -> str:
    """A token; `iat` and `exp` are seconds from now, and None leaves a claim out."""
    claims = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    for name in ("iat", "exp"):
        if name in claims:
            claims[name] += int(time.time())
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})


def keys(*pairs: tuple[str, rsa.RSAPrivateKey], max_age: int = 3600) -> Reply:
    found = [
        {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": "RS256"}
        for kid, key in pairs
    ]
    return json({"keys": found}, Cache_Control=f"public, max-age={max_age}")


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[Answering]:
    async with answering() as issuer:
        issuer.reply = lambda _sent: keys(("one", KEY))
        yield issuer


@pytest_asyncio.fixture
async def http() -> AsyncIterator[HttpClient]:
    http = HttpClient()
    yield http
    await http.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def verifier(http: HttpClient, issuer: Answering, clock: FakeClock) -> OidcVerifier:
    return OidcVerifier(http, issuer.url, AUDIENCE, CALLER, monotonic=clock.monotonic)


async def test_the_one_caller_passes_and_keys_are_kept(
    verifier: OidcVerifier, issuer: Answering, clock: FakeClock
) -> None:
    await verifier.verify(f"Bearer {token()}")
    await verifier.verify(f"bearer {token(iss='accounts.google.com')}")
    clock.advance(3599)
    await verifier.verify(f"Bearer {token()}")
    assert len(issuer.sent) == 1
    clock.advance(2)
    await verifier.verify(f"Bearer {token()}")
    assert len(issuer.sent) == 2


@pytest.mark.parametrize(("said", "kept"), [(60, 60), (7200, 7200), (10_000_000, 86_400)])
async def test_keys_are_kept_as_long_as_the_issuer_says_up_to_a_day(
    verifier: OidcVerifier, issuer: Answering, clock: FakeClock, said: int, kept: int
) -> None:
    issuer.reply = lambda _sent: keys(("one", KEY), max_age=said)
    await verifier.verify(f"Bearer {token()}")
    clock.advance(kept - 1)
    await verifier.verify(f"Bearer {token()}")
    assert len(issuer.sent) == 1
    clock.advance(1)
    await verifier.verify(f"Bearer {token()}")
    assert len(issuer.sent) == 2


def public_pem() -> bytes:
    return KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def hs256_with_the_public_key() -> str:
    """The classic: the public key, taken as the secret of an HMAC. PyJWT refuses to sign so, hence by hand."""
    import hashlib
    import hmac

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")

    now = int(time.time())
    signed = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part({**GOOD, 'iat': now, 'exp': now + 3600})}"
    mac = hmac.new(public_pem(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def without(claim: str) -> str:
    return f"Bearer {token(KEY, 'one', 'RS256', **{claim: None})}"


BAD: dict[str, Callable[[], str | None]] = {
    "nothing": lambda: None,
    "empty": lambda: "",
    "basic": lambda: "Basic eDp5",
    "no token": lambda: "Bearer ",
    "rubbish": lambda: "Bearer rubbish",
    "expired": lambda: f"Bearer {token(exp=-60)}",
    "not yet": lambda: f"Bearer {token(iat=600)}",
    "other key": lambda: f"Bearer {token(OTHER_KEY)}",
    "unknown key": lambda: f"Bearer {token(OTHER_KEY, kid='two')}",
    "alg none": lambda: f"Bearer {token(None, algorithm='none')}",
    "hs256": lambda: f"Bearer {hs256_with_the_public_key()}",
    "signature removed": lambda: f"Bearer {token().rpartition('.')[0]}.{SIGNATURE_REMOVED}",
    "changed": lambda: f"Bearer {token().split('.')[0]}.{token(email='x@y').split('.')[1]}.{token().split('.')[2]}",
    "other audience": lambda: f"Bearer {token(aud='https://memories.example')}",
    "other issuer": lambda: f"Bearer {token(iss='https://evil.example')}",
    "not verified": lambda: f"Bearer {token(email_verified=False)}",
    **{f"no {name}": partial(without, name) for name in GOOD if name != "email"},
}


@pytest.mark.parametrize("made", BAD.values(), ids=BAD.keys())
async def test_anything_else_is_unauthorized(verifier: OidcVerifier, made: Any) -> None:
    with pytest.raises(Unauthorized):
        await verifier.verify(made())


@pytest.mark.parametrize("email", ["other@p.iam.gserviceaccount.com", None])
async def test_another_account_is_forbidden(verifier: OidcVerifier, email: str | None) -> None:
    with pytest.raises(Forbidden):
        await verifier.verify(f"Bearer {token(email=email)}")


async def test_a_new_key_is_found_and_unknown_ones_do_not_flood_the_issuer(
    verifier: OidcVerifier, issuer: Answering, clock: FakeClock
) -> None:
    await verifier.verify(f"Bearer {token()}")
    issuer.reply = lambda _sent: keys(("one", KEY), ("two", OTHER_KEY))
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await verifier.verify(f"Bearer {token(OTHER_KEY, kid='two')}")
    assert len(issuer.sent) == 1
    clock.advance(KEYS.cooldown_seconds)
    await verifier.verify(f"Bearer {token(OTHER_KEY, kid='two')}")
    assert len(issuer.sent) == 2


DOWN: list[Reply] = [
    None,
    (500, {}, b""),
    (200, {}, b"<html>"),
    (200, {}, b"[]"),
    json({"keys": []}),
    json({"keys": [{"kid": "one", "kty": "RSA"}]}),
    json({"keys": ["x"]}),
    b"nonsense\r\n\r\n",
]


@pytest.mark.parametrize("fault", DOWN, ids=repr)
async def test_without_keys_nobody_passes_and_nobody_waits_in_line(
    verifier: OidcVerifier,
    issuer: Answering,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    fault: Reply,
) -> None:
    issuer.reply = lambda _sent: fault
    with monkeypatch.context() as hurried:
        hurried.setattr(verifier._keys, "_policy", replace(KEYS, answer_seconds=0.05))
        for _ in range(3):
            with pytest.raises(Unavailable):
                await verifier.verify(f"Bearer {token()}")
    assert len(issuer.sent) == 1
    issuer.reply = lambda _sent: keys(("one", KEY))
    clock.advance(KEYS.cooldown_seconds)
    await verifier.verify(f"Bearer {token()}")


@pytest.mark.parametrize("fault", DOWN, ids=repr)
async def test_known_keys_serve_on_while_the_issuer_is_down(
    verifier: OidcVerifier,
    issuer: Answering,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    fault: Reply,
) -> None:
    await verifier.verify(f"Bearer {token()}")
    monkeypatch.setattr(verifier._keys, "_policy", replace(KEYS, answer_seconds=0.05))
    issuer.reply = lambda _sent: fault
    clock.advance(7200)
    await verifier.verify(f"Bearer {token()}")
    with pytest.raises(Unauthorized):
        await verifier.verify(f"Bearer {token(OTHER_KEY)}")


@pytest.fixture
def behind(http: HttpClient, issuer: Answering, clock: FakeClock) -> OidcVerifier:
    return OidcVerifier(http, issuer.url, "", CALLER, behind_iam=True, monotonic=clock.monotonic)


def stripped(text: str) -> str:
    return f"Bearer {text.rpartition('.')[0]}.{SIGNATURE_REMOVED}"


async def test_behind_iam_a_token_without_its_signature_is_read(behind: OidcVerifier, issuer: Answering) -> None:
    await behind.verify(stripped(token()))
    await behind.verify(stripped(token(aud="https://any.example")))
    assert issuer.sent == []
    with pytest.raises(Forbidden):
        await behind.verify(stripped(token(email="other@p.iam.gserviceaccount.com")))
    for bad in (token(exp=-60), token(iss="https://evil.example"), token(email_verified=False), token(aud=None)):
        with pytest.raises(Unauthorized):
            await behind.verify(stripped(bad))


async def test_behind_iam_a_signature_that_is_there_must_be_good(behind: OidcVerifier) -> None:
    await behind.verify(f"Bearer {token()}")
    for bad in (token(OTHER_KEY), token(None, algorithm="none"), token().rpartition(".")[0] + "."):
        with pytest.raises(Unauthorized):
            await behind.verify(f"Bearer {bad}")


async def test_behind_iam_an_audience_that_is_known_must_match(http: HttpClient, issuer: Answering) -> None:
    verifier = OidcVerifier(http, issuer.url, AUDIENCE, CALLER, behind_iam=True)
    await verifier.verify(stripped(token()))
    with pytest.raises(Unauthorized):
        await verifier.verify(stripped(token(aud="https://any.example")))


async def test_an_audience_is_needed(http: HttpClient) -> None:
    with pytest.raises(ValueError, match="audience"):
        OidcVerifier(http, "http://127.0.0.1:1", "", CALLER)
