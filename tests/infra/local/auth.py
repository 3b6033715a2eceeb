"""A project's Auth for tests: its address and keys, its settings, and the mails that it sent."""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass
from html import unescape
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from tests.infra.local.running import Api, Daemon, Json, call

SITE = "http://site.localhost:4000"
ALLOWED = "https://app.example.com/**,https://*.preview.example.com/done"
PASSWORD = "correct horse"
SETTINGS: Json = {
    "site_url": SITE,
    "uri_allow_list": ALLOWED,
    "rate_limit_email_sent": 100_000,
    "smtp_max_frequency": 0,
    "smtp_admin_email": "hello@memorygraph.test",
    "smtp_sender_name": "MemoryGraph",
    "external_github_enabled": True,
    "external_github_client_id": "id",
    "external_google_enabled": True,
    "external_google_client_id": "id",
}
SECRETS = {"external_github_secret": "secret", "external_google_secret": "secret"}


@dataclass(frozen=True)
class Auth:
    """`api` is the Management API; `address` is where supabase.co would be."""

    daemon: Daemon
    api: Api
    ref: str
    address: str
    publishable: str
    secret: str

    @property
    def path(self) -> str:
        return f"/v1/projects/{self.ref}"

    @property
    def issuer(self) -> str:
        return f"{self.address}/auth/v1"

    def set(self, **settings: Any) -> Json:
        status, shown = self.api("PATCH", f"{self.path}/config/auth", settings)
        assert status == 200, shown
        return cast(Json, shown)

    def call(
        self, method: str, path: str, body: Any = None, *, key: str = "", token: str = "", version: str = ""
    ) -> tuple[int, Any]:
        """One request below /auth/v1, as a client makes it; without a version, errors have the older shape."""
        headers = {"apikey": key or self.publishable, **({"X-Supabase-Api-Version": version} if version else {})}
        port = urlsplit(self.address).port
        assert port is not None
        return call(port, method, f"/auth/v1{path}", body, token=token, headers=headers)

    def mails(self, to: str) -> list[Json]:
        """What was sent to an address, the newest first."""
        return cast(list[Json], self.daemon.control("GET", f"/mail/messages?to={to}")["messages"])

    def link(self, to: str) -> str:
        """The link in the newest mail."""
        found = re.search(r'href="([^"]+)"', self.mails(to)[0]["html"])
        assert found is not None
        return unescape(found[1])

    def person(self, email: str, **more: Any) -> Json:
        """A user who has confirmed, made by the administrator."""
        body = {"email": email, "password": PASSWORD, "email_confirm": True, **more}
        status, user = self.call("POST", "/admin/users", body, key=self.secret)
        assert status == 200, user
        return cast(Json, user)

    def session(self, email: str, password: str = PASSWORD) -> Json:
        status, session = self.call("POST", "/token?grant_type=password", {"email": email, "password": password})
        assert status == 200, session
        return cast(Json, session)


def follow(url: str) -> str:
    """Where a browser is sent from an address of the local cloud: one step."""
    status, headers, text = open_page(url)
    assert status in (302, 303), text
    return headers["location"]


def open_page(url: str) -> tuple[int, dict[str, str], str]:
    """One GET as a browser makes it, without an API key: status, headers in small letters, text."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers={"User-Agent": "Mozilla/5.0"})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def fragment(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).fragment))


def consent(url: str, **answer: str) -> str:
    """Go from /authorize through the page in place of the provider's; where the application is called back."""
    page = follow(url)
    parts = query(page)
    chosen = "&".join(f"{name}={value}" for name, value in {"verified": "yes", "decision": "allow", **answer}.items())
    address = page.partition("?")[0]
    return follow(follow(f"{address}?provider={parts['provider']}&state={parts['state']}&{chosen}"))
