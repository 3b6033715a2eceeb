"""The OpenAPI 3.1 document: declared routes, their operations and the schemas of what they take and answer.

Everything that follows from a declaration or from the request pipeline is said here, once for all operations: keys,
scopes, headers, the errors that any request can meet. The result is a plain value, the same at every run.
"""

from __future__ import annotations

from typing import Any

from core import once
from core.problems import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Problem,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from declarations import BODY_LIMIT_BYTES, MEMORIES, VERSION, Access, Route
from infra.openapi import answers, examples
from infra.openapi.components import Components
from infra.openapi.operations import OPERATIONS, TAGS, Answer, Operation
from infra.openapi.words import FIELDS
from memories import schemas
from memories.fields import ID
from memories.transfer.formats import LOCAL_VERSIONS
from memories.transfer.model import BATCH_MOST

Json = dict[str, Any]

PROBLEM_JSON = "application/problem+json"
_TAG = r'(?:W/)?"[!#-~]*"'
IF_MATCH = rf"^(?:\*|{_TAG}(?:, *{_TAG})*)$"

ABOUT = """\
Memory for AI agents: what they learned, and how it hangs together.

**Keys.** Send yours as `X-API-Key: mg_...` or `Authorization: Bearer mg_...`. Each operation names the scope that the
key must have.

**Bodies** are JSON objects in UTF-8. Fields that are not described are ignored. An optional field may be null. Names
out of a list may be written in any case of letters. No text may hold a NUL character; arrays and objects nest 64 deep
at most. A body is at most 1 MiB, that of an import 8 MiB.

**Times** are those of RFC 3339 in the years 1 to 9999. Without an offset they are in UTC; a date alone is its midnight.
Answers have microseconds.

**Errors** are problem details (RFC 9457): `detail` says what happened and what to do, `errors` names each wrong field.
A path or a method that is not described here is answered with 404 or 405.

**Safe writing.** A request with an `Idempotency-Key` happens once, however often it is sent within a day. `ETag` names
the state of what you read; send it as `If-Match`, and a change is refused with 412 when something else came before.

**Pages.** Send `next_cursor` as `cursor` until it is null. Every GET can be asked as HEAD."""


def document() -> Json:
    """The whole document."""
    components = Components()
    paths: dict[str, Json] = {}
    for route in MEMORIES.routes:
        operation = OPERATIONS[route.handler]
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, operation, components)
    problems = {name: _problem(kind, components) for name, kind in _PROBLEMS.items()}
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
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "As the MCP client."},
                "Bearer": {"type": "http", "scheme": "bearer", "description": "As the SDK."},
            },
        },
    }


def operation_id(route: Route) -> str:
    """The handler's name; of a handler with several routes, all but the first are numbered by method or path."""
    same = [one for one in MEMORIES.routes if one.handler == route.handler]
    if same[0] == route:
        return route.handler
    if sum(one.method == route.method for one in same) == 1:
        return f"{route.handler}_by_{route.method.lower()}"
    return f"{route.handler}_by_{route.path.split('/')[3]}"


def _operation(route: Route, operation: Operation, components: Components) -> Json:
    body = _body(route, operation, components)
    parameters = _parameters(route, operation, components)
    keyed = route.access is not Access.OPEN
    scope = f"Needs the scope `{route.access.value}`." if keyed else ""
    keys: list[Json] = [{"ApiKey": []}, {"Bearer": []}]
    made: Json = {
        "operationId": operation_id(route),
        "tags": [operation.tag.value],
        "summary": operation.summary,
        "description": " ".join(filter(None, (operation.text, scope))),
        "security": keys if keyed else [{}, *keys],
    }
    if keyed:
        made["x-required-scope"] = route.access.value
    if parameters:
        made["parameters"] = parameters
    if body:
        made["requestBody"] = body
        made["x-max-body-bytes"] = route.body_bytes
    good = {str(status): _good(answer, components) for status, answer in operation.answers.items()}
    made["responses"] = good | _refusals(route, operation, can_be_wrong=bool(body or _may_be_wrong(parameters)))
    return made


def _parameters(route: Route, operation: Operation, components: Components) -> list[Json]:
    found: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": f"Id of the {_THING.get(name, 'thing')}.",
            "schema": {"type": "string"} if name in _ANY_TEXT else {"type": "string", "pattern": ID},
        }
        for name in _path_names(route.path)
    ]
    model = operation.takes if route.method == "GET" else operation.query
    if model is not None:
        found += components.parameters(model)
    if route.once:
        found.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if operation.if_match:
        found.append({"$ref": "#/components/parameters/IfMatch"})
    if operation.agent:
        found.append({"$ref": "#/components/parameters/Agent"})
    return found


_ANY_TEXT = ("import_id",)  # of an unknown import nothing has arrived, whatever it is called
_THING = {"id": "memory or relationship", "other": "other memory", "import_id": "import"}


def _path_names(path: str) -> list[str]:
    return [segment[1:-1] for segment in path.split("/") if segment.startswith("{")]


def _may_be_wrong(parameters: list[Json]) -> bool:
    """Whether one of them can be refused with 400: a wrong id is unknown, and any text will do as an agent."""
    return any(one.get("in") != "path" and one.get("$ref") != "#/components/parameters/Agent" for one in parameters)


def _body(route: Route, operation: Operation, components: Components) -> Json:
    if operation.special_body is not None:
        return _SPECIAL[operation.special_body](operation, components)
    if operation.takes is None or route.method == "GET":
        return {}
    content: Json = {"schema": components.request(operation.takes)}
    if operation.example is not None:
        content["example"] = operation.example
    return {"required": not operation.body_may_be_empty, "content": {"application/json": content}}


def _batch(operation: Operation, components: Components) -> Json:
    memories: Json = {"type": "array", "minItems": 1, "maxItems": BATCH_MOST}
    components.schemas["Batch"] = {
        "type": "object",
        "description": "Memories to store.",
        "properties": {
            "memories": {
                **memories,
                "description": "The memories, no two of one `id`.",
                "items": components.request(schemas.MemoryCreate),
            },
            "atomic": {"type": ["boolean", "null"], "default": True, "description": _words("atomic")},
        },
        "required": ["memories"],
    }
    components.schemas["LenientBatch"] = {
        "type": "object",
        "description": "Memories to store, each on its own: what is wrong with one is told in its result.",
        "properties": {
            "memories": {**memories, "description": "The memories. Those that are none are refused one by one."},
            "atomic": {"const": False, "description": _words("atomic")},
        },
        "required": ["memories", "atomic"],
    }
    schema = {"anyOf": [{"$ref": "#/components/schemas/Batch"}, {"$ref": "#/components/schemas/LenientBatch"}]}
    return {"required": True, "content": {"application/json": {"schema": schema, "example": operation.example}}}


def _document(operation: Operation, components: Components) -> Json:
    rows: Json = {"type": "array", "items": {}}
    version = {"enum": sorted(LOCAL_VERSIONS)}
    components.schemas["Document"] = {
        "type": "object",
        "description": "An export of the local tool, format 2.0. Rows that are wrong are refused one by one.",
        "properties": {
            "format_version": {**version, "description": "Version of the format."},
            "export_version": {**version, "description": "Version of the older format, where there is no newer one."},
            "export_date": {"description": "When it was written: the time of rows without one."},
            "memories": {**rows, "description": "The memories, each as `MemoryCreate` with its `id` and times."},
            "relationships": {**rows, "description": "The relationships, each with `type` and `properties`."},
        },
        "anyOf": [
            {"required": ["format_version", "memories"]},
            {"required": ["format_version", "relationships"]},
            {"required": ["export_version", "memories"]},
            {"required": ["export_version", "relationships"]},
        ],
    }
    return {
        "required": True,
        "description": "A document of format 2.0, or the JSON lines of an export. Recognised by what it holds.",
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Document"},
                "example": operation.example,
            },
            "application/x-ndjson": {
                "schema": {
                    "type": "string",
                    "pattern": r"[^ \t\n\r\u000b\u000c]",
                    "description": "Lines of an export, or some of them.",
                },
            },
        },
    }


_SPECIAL = {"Batch": _batch, "Document": _document}


def _words(name: str) -> str:
    return FIELDS[name]


def _good(answer: Answer, components: Components) -> Json:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", "Server-Timing")}
    if answer.etag:
        headers["ETag"] = {"$ref": "#/components/headers/ETag"}
    content: Json = {}
    if answer.body is not None:
        content["application/json"] = {"schema": components.answer(answer.body)}
        if answer.example is not None:
            content["application/json"]["example"] = answer.example
    for media, text in answer.media.items():
        content[media] = {"schema": {"type": "string", "description": text}}
    return {"description": answer.text, "headers": headers, **({"content": content} if content else {})}


def _refusals(route: Route, operation: Operation, *, can_be_wrong: bool) -> Json:
    told = {kind.status: text for kind, text in operation.problems.items()}
    kinds: list[type[Problem]] = [Unauthorized, TooManyRequests, Unavailable, *operation.problems]
    if can_be_wrong:
        kinds.append(Invalid)
    if route.access is not Access.OPEN:
        kinds.append(Forbidden)
    if route.once:
        kinds.append(Conflict)
    if operation.if_match:
        kinds.append(PreconditionFailed)
    if route.method != "GET" and (operation.takes or operation.special_body):
        kinds.append(TooLarge)
    names = {kind: name for name, kind in _PROBLEMS.items()}
    return {
        str(kind.status): {
            "$ref": f"#/components/responses/{names[kind]}",
            **({"description": told[kind.status]} if kind.status in told else {}),
        }
        for kind in sorted(set(kinds), key=lambda kind: kind.status)
    }


_PROBLEMS: dict[str, type[Problem]] = {
    kind.__name__: kind
    for kind in (
        Invalid,
        Unauthorized,
        Forbidden,
        NotFound,
        Conflict,
        PreconditionFailed,
        TooLarge,
        TooManyRequests,
        Unavailable,
    )
}

_TOLD: dict[type[Problem], tuple[str, str]] = {
    Invalid: (
        "Something in the request is wrong; `errors` names each field.",
        "The request is not valid: title is missing.",
    ),
    Unauthorized: (
        "There is no key, or it is not good.",
        "This API key was revoked. Make a new one in your dashboard.",
    ),
    Forbidden: (
        "The key lacks the scope, or the plan allows no more.",
        "This API key lacks the scope memories:write. Use a key that has it.",
    ),
    NotFound: ("There is no such thing in this workspace.", "There is no memory of that id in this workspace."),
    Conflict: (
        "The `Idempotency-Key` was used for another request.",
        "This Idempotency-Key was used for another request. Use a new one.",
    ),
    PreconditionFailed: (
        "It is in another state than `If-Match` says; `current` says in which.",
        "It was changed meanwhile: it is at version 4 now. Read it again, then change that.",
    ),
    TooLarge: ("The body is too large.", f"The body is larger than {BODY_LIMIT_BYTES >> 10} KiB. Send less at once."),
    TooManyRequests: (
        "Too many requests. Wait as `Retry-After` says.",
        "This key has made too many requests. Wait a moment.",
    ),
    Unavailable: (
        "Something that the request needs does not answer. Nothing was done, or it may be done again safely with the "
        "same `Idempotency-Key`.",
        "The memories of this workspace cannot be reached. Please try again in a few seconds.",
    ),
}


def _problem(kind: type[Problem], components: Components) -> Json:
    text, detail = _TOLD[kind]
    body: Any = answers.ProblemBody
    more: Json = {}
    headers = ["X-Request-Id", "Server-Timing"]
    if kind is Invalid:
        body, more = answers.InvalidProblemBody, {"errors": [{"field": "title", "message": "is missing"}]}
    elif kind is PreconditionFailed:
        body, more = answers.StaleProblemBody, {"current": {"version": 4, "etag": '"4-62cfd0e1a7c40"'}}
        headers.append("ETag")
    elif kind is Unauthorized:
        headers.append("WWW-Authenticate")
    elif kind in (TooManyRequests, Unavailable):
        headers.append("Retry-After")
    return {
        "description": text,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {
            PROBLEM_JSON: {
                "schema": components.answer(body),
                "example": examples.problem(kind.status, kind.title, detail, **more),
            }
        },
    }


_PARAMETERS: Json = {
    "IdempotencyKey": {
        "name": once.HEADER,
        "in": "header",
        "description": "Made up by you, new for each request that shall happen: the same one again is answered as the "
        "first time. Forgotten after a day.",
        "schema": {"type": "string", "pattern": rf"^[!-~]{{1,{once.KEY_MOST}}}$"},
        "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "`ETag` of the state that it must be in; several are separated by commas. `*`: any.",
        "schema": {"type": "string", "pattern": IF_MATCH},
        "example": '"3-62cfd0e1a7c40"',
    },
    "Agent": {
        "name": "X-Agent",
        "in": "header",
        "description": "What the client calls itself, kept beside what it wrote. Without it: `User-Agent`.",
        "schema": {"type": "string"},
        "example": "my-agent/2.1",
    },
}

_HEADERS: Json = {
    "ETag": {
        "description": "Names the state that is shown.",
        "required": True,
        "schema": {"type": "string", "pattern": r'^"\d+-[0-9a-f]+"$'},
        "example": '"3-62cfd0e1a7c40"',
    },
    "Retry-After": {
        "description": "Seconds to wait.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 2,
    },
    "Server-Timing": {
        "description": "Where the time went, in milliseconds.",
        "required": True,
        "schema": {"type": "string"},
        "example": "admit;dur=0.1, store;dur=3.2, total;dur=3.9",
    },
    "WWW-Authenticate": {
        "description": "How to send a key.",
        "required": True,
        "schema": {"type": "string"},
        "example": 'Bearer realm="memorygraph"',
    },
    "X-Request-Id": {
        "description": "Id of the request: name it when you ask for help.",
        "required": True,
        "schema": {"type": "string"},
        "example": examples.REQUEST_ID,
    },
}
