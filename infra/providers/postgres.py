"""Connections to PostgreSQL for the provider: synchronous, with timeouts, and errors without credentials in them."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote, unquote, urlsplit

import psycopg

from infra.config import is_loopback
from infra.providers.kind import ProviderError

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 300
PATIENCE_SECONDS = 45.0
"""A pooler learns of a new password some seconds after the database; until then it refuses it."""


class ConnectionFailed(ProviderError):
    """The database does not let us in."""


def ssl_mode(host: str) -> str:
    """No TLS inside this machine; always elsewhere."""
    return "disable" if is_loopback(host) else "require"


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    """One connection in autocommit mode; the caller opens transactions.

    Raises:
        ConnectionFailed: with the server's words; never with the password.
    """
    try:
        connection = psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            prepare_threshold=None,
            application_name="memorygraph provider",
        )
        connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
    except psycopg.Error as error:
        parts = urlsplit(url)
        words = " ".join(str(error).split()) or type(error).__name__
        raise ConnectionFailed(
            f"The database at {parts.hostname}:{parts.port} refused user {unquote(parts.username or '')!r}: {words}"
        ) from None
    return connection


def connect_patiently(
    url: str, log: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> psycopg.Connection[tuple[object, ...]]:
    """Like `connect`, but keeps trying for PATIENCE_SECONDS."""
    waited, pause = 0.0, 0.5
    while True:
        try:
            return connect(url)
        except ConnectionFailed:
            if waited >= PATIENCE_SECONDS:
                raise
        if waited == 0.0:
            log("waiting for the database")
        sleep(pause)
        waited += pause
        pause = min(pause * 2, 5.0)


def with_login(url: str, role: str, password: str) -> str:
    """The same database for another role. Supabase's pooler wants `ROLE.REF`: the suffix is that of the URL's user."""
    parts = urlsplit(url)
    _, dot, reference = unquote(parts.username or "").partition(".")
    login = f"{quote(role + dot + reference, safe='')}:{quote(password, safe='')}"
    address = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{login}@{address}").geturl()
