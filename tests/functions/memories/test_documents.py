"""GET /openapi.json and GET /docs, as they are served."""

from __future__ import annotations

import pytest

from declarations import PREFIX
from infra.openapi.__main__ import FOLDER
from memories.documents import handlers
from tests.functions.memories.wire import Wire


@pytest.fixture
def wire() -> Wire:
    return Wire({"http://nothing.localhost": None})  # type: ignore[dict-item]  # these routes open no database


@pytest.mark.parametrize(
    ("path", "name", "media_type"),
    [
        ("/openapi.json", "openapi.json", "application/json"),
        ("/docs", "docs.html", "text/html; charset=utf-8"),
    ],
)
async def test_anybody_may_read_them(wire: Wire, path: str, name: str, media_type: str) -> None:
    for key in (None, wire.key):
        answer = await wire("GET", path, key=key)
        assert (answer.status, answer.headers["content-type"]) == (200, media_type)
        assert answer.body == (FOLDER / name).read_bytes()
    assert (await wire("GET", path, key="mg_wrong")).status == 401


async def test_the_page_may_run_and_load_nothing(wire: Wire) -> None:
    headers = (await wire("GET", "/docs")).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"].startswith("'sha256-")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


async def test_they_are_read_once(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await wire("GET", "/openapi.json")
    monkeypatch.setattr(handlers, "_FOLDER", FOLDER / "nowhere")
    assert (await wire("GET", "/openapi.json")).body == first.body
    assert first.json()["paths"][f"{PREFIX}/openapi.json"]
