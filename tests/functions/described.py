"""What openapi.json says is what a function does: Schemathesis, with every check that it has by default.

It asks every operation with the examples, with each boundary of each schema, with what the schemas allow and forbid,
and with what came back (delete, then read). The real pipeline, on loopback; seeds and ids are fixed. One thing is
stricter than the document: here an answer may have no member that is not described.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import schemathesis
from schemathesis import BaseSchema, Case, Response, hooks
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, StopReason, events, from_schema

from declarations import Function
from infra.openapi.__main__ import FOLDER

PHASES = ("examples", "coverage", "fuzzing", "stateful")
EXAMPLES = 4
"""Of each operation, in each phase that makes them up. The boundaries (coverage) are as many as there are."""

Excuses = Collection[tuple[str, str]]
"""Schema-valid requests that are refused with 400: pattern of the field, pattern of the message. What no schema can
say."""
Excused = Callable[[str, Case[Any], Response], bool]
"""Whether what a check (by its name) found in an answer is none of its business."""


@dataclass(frozen=True)
class Caller:
    """`scheme`: of those of the document; `secret`: the credential, as Schemathesis is told it."""

    scheme: str
    secret: Mapping[str, str]

    @classmethod
    def by_key(cls, key: str) -> Caller:
        return cls("ApiKey", {"api_key": key})

    @classmethod
    def by_token(cls, token: str) -> Caller:
        return cls("Person", {"bearer": token})


def described(function: Function, scheme: str) -> dict[str, Any]:
    """The document as it is checked in, of one function and for one kind of caller, but for answers: they must hold
    nothing that is not described. A key does not look at `X-Workspace`, so it is not told of it."""
    found: dict[str, Any] = json.loads((FOLDER / "openapi.json").read_text(encoding="utf-8"))
    own = {route.path for route in function.routes}
    found["paths"] = {path: methods for path, methods in found["paths"].items() if path in own}
    for operation in _operations(found):
        operation["security"] = [one for one in operation["security"] if one in ({}, {scheme: []})]
        if scheme != "Person":
            told = operation.get("parameters", [])
            operation["parameters"] = [one for one in told if one.get("$ref") != "#/components/parameters/Workspace"]
    schemas = found["components"]["schemas"]
    sent = _reached(schemas, [one.get("requestBody") for one in _operations(found)])
    for name in _reached(schemas, [one["responses"] for one in _operations(found)]) - sent:
        if "properties" in schemas[name]:
            schemas[name]["additionalProperties"] = False
    return found


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


def findings(
    function: Function,
    url: str,
    caller: Caller,
    phases: Collection[str],
    *,
    excused: Excused,
    prepare: Callable[[Case[Any]], None],
) -> list[str]:
    """What Schemathesis found, without what is excused.

    Args:
        prepare: changes each request before it is sent.
    """
    document = described(function, caller.scheme)
    config = SchemathesisConfig.from_dict(
        {
            "seed": 4,
            "continue-on-failure": True,
            "base-url": url,
            "auth": {"openapi": {caller.scheme: dict(caller.secret)}},
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
            "phases": {name: {"enabled": name in phases} for name in PHASES},
            # 412: If-Match names a state, and which one there is, no schema knows.
            "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "409", "412"]}},
        }
    )
    schema = schemathesis.openapi.from_dict(document, config=config)

    def before_call(_context: schemathesis.HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
        prepare(case)

    schemathesis.hook(before_call)
    try:
        return _run(schema, excused, len(function.routes))
    finally:
        hooks.unregister(before_call)


def _run(schema: BaseSchema, excused: Excused, all_operations: int) -> list[str]:
    found = []
    asked: set[str] = set()
    ended = None
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            recorder = event.recorder
            asked |= {node.value.operation.label for node in recorder.cases.values()}
            for case_id, checks in recorder.checks.items():
                case, response = recorder.cases[case_id].value, recorder.interactions[case_id].response
                found += [
                    f"{case.operation.label}: {check.name}: {check.failure_info.failure.title}: "
                    f"{check.failure_info.failure.message}\n{check.failure_info.code_sample}"
                    for check in checks
                    if check.status is Status.FAILURE and check.failure_info is not None
                    if response is None or not excused(check.name, case, response)
                ]
        elif isinstance(event, events.NonFatalError):
            found.append(f"{event.label}: {event.value}")
        elif isinstance(event, events.FatalError):
            raise event.exception
        elif isinstance(event, events.EngineFinished):
            ended = event.stop_reason
    assert ended is StopReason.COMPLETED
    assert len(asked) == all_operations
    return found


def only_excused(response: Response, excuses: Excuses) -> bool:
    """Whether a 400 names nothing but fields that are excused."""
    errors = response.json()["errors"]
    return bool(errors) and all(
        any(re.fullmatch(field, one["field"]) and re.match(message, one["message"]) for field, message in excuses)
        for one in errors
    )
