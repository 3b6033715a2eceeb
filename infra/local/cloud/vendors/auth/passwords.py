"""Passwords: how strong they must be, and their hashes (bcrypt, cost 10 as Supabase's)."""

from __future__ import annotations

import asyncio

import bcrypt

from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth.errors import AuthError, weak_password

LONGEST_BYTES = 72  # bcrypt sees no more
ROUNDS = 10


def check(password: str, settings: Json) -> None:
    """Refuse a weak password.

    Raises:
        AuthError: 422 `weak_password` with the reasons, or 400 when it is too long.
    """
    if len(password.encode()) > LONGEST_BYTES:
        raise AuthError(400, "validation_failed", f"Password cannot be longer than {LONGEST_BYTES} characters")
    reasons, sentences = [], []
    least = settings["password_min_length"]
    if len(password.encode()) < least:
        reasons.append("length")
        sentences.append(f"Password should be at least {least} characters.")
    wanted = [group for group in settings["password_required_characters"].split(":") if group]
    if any(not set(group) & set(password) for group in wanted):
        reasons.append("characters")
        sentences.append(f"Password should contain at least one character of each: {', '.join(wanted)}.")
    if reasons:
        raise weak_password(reasons, " ".join(sentences))


async def hashed(password: str) -> str:
    made = await asyncio.to_thread(bcrypt.hashpw, password.encode(), bcrypt.gensalt(ROUNDS))
    return made.decode()


async def matches(password: str, hash_: str | None) -> bool:
    if hash_ is None or len(password.encode()) > LONGEST_BYTES:
        return False
    return await asyncio.to_thread(bcrypt.checkpw, password.encode(), hash_.encode())
