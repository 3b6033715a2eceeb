"""Credentials that are none, or are not good any more, through the Worker.

Each process counts those that failed by address, and stops after `FAILURES_MOST` in a minute.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from core import keys
from core.failures import FAILURES_MOST
from tests.cloud import inside
from tests.cloud.people import Person
from tests.cloud.stack import Answer, Stack, wait_until


@pytest.fixture(scope="module", autouse=True)
def forgiven(stack: Stack) -> Iterator[None]:
    """Whose credentials failed is remembered by the processes: the tests after these meet others."""
    yield
    before = set(stack.pids("function"))
    for pid in before:
        inside.kill(pid)
    wait_until(lambda: not before & set(stack.pids("function")) and stack.well("function"), 40, "functions are back")


def test_keys_that_are_none(stack: Stack) -> None:
    good = stack.make("key").stdout.strip()
    middle = len(good) // 2
    other = "A" if good[middle] != "A" else "B"
    tag_secrets = inside.environment(stack, "memories")["KEY_TAG_SECRET"].split()
    bad = {
        "mistyped": good[:middle] + other + good[middle + 1 :],
        "cut off": good[:-1],
        "two in one": good + good,
        "another case": good.swapcase(),
        "forged": keys.issue(["a secret of another's"]).text,
        "genuine, and known to nobody": keys.issue(tag_secrets).text,
        "sql": "mg_' OR '1'='1",
    }
    for what, key in bad.items():
        answer = stack.call("GET", "/memories/recent", key=key)
        assert (answer.status, answer.headers["www-authenticate"][:6]) == (401, "Bearer"), what
        assert key not in str(answer.body), what
    assert stack.call("GET", "/memories/recent", key=good).status == 200


def test_a_key_ends_when_it_was_said_to(stack: Stack) -> None:
    person = Person(stack)
    ends = datetime.now(UTC) + timedelta(seconds=3)
    key = person.key(expires_at=ends.isoformat())
    while (answer := stack.call("GET", "/memories/recent", key=key)).status == 200:
        assert datetime.now(UTC) < ends + timedelta(seconds=1), "the call before took a while, at most"
    assert answer.status == 401
    assert "expired" in answer.body["detail"]
    assert datetime.now(UTC) >= ends


def encoded(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def test_tokens_that_are_none(stack: Stack) -> None:
    """Signed with the issuer's own key where only a claim is wrong, so that nothing else can be the reason."""
    person = Person(stack)
    held = json.loads((stack.root / "cloud" / "resources.json").read_text())["sections"]["supabase"]
    [project] = held.values()
    [used] = [key for key in project["auth"]["signing_keys"] if key["status"] == "in_use"]
    claims = jwt.decode(person.token, options={"verify_signature": False})
    private = serialization.load_pem_private_key(used["private_key"].encode(), None)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head, stranger = {"kid": used["id"]}, ec.generate_private_key(ec.SECP256R1())
    now = int(time.time())

    def signed(**changes: Any) -> str:
        return jwt.encode({**claims, **changes}, used["private_key"], "ES256", head)

    def by_secret(secret: bytes) -> str:
        text = f"{encoded({'alg': 'HS256', 'typ': 'JWT', **head})}.{encoded(claims)}"
        return f"{text}.{base64.urlsafe_b64encode(hmac.digest(secret, text.encode(), 'sha256')).rstrip(b'=').decode()}"

    body, mark = signed().rsplit(".", 1)
    bad = {
        "another's key under the name": jwt.encode(claims, stranger, "ES256", head),
        "an unknown key": jwt.encode(claims, stranger, "ES256", {"kid": str(uuid.uuid4())}),
        "alg none": f"{encoded({'alg': 'none', **head})}.{encoded(claims)}.",
        "HS256 with the public key": by_secret(public),
        "no signature": f"{body}.",
        "another subject": f"{body.split('.')[0]}.{encoded({**claims, 'sub': str(uuid.uuid4())})}.{mark}",
        "expired": signed(exp=now - 1),
        "not yet": signed(nbf=now + 600),
        "another audience": signed(aud="anon"),
        "another issuer": signed(iss="https://evil.example.com/auth/v1"),
        "another role": signed(role="service_role"),
        "sql as the subject": signed(sub="' OR '1'='1"),
    }
    known = person.call("GET", "/auth/verify").body
    for what, token in bad.items():
        answer = stack.call("GET", "/auth/verify", Authorization=f"Bearer {token}")
        assert answer.status == 401, (what, answer)
    good = stack.call("GET", "/auth/verify", Authorization=f"Bearer {signed()}")
    assert good.body == known, "the same token, unchanged, is taken"


def test_who_guesses_is_told_to_wait_and_who_knows_is_not(stack: Stack) -> None:
    """The last of these, because it leaves the process suspicious."""
    good = stack.make("key").stdout.strip()

    def guess() -> Answer:
        return stack.call("GET", "/memories/recent", key=keys.issue(["guessed"]).text)

    answers = first(guess, lambda answer: answer.status != 401)
    assert len(answers) <= FAILURES_MOST + 1
    assert answers[-1].status == 429
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert stack.call("GET", "/memories/recent", key=good).status == 200


def first(ask: Callable[[], Answer], wanted: Callable[[Answer], bool]) -> list[Answer]:
    answers = [ask()]
    while not wanted(answers[-1]):
        assert len(answers) < 100
        answers.append(ask())
    return answers
