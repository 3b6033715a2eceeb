"""A vendor's API on loopback: the test says what each call answers, and sees what was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]
Route = Callable[[Any], Answer]
LOST: Answer = (0, None)
"""The connection is closed in place of an answer."""


@dataclass
class Vendor:
    """`routes` maps "METHOD /path" to a function of the request's body; anything else is for `rest`.

    A form's body is flat: `{"a[b]": "text"}`. `headers` are those of each call.
    """

    url: str
    routes: dict[str, Route] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    headers: list[dict[str, str]] = field(default_factory=list)
    rest: Callable[[str, Any], Answer] = lambda *_: (404, {"message": "not found"})

    def route(self, call: str) -> Route:
        return self.routes.get(call) or (lambda body: self.rest(call, body))

    def first_fail(self, call: str, *answers: Answer) -> None:
        """Before `call` answers as it should, it answers these, in order."""
        good, left = self.route(call), list(answers)
        self.routes[call] = lambda body: left.pop(0) if left else good(body)


@contextmanager
def serving() -> Iterator[Vendor]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            data = self.rfile.read(size)
            form = self.headers["Content-Type"] == "application/x-www-form-urlencoded"
            body = (
                None
                if not size
                else dict(parse_qsl(data.decode(), keep_blank_values=True))
                if form
                else json.loads(data)
            )
            call = f"{self.command} {self.path}"
            vendor.calls.append(call)
            vendor.bodies.append(body)
            vendor.tokens.add(self.headers["Authorization"])
            vendor.headers.append(dict(self.headers))
            status, content, *more = vendor.route(call)(body)
            if not status:
                self.close_connection = True
                return
            data = b"" if content is None else content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    vendor = Vendor(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
