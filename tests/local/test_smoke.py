"""`make smoke` against a small server that does as it is told, right or wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from infra.local import commands, result
from infra.local.places import Places
from infra.local.smoke import smoke
from infra.local.trouble import Trouble
from infra.smoke import checks
from infra.smoke.asking import Api
from infra.smoke.checks import Smoke

KEY = "mg_" + "k" * 40
NAMES = ("health", "strangers", "key", "store", "search", "read", "delete")
Reply = tuple[int, Any]


class Server(ThreadingHTTPServer):
    """An API with one key. `faults` maps a method and the beginning of a path to the answers that come first, each a
    status or None for none at all; `asked` is every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.memories: dict[str, dict[str, Any]] = {}
        self.faults: dict[tuple[str, str], list[int | None]] = {}
        self.asked: list[tuple[str, str]] = []
        self.open_to_all = False
        self.loses = False
        self.keeps = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fault(self, method: str, path: str) -> list[int | None] | None:
        return next((f for (m, start), f in self.faults.items() if m == method and path.startswith(start) and f), None)

    def reply(self, method: str, path: str, key: str, body: Any) -> Reply:
        if path == "/health":
            return 200, {"status": "healthy", "version": "1.2.3"}
        if key != KEY and not self.open_to_all:
            return 401, {"detail": "No API key was sent."}
        if path == "/search/advanced":
            return 200, {"memories": [one for one in self.memories.values() if body["query"] in one["title"]]}
        if path == "/memories" and method == "POST":
            if not self.loses:
                self.memories[body["id"]] = body
            return 201, body
        if path.startswith("/memories/"):
            name = path.rpartition("/")[2]
            if name not in self.memories:
                return 404, {"detail": "No such memory."}
            if method == "DELETE" and self.keeps:
                return 500, {"detail": "As the test wants it."}
            return (200, self.memories[name]) if method == "GET" else (204, self.memories.pop(name) and None)
        return 200, {}


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def _answer(self) -> None:
        path = self.path.removeprefix("/api/v1").partition("?")[0]
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
        self.server.asked.append((self.command, path))
        status, value = self.server.reply(self.command, path, self.headers.get("X-API-Key", ""), body)
        planned = self.server.fault(self.command, path)
        if planned:
            first = planned.pop(0)
            if first is None:  # it did it, and its answer is lost
                self.close_connection = True
                return
            status, value = first, {"detail": "As the test wants it."}
        text = b"" if status == 204 else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("X-Request-Id", "1")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


class Run:
    """One run, and what was said; pauses pass at once."""

    def __init__(self, url: str, key: str = KEY) -> None:
        self.lines: list[str] = []
        self.seconds = 0.0
        smoking = Smoke(Api(url), key, self.lines.append, sleep=self._pass, monotonic=lambda: self.seconds)
        self.failed = smoking.run()

    def _pass(self, seconds: float) -> None:
        self.seconds += seconds

    def line(self, name: str) -> str:
        return next(line for line in self.lines if f" {name}:" in line)


@pytest.mark.parametrize("path", ["", "/api/v1", "/api/v1/"])
def test_a_stack_that_works(server: Server, path: str) -> None:
    run = Run(server.url + path)
    assert run.failed == []
    assert [line.split()[1].rstrip(":") for line in run.lines] == list(NAMES)
    assert all(line.startswith("ok ") for line in run.lines)
    assert "version 1.2.3" in run.line("health")
    assert server.memories == {}


def test_one_that_is_still_starting_is_waited_for(server: Server) -> None:
    server.faults["GET", "/health"] = [None, 503, 502]
    run = Run(server.url)
    assert run.failed == []
    assert run.seconds == 1 + 2 + 4


def test_one_that_never_starts_is_told_and_nothing_else_is_asked_of_it(server: Server) -> None:
    server.faults["GET", "/health"] = [503] * 100
    run = Run(server.url)
    assert "health" in run.failed
    assert run.seconds <= checks.PATIENCE_SECONDS
    assert "503 (As the test wants it.) instead of 200" in run.line("health")
    assert "left out" in run.lines[-1]
    assert ("POST", "/memories") not in server.asked


def test_nobody_there() -> None:
    with Server() as gone:
        url = gone.url
    run = Run(url)
    assert run.failed == ["health", "strangers", "key"]
    assert "ConnectionRefusedError" in run.line("health")


def test_one_that_lets_strangers_in(server: Server) -> None:
    server.open_to_all = True
    run = Run(server.url)
    assert run.failed == ["strangers"]
    assert "200 instead of 401 for no key" in run.line("strangers")


def test_a_key_that_is_refused_stores_nothing(server: Server) -> None:
    run = Run(server.url, "mg_" + "x" * 40)
    assert run.failed == ["key"]
    assert "KEY is refused" in run.line("key")
    assert ("POST", "/memories") not in server.asked


def test_a_write_that_was_lost(server: Server) -> None:
    server.loses = True
    run = Run(server.url)
    assert run.failed == ["search", "read"]
    assert "an acknowledged write was lost" in run.line("search")


def test_what_was_stored_is_deleted_even_when_the_search_fails(server: Server) -> None:
    server.faults["POST", "/search"] = [500]
    run = Run(server.url)
    assert run.failed == ["search"]
    assert server.memories == {}


def test_a_store_that_did_it_but_does_not_say_so_leaves_nothing_behind(server: Server) -> None:
    server.faults["POST", "/memories"] = [500]
    assert Run(server.url).failed == ["store"]
    assert server.memories == {}


def test_a_refused_memory_is_not_looked_for(server: Server) -> None:
    server.faults["POST", "/memories"] = [403]
    run = Run(server.url)
    assert run.failed == ["store"]
    assert "403 (As the test wants it.)" in run.line("store")
    assert not any(method == "DELETE" for method, _ in server.asked)


def test_one_that_cannot_be_deleted_is_named(server: Server) -> None:
    server.keeps = True
    run = Run(server.url)
    assert run.failed == ["delete"]
    (left,) = server.memories
    assert f"delete the memory {left} by hand" in run.line("delete")


@pytest.mark.parametrize("lost", [503, None])
def test_what_passes_is_asked_again(server: Server, lost: int | None) -> None:
    for step in (("POST", "/memories"), ("POST", "/search"), ("DELETE", "/memories"), ("GET", "/auth")):
        server.faults[step] = [lost]
    assert Run(server.url).failed == []


def _exits(call: Callable[[], object]) -> str:
    with pytest.raises(Trouble) as caught:
        call()
    return str(caught.value)


def test_where_and_by_which_key_are_said_together(server: Server, places: Places) -> None:
    assert "There is nothing to look at" in _exits(lambda: smoke(places, "", ""))
    assert _exits(lambda: smoke(places, server.url, "")).startswith("KEY is missing")
    result.write(places, server.url, KEY)
    assert _exits(lambda: smoke(places, "", "mg_of_elsewhere")).startswith("URL is missing")
    assert server.asked == [], "a key goes nowhere but to its own address"
    smoke(places, "", "")
    assert server.asked


def test_no_key_in_the_clear(places: Places) -> None:
    assert "in the clear" in _exits(lambda: smoke(places, "http://api.example.com", KEY))
    for url in ("api.example.com", "https://api.example.com:x", "ftp://api.example.com"):
        assert "is no address" in _exits(partial(smoke, places, url, KEY))


def test_the_command(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("URL", server.url)
    monkeypatch.setenv("KEY", KEY)
    assert commands.main(["smoke"]) == 0
    server.loses = True
    assert commands.main(["smoke"]) == 1
    told = capsys.readouterr()
    assert "Not passed: search, read." in told.err
    assert KEY not in told.out + told.err


def test_it_needs_no_package() -> None:
    program = "import sys, infra.local.smoke; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert {"pulumi", "orjson", "httpx", "yaml"} & set(done.stdout.split()) == set()
