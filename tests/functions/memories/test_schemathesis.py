"""What openapi.json says is what this function does, over each kind of store: see tests/functions/described.py."""

from __future__ import annotations

import itertools
import re
import secrets
import uuid
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis import Case, Response

from core import logs
from core.once import HEADER
from core.ports import StoreAddress
from core.settings import Secret
from core.urls import workspace_url
from declarations import MEMORIES
from infra.openapi.headers import IF_MATCH
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.described import Caller, findings, only_excused
from tests.functions.memories.serving import Served, over_file, over_postgres, serving

LINES = "application/x-ndjson"

EXCUSED = (
    # Parameters that need each other: OpenAPI describes each on its own.
    (r"import_id|part", r"is missing"),
    # A cursor is what an answer before gave.
    (r"cursor", r"is not a cursor of this API"),
    # One field is compared with another, or with what is stored.
    (r"valid_until", r"must be after valid_from"),
    (r"to_memory_id", r"would close a cycle"),
    (r"invalidated_by", r"must be another relationship|must differ|itself"),
    (r"memories\.\d+\.id", r"must differ from that of memories\.\d+"),
    # Any object is a context, whatever is in it: a schema could only say this by describing all of JSON anew.
    (r"(memories\.\d+\.)?context", r"must not contain NUL characters"),
    # JSON has whole numbers of any size, here as in fields that are ignored.
    (r"body", r"holds a whole number of more than 64 bits"),
)
"""See `described.Excuses`."""


# Making requests up takes most of the time, and most are judged before a store sees them. So boundaries (coverage) go
# to one store and what is made up freely (fuzzing) to the other.


def test_the_document_is_true_over_a_file(tmp_path: Path) -> None:
    with serving(lambda: over_file(tmp_path / "memories.db")) as served:
        assert _findings(served, ("examples", "coverage", "stateful")) == []


def test_the_document_is_true_over_postgres(shared_control_plane: ControlPlaneUrls) -> None:
    address = StoreAddress("postgres", workspace_url(str(uuid.uuid4())), Secret(""))
    with serving(lambda: over_postgres(shared_control_plane.memories, address)) as served:
        assert _findings(served, ("examples", "fuzzing", "stateful")) == []


@pytest.fixture(autouse=True)
def _the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()
    monkeypatch.setattr(secrets, "token_hex", lambda size=32: f"{next(numbers):0{size * 2}x}")
    monkeypatch.setattr(logs, "request_line", lambda *_fields: None)  # some thousand of them


def _findings(served: Served, phases: tuple[str, ...]) -> list[str]:
    caller = Caller.by_key(served.key)
    return findings(MEMORIES, served.url, caller, phases, excused=_excused, prepare=_use_each_key_once)


def _excused(check: str, case: Case[Any], response: Response) -> bool:
    if check == "negative_data_rejection" and case.media_type == LINES:
        return True  # its body is any text, and whatever is sent is a text
    if check != "positive_data_acceptance" or response.status_code != 400:
        return False
    if [one["field"] for one in response.json()["errors"]] == ["If-Match"]:
        # Its boundaries for headers leave a pattern aside, and then it believes them to be good.
        return re.fullmatch(IF_MATCH, str(dict(case.headers or {}).get("If-Match"))) is None
    return only_excused(response, EXCUSED)


@schemathesis.serializer(LINES)
def _lines(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


_keys = itertools.count()


def _use_each_key_once(case: Case[Any]) -> None:
    # The same one with another request is answered with 409, whatever is wrong with the request.
    if re.fullmatch(r"[!-~]{1,255}", str(dict(case.headers or {}).get(HEADER, ""))):
        case.headers[HEADER] = f"key-{next(_keys)}"
