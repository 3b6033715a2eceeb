"""The function's half of the signed hop against fixed vectors; the Worker's half is held to it in tests/infra/edge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.edge import Hop, check, sign, signed_headers
from core.problems import Unauthorized

VECTORS = json.loads(Path(__file__).with_name("edge_vectors.json").read_text(encoding="utf-8"))


def _hop(vector: dict[str, str]) -> Hop:
    return Hop(**{name: vector[name] for name in ("timestamp", "request_id", "method", "host", "target", "client")})


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_signature(vector: dict[str, str]) -> None:
    assert sign(vector["secret"], _hop(vector)) == vector["signature"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_each_field_is_covered(vector: dict[str, str]) -> None:
    secrets, hop = [vector["secret"]], _hop(vector)
    headers = signed_headers(vector["secret"], hop)
    now = float(vector["timestamp"])
    assert check(secrets, hop.method, hop.target, headers, now) == hop
    for name in headers:
        with pytest.raises(Unauthorized):
            check(secrets, hop.method, hop.target, {**headers, name: headers[name] + "0"}, now)
    with pytest.raises(Unauthorized):
        check(secrets, "OPTIONS", hop.target, headers, now)
    with pytest.raises(Unauthorized):
        check(secrets, hop.method, hop.target + "/", headers, now)
