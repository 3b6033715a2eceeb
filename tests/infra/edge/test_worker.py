"""The Worker in real workerd, before a tiny origin that records what reaches it."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from core import edge
from declarations import FUNCTIONS, PREFIX
from infra.components.edge import routes, secret_name
from tests.infra.edge import workerd
from tests.infra.edge.origin import Origin, Reply, serving

SECRET = "the-new-one-ü"
PATH = f"{PREFIX}/memories"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        parsed: dict[str, object] = json.loads(self.body)
        return parsed


@dataclass(frozen=True)
class Worker:
    url: str

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def __call__(
        self, method: str, target: str, *, headers: dict[str, str] | None = None, body: object = None
    ) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=20)
        try:
            # workerd may answer before it was sent a body that it does not want, and close: the answer is there then.
            with suppress(BrokenPipeError):
                connection.request(method, target, body=body, headers=headers or {})  # type: ignore[arg-type]  # any body
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())
        finally:
            connection.close()


def _bindings(origin: str, *, timeout: str = "20") -> dict[str, str]:
    return {
        "ROUTES": routes(FUNCTIONS),
        "ORIGINS": json.dumps({function.name: origin for function in FUNCTIONS}),
        "TIMEOUT_SECONDS": timeout,
        **{secret_name(function.name): f"{SECRET} the-old-one" for function in FUNCTIONS},
    }


@pytest.fixture(scope="module")
def _parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Origin, Worker]]:
    with serving() as origin, workerd.running(tmp_path_factory.mktemp("worker"), _bindings(origin.url)) as url:
        yield origin, Worker(url)


@pytest.fixture
def origin(_parts: tuple[Origin, Worker]) -> Iterator[Origin]:
    found = _parts[0]
    yield found
    found.respond = lambda _: Reply()
    found.requests.clear()


@pytest.fixture
def worker(_parts: tuple[Origin, Worker]) -> Worker:
    return _parts[1]


def test_the_function_accepts_the_signature(worker: Worker, origin: Origin) -> None:
    worker("GET", f"{PATH}?limit=5", headers={"CF-Connecting-IP": "203.0.113.9"})
    seen = origin.last
    hop = edge.check([SECRET], seen.method, seen.target, seen.headers, time.time())
    assert (hop.host, hop.client, hop.method) == (worker.host, "203.0.113.9", "GET")
    assert len(hop.request_id) == 32
    assert int(hop.request_id, 16) >= 0


def test_two_requests_have_two_ids(worker: Worker, origin: Origin) -> None:
    for _ in range(2):
        worker("GET", PATH)
    first, second = (seen.headers["x-edge-request-id"] for seen in origin.requests)
    assert first != second


@pytest.mark.parametrize(
    "target",
    [
        f"{PATH}/a%2Fb",
        f"{PATH}/%E2%82%AC?q=%C3%BC&q=a+b&a=1",
        f"{PATH}/x?b=2&a=1&b=1",
        f"{PATH}/sp%20ace?empty=&flag",
        f"{PATH}/semi;colon,comma!'()*~",
        f"{PATH}?",
        f"{PATH}/%2e%2E%41",
        f"{PATH}?path=/a/../b&url=https://x/?y=%26",
    ],
)
def test_the_signature_holds_over_what_arrives(worker: Worker, origin: Origin, target: str) -> None:
    """Whatever the runtime makes of a path, what is signed is what the function sees."""
    worker("GET", target)
    seen = origin.last
    edge.check([SECRET], seen.method, seen.target, seen.headers, time.time())


@pytest.mark.parametrize(
    "target",
    [f"{PATH}/a%2Fb", f"{PATH}/%E2%82%AC?q=%C3%BC&q=a+b&a=1", f"{PATH}/x?b=2&a=1&b=1", f"{PATH}/sp%20ace?empty=&flag"],
)
def test_paths_and_queries_arrive_verbatim(worker: Worker, origin: Origin, target: str) -> None:
    worker("GET", target)
    assert origin.last.target == target


def test_raw_unicode_in_a_path_is_encoded_and_signed_so(worker: Worker, origin: Origin) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(worker.url).port), timeout=10) as raw:
        raw.sendall(f"GET {PATH}/ü?q=ü HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 200")
    seen = origin.last
    assert seen.target == f"{PATH}/%C3%BC?q=%C3%BC"
    assert edge.check([SECRET], "GET", seen.target, seen.headers, time.time()).host == "api.example"


def test_what_only_the_edge_may_say_is_dropped(worker: Worker, origin: Origin) -> None:
    forged = {
        "X-Edge-Timestamp": "1",
        "X-Edge-Request-Id": "mine",
        "X-Edge-Client": "10.0.0.1",
        "X-Edge-Host": "evil.example",
        "X-Edge-Signature": "00",
        "X-EDGE-Anything": "more",
        "X-Serverless-Authorization": "Bearer nothing",
    }
    worker("GET", PATH, headers=forged)
    seen = origin.last.headers
    assert not set(forged.values()) & set(seen.values())
    assert not {"x-edge-anything", "x-serverless-authorization"} & set(seen)
    assert seen["x-edge-client"] == ""


def test_what_the_client_says_arrives(worker: Worker, origin: Origin) -> None:
    sent = {"X-API-Key": "mg_key", "Authorization": "Bearer mg_key", "User-Agent": "an-agent/1", "Accept": "*/*"}
    worker("GET", PATH, headers=sent)
    assert {name: origin.last.headers[name.lower()] for name in sent} == sent


def test_bodies_pass_untouched_both_ways(worker: Worker, origin: Origin) -> None:
    body = bytes(range(256)) * 4096
    origin.respond = lambda seen: Reply(201, {"Content-Type": "application/octet-stream"}, seen.body[::-1])
    answer = worker("POST", PATH, body=body, headers={"Content-Type": "application/octet-stream"})
    assert (answer.status, answer.body) == (201, body[::-1])
    assert origin.last.body == body


def test_a_body_of_unknown_length_streams(worker: Worker, origin: Origin) -> None:
    answer = worker("POST", PATH, body=iter([b"one,", b"two,", b"three"]))
    assert answer.status == 200
    assert origin.last.body == b"one,two,three"


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_an_answer_that_breaks_off_breaks_off_for_the_caller(worker: Worker, origin: Origin, size: int) -> None:
    """An end that the edge made up would let half an export pass for a whole one."""
    origin.respond = lambda _: Reply(body=b"x" * size, breaks_off=True)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        worker("GET", f"{PREFIX}/export")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_every_method_of_a_known_path_reaches_the_function(worker: Worker, origin: Origin, method: str) -> None:
    """The function answers 405 to a method that it lacks, and knows which ones to allow."""
    worker(method, f"{PATH}/some-id")
    assert origin.last.method == method
    edge.check([SECRET], method, origin.last.target, origin.last.headers, time.time())


@pytest.mark.parametrize(
    "target", ["/", "/api", f"{PREFIX}/unknown", f"{PATH}/", f"{PATH}/a/b", "/api/v2/memories", f"/x{PATH}"]
)
def test_an_unknown_path_is_a_problem_and_reaches_nobody(worker: Worker, origin: Origin, target: str) -> None:
    answer = worker("GET", target)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert (answer.json["status"], answer.json["title"]) == (404, "Not found")
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert "retry-after" not in answer.headers
    assert origin.requests == []


def test_every_declared_path_has_an_owner(worker: Worker, origin: Origin) -> None:
    for function in FUNCTIONS:
        for route in function.routes:
            assert worker(route.method, route.path.replace("{id}", "1")).status == 200, route.path
    assert len(origin.requests) == sum(len(function.routes) for function in FUNCTIONS)


@pytest.mark.parametrize("status", [404, 405, 429, 502, 503, 504])
def test_the_platforms_plain_failures_become_problems(worker: Worker, origin: Origin, status: int) -> None:
    origin.respond = lambda _: Reply(status, {"Content-Type": "text/plain"}, b"Rate exceeded.")
    answer = worker("GET", PATH)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json["status"] == status
    assert ("retry-after" in answer.headers) is (status >= 429)


def test_a_whole_retry_after_of_the_platform_is_kept(worker: Worker, origin: Origin) -> None:
    origin.respond = lambda _: Reply(429, {"Content-Type": "text/html", "Retry-After": "7"}, b"<p>")
    assert worker("GET", PATH).headers["retry-after"] == "7"
    origin.respond = lambda _: Reply(429, {"Content-Type": "text/html", "Retry-After": "soon"}, b"<p>")
    assert worker("GET", PATH).headers["retry-after"] == "2"


@pytest.mark.parametrize("kind", ["application/json", "application/problem+json; charset=utf-8"])
def test_a_functions_own_failure_passes(worker: Worker, origin: Origin, kind: str) -> None:
    body = b'{"status": 429, "detail": "over the limit"}'
    origin.respond = lambda _: Reply(429, {"Content-Type": kind, "Retry-After": "30"}, body)
    answer = worker("GET", PATH)
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (429, body, "30")


def test_redirects_are_not_followed(worker: Worker, origin: Origin) -> None:
    origin.respond = lambda _: Reply(307, {"Location": "/elsewhere"}, b"")
    assert worker("POST", PATH, body=b"{}").status == 307
    assert len(origin.requests) == 1


@pytest.mark.parametrize("target", [PATH, "/unknown"])
def test_every_answer_names_its_request_and_is_safe_in_a_browser(worker: Worker, origin: Origin, target: str) -> None:
    origin.respond = lambda _: Reply(headers={"Content-Type": "application/json", "X-Request-Id": "the function's"})
    headers = worker("GET", target).headers
    if origin.requests:
        assert headers["x-request-id"] == origin.last.headers["x-edge-request-id"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["strict-transport-security"].startswith("max-age=")
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_a_function_that_is_down_is_a_503(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but not listening: refuses connections
        with workerd.running(tmp_path, _bindings(f"http://127.0.0.1:{nobody.getsockname()[1]}")) as url:
            answer = Worker(url)("GET", PATH)
    assert (answer.status, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.headers["retry-after"] == "2"
    assert answer.json["request_id"] == answer.headers["x-request-id"]


def test_a_function_that_hangs_is_a_503(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes the connection, never answers
        with workerd.running(tmp_path, _bindings(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout="1")) as url:
            answer = Worker(url)("GET", PATH)
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")


def test_a_function_without_a_secret_is_a_503(tmp_path: Path) -> None:
    bindings = {name: text for name, text in _bindings("http://127.0.0.1:9").items() if not name.startswith("EDGE")}
    with workerd.running(tmp_path, bindings) as url:
        assert Worker(url)("GET", PATH).status == 503


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_body_where_none_belongs_is_left_behind(
    worker: Worker, origin: Origin, method: str, *, streamed: bool
) -> None:
    assert worker(method, f"{PATH}/a", body=iter([b"{}"]) if streamed else b"{}").status == 200
    assert origin.last.body == b""
    assert "transfer-encoding" not in origin.last.headers


def test_no_answer_comes_from_a_cache(worker: Worker, origin: Origin) -> None:
    """Cloudflare caches by the path's ending, whoever asks."""
    worker("GET", f"{PATH}/memory.pdf")
    assert origin.last.headers["cache-control"] == "no-cache"


def test_a_method_that_the_framework_does_not_know_is_a_problem(worker: Worker, origin: Origin) -> None:
    origin.respond = lambda _: Reply(405, {"Content-Type": "text/plain"}, b"Method Not Allowed")
    answer = worker("PUT", PATH)
    assert (answer.status, answer.json["title"]) == (405, "Method not allowed")
    assert "retry-after" not in answer.headers


def test_a_functions_own_page_names_what_it_may_load(worker: Worker, origin: Origin) -> None:
    """The docs page brings its style along, by its hash."""
    policy = "default-src 'none'; style-src 'sha256-x'"
    origin.respond = lambda _: Reply(200, {"Content-Type": "text/html", "Content-Security-Policy": policy}, b"<html>")
    assert worker("GET", f"{PREFIX}/docs").headers["content-security-policy"] == policy
