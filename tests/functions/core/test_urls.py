from __future__ import annotations

import pytest

from core.urls import base_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("api.memorygraph.dev", "https://api.memorygraph.dev"),
        ("db-org.turso.io:443", "https://db-org.turso.io:443"),
        ("localhost", "http://localhost"),
        ("localhost:8080", "http://localhost:8080"),
        ("db.localhost:8080", "http://db.localhost:8080"),
        ("DB.LOCALHOST", "http://DB.LOCALHOST"),
        ("notlocalhost", "https://notlocalhost"),
        ("localhost.evil.example", "https://localhost.evil.example"),
        ("127.0.0.1:8080", "https://127.0.0.1:8080"),
    ],
)
def test_only_names_of_this_machine_go_without_tls(host: str, url: str) -> None:
    assert base_url(host) == url
