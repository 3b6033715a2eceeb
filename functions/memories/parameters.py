"""Query parameters as the fields of a request model: what a GET sends is checked by the model that a POST's body is.

The type of a field says how its parameter is read: lists may be repeated, lists of names (enumerations) may be
separated by commas as well, which other texts may hold themselves (client contract 2.3). A text that is no number stays
a text: then its field says that it is none. Parameters that the model does not know are ignored.
"""

from __future__ import annotations

import re
from enum import Enum, StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from starlette.datastructures import QueryParams

if TYPE_CHECKING:
    from pydantic import BaseModel

_INTEGER = re.compile(r"-?\d{1,15}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,30})?([eE][-+]?\d{1,3})?", re.ASCII)
_FLAGS = {"true": True, "false": False, "1": True, "0": False}


class Kind(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    LIST = "list"
    NAMES = "names"


def parameters(model: type[BaseModel], query: QueryParams) -> dict[str, Any]:
    """The fields of `model` that a query gives."""
    given: dict[str, Any] = {}
    for name, kind in kinds(model).items():
        sent = query.getlist(name)
        if not sent:
            continue
        if kind is Kind.LIST:
            given[name] = sent
        elif kind is Kind.NAMES:
            given[name] = list(
                dict.fromkeys(part.lower() for text in sent for raw in text.split(",") if (part := raw.strip(" ")))
            )
        elif kind is Kind.NUMBER:
            given[name] = number(sent[-1])
        elif kind is Kind.FLAG:
            given[name] = _FLAGS.get(sent[-1].strip().lower(), sent[-1])
        else:
            given[name] = sent[-1]
    return given


def number(text: str) -> int | float | str:
    """A parameter's text as the number it is, else as it is."""
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


@cache
def kinds(model: type[BaseModel]) -> dict[str, Kind]:
    """How the parameter of each field is read."""
    return {name: _kind(field.annotation) for name, field in model.model_fields.items()}


def _kind(annotation: Any) -> Kind:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return _kind(next(part for part in get_args(annotation) if part is not NoneType))
    if origin in (list, tuple):
        item = get_args(annotation)[0]
        return Kind.NAMES if _is_enum(item) else Kind.LIST
    if annotation is bool:
        return Kind.FLAG
    return Kind.NUMBER if annotation in (int, float) else Kind.TEXT


def _is_enum(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return isinstance(annotation, type) and issubclass(annotation, Enum)
