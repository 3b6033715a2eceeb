"""API keys: `mg_` + 12 characters of id + 32 of secret + 8 of tag, all base62.

The tag is an HMAC over the rest, so a forged or mistyped key is refused without asking anyone. What is stored is the
SHA-256 of the whole key: 190 random bits need no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass, field

PREFIX = "mg_"
ID_LENGTH = 12
SECRET_LENGTH = 32
TAG_LENGTH = 8

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_DIGEST_LENGTH = 43  # base62 digits of 256 bits
_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{ID_LENGTH + SECRET_LENGTH + TAG_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A new key. `text` is shown once and never stored; `prefix` is what lists show; `hash` is what is stored."""

    text: str = field(repr=False)

    @property
    def prefix(self) -> str:
        return self.text[: len(PREFIX) + ID_LENGTH]

    @property
    def hash(self) -> str:
        return hash_key(self.text)


def issue(tag_secrets: Sequence[str]) -> ApiKey:
    """A new random key, tagged with the first of `tag_secrets`."""
    body = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH + SECRET_LENGTH))
    return ApiKey(body + _tag(body, tag_secrets[0]))


def is_genuine(text: str, tag_secrets: Sequence[str]) -> bool:
    """True when the key has the right form and was tagged with one of `tag_secrets`; says nothing about its owner."""
    if not _FORM.fullmatch(text):
        return False
    body, tag = text[:-TAG_LENGTH], text[-TAG_LENGTH:]
    return any([hmac.compare_digest(_tag(body, secret), tag) for secret in tag_secrets])  # noqa: C419  every one, in constant time


def hash_key(text: str) -> str:
    """SHA-256 of the whole key, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def _tag(body: str, secret: str) -> str:
    """The first characters of the HMAC-SHA256, written as a base62 number of 43 digits."""
    digest = hmac.digest(secret.encode(), body.encode(), "sha256")
    number = int.from_bytes(digest) // 62 ** (_DIGEST_LENGTH - TAG_LENGTH)
    digits = []
    for _ in range(TAG_LENGTH):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
