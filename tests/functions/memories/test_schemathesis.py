"""What openapi.json says is what the service does: Schemathesis, with every check that it has by default.

It asks every operation with the examples, with each boundary of each schema, with what the schemas allow and forbid,
and with what came back (delete, then read). The real pipeline over each kind of store, on loopback; seeds and ids are
fixed. One thing is stricter than the document: here an answer may have no member that is not described.

`EXCUSED` is what no schema can say. Each entry names the field that the answer refuses and the words that it uses.
"""

from __future__ import annotations

import itertools
import json
import re
import secrets
import uuid
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis import Case, Response
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, StopReason, events, from_schema

from core import logs
from core.once import HEADER
from core.ports import StoreAddress
from core.settings import Secret
from core.urls import workspace_url
from infra.openapi.__main__ import FOLDER
from infra.openapi.document import IF_MATCH
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.serving import Served, over_file, over_postgres, serving

PHASES = ("examples", "coverage", "fuzzing", "stateful")
"""Making requests up takes most of the time, and most are judged before a store sees them. So boundaries (coverage) go
to one store and what is made up freely (fuzzing) to the other."""
EXAMPLES = 4
"""Of each operation, in each phase that makes them up. The boundaries (coverage) are as many as there are."""
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
)
"""Schema-valid requests that are refused with 400: pattern of the field, pattern of the message."""


def test_the_document_is_true_over_a_file(tmp_path: Path, document: dict[str, Any]) -> None:
    with serving(lambda: over_file(tmp_path / "memories.db")) as served:
        assert _findings(document, served, ("examples", "coverage", "stateful")) == []


def test_the_document_is_true_over_postgres(shared_control_plane: ControlPlaneUrls, document: dict[str, Any]) -> None:
    address = StoreAddress("postgres", workspace_url(str(uuid.uuid4())), Secret(""))
    with serving(lambda: over_postgres(shared_control_plane.memories, address)) as served:
        assert _findings(document, served, ("examples", "fuzzing", "stateful")) == []


@pytest.fixture
def document(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The document as it is checked in, but for answers: they must hold nothing that is not described."""
    found: dict[str, Any] = json.loads((FOLDER / "openapi.json").read_text(encoding="utf-8"))
    _close(found)
    numbers = itertools.count()
    monkeypatch.setattr(secrets, "token_hex", lambda size=32: f"{next(numbers):0{size * 2}x}")
    monkeypatch.setattr(logs, "request_line", lambda *_fields: None)  # some thousand of them
    return found


def _close(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    sent = _reached(schemas, [one.get("requestBody") for one in _operations(document)])
    for name in _reached(schemas, [one["responses"] for one in _operations(document)]) - sent:
        if "properties" in schemas[name]:
            schemas[name]["additionalProperties"] = False


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (operation for path in document["paths"].values() for operation in path.values())


def _reached(schemas: dict[str, Any], roots: Any) -> set[str]:
    found: set[str] = set()
    waiting = [roots]
    while waiting:
        names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(waiting.pop()))) - found
        found |= names
        waiting += [schemas[name] for name in names]
    return found


def _findings(document: dict[str, Any], served: Served, phases: tuple[str, ...]) -> list[str]:
    """What Schemathesis found, without what is excused."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 4,
            "continue-on-failure": True,
            "base-url": served.url,
            "headers": {"X-API-Key": served.key},
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
            "phases": {name: {"enabled": name in phases} for name in PHASES},
            # 412: If-Match names a state, and which one there is, no schema knows.
            "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "409", "412"]}},
        }
    )
    schema = schemathesis.openapi.from_dict(deepcopy(document), config=config)
    findings = []
    asked: set[str] = set()
    ended = None
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            recorder = event.recorder
            asked |= {node.value.operation.label for node in recorder.cases.values()}
            for case_id, checks in recorder.checks.items():
                case, response = recorder.cases[case_id].value, recorder.interactions[case_id].response
                findings += [
                    f"{case.operation.label}: {check.name}: {check.failure_info.failure.title}: "
                    f"{check.failure_info.failure.message}\n{check.failure_info.code_sample}"
                    for check in checks
                    if check.status is Status.FAILURE and check.failure_info is not None
                    if response is None or not _excused(check.name, case, response)
                ]
        elif isinstance(event, events.NonFatalError):
            findings.append(f"{event.label}: {event.value}")
        elif isinstance(event, events.FatalError):
            raise event.exception
        elif isinstance(event, events.EngineFinished):
            ended = event.stop_reason
    assert ended is StopReason.COMPLETED
    assert len(asked) == sum(1 for _ in _operations(document))
    return findings


def _excused(check: str, case: Case[Any], response: Response) -> bool:
    if check == "negative_data_rejection" and case.media_type == LINES:
        return True  # its body is any text, and whatever is sent is a text
    if check != "positive_data_acceptance" or response.status_code != 400:
        return False
    errors = response.json()["errors"]
    if [one["field"] for one in errors] == ["If-Match"]:
        # Its boundaries for headers leave a pattern aside, and then it believes them to be good.
        return re.fullmatch(IF_MATCH, str(dict(case.headers or {}).get("If-Match"))) is None
    return bool(errors) and all(
        any(re.fullmatch(field, one["field"]) and re.match(message, one["message"]) for field, message in EXCUSED)
        for one in errors
    )


@schemathesis.serializer(LINES)
def _lines(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


_keys = itertools.count()


@schemathesis.hook("before_call")
def _use_each_key_once(_context: schemathesis.HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    # The same one with another request is answered with 409, whatever is wrong with the request.
    if re.fullmatch(r"[!-~]{1,255}", str(dict(case.headers or {}).get(HEADER, ""))):
        case.headers[HEADER] = f"key-{next(_keys)}"
