"""People's tokens: every way to forge one, and an issuer that is down, slow, or talks nonsense."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from core.adapters.http1 import HttpAnswer, HttpClient, HttpRefused, HttpTimeout
from core.ports import Claims
from core.problems import Unauthorized, Unavailable
from core.tokens import PATH, JwtVerifier
from tests.functions.twins import FakeClock

ISSUER = "https://ref.supabase.co/auth/v1"
ACCOUNT = str(uuid.uuid4())
KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


def jwk(key: Any, kid: str = "k1", **more: Any) -> dict[str, Any]:
    kind = jwt.algorithms.ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else jwt.algorithms.RSAAlgorithm
    found: dict[str, Any] = kind.to_jwk(key.public_key(), as_dict=True)
    return {**found, "kid": kid, "use": "sig", **more}


class HasSeconds(Protocol):
    @property
    def seconds(self) -> float: ...


class Issuer:
    """Stands for the HTTP client: answers with `keys`, or does what `fault` does."""

    def __init__(self) -> None:
        self.keys: list[Any] = [jwk(KEY)]
        self.fault: Callable[[], Awaitable[HttpAnswer]] | None = None
        self.asked = 0

    async def request(self, method: str, url: str, *, timeout: float, connect_timeout: float) -> HttpAnswer:
        assert (method, url) == ("GET", ISSUER + PATH)
        assert (timeout, connect_timeout) == (5.0, 1.0)
        self.asked += 1
        await asyncio.sleep(0)
        if self.fault is not None:
            return await self.fault()
        return HttpAnswer(200, {}, json.dumps({"keys": self.keys}).encode())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def verifier(issuer: Issuer, clock: FakeClock) -> JwtVerifier:
    return JwtVerifier(issuer, ISSUER, clock, monotonic=clock.monotonic)  # type: ignore[arg-type]  # the one method that it uses


def claims(clock: HasSeconds, **changes: Any) -> dict[str, Any]:
    """Those of Supabase Auth. A change to None leaves a claim out."""
    now = int(clock.seconds)
    made = {
        "iss": ISSUER,
        "aud": "authenticated",
        "sub": ACCOUNT,
        "exp": now + 3600,
        "iat": now,
        "email": "ada@example.com",
        "role": "authenticated",
        "is_anonymous": False,
        "user_metadata": {"full_name": "Ada Lovelace", "email_verified": True},
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


def sign(body: dict[str, Any], key: Any = KEY, *, algorithm: str = "ES256", **header: Any) -> str:
    return jwt.encode(body, key, algorithm=algorithm, headers={"kid": "k1", **header})


def b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


async def test_what_a_good_token_says(verifier: JwtVerifier, clock: FakeClock) -> None:
    body = claims(clock)
    expected = Claims(account_id=ACCOUNT, email="ada@example.com", name="Ada Lovelace", expires_at=float(body["exp"]))
    assert await verifier.verify(sign(body)) == expected
    assert await verifier.verify(sign({**body, "aud": ["other", "authenticated"]})) == expected
    assert await verifier.verify(sign({**body, "sub": ACCOUNT.upper()})) == expected  # one person, one id


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ({"name": "  Ada\n\0 L. "}, "Ada L."),
        ({"full_name": "", "name": "Ada"}, "Ada"),
        ({"user_name": "ada"}, "ada"),
        ({"full_name": "x" * 500}, "x" * 100),
        ({"full_name": 7}, ""),
        ({}, ""),
        ("Ada", ""),
        (None, ""),
    ],
)
async def test_names_are_only_shown(verifier: JwtVerifier, clock: FakeClock, metadata: Any, name: str) -> None:
    assert (await verifier.verify(sign(claims(clock, user_metadata=metadata)))).name == name


CLAIMS = [
    {"iss": "https://evil.example/auth/v1"},
    {"iss": ISSUER + "/"},
    {"iss": None},
    {"iss": [ISSUER]},
    {"aud": "anon"},
    {"aud": None},
    {"aud": ["other"]},
    {"aud": 3},
    {"exp": None},
    {"exp": "4000000000"},
    {"exp": True},
    {"exp": float("inf")},
    {"exp": []},
    {"iat": None},
    {"iat": "now"},
    {"nbf": "now"},
    {"sub": None},
    {"sub": ""},
    {"sub": "admin"},
    {"sub": "../x"},
    {"sub": {"a": 1}},
    {"role": "service_role"},
    {"role": "anon"},
    {"role": None},
    {"email": None},
    {"email": ""},
    {"email": " "},
    {"email": ["ada@example.com"]},
    {"email": "a\0@example.com"},
    {"email": "a" * 400 + "@example.com"},
    {"is_anonymous": True},
]


@pytest.mark.parametrize("changes", CLAIMS, ids=str)
async def test_claims_that_do_not_hold(verifier: JwtVerifier, clock: FakeClock, changes: dict[str, Any]) -> None:
    body = b64(claims(clock, **changes)) if "inf" not in str(changes) else b64(b'{"exp":1e999}')
    head = b64({"alg": "ES256", "typ": "JWT", "kid": "k1"})
    signing = f"{head}.{body}".encode()
    token = f"{head}.{body}.{b64(jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(signing, KEY))}"
    with pytest.raises(Unauthorized) as refused:
        await verifier.verify(token)
    assert "example.com" not in refused.value.detail


async def test_times(verifier: JwtVerifier, clock: FakeClock) -> None:
    now = int(clock.seconds)
    for good in ({"exp": now + 1}, {"iat": now + 9}, {"nbf": now + 9}):
        await verifier.verify(sign(claims(clock, **good)))
    for bad in ({"exp": now}, {"exp": now - 1}, {"iat": now + 11}, {"nbf": now + 11}, {"nbf": now + 3000}):
        with pytest.raises(Unauthorized):
            await verifier.verify(sign(claims(clock, **bad)))
    token = sign(claims(clock))
    clock.advance(3601)
    with pytest.raises(Unauthorized, match="ended"):
        await verifier.verify(token)


def public_pem() -> bytes:
    return KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def hmac_signed(header: dict[str, Any], body: dict[str, Any], secret: bytes) -> str:
    """As the classic confusion of algorithms: the public key, which everybody has, as a shared secret."""
    signing = f"{b64(header)}.{b64(body)}"
    return f"{signing}.{b64(hmac.digest(secret, signing.encode(), hashlib.sha256))}"


def forgeries(clock: FakeClock) -> dict[str, str]:
    body = claims(clock)
    good = sign(body)
    head, payload, signature = good.split(".")
    more = sign(claims(clock, sub=str(uuid.uuid4()))).split(".")[1]
    rs = rsa.generate_private_key(65537, 2048)
    p384 = ec.generate_private_key(ec.SECP384R1())
    es256 = {"alg": "ES256", "typ": "JWT", "kid": "k1"}
    return {
        "another key": sign(body, OTHER),
        "another's claims": f"{head}.{more}.{signature}",
        "none": f"{b64({**es256, 'alg': 'none'})}.{payload}.",
        "None": f"{b64({**es256, 'alg': 'None'})}.{payload}.{signature}",
        "no signature": f"{head}.{payload}.",
        "no alg": f"{b64({'kid': 'k1'})}.{payload}.{signature}",
        "HS256 with the public key": hmac_signed({**es256, "alg": "HS256"}, body, public_pem()),
        "HS256 with the published key": hmac_signed({**es256, "alg": "HS256"}, body, json.dumps(jwk(KEY)).encode()),
        "HS256 called ES256": hmac_signed(es256, body, public_pem()),
        "RS256": sign(body, rs, algorithm="RS256"),
        "ES384": sign(body, p384, algorithm="ES384"),
        "ES384 called ES256": f"{head}.{payload}.{sign(body, p384, algorithm='ES384').split('.')[2]}",
        "es256": f"{b64({**es256, 'alg': 'es256'})}.{payload}.{signature}",
        "no kid": jwt.encode(body, KEY, algorithm="ES256"),
        "a kid that is no text": f"{b64({**es256, 'kid': 1})}.{payload}.{signature}",
        "an empty kid": sign(body, kid=""),
        "its own key": sign(body, OTHER, jwk=jwk(OTHER)),
        "a key's address": sign(body, OTHER, jku="https://evil.example/jwks.json", x5u="https://evil.example/"),
        "an extension that must be understood": sign(body, crit=["exp"]),
        "a detached body": f"{b64({**es256, 'b64': False})}.{payload}.{signature}",
        "a signature in DER": f"{head}.{payload}.{b64(KEY.sign(f'{head}.{payload}'.encode(), ec.ECDSA(_sha256())))}",
        "a signature of zeros": f"{head}.{payload}.{b64(bytes(64))}",
        "half a signature": f"{head}.{payload}.{signature[:40]}",
        "two parts": f"{head}.{payload}",
        "four parts": f"{good}.x",
        "five parts": f"{good}.x.y",
        "nothing": "",
        "dots": "..",
        "no base64": "!!!.???.###",
        "not ASCII": "é.é.é",
        "a head that is a list": f"{b64([1])}.{payload}.{signature}",
        "a body that is a list": _signed_raw(es256, b"[1]"),
        "a body that is no JSON": _signed_raw(es256, b"{"),
        "a body that is not UTF-8": _signed_raw(es256, b'{"sub":"\xff"}'),
        "a body that is nested deep": _signed_raw(es256, b'{"a":' * 700 + b"1" + b"}" * 700),
        "a head that is nested deep": f"{b64(b'[' * 2000)}.{payload}.{signature}",
        "an empty body": _signed_raw(es256, b"{}"),
        "too long": sign({**body, "x": "x" * 9000}),
    }


def _signed_raw(header: dict[str, Any], body: bytes) -> str:
    signing = f"{b64(header)}.{b64(body)}"
    signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(signing.encode(), KEY)
    return f"{signing}.{b64(signature)}"


def _sha256() -> Any:
    from cryptography.hazmat.primitives.hashes import SHA256

    return SHA256()


async def test_every_forgery_is_refused(verifier: JwtVerifier, clock: FakeClock) -> None:
    await verifier.verify(sign(claims(clock)))
    accepted = []
    for name, token in forgeries(clock).items():
        try:
            await verifier.verify(token)
        except Unauthorized:
            continue
        accepted.append(name)
    assert accepted == []


@pytest.mark.parametrize(
    "published",
    [
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "k1"},
        {**jwk(KEY), "crv": "P-384"},
        {**jwk(KEY), "alg": "ES384"},
        {**jwk(KEY), "use": "enc"},
        {**jwk(KEY), "x": "AAAA"},
        {**jwk(KEY), "kid": None},
        jwk(KEY, d="AAAA"),
        "k1",
        None,
    ],
)
async def test_keys_of_other_kinds_are_not_used(
    issuer: Issuer, verifier: JwtVerifier, clock: FakeClock, published: Any
) -> None:
    issuer.keys = [published, jwk(OTHER, "k2")]
    with pytest.raises(Unauthorized):
        await verifier.verify(sign(claims(clock)))
    await verifier.verify(sign(claims(clock), OTHER, kid="k2"))


# The issuer's keys.


async def test_no_call_for_each_token(issuer: Issuer, verifier: JwtVerifier, clock: FakeClock) -> None:
    token = sign(claims(clock))
    await asyncio.gather(*(verifier.verify(token) for _ in range(20)))
    for _ in range(20):
        await verifier.verify(token)
    assert issuer.asked == 1


async def test_new_keys_are_fetched_behind_the_callers_back(
    issuer: Issuer, verifier: JwtVerifier, clock: FakeClock
) -> None:
    token = sign(claims(clock))
    await verifier.verify(token)
    clock.advance(299)
    await verifier.verify(token)
    assert issuer.asked == 1
    clock.advance(2)
    issuer.fault = never
    await verifier.verify(token)  # it does not wait
    await others_turn()
    assert issuer.asked == 2


async def test_a_key_that_was_withdrawn_is_not_trusted_longer_than_ten_minutes(
    issuer: Issuer, verifier: JwtVerifier, clock: FakeClock
) -> None:
    token = sign(claims(clock))
    await verifier.verify(token)
    issuer.keys = [jwk(OTHER, "k2")]
    clock.advance(601)
    with pytest.raises(Unauthorized):
        await verifier.verify(token)


async def test_a_rotated_key_is_found(issuer: Issuer, verifier: JwtVerifier, clock: FakeClock) -> None:
    await verifier.verify(sign(claims(clock)))
    issuer.keys.append(jwk(OTHER, "k2"))
    clock.advance(31)
    await asyncio.gather(*(verifier.verify(sign(claims(clock), OTHER, kid="k2")) for _ in range(5)))
    assert issuer.asked == 2


async def test_made_up_names_ask_at_most_every_30_seconds(
    issuer: Issuer, verifier: JwtVerifier, clock: FakeClock
) -> None:
    await verifier.verify(sign(claims(clock)))
    for second in range(120):
        with pytest.raises(Unauthorized):
            await verifier.verify(sign(claims(clock), OTHER, kid=f"x{second}"))
        clock.advance(1)
    assert issuer.asked <= 1 + 120 / 30


# An issuer that is down, slow, or talks nonsense.


async def others_turn() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def refused() -> HttpAnswer:
    raise HttpRefused("no connection", sent=False)


async def slow() -> HttpAnswer:
    raise HttpTimeout("no answer within 5 s", sent=True)


async def never() -> HttpAnswer:
    await asyncio.Event().wait()
    raise AssertionError


def answering(status: int, body: bytes) -> Callable[[], Awaitable[HttpAnswer]]:
    async def answer() -> HttpAnswer:
        return HttpAnswer(status, {}, body)

    return answer


FAULTS = [
    refused,
    slow,
    answering(500, b"oops"),
    answering(404, b"{}"),
    answering(302, b""),
    answering(200, b"<html>"),
    answering(200, b"[]"),
    answering(200, b"null"),
    answering(200, b'{"keys":[]}'),
    answering(200, b'{"keys":{}}'),
    answering(200, b'{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":"?","y":"?"}]}'),
    answering(200, b'{"keys":[null,1,"x",{"kty":"EC"}]}'),
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_without_any_key_it_is_unavailable(
    issuer: Issuer, verifier: JwtVerifier, clock: FakeClock, fault: Callable[[], Awaitable[HttpAnswer]]
) -> None:
    issuer.fault = fault
    for _ in range(5):
        with pytest.raises(Unavailable):
            await verifier.verify(sign(claims(clock)))
    assert issuer.asked == 1  # not for each caller
    issuer.fault = None
    clock.advance(3)
    await verifier.verify(sign(claims(clock)))


@pytest.mark.parametrize("fault", FAULTS)
async def test_known_keys_serve_for_an_hour_meanwhile(
    issuer: Issuer,
    verifier: JwtVerifier,
    clock: FakeClock,
    fault: Callable[[], Awaitable[HttpAnswer]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await verifier.verify(sign(claims(clock)))
    issuer.fault = fault
    for _ in range(35):
        clock.advance(100)
        await verifier.verify(sign(claims(clock)))
        await others_turn()  # the fetch that is under way ends
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert 10 < issuer.asked < 40
    with pytest.raises(Unavailable):  # a key that may be new
        await verifier.verify(sign(claims(clock), OTHER, kid="k2"))
    clock.advance(200)
    with pytest.raises(Unavailable):
        await verifier.verify(sign(claims(clock)))
    issuer.fault = None
    clock.advance(31)
    await verifier.verify(sign(claims(clock)))
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


async def test_a_caller_who_goes_away_takes_the_fetch_from_nobody(
    issuer: Issuer, verifier: JwtVerifier, clock: FakeClock
) -> None:
    release = asyncio.Event()

    async def late() -> HttpAnswer:
        await release.wait()
        return HttpAnswer(200, {}, json.dumps({"keys": issuer.keys}).encode())

    issuer.fault = late
    first, second = (asyncio.create_task(verifier.verify(sign(claims(clock)))) for _ in range(2))
    await others_turn()
    first.cancel()
    release.set()
    assert (await second).account_id == ACCOUNT
    assert issuer.asked == 1


async def test_over_a_connection(clock: FakeClock) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        body = json.dumps({"keys": [jwk(KEY)]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/auth/v1"
    http = HttpClient()
    try:
        verified = await JwtVerifier(http, url, clock, monotonic=clock.monotonic).verify(sign(claims(clock, iss=url)))
    finally:
        await http.close()
        server.close()
    assert verified.account_id == ACCOUNT
    assert asked[0].startswith(b"GET /auth/v1/.well-known/jwks.json HTTP/1.1\r\n")
