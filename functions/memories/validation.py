"""Checking what was sent by its model, and the words for what is wrong with it (client contract 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from core.problems import Invalid

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from memories.schemas import Request

R = TypeVar("R", bound="Request")


def parse(model: type[R], value: object) -> R:
    """Check a JSON value.

    Raises:
        Invalid: naming every field that is wrong, and why.
    """
    from pydantic import ValidationError  # with the model it is there already

    if not isinstance(value, dict):
        raise Invalid("The body must be a JSON object.", errors={"body": "must be a JSON object"})
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = {_field(fault): _message(fault) for fault in error.errors(include_url=False, include_input=False)}
    raise Invalid.naming(faults) from None


_MESSAGES = {
    "missing": "is missing",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dataclass_type": "must be an object",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_long": "must have at most {max_length} items",
}


def _field(fault: ErrorDetails) -> str:
    """`tags.0` is the first tag; parts that name a branch of a union, not a field, are left out."""
    return ".".join(str(part) for part in fault["loc"] if isinstance(part, int) or part.isidentifier())


def _message(fault: ErrorDetails) -> str:
    context = fault.get("ctx", {})
    if fault["type"] == "value_error":
        return str(context["error"])
    known = _MESSAGES.get(fault["type"])
    return known.format(**{name: _plain(value) for name, value in context.items()}) if known else fault["msg"]


def _plain(value: object) -> object:
    """1.0 as 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
