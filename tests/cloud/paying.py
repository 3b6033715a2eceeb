"""Stripe as the tests need it: the stand-in's controls, its events, and its payment page in a real browser."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from playwright.sync_api import Page, sync_playwright

from infra.local import browser as browsers
from infra.local.places import DEFAULT_ROOT, Places
from infra.local.progress import Progress
from tests.cloud.people import Person
from tests.cloud.stack import Stack, wait_until

DAY = 86_400
SITE = "http://memorygraph.localhost"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
"""Root needs the first; the others keep the browser from looking for its maker."""


class Till:
    """The stand-in of Stripe of one stack."""

    def __init__(self, stack: Stack) -> None:
        self._url: str = stack.control("/addresses")["stripe_api"]

    def local(self, method: str, path: str, **body: Any) -> Any:
        """A control of the stand-in, see infra/local/cloud/vendors/stripe/controls.py."""
        return self._ask(method, f"/_local/{path}", body)

    def get(self, path: str) -> Any:
        """What Stripe itself answers."""
        return self._ask("GET", f"/v1/{path}", None)

    def post(self, path: str, fields: dict[str, str]) -> Any:
        """The same, for a change."""
        return self._ask("POST", f"/v1/{path}", fields)

    def customer(self, workspace: str) -> str:
        [found] = [
            one["id"]
            for one in self.get("customers?limit=100")["data"]
            if one["metadata"].get("workspace_id") == workspace
        ]
        return str(found)

    def subscriptions(self, customer: str, status: str = "active") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"subscriptions?customer={customer}&status={status}")["data"]
        return found

    def settle(self) -> None:
        """Wait until every event was taken."""
        assert self.local("POST", "deliveries/settle", seconds=30)["settled"]

    @contextmanager
    def disturbed(self, **mode: Any) -> Iterator[None]:
        """Deliver otherwise than in order and once, see `deliveries/mode`."""
        self.local("POST", "deliveries/mode", **mode)
        try:
            yield
        finally:
            self.local("POST", "deliveries/mode", hold=False, shuffle=False, duplicate=0, drop=[])

    def _ask(self, method: str, path: str, body: Any) -> Any:
        as_form = path.startswith("/v1/")
        data = None if body is None or method == "GET" else (urlencode(body) if as_form else json.dumps(body)).encode()
        kind = "application/x-www-form-urlencoded" if as_form else "application/json"
        headers = {"Authorization": "Bearer local", "Content-Type": kind}
        with urlopen(Request(self._url + path, data, headers, method=method), timeout=60) as answer:
            return json.loads(answer.read())


class Payer(Person):
    """Somebody with a workspace of their own, who pays for it."""

    def billing(self) -> dict[str, Any]:
        answer = self.call("GET", "/billing")
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.body
        return found

    def checkout(self, plan: str) -> str:
        """The address of a payment page."""
        answer = self.call("POST", "/billing/checkout", {"plan": plan})
        assert answer.status == 201, answer
        return str(answer.body["url"])

    def change(self, plan: str) -> dict[str, Any]:
        answer = self.call("POST", "/billing/plan", {"plan": plan})
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.body
        return found

    def wait_for(self, seconds: float = 30, **wanted: Any) -> dict[str, Any]:
        """What billing says once it says this; a name with `__` is one inside another."""

        def is_so() -> bool:
            return all(_inside(self.billing(), name) == value for name, value in wanted.items())

        wait_until(is_so, seconds, f"billing says {wanted}")
        return self.billing()


def _inside(body: Any, name: str) -> Any:
    for part in name.split("__"):
        body = body[part]
    return body


@contextmanager
def browser_page() -> Iterator[Page]:
    """A page of a real browser. Where the site is not served, the way back to it is a request that leads nowhere."""
    with sync_playwright() as playwright:
        found = browsers.find(Places.of(os.environ.get("LOCAL_ROOT", DEFAULT_ROOT)), Progress(quiet=True))
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        page = browser.new_page()
        try:
            yield page
        finally:
            browser.close()


def is_local(url: str) -> bool:
    return urlsplit(url).hostname == "127.0.0.1"
