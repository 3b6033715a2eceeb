"""Each archive boots in an empty folder, with its own requirements and no more, and answers through the edge only."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Iterator

import pytest

from core.edge import Hop, signed_headers
from declarations import DEPLOYED, FUNCTIONS, PREFIX, Function
from tests.infra.archive.booted import EDGE_SECRET, booted

HEALTH = f"{PREFIX}/health"
ALIVE = {
    "memories": (HEALTH, 200, "healthy"),
    "accounts": (f"{PREFIX}/auth/verify", 401, "No API key was sent"),
    "billing": (f"{PREFIX}/billing", 401, "No API key was sent"),
    "provisioning": ("/health", 200, "healthy"),
}
"""What each answers without a store: target, status, and a part of the body."""


@pytest.fixture(scope="module", params=DEPLOYED, ids=lambda function: function.name)
def function(request: pytest.FixtureRequest) -> Function:
    found: Function = request.param
    return found


@pytest.fixture(scope="module")
def port(function: Function, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with booted(function, tmp_path_factory.mktemp(function.name)) as served:
        yield served


def _get(port: int, target: str, headers: dict[str, str], method: str = "GET") -> tuple[int, str, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], json.loads(answer.read())
    finally:
        connection.close()


def _signed(secret: str, target: str) -> dict[str, str]:
    hop = Hop(
        timestamp=str(int(time.time())),
        request_id=uuid.uuid4().hex,
        method="GET",
        host="api.test",
        target=target,
        client="",
    )
    return signed_headers(secret, hop)


def test_it_answers_a_signed_request(port: int, function: Function) -> None:
    target, answer, words = ALIVE[function.name]
    status, _, body = _get(port, target, _signed(EDGE_SECRET, target))
    assert status == answer
    assert words in str(body)


@pytest.mark.parametrize("headers", [{}, _signed("another-secret", HEALTH)], ids=["unsigned", "signed by another"])
def test_any_other_request_is_refused(port: int, function: Function, headers: dict[str, str]) -> None:
    target = HEALTH if function in FUNCTIONS else "/jobs"
    status, kind, body = _get(port, target, headers, method="GET" if function in FUNCTIONS else "POST")
    assert (status, kind) == (401, "application/problem+json")
    assert ("edge" in str(body["detail"])) == (function in FUNCTIONS)
