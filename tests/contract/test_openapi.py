"""openapi.json and its page: generated, checked in, whole, and true to the validators they are made from.

That the functions do what they say is in tests/functions/*/test_schemathesis.py.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from accounts import schemas as accounts
from core.problems import Invalid
from declarations import FUNCTIONS, MEMORIES, SCOPES, Access, Function
from infra.openapi.__main__ import FOLDER, files
from infra.openapi.components import RENAMED, Components
from infra.openapi.headers import LIMITS
from infra.openapi.operations import OPERATIONS
from infra.openapi.words import FIELDS
from infra.source import files as archive
from memories import fields, schemas
from memories.graph.schemas import RelatedRequest
from memories.parameters import parameters
from memories.validation import parse

DOCUMENT: dict[str, Any] = json.loads((FOLDER / "openapi.json").read_text(encoding="utf-8"))
ROUTES = [pytest.param(one, route, id=f"{route.method} {route.path}") for one in FUNCTIONS for route in one.routes]
PAGE = (FOLDER / "docs.html").read_text(encoding="utf-8")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def validator(schema: Any) -> jsonschema_rs.Validator:
    """Of a schema that refers to the components of the document."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


# The files.


@pytest.mark.parametrize("name", ["openapi.json", "docs.html"])
def test_the_files_are_what_would_be_generated_now(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == files()[name], "run `make openapi`"


def test_the_archive_of_the_function_holds_them() -> None:
    held = archive(MEMORIES)
    assert {"memories/documents/openapi.json", "memories/documents/docs.html"} <= held.keys()
    assert not any(name.startswith("infra") for name in held)


def test_each_declared_handler_has_an_operation_and_each_operation_a_handler() -> None:
    assert {name: set(found) for name, found in OPERATIONS.items()} == {
        function.name: {route.handler for route in function.routes} for function in FUNCTIONS
    }
    assert {(path, method.upper()) for path, method, _ in operations()} == {
        (route.path, route.method) for function in FUNCTIONS for route in function.routes
    }


# The document.


def test_every_name_is_there_and_used_once() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    tags = [tag["name"] for tag in DOCUMENT["tags"]]
    assert {tag for _, _, operation in operations() for tag in operation["tags"]} == set(tags)
    text = json.dumps(DOCUMENT)
    referred = set(re.findall(r'"#/components/(\w+)/([\w-]+)"', text))
    held = {(kind, name) for kind, found in DOCUMENT["components"].items() for name in found}
    assert referred == {one for one in held if one[0] != "securitySchemes"}


@pytest.mark.parametrize(("function", "route"), ROUTES)
def test_each_operation_says_who_may_ask(function: Function, route: Any) -> None:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    schemes = [name for one in operation["security"] for name in one]
    person = OPERATIONS[function.name][route.handler].person
    assert schemes == (["Person"] if person else ["ApiKey", "Bearer", "Person"])
    assert ({} in operation["security"]) == (route.access is Access.OPEN)
    scoped = route.access in SCOPES and not person
    assert operation.get("x-required-scope") == (route.access.value if scoped else None)
    assert _takes(operation, "Workspace") == (route.access is not Access.OPEN)


@pytest.mark.parametrize(("function", "route"), ROUTES)
def test_each_operation_says_what_can_go_wrong(function: Function, route: Any) -> None:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    refused = {
        status: one["$ref"].rpartition("/")[2] for status, one in operation["responses"].items() if "$ref" in one
    }
    assert {"401", "429", "503"} <= refused.keys()
    assert ("403" in refused) == (route.access is not Access.OPEN)
    assert (refused.get("403") == "QuotaReached") == OPERATIONS[function.name][route.handler].grows
    assert ("400" in refused) == (route.access is not Access.OPEN or "requestBody" in operation)
    assert ("413" in refused) == ("requestBody" in operation)
    assert ("412" in refused) == _takes(operation, "IfMatch")
    assert _takes(operation, "IdempotencyKey") == route.once
    assert not route.once or "409" in refused
    assert all(status.startswith("2") != (status in refused) for status in operation["responses"])


def _takes(operation: dict[str, Any], parameter: str) -> bool:
    return {"$ref": f"#/components/parameters/{parameter}"} in operation.get("parameters", [])


def test_every_answer_but_401_tells_the_limits() -> None:
    good = [one for _, _, operation in operations() for one in operation["responses"].values() if "$ref" not in one]
    problems = DOCUMENT["components"]["responses"]
    for answer in (*good, *problems.values()):
        assert (set(LIMITS) <= answer["headers"].keys()) == (answer is not problems["Unauthorized"])
    assert "Retry-After" in problems["TooManyRequests"]["headers"]


def examples() -> Iterator[tuple[str, Any, Any]]:
    """Where it is, its schema, the example."""
    for path, method, operation in operations():
        for status, answer in {"body": operation.get("requestBody", {}), **operation["responses"]}.items():
            for media, content in answer.get("content", {}).items():
                if "example" in content:
                    yield f"{method} {path} {status} {media}", content["schema"], content["example"]
        for one in operation.get("parameters", []):
            if "example" in one:
                yield f"{method} {path} {one['name']}", one["schema"], one["example"]
    for kind in ("parameters", "headers"):
        for name, one in DOCUMENT["components"][kind].items():
            yield f"{kind} {name}", one["schema"], one["example"]
    for name, answer in DOCUMENT["components"]["responses"].items():
        ((_, content),) = answer["content"].items()
        yield f"answer {name}", content["schema"], content["example"]


@pytest.mark.parametrize(("schema", "value"), [pytest.param(*one[1:], id=one[0]) for one in examples()])
def test_an_example_is_what_its_schema_says(schema: Any, value: Any) -> None:
    assert [str(error) for error in validator(schema).iter_errors(value)] == []


def test_every_body_has_an_example() -> None:
    bodies = [operation["requestBody"] for _, _, operation in operations() if "requestBody" in operation]
    assert all("example" in body["content"]["application/json"] for body in bodies)


def test_every_word_about_a_field_is_used() -> None:
    components = Components()
    for operation in (operation for found in OPERATIONS.values() for operation in found.values()):
        for model in filter(None, (operation.takes, operation.query)):
            components.request(model)
    found = DOCUMENT["components"]["schemas"] | components.schemas
    owned = {f"{owner}.{name}" for owner, schema in found.items() for name in schema.get("properties", {})}
    plain = {one.partition(".")[2] for one in owned if one not in FIELDS}
    assert {name for name in FIELDS if name not in owned | plain} == set()
    assert set(RENAMED.values()) <= found.keys()


# The schemas and the validators: what one takes, the other takes.

BLANKS = "".join(char for char in map(chr, range(0x110000)) if char.isspace())


def test_blank_is_what_is_stripped() -> None:
    assert "".join(re.findall(f"[{fields.BLANK}]", "".join(map(chr, range(0x110000))))) == BLANKS


def property_schema(component: str, name: str) -> jsonschema_rs.Validator:
    return validator(DOCUMENT["components"]["schemas"][component]["properties"][name])


def taken(model: type[schemas.Request], **given_fields: Any) -> bool:
    base: dict[str, Any] = {"type": "fix", "title": "T", "content": "C"} if model is schemas.MemoryCreate else {}
    try:
        parse(model, {**base, **given_fields})
    except Invalid as invalid:
        told = {one.partition(".")[0] for one in invalid.errors}
    else:
        return True
    assert told == set(given_fields)
    return False


ODD = st.text(st.sampled_from("aZ09_.-~/ \0\t\x1c\x85\ufeff\u3000ßİ😀"), max_size=6) | st.text(max_size=20)
SIZES = st.sampled_from((0, 1, 50, 51, 99, 100, 101, 200, 201, 500, 501)).map("x".__mul__)
NAMES = st.sampled_from(("FIX", "Fix", "fix ", " fix", "fiK", "task,fix", "", "code_pattern", "Code_Pattern"))
IDS = st.sampled_from((".", "..", "...", "a.", "batch", "Batch", "types", "batches", "a\n", "x" * 200, "x" * 201))
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-1, 2) | st.just("0.5")


@pytest.mark.parametrize("name", ["title", "content", "summary", "id", "type"])
@given(st.data())
def test_texts(name: str, data: st.DataObject) -> None:
    value = data.draw(ODD | SIZES | NAMES | IDS | SCALARS)
    assert property_schema("MemoryCreate", name).is_valid(value) == taken(schemas.MemoryCreate, **{name: value})


@given(st.lists(ODD | SIZES, max_size=4) | st.lists(st.just("a"), min_size=49, max_size=52) | SCALARS)
def test_tags(value: Any) -> None:
    assert property_schema("MemoryCreate", "tags").is_valid(value) == taken(schemas.MemoryCreate, tags=value)


@pytest.mark.parametrize("name", ["importance", "confidence"])
@given(SCALARS | st.floats(allow_nan=False, allow_infinity=False))
def test_units(name: str, value: Any) -> None:
    assert property_schema("MemoryCreate", name).is_valid(value) == taken(schemas.MemoryCreate, **{name: value})


@pytest.mark.parametrize("name", ["limit", "offset"])
@given(SCALARS | st.integers() | st.sampled_from((1000, 1001, 1000.0, 20.5, 1e300, 1 << 31, (1 << 31) + 1)))
def test_whole_numbers(name: str, value: Any) -> None:
    assert property_schema("SearchRequest", name).is_valid(value) == taken(schemas.SearchRequest, **{name: value})


TIMES = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)).map(datetime.isoformat)  # noqa: DTZ001  an offset is drawn beside it
OFFSETS = st.sampled_from(("", "Z", "z", "+00:00", "-00:00", "+23:59", "-23:59", "+24:00", "+0100", "+01", " 01:00"))


@given(
    st.builds(str.__add__, TIMES, OFFSETS)
    | st.from_regex(r"\A\d{4}-[01]\d-[0-3]\d(T[0-2]\d:[0-6]\d:[0-5]\d(\.\d{1,9})?)?Z?\Z")
    | ODD
    | SCALARS
)
@example("2025-02-29")
@example("2024-02-29")
@example("1900-02-29")
@example("2000-02-29t00:00:00")
@example("2024-02-29T23:59:59.1234567891")
@example("2025-01-31 09:15:27Z")
@example("2025-01-31T09:15Z")
@example("20250131T091527Z")
@example("2025-W05-5")
@example("0001-01-01T00:00:00+23:59")
@example("9999-12-31T23:59:59-23:59")
def test_times(value: Any) -> None:
    if isinstance(value, str) and value.startswith("0000-"):
        return  # RFC 3339 has a year 0, Python and its databases have none: that is said in words
    assert property_schema("SearchRequest", "created_after").is_valid(value) == taken(
        schemas.SearchRequest, created_after=value
    )


def test_a_time_beyond_the_first_year_is_the_first_moment() -> None:
    asked = parse(schemas.SearchRequest, {"created_after": "0001-01-01T00:00:00+01:00"})
    assert asked.created_after == datetime(1, 1, 1, tzinfo=UTC)


@given(st.lists(st.text(st.sampled_from("solveSOLVE,_ "), max_size=8) | st.sampled_from(("SOLVES", "Fixes,SOLVES"))))
@example(["solves, CAUSES ,,"])
@example([",".join(["Solves", "SOLVES"] * 60)])
def test_names_in_a_query(sent: list[str]) -> None:
    (parameter,) = (
        one
        for one in DOCUMENT["paths"]["/api/v1/memories/{id}/related"]["get"]["parameters"]
        if one.get("name") == "relationship_types"
    )
    query = QueryParams([("relationship_types", text) for text in sent])
    try:
        parse(RelatedRequest, parameters(RelatedRequest, query))
        good = True
    except Invalid:
        good = False
    assert validator(parameter["schema"]).is_valid(sent) == good


EMAILS = st.text(st.sampled_from('a.@ \t\0<"\\é'), max_size=9) | st.sampled_from(
    ("ada@example.com", " ada@example.com\u3000", "ada@example", "a@b.c@d.e", "ada@exa mple.com", "a@b.c\n", "é@é.é")
)


@given(EMAILS | st.just("@b.c").map(lambda end: "a" * 250 + end) | SCALARS)
def test_addresses(value: Any) -> None:
    assert property_schema("InvitationCreate", "email").is_valid(value) == accepted(
        accounts.InvitationCreate, {"email": value}
    )


SETTINGS = st.dictionaries(
    st.text(st.sampled_from("aZ0_. -\n"), max_size=3) | st.sampled_from(("a" * 50, "a" * 51)),
    SCALARS | ODD | SIZES | st.sampled_from((1 << 53, (1 << 53) + 1, -(1 << 53), 1.5, 20.0, 1e300, [], {})),
    max_size=3,
)


@given(SETTINGS | st.just({f"a{number}": None for number in range(51)}) | SCALARS)
def test_settings(value: Any) -> None:
    assert property_schema("AccountUpdate", "settings").is_valid(value) == accepted(
        accounts.AccountUpdate, {"settings": value}
    )


SCOPE_NAMES = st.sampled_from((*SCOPES, "", "Account", "open", 1, None))


@given(st.lists(SCOPE_NAMES, max_size=4) | SCALARS)
def test_scopes(value: Any) -> None:
    assert property_schema("KeyCreate", "scopes").is_valid(value) == accepted(
        accounts.KeyCreate, {"name": "n", "scopes": value}
    )


@pytest.mark.parametrize(
    ("model", "name"),
    [(accounts.KeyCreate, "project"), (accounts.KeyCreate, "name"), (accounts.InvitationAccept, "token")],
)
@given(st.data())
def test_names_of_accounts(model: type[schemas.Request], name: str, data: st.DataObject) -> None:
    value = data.draw(ODD | SIZES | SCALARS)
    assert property_schema(model.__name__, name).is_valid(value) == accepted(model, {"name": "n", name: value})


def accepted(model: type[schemas.Request], body: dict[str, Any]) -> bool:
    try:
        parse(model, body)
    except Invalid:
        return False
    return True


# The page.


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.targets: set[str] = set()
        self.loaded: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href":
                self.targets.add(value or "")
            elif name == "src":
                self.loaded.append(value or "")
            elif name == "style" or name.startswith("on"):
                self.inline.append(name)


def test_the_page_loads_nothing_and_its_links_lead_somewhere() -> None:
    found = _Links()
    found.feed(PAGE)
    assert found.loaded == found.inline == []
    assert found.tags.isdisjoint({"script", "link", "img", "iframe", "form"})
    assert len(set(found.ids)) == len(found.ids)
    assert found.targets - {f"#{name}" for name in found.ids} == {"openapi.json"}
    assert {operation["operationId"] for _, _, operation in operations()} <= set(found.ids)
    assert "@import" not in PAGE
    assert "url(" not in PAGE


def test_the_style_is_what_the_header_allows() -> None:
    from memories.documents.handlers import _policy

    (style,) = re.findall(r"<style>(.*?)</style>", PAGE, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in _policy(PAGE.encode())
