"""Each archive boots in an empty folder, with its own requirements and no more, and answers through the edge only."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Iterator

import pytest

from core.edge import Hop, signed_headers
from declarations import FUNCTIONS, PREFIX, Function
from tests.infra.archive.booted import EDGE_SECRET, booted

HEALTH = f"{PREFIX}/health"


@pytest.fixture(scope="module", params=FUNCTIONS, ids=lambda function: function.name)
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    function: Function = request.param
    with booted(function, tmp_path_factory.mktemp(function.name)) as served:
        yield served


def _get(port: int, headers: dict[str, str]) -> tuple[int, str, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", HEALTH, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], json.loads(answer.read())
    finally:
        connection.close()


def _signed(secret: str) -> dict[str, str]:
    hop = Hop(
        timestamp=str(int(time.time())),
        request_id=uuid.uuid4().hex,
        method="GET",
        host="api.test",
        target=HEALTH,
        client="",
    )
    return signed_headers(secret, hop)


def test_a_signed_request_finds_it_healthy(port: int) -> None:
    status, _, body = _get(port, _signed(EDGE_SECRET))
    assert (status, body["status"]) == (200, "healthy")


@pytest.mark.parametrize("headers", [{}, _signed("another-secret")], ids=["unsigned", "signed by another"])
def test_any_other_request_is_refused(port: int, headers: dict[str, str]) -> None:
    status, kind, body = _get(port, headers)
    assert (status, kind) == (401, "application/problem+json")
    assert "edge" in str(body["detail"])
