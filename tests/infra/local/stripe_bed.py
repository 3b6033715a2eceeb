"""The stand-in of Stripe for tests, on a port of its own, without the rest of the local cloud.

    with StripeBed() as bed:
        client = bed.client()                       # stripe.StripeClient, the real library
        bed.local("POST", "advance", seconds=86_400)  # see infra/local/cloud/vendors/stripe/controls.py

`Hook` is a webhook endpoint that keeps what it is sent.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import stripe

from infra.local.cloud.ports import listener
from infra.local.cloud.vendors.stripe.hosting import Stripe
from infra.local.cloud.web import Services

KEY = "local"
HOST = "127.0.0.1"
Json = dict[str, Any]


class StripeBed:
    """A stand-in that runs in a thread. With a `folder` what it holds outlives it."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        sock = listener(0)
        self.port: int = sock.getsockname()[1]
        sock.close()
        self.url = f"http://{HOST}:{self.port}"
        self.web = httpx.Client(timeout=30)  # what a browser would fetch; redirects are shown, not followed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> StripeBed:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._ending is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(10)
        self.web.close()

    def client(self, key: str = KEY, **options: Any) -> stripe.StripeClient:
        """The real library's client, pointed here."""
        return stripe.StripeClient(key, base_addresses={"api": self.url}, **options)

    def local(self, method: str, control: str, /, **body: Any) -> Json:
        """A control of the stand-in: `local("POST", "advance", seconds=60)`."""
        headers = {"Authorization": f"Bearer {KEY}"}
        answer = self.web.request(method, f"{self.url}/_local/{control}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def settle(self) -> None:
        """Wait until every event was taken by its endpoints."""
        assert self.local("POST", "deliveries/settle", seconds=10)["settled"]

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        standin, services = Stripe(self._folder, self.url), Services()
        services.serve(standin.application(), listener(self.port))
        standin.start()
        ready.set()
        await self._ending.wait()
        await services.stop()
        await standin.stop()


class Hook:
    """A webhook endpoint. `answer` gives the status for the n-th request (from 0)."""

    def __init__(self, answer: Callable[[int], int] = lambda _: 200) -> None:
        self.received: list[tuple[bytes, str]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.received.append((body, self.headers["Stripe-Signature"]))
                self.send_response(answer(len(hook.received) - 1))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_address[1]}/hook"

    def __enter__(self) -> Hook:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def types(self) -> list[str]:
        """The types of the events that came, in the order in which they came."""
        return [json.loads(body)["type"] for body, _ in self.received]

    def wait(self, count: int) -> None:
        """Wait until so many events have come."""
        end = time.monotonic() + 10
        while len(self.received) < count:
            assert time.monotonic() < end, self.types()
            time.sleep(0.01)
