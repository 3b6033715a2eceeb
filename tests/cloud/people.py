"""People as the tests need them: they sign up with the clients that people have, and open the links of their mails."""

from __future__ import annotations

import html
import http.client
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from supabase import Client, ClientOptions, create_client

from tests.cloud.stack import Answer, Stack, wait_until

PASSWORD = "correct horse battery"


@contextmanager
def client(stack: Stack) -> Iterator[Client]:
    """The Python client of Supabase, for somebody who is not signed in yet."""
    outputs = json.loads(stack.pulumi("stack", "output", "--json").stdout)
    options = ClientOptions(auto_refresh_token=False, persist_session=False)
    made = create_client(outputs["auth_url"], outputs["publishable_key"], options)
    with made.auth:
        yield made


def open_link(url: str) -> str:
    """Where a link of a mail leads."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        answer.read()
        assert 300 <= answer.status < 400, answer.status
        return answer.getheader("Location") or ""
    finally:
        connection.close()


def auth_link(mail: dict[str, Any]) -> str:
    """The link of a mail of Supabase Auth."""
    [found] = set(re.findall(r'href="([^"]+/verify[^"]+)"', mail["html"]))
    return html.unescape(found)


def token(mail: dict[str, Any]) -> str:
    """What the link of one of our own mails proves."""
    [found] = set(re.findall(r"#token=([\w.-]+)", mail["text"]))
    return str(found)


def confirm(auth: Any, mail: dict[str, Any]) -> None:
    """Open the link of a mail, and let the client finish what it began."""
    landed = urlsplit(open_link(auth_link(mail)))
    assert landed.hostname == "memorygraph.localhost", landed
    [code] = parse_qs(landed.query)["code"]
    auth.exchange_code_for_session({"auth_code": code, "code_verifier": "", "redirect_to": ""})


class Person:
    """Somebody who has signed up, confirmed their address and signed in."""

    def __init__(self, stack: Stack, name: str = "") -> None:
        self.stack = stack
        self.email = f"{secrets.token_hex(6)}@example.com"
        with client(stack) as made:
            data = {"full_name": name} if name else {}
            made.auth.sign_up({"email": self.email, "password": PASSWORD, "options": {"data": data}})
            confirm(made.auth, stack.mail(self.email, "Confirm"))
            self.sign_in(made)

    def sign_in(self, made: Client, password: str = PASSWORD) -> None:
        """Raises: AuthApiError: it is refused."""
        session = made.auth.sign_in_with_password({"email": self.email, "password": password}).session
        assert session is not None
        self.token = session.access_token
        self.account = session.user.id

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return self.stack.call(method, path, body, Authorization=f"Bearer {self.token}", **headers)

    def workspace(self) -> str:
        """The id of their own."""
        found: str = self.call("GET", "/auth/verify").body["workspace"]["id"]
        return found

    def ready(self) -> None:
        """Wait for the store of their own workspace."""
        wait_until(lambda: self.call("GET", "/auth/verify").body["workspace"]["ready"], 20, "their workspace is ready")

    def key(self, workspace: str | None = None, **wanted: Any) -> str:
        headers = {"X_Workspace": workspace} if workspace else {}
        made = self.call("POST", "/api-keys", {"name": "laptop", **wanted}, **headers)
        assert made.status == 201, made
        text: str = made.body["key"]
        return text


class Team:
    """A workspace on the plan Team, which cannot be bought yet: the operator opened it, and its owner has a key."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.key = stack.make("key", "PLAN=team").stdout.strip()
        known = self.call("GET", "/auth/verify").body
        self.owner: str = known["account"]["id"]
        self.id: str = known["workspace"]["id"]
        self.path = f"/workspaces/{self.id}"

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        return self.stack.call(method, path, body, key=self.key)

    def invite(self, person: Person, role: str = "member") -> str:
        """The token that the mail brings."""
        sent = self.call("POST", f"{self.path}/invitations", {"email": person.email, "role": role})
        assert sent.status == 201, sent
        return token(self.stack.mail(person.email, "invited"))

    def seats(self) -> int:
        seats: int = self.call("GET", "/auth/verify").body["workspace"]["seats"]
        return seats


def assert_ends(call: Callable[[], Answer], status: int = 401) -> None:
    """No call that begins later than the five seconds that were promised is let in."""
    answered = time.monotonic()
    while True:
        asked = time.monotonic()
        answer = call()
        if answer.status == status:
            return
        assert answer.status == 200, answer
        assert asked - answered <= 5
        time.sleep(0.1)
