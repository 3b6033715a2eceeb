"""Python types -> named JSON schemas (2020-12) of the document.

Requests are Pydantic models, which know their schema; only what reads badly is changed. Answers are typed dictionaries,
which Pydantic takes from Python 3.12 on only, so they are read here: our answers use a handful of types.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from enum import Enum, StrEnum
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel

from accounts import schemas as accounts
from billing import schemas as billing
from declarations import PLANS, SCOPES, Store
from infra.openapi.words import FIELDS
from memories import schemas
from memories.fields import any_case
from memories.graph.context import Scope
from memories.model import MemoryType
from memories.parameters import Kind, kinds
from memories.relationship_types import Category, RelationshipType
from memories.transfer.formats import Format

Schema = dict[str, Any]

REF = "#/components/schemas/"
TIMES = (
    "at",
    "cancel_at",
    "created_at",
    "expires_at",
    "export_date",
    "grace_until",
    "last_used_at",
    "last_validated",
    "next_at",
    "period_end",
    "recorded_at",
    "requested_at",
    "since",
    "updated_at",
    "valid_from",
    "valid_until",
)
_KEY_STATUS: Schema = {"enum": ["active", "rotated", "expired", "revoked"]}
TEXTS: dict[str, Schema] = {
    **{name: {"format": "date-time"} for name in TIMES},
    "date": {"format": "date"},
    "match_quality": {"enum": ["high", "medium", "low"]},
    "plan": {"enum": [*PLANS]},
    "sha256": {"pattern": "^[0-9a-f]{64}$"},
    "subscription_tier": {"enum": [*PLANS]},
    "Key.status": _KEY_STATUS,
    "NewKey.status": _KEY_STATUS,
    "RotatedKey.status": _KEY_STATUS,
    "Invitation.status": {"enum": ["open", "expired", "accepted"]},
    "Move.state": {"enum": ["none", "waiting", "moving", "stays"]},
}
"""What is said of fields of answers that are texts, beyond their type."""
ITEMS: dict[str, Schema] = {"scopes": {"enum": [scope.value for scope in SCOPES]}}
"""What is said of the items of fields that are lists."""
_UNIT = {"minimum": 0, "maximum": 1}
UNITS = ("importance", "confidence", "strength", "success_rate", "avg_importance", "avg_confidence")
NAMES: dict[str, type[StrEnum]] = {
    "category": Category,
    "next_plan": billing.PlanName,
    "relationship_type": RelationshipType,
    "role": accounts.Role,
    "Invitation.role": accounts.InvitedRole,
    "Memory.type": MemoryType,
    "Move.to": Store,
    "Hit.type": MemoryType,
    "LocalMemory.type": MemoryType,
    "Edge.type": RelationshipType,
    "Type.type": RelationshipType,
    "Type.inverse": RelationshipType,
    "LocalRelationship.type": RelationshipType,
}
"""Fields of answers whose text is a name out of an enumeration."""
_ENUMERATIONS: tuple[type[StrEnum], ...] = (
    *(schemas.Match, schemas.Tolerance, Scope, Format, billing.PaidPlan),
    *NAMES.values(),
)
ENUMERATIONS = {kind.__name__: kind for kind in _ENUMERATIONS}
RENAMED = {"MatchBody": "MatchInfo", "BatchBody": "BatchResults"}
"""Answers whose name, without `Body`, a request or an enumeration has."""
_BOUNDS = {"ge": "minimum", "le": "maximum"}
"""How Pydantic names the bounds of a number that has a validator before it."""
_ROUTE = re.compile(r"^(?:GET|POST|PUT|PATCH|DELETE)\b[^.:]*[.:]\s*")


class Components:
    """The schemas of one document, by name. Each type is added when it is first referred to."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self._typed: dict[str, type] = {}

    def request(self, model: type[BaseModel]) -> Schema:
        """A reference to the schema of a body."""
        if model.__name__ not in self.schemas:
            self.schemas[model.__name__] = {}
            schema = model.model_json_schema(ref_template=REF + "{model}")
            for name, more in schema.pop("$defs", {}).items():
                self.schemas.setdefault(name, self._clean(more))
            schema["description"] = _doc(model)
            self.schemas[model.__name__] = self._described(model.__name__, self._clean(schema))
        return {"$ref": REF + model.__name__}

    def parameters(self, model: type[BaseModel]) -> list[Schema]:
        """The fields of a model as parameters of a query, where nothing is null and everything is text."""
        self.request(model)  # its enumerations
        schema = self.schemas[model.__name__]
        ways = kinds(model)
        found = []
        for name, field in schema["properties"].items():
            field = dict(field)
            text = field.pop("description")
            shown = _without_null(field)
            if ways[name] is Kind.NAMES:
                shown, more = self._names(shown), "Repeat it, or separate names with commas."
                text = f"{text} {more}"
            elif ways[name] is Kind.LIST:
                text = f"{text} Repeat it for several."
            found.append(
                {
                    "name": name,
                    "in": "query",
                    "description": text,
                    **({"required": True} if name in schema.get("required", []) else {}),
                    "schema": shown,
                }
            )
        return found

    def answer(self, annotation: Any) -> Schema:
        """The schema of a value that we send."""
        return self._type(annotation, "")

    def used(self, roots: Any) -> dict[str, Schema]:
        """The schemas that something in `roots` leads to, sorted."""
        found: dict[str, Schema] = {}
        waiting = list(_references(roots))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self.schemas[name]
                waiting += _references(found[name])
        return dict(sorted(found.items()))

    def _type(self, annotation: Any, name: str) -> Schema:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin in (Required, NotRequired):
            return self._type(arguments[0], name)
        if origin in (Union, UnionType):
            options = [self._type(one, name) for one in arguments if one is not NoneType]
            (option,) = options
            return {"anyOf": [option, {"type": "null"}]} if "$ref" in option else {**option, **_nullable(option)}
        if origin is list:
            return {"type": "array", "items": self._type(arguments[0], name)}
        if origin in (dict, Mapping):
            return {"type": "object", "additionalProperties": self._type(arguments[1], "")}
        if origin is Literal:
            return {"type": "string", "enum": list(arguments)}
        if is_typeddict(annotation):
            return self._typed_dict(annotation)
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            self.schemas.setdefault(annotation.__name__, {"type": "string", "enum": [one.value for one in annotation]})
            return {"$ref": REF + annotation.__name__}
        simple: dict[Any, Schema] = {
            Any: {},
            object: {},
            bool: {"type": "boolean"},
            float: {"type": "number"},
            int: {"type": "integer"},
            str: {"type": "string"},
        }
        return dict(simple[annotation])

    def _typed_dict(self, kind: type) -> Schema:
        name = RENAMED.get(kind.__name__, kind.__name__.removesuffix("Body"))
        if self._typed.setdefault(name, kind) is not kind or name in ENUMERATIONS:
            raise ValueError(f"two schemas would be named {name}: say another name in RENAMED")
        if name not in self.schemas:
            self.schemas[name] = {}
            hints = get_type_hints(kind, include_extras=True)
            self.schemas[name] = self._described(
                name,
                {
                    "type": "object",
                    "description": _doc(kind),
                    "properties": {field: self._field(name, field, hint) for field, hint in hints.items()},
                    "required": [field for field, hint in hints.items() if _is_required(kind, field, hint)],
                },
            )
        return {"$ref": REF + name}

    def _field(self, owner: str, name: str, annotation: Any) -> Schema:
        named = NAMES.get(f"{owner}.{name}") or NAMES.get(name)
        if named is not None:
            optional = NoneType in get_args(annotation)
            return self._type(named | None if optional else named, name)
        schema = self._type(annotation, name)
        if "string" in _types(schema):
            schema |= TEXTS.get(f"{owner}.{name}", TEXTS.get(name, {}))
        if name in ITEMS:
            schema["items"] |= ITEMS[name]
        if "number" in _types(schema) and name in UNITS:
            schema |= _UNIT
        return schema

    def _described(self, owner: str, schema: Schema) -> Schema:
        if not schema.get("description"):
            schema.pop("description", None)
        for name, field in schema["properties"].items():
            text = FIELDS.get(f"{owner}.{name}", FIELDS.get(name))
            if text is None:
                raise KeyError(f"infra/openapi/words.py says nothing of {owner}.{name}")
            field["description"] = text
        return schema

    def _clean(self, schema: Any) -> Any:
        """Without titles and defaults of null; names in any case are a schema of their own."""
        if isinstance(schema, list):
            return [self._clean(item) for item in schema]
        if not isinstance(schema, dict):
            return schema
        cleaned = {
            _BOUNDS.get(key, key): {name: self._clean(field) for name, field in value.items()}
            if key == "properties"
            else self._clean(value)
            for key, value in schema.items()
            if key != "title" and (key, value) != ("default", None)
        }
        options = cleaned.get("anyOf", [])
        named = options[0].get("$ref", "").removeprefix(REF) if options else ""
        if named in ENUMERATIONS and len(options) > 1 and "pattern" in options[1]:
            loose = f"Any{named}"
            self.schemas[loose] = {
                "description": f"`{named}`, in any case of letters.",
                "anyOf": options[:2],
            }
            rest = options[2:]
            del cleaned["anyOf"]
            cleaned |= {"anyOf": [{"$ref": REF + loose}, *rest]} if rest else {"$ref": REF + loose}
        elif len(options) == 2 and options[1] == {"type": "null"} and isinstance(options[0].get("type"), str):
            del cleaned["anyOf"]
            cleaned |= options[0] | _nullable(options[0])
        return cleaned

    def _names(self, schema: Schema) -> Schema:
        named = schema["items"]["$ref"].removeprefix(REF + "Any")
        one = any_case(ENUMERATIONS[named])
        pattern = f"^ *(?:{one} *)?(?:, *(?:{one} *)?)*$"
        description = f"`{named}`, in any case of letters, or several with commas between."
        listed = f"{named}List"
        self.schemas[listed] = {"type": "string", "description": description, "pattern": pattern}
        return {"type": "array", "items": {"$ref": REF + listed}}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if str(value.get("$ref", "")).startswith(REF):
            yield value["$ref"].removeprefix(REF)
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _references(item)


def _doc(kind: type) -> str:
    own = kind.__dict__.get("__doc__")
    text = _ROUTE.sub("", " ".join(inspect.cleandoc(own).split())) if own else ""
    return text[:1].upper() + text[1:]


def _is_required(kind: type, field: str, hint: Any) -> bool:
    # A member whose annotation is a text is in `__required_keys__` whatever it says itself (PEP 655).
    required: frozenset[str] = kind.__required_keys__  # type: ignore[attr-defined]  # a TypedDict has it
    return field in required and get_origin(hint) is not NotRequired


def _types(schema: Schema) -> list[str]:
    kinds_ = schema.get("type", [])
    return kinds_ if isinstance(kinds_, list) else [kinds_]


def _nullable(schema: Schema) -> Schema:
    more: Schema = {"type": [*_types(schema), "null"]} if "type" in schema else {}
    if "enum" in schema:
        more["enum"] = [*schema["enum"], None]
    return more


def _without_null(field: Schema) -> Schema:
    """What is left of a field in a query, where null cannot be written, and an empty list is not sent."""
    shown = {key: value for key, value in field.items() if (key, value) != ("default", [])}
    if isinstance(shown.get("type"), list):
        (shown["type"],) = (kind for kind in shown["type"] if kind != "null")
    options = [option for option in shown.pop("anyOf", []) if option != {"type": "null"}]
    return {**shown, **(options[0] if len(options) == 1 else {"anyOf": options} if options else {})}
