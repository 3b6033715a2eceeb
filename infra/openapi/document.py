"""The OpenAPI 3.1 document: declared routes, their operations and the schemas of what they take and answer.

Everything that follows from a declaration or from the request pipeline is said here and in refusals.py, once for all
operations: keys, scopes, headers, the errors that any request can meet. The result is a plain value, the same at every
run.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from core.credentials import WORKSPACE
from declarations import FUNCTIONS, SCOPES, VERSION, Access, Function, Route
from infra.openapi.components import Components
from infra.openapi.examples import accounts, memories
from infra.openapi.headers import ALWAYS, HEADERS, LIMITS, PARAMETERS, references
from infra.openapi.operation import TAGS, Answer, Operation
from infra.openapi.operations import OPERATIONS
from infra.openapi.refusals import refusals, responses
from infra.openapi.special import SPECIAL
from memories.fields import ID

Json = dict[str, Any]

ABOUT = f"""\
Memory for AI agents: what they learned, and how it hangs together.

**API keys.** Send yours as `X-API-Key: mg_...` or `Authorization: Bearer mg_...`. A key belongs to one workspace. Each
operation names the scope that the key must have.

A key may be bound to a project: the memories whose `context.project_path` is the key's, letter for letter, and the
relationships between them. For such a key nothing else is there: what it asks for outside of the project is answered as
if it did not exist, and nothing is counted or found through it. What it stores without a `project_path` is given the
key's; another one is refused with 403. An id is used once in a workspace: one that is taken outside of the project is
refused with 409. Limits are those of the whole workspace.

**People** who are signed in send their access token as `Authorization: Bearer TOKEN`. They have every scope. They name
the workspace by `{WORKSPACE}: ID`; without it, they mean their own.

**Bodies** are JSON objects in UTF-8. Fields that are not described are ignored. An optional field may be null. Names
out of a list, but for scopes, may be written in any case of letters. No text may hold a NUL character; arrays and
objects nest 64 deep at most. A body is at most 1 MiB, that of an import 8 MiB.

**Times** are those of RFC 3339 in the years 1 to 9999. Without an offset they are in UTC; a date alone is its midnight.
Answers have microseconds.

**Errors** are problem details (RFC 9457): `detail` says what happened and what to do, `errors` names each wrong field.
A path or a method that is not described here is answered with 404 or 405.

**Limits.** Every answer to a good credential says by `X-RateLimit-Limit`, `X-RateLimit-Remaining` and
`X-RateLimit-Reset` how many calls the day has, how many of them are left, and in how many seconds it ends. Beyond them
a call is answered with 429. What the plan has no room for is answered with 403: reading, deleting and exporting go on.

**Safe writing.** A request with an `Idempotency-Key` happens once, however often it is sent within a day. `ETag` names
the state of what you read; send it as `If-Match`, and a change is refused with 412 when something else came before.

**Pages.** Send `next_cursor` as `cursor` until it is null. Every GET can be asked as HEAD."""

PERSON = "Person"
_SECURITY: Json = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key, as the MCP client."},
    "Bearer": {"type": "http", "scheme": "bearer", "description": "An API key, as the SDK."},
    PERSON: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token of a person who is signed in.",
    },
}


def document() -> Json:
    """The whole document."""
    components = Components()
    paths: dict[str, Json] = {}
    for function in FUNCTIONS:
        for route in function.routes:
            operation = OPERATIONS[function.name][route.handler]
            made = {"operationId": _operation_id(function, route), **_operation(route, operation, components)}
            paths.setdefault(route.path, {})[route.method.lower()] = made
    problems = responses(components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MemoryGraph Cloud",
            "version": VERSION,
            "summary": "Hosted memory for AI agents.",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The host that served this."}],
        "tags": [{"name": tag.value, "description": text} for tag, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": components.used([paths, problems]),
            "responses": problems,
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": _SECURITY,
        },
    }


def _operation_id(function: Function, route: Route) -> str:
    """The handler's name; of a handler with several routes, all but the first are numbered by method or path."""
    same = [one for one in function.routes if one.handler == route.handler]
    if same[0] == route:
        return route.handler
    if sum(one.method == route.method for one in same) == 1:
        return f"{route.handler}_by_{route.method.lower()}"
    return f"{route.handler}_by_{route.path.split('/')[3]}"


def _operation(route: Route, operation: Operation, components: Components) -> Json:
    body = _body(route, operation, components)
    parameters = _parameters(route, operation, components)
    scope = None if operation.person or route.access not in SCOPES else route.access.value
    made: Json = {
        "tags": [operation.tag.value],
        "summary": operation.summary,
        "description": " ".join(filter(None, (operation.text, _who(route, operation)))),
        "security": _security(route, operation),
    }
    if scope:
        made["x-required-scope"] = scope
    if parameters:
        made["parameters"] = parameters
    if body:
        made["requestBody"] = body
        made["x-max-body-bytes"] = route.body_bytes
    good = {str(status): _good(answer, components) for status, answer in operation.answers.items()}
    made["responses"] = good | refusals(route, operation, can_be_wrong=bool(body or parameters))
    return made


def _who(route: Route, operation: Operation) -> str:
    if route.access is Access.OPEN:
        return ""
    if operation.person:
        return "Only for a person who is signed in: no API key will do."
    return "Any good credential will do." if route.access is Access.ANY else f"Needs the scope `{route.access.value}`."


def _security(route: Route, operation: Operation) -> list[Json]:
    schemes = [PERSON] if operation.person else [*_SECURITY]
    nobody: list[Json] = [{}] if route.access is Access.OPEN else []
    return [*nobody, *({scheme: []} for scheme in schemes)]


def _parameters(route: Route, operation: Operation, components: Components) -> list[Json]:
    found = _path_parameters(route.path)
    model = operation.takes if route.method == "GET" else operation.query
    if model is not None:
        found += components.parameters(model)
    named = {
        "IdempotencyKey": route.once,
        "IfMatch": operation.if_match,
        "Agent": operation.agent,
        "StripeSignature": operation.signed,
        "Workspace": route.access is not Access.OPEN,
    }
    return found + [{"$ref": f"#/components/parameters/{name}"} for name, sent in named.items() if sent]


_OURS = {"type": "string", "pattern": ID}
_UUID = {"type": "string", "format": "uuid"}
_THINGS: dict[str, tuple[str, Json, str]] = {
    "memories": ("memory", _OURS, memories.SOLUTION_ID),
    "path": ("other memory", _OURS, memories.PROBLEM_ID),
    "relationships": ("relationship", _OURS, memories.EDGE_ID),
    # Of an unknown import nothing has arrived, whatever it is called.
    "import": ("import", {"type": "string"}, memories.IMPORTED["import_id"]),
    "api-keys": ("API key", _UUID, accounts.KEY_ID),
    "workspaces": ("workspace", _UUID, accounts.WORKSPACE_ID),
    "members": ("member's account", _UUID, accounts.OTHER_ID),
    "invitations": ("invitation", _UUID, accounts.INVITATION_ID),
}
"""What the segment after this one of a path names, its schema, an example."""


def _path_parameters(path: str) -> list[Json]:
    segments = path.split("/")
    found: list[Json] = []
    for before, segment in pairwise(segments):
        if segment.startswith("{"):
            thing, schema, example = _THINGS[before]
            one = {"name": segment[1:-1], "in": "path", "required": True, "description": f"Id of the {thing}."}
            found.append({**one, "schema": schema, "example": example})
    return found


def _body(route: Route, operation: Operation, components: Components) -> Json:
    if operation.special_body is not None:
        return SPECIAL[operation.special_body](operation, components)
    if operation.takes is None or route.method == "GET":
        return {}
    content: Json = {"schema": components.request(operation.takes)}
    if operation.example is not None:
        content["example"] = operation.example
    return {"required": not operation.body_may_be_empty, "content": {"application/json": content}}


def _good(answer: Answer, components: Components) -> Json:
    headers = references((*ALWAYS, *(("ETag",) if answer.etag else ()), *LIMITS))
    content: Json = {}
    if answer.body is not None:
        content["application/json"] = {"schema": components.answer(answer.body)}
        if answer.example is not None:
            content["application/json"]["example"] = answer.example
    for media, text in answer.media.items():
        is_text = media.startswith("text/") or media.endswith("json")
        kind = {"type": "string"} if is_text else {"contentMediaType": media}
        content[media] = {"schema": {**kind, "description": text}}
    return {"description": answer.text, "headers": headers, **({"content": content} if content else {})}
