from __future__ import annotations

import uuid

import pytest

from core.urls import base_url, resolved, workspace_of_url, workspace_url


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


@pytest.mark.parametrize(
    ("url", "there"),
    [
        ("http://redis.localhost:8080/a?b=c", "http://127.0.0.1:8080/a?b=c"),
        ("http://localhost", "http://127.0.0.1"),
        ("https://redis.upstash.io", "https://redis.upstash.io"),
        ("http://localhost.evil.example:80", "http://localhost.evil.example:80"),
    ],
)
def test_a_client_that_asks_the_resolver_is_told_where_this_machine_is(url: str, there: str) -> None:
    assert resolved(url) == there


def test_the_url_of_a_workspace_leads_back_to_it() -> None:
    workspace = uuid.UUID(int=7)
    assert workspace_of_url(workspace_url(str(workspace))) == workspace
